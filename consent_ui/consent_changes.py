"""What one thinks over before it is done to an own consent: taking it back, and letting it last longer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import Blueprint, Response, request

from broker.consent.record import Consent, Signer
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from broker.evidence.canonical import Json
from consent_ui.addresses import CONSENT_RULE, CONSENTS_RULE, EXTENSION_RULE, WITHDRAWAL_RULE
from consent_ui.consent_presenting import ConsentView, GoingWith, consent_view
from consent_ui.consent_views import CONSENTS_PAGE, ConsentParts, actor_of, bound_to
from consent_ui.extending import Length, lengths_of
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.notices import hash_of_shown, notice_of
from consent_ui.visit import Visit
from consent_ui.words import Words
from policies.compile import PolicySet

_CONSENT_ID = "<consent_id>"


class ConsentChangeViews:
    """Views of /citizen/consents/<consent id>/withdraw and /extend."""

    def __init__(self, visit: Visit, policies: PolicySet, parts: ConsentParts) -> None:
        self._visit = visit
        self._policies = policies
        self._parts = parts

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(WITHDRAWAL_RULE, "withdrawal", self.show_withdrawal, methods=["GET"])
        blueprint.add_url_rule(EXTENSION_RULE, "extension", self.show_extension, methods=["GET"])
        blueprint.add_url_rule(EXTENSION_RULE, "extend_consent", self.extend, methods=["POST"])

    def show_withdrawal(self, consent_id: str) -> Response:
        """Say what follows from withdrawing, with the button that does it; 404 for what is not one's own.

        303 to the consent's page where there is nothing to withdraw.
        """
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        if "withdraw" not in view.can:
            return self._visit.pages.redirect(self._address(consent, CONSENT_RULE, whose))
        return own_page(
            self._visit,
            whose,
            "withdrawal.html",
            CONSENTS_PAGE,
            name="",
            view=view,
            action=self._address(consent, CONSENT_RULE),
            back=self._address(consent, CONSENT_RULE, whose),
            others=[
                GoingWith.of(one, self._address(one, CONSENT_RULE, whose), whose.words)
                for one in self._parts.verb.withdrawn_with(actor_of(whose), consent, whose.at)
            ],
            token=self._visit.tokens.token(whose.cookie, bound_to(view), whose.at),
        )

    def show_extension(self, consent_id: str) -> Response:
        """Show the lengths to choose from, or that there is none; 404 for what is not one's own."""
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        return self._form(whose, consent, view)

    def extend(self, consent_id: str) -> Response:
        """Extend: 303 to the page of the new consent; the form again (403, 409, 422) where it cannot be.

        Needs a sign-in of the last 300 s, as all giving does.
        """
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        visit, words = self._visit, whose.words
        lengths = lengths_of(consent, self._policies, whose.at, words)
        shown = _hash(view, lengths, words)
        shown_at = visit.form_shown_at(whose.cookie, _bound(consent, shown), whose.at)
        if shown_at is None:
            return self._form(whose, consent, view, 403, words("form_stale"))
        days = {str(one.days): one.days for one in lengths}.get(request.form.get("days", ""))
        if days is None:
            return self._form(whose, consent, view, 422, words("extension_choose"))
        if not whose.session.is_recent(whose.at):
            return visit.pages.redirect(visit.addresses.sign_in(CONSENTS_PAGE, words.language, again=True))
        try:
            after = self._extend(whose, consent, shown, shown_at, days)
        except ConsentTransitionRefused as refused:
            key = "consents_level" if refused.reason == "level_too_low" else "consents_moved"
            return self._form(whose, consent, view, 409, words(key))
        except (ConsentMoved, ConsentNotFound):
            return self._form(whose, consent, view, 409, words("consents_moved"))
        return visit.pages.redirect(self._address(after, CONSENT_RULE, whose))

    def _extend(
        self, whose: SignedInVisitor, consent: Consent, shown: str, shown_at: datetime, days: int
    ) -> Consent:
        session, at = whose.session, whose.at
        signer = Signer(
            role="data_subject",
            citizen_id=session.citizen_id,
            level=session.level,
            authenticated_at=session.authenticated_at,
            signed_at=at,
        )
        notice = notice_of(shown, whose.words, shown_at)
        return self._parts.verb.extend(signer, consent.consent_id, notice, at, valid_days=days)

    def _found(self, consent_id: str) -> tuple[SignedInVisitor, Consent, ConsentView] | Response:
        whose = visitor(self._visit, CONSENTS_PAGE)
        if isinstance(whose, Response):
            return whose
        try:
            found = self._parts.verb.find_one(whose.citizen_id, str(UUID(consent_id)), whose.at)
        except ValueError:
            found = None
        words = whose.words
        if found is None:
            back = self._visit.addresses.page(CONSENTS_RULE, words.language)
            return self._visit.pages.notice(
                words, 404, words("consents_title"), words("consents_unknown"), back
            )
        names = self._parts.names_of((found.organisation_id,))[found.organisation_id]
        return whose, found, consent_view(found, names, self._policies, words, whose.citizen_id, whose.at)

    def _form(
        self, whose: SignedInVisitor, consent: Consent, view: ConsentView, status: int = 200, error: str = ""
    ) -> Response:
        visit = self._visit
        lengths = lengths_of(consent, self._policies, whose.at, whose.words)
        return own_page(
            visit,
            whose,
            "extension.html",
            CONSENTS_PAGE,
            status,
            is_error=bool(error),
            error=error,
            view=view,
            lengths=lengths,
            action=self._address(consent, EXTENSION_RULE),
            back=self._address(consent, CONSENT_RULE, whose),
            token=visit.tokens.token(
                whose.cookie, _bound(consent, _hash(view, lengths, whose.words)), whose.at
            ),
            other_address=visit.addresses.page(
                EXTENSION_RULE.replace(_CONSENT_ID, consent.consent_id), whose.words.other
            ),
        )

    def _address(self, consent: Consent, rule: str, whose: SignedInVisitor | None = None) -> str:
        language = "" if whose is None else whose.words.language
        return self._visit.addresses.page(rule.replace(_CONSENT_ID, consent.consent_id), language)


def _hash(view: ConsentView, lengths: tuple[Length, ...], words: Words) -> str:
    """Return SHA-256 hex of what is shown; until when is left out: it moves on with every minute."""
    lasting: list[Json] = [{"days": one.days, "label": one.label} for one in lengths]
    return hash_of_shown("extension", {"consent": view.fingerprint, "lengths": lasting}, words)


def _bound(consent: Consent, shown: str) -> str:
    return f"extend {consent.consent_id} {shown}"
