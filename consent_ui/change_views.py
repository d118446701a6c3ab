"""Changing what one has given: fewer or more fields, an earlier end, a shorter range."""

from __future__ import annotations

from flask import Blueprint, Response, request

from broker.consent.record import Consent
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from consent_ui.addresses import CHANGE_RULE, CONSENT_RULE, WITHDRAWAL_RULE
from consent_ui.changing import ChangeOffered, Wanted, change_offered, wanted_of
from consent_ui.consent_presenting import ConsentView
from consent_ui.destinations import page_of_consent
from consent_ui.frame import SignedInVisitor, own_page
from consent_ui.giving_less import NotOffered
from consent_ui.notices import hash_of_shown, notice_of
from consent_ui.own_consents import CONSENTS_PAGE, OwnConsents, signer_of
from consent_ui.words import Words


class ChangeViews:
    """Views of /citizen/consents/<consent id>/change."""

    def __init__(self, own: OwnConsents) -> None:
        self._own = own

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(CHANGE_RULE, "change", self.show, methods=["GET"])
        blueprint.add_url_rule(CHANGE_RULE, "change_consent", self.change, methods=["POST"])

    def show(self, consent_id: str) -> Response:
        """Show what is given, with what may be changed; 404 for what is not one's own."""
        found = self._own.find(consent_id, page_of_consent("change", consent_id))
        return found if isinstance(found, Response) else self._form(*found)

    def change(self, consent_id: str) -> Response:
        """Change: 303 to the page of the new consent; the form again (403, 409, 422) where it cannot be.

        Giving less needs no fresh sign-in. Who gives more is led to one and back where it is too old, as on
        the page of a decision: what was ticked is not carried along.
        """
        found = self._own.find(consent_id, page_of_consent("change", consent_id))
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        visit, words = self._own.visit, whose.words
        offered = change_offered(consent, self._own.policies, whose.at, words)
        shown = _hash(view, offered, words)
        shown_at = visit.form_shown_at(whose.cookie, _bound(consent, shown), whose.at)
        if shown_at is None or offered is None:
            return self._form(whose, consent, view, 403, words("form_stale"))
        try:
            wanted = wanted_of(consent, offered, request.form.getlist("field"), request.form)
        except NotOffered as wrong:
            return self._form(whose, consent, view, 422, words(wrong.key))
        error = _error(wanted, consent, view, words)
        if error:
            return self._form(whose, consent, view, 422, error)
        try:
            after = self._own.verb.amend(
                signer_of(whose),
                consent.consent_id,
                wanted.given,
                notice_of(shown, words, shown_at),
                whose.at,
                valid_days=wanted.valid_days,
                data_range=wanted.data_range,
            )
        except ConsentTransitionRefused as refused:
            if refused.reason == "sign_in_too_old":
                name = page_of_consent("change", consent.consent_id)
                return visit.pages.redirect(visit.addresses.sign_in(name, words.language, again=True))
            key = "consents_level" if refused.reason == "level_too_low" else "consents_moved"
            return self._form(whose, consent, view, 409, words(key))
        except (ConsentMoved, ConsentNotFound):
            return self._form(whose, consent, view, 409, words("consents_moved"))
        return visit.pages.redirect(self._own.address(after, CONSENT_RULE, words.language))

    def _form(
        self, whose: SignedInVisitor, consent: Consent, view: ConsentView, status: int = 200, error: str = ""
    ) -> Response:
        own, words = self._own, whose.words
        offered = change_offered(consent, own.policies, whose.at, words)
        # A form that stood on another page says nothing of what is wanted here.
        is_again = bool(error) and status != 403
        return own_page(
            own.visit,
            whose,
            "change.html",
            CONSENTS_PAGE,
            status,
            is_error=bool(error),
            error=error,
            view=view,
            offered=offered,
            ticked=frozenset(request.form.getlist("field")) if is_again else consent.given_names,
            chosen=request.form if is_again else {},
            action=own.address(consent, CHANGE_RULE),
            back=own.address(consent, CONSENT_RULE, words.language),
            withdrawal=own.address(consent, WITHDRAWAL_RULE, words.language),
            token=own.visit.tokens.token(
                whose.cookie, _bound(consent, _hash(view, offered, words)), whose.at
            ),
            other_address=own.address(consent, CHANGE_RULE, words.other),
        )


def _error(wanted: Wanted, consent: Consent, view: ConsentView, words: Words) -> str:
    """Return what keeps a form from being a change, "" for nothing."""
    if not wanted.given:
        return words("change_all")
    missing = consent.terms.required_names - wanted.given
    for field in view.fields:
        if field.name in missing:
            return words("change_required", field=field.label)
    return "" if wanted.is_change_of(consent) else words("change_nothing")


def _hash(view: ConsentView, offered: ChangeOffered | None, words: Words) -> str:
    content = {} if offered is None else offered.content()
    return hash_of_shown("change", {"consent": view.fingerprint, **content}, words)


def _bound(consent: Consent, shown: str) -> str:
    return f"change {consent.consent_id} {shown}"
