"""What was given for a child: its page, and withdrawing, pausing, resuming and confirming it as a parent."""

from __future__ import annotations

from datetime import datetime

from flask import Response, request

from broker.actions.own_reading import LEVEL
from broker.actions.represent import RepresentativeSignIn, RepresentedChild
from broker.consent.record import Consent
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused, StoreUnavailable
from consent_ui.addresses import (
    CHILD_CONSENT_RULE,
    CHILD_EXTENSION_RULE,
    CHILD_WITHDRAWAL_RULE,
    REPRESENTATION_RULE,
)
from consent_ui.consent_presenting import OPENING, ConsentView, GoingWith, event_views
from consent_ui.extending import needs_both
from consent_ui.extension_page import extension_address
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.notices import notice_of
from consent_ui.representation_views import (
    REPRESENTATION_PAGE,
    RepresentationParts,
    RepresentationViews,
)
from consent_ui.told import told_views
from consent_ui.visit import Visit
from policies.compile import PolicySet


class RepresentedConsentViews:
    """Views of /citizen/representation/consents. The relation is proven for each look and each act."""

    def __init__(
        self, visit: Visit, policies: PolicySet, parts: RepresentationParts, listing: RepresentationViews
    ) -> None:
        self._visit = visit
        self._policies = policies
        self._verb = parts.verb
        self._told_of = parts.told_of
        self._listing = listing

    def show(self, consent_id: str) -> Response:
        """Show what was given for a child; 404 for any other, whether or not it exists."""
        found = self.find(consent_id)
        return found if isinstance(found, Response) else self._page(*found)

    def show_withdrawal(self, consent_id: str) -> Response:
        """Say what follows from withdrawing, with the button that does it."""
        found = self.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, child, consent, view = found
        visit, language = self._visit, whose.words.language
        return own_page(
            visit,
            whose,
            "withdrawal.html",
            REPRESENTATION_PAGE,
            name=child.full_name,
            view=view,
            action=self._address(consent.consent_id),
            back=self._address(consent.consent_id, language),
            others=[
                GoingWith.of(one, self._address(one.consent_id, language), whose.words)
                for one in self._verb.withdrawn_with(whose.citizen_id, consent, whose.at)
            ],
            token=visit.tokens.token(whose.cookie, _bound(view), whose.at),
        )

    def act(self, consent_id: str) -> Response:
        """Do what was chosen: 303 to page or list; the page again (403, 409, 422) where it cannot be."""
        found = self.find(consent_id)
        if isinstance(found, Response):
            return found
        whose, child, consent, view = found
        visit, words = self._visit, whose.words
        shown_at = visit.form_shown_at(whose.cookie, _bound(view), whose.at)
        if shown_at is None:
            return self._page(whose, child, consent, view, 403, words("form_stale"))
        choice = request.form.get("choice", "")
        if choice not in view.can:
            return self._page(whose, child, consent, view, 422, words("consents_choose"))
        if choice in OPENING and not whose.session.is_recent(whose.at):
            again = visit.addresses.sign_in(REPRESENTATION_PAGE, words.language, again=True)
            return visit.pages.redirect(again)
        try:
            self._act(whose, view, choice, shown_at)
        except StoreUnavailable:
            return self._listing.away(whose)
        except (ConsentMoved, ConsentNotFound, ConsentTransitionRefused):
            return self._page(whose, child, consent, view, 409, words("consents_moved"))
        if choice == "withdraw":
            return visit.pages.redirect(visit.addresses.page(REPRESENTATION_RULE, words.language))
        return visit.pages.redirect(self._address(view.consent_id, words.language))

    def _act(self, whose: SignedInVisitor, view: ConsentView, choice: str, shown_at: datetime) -> None:
        session, at = whose.session, whose.at
        who = RepresentativeSignIn(
            citizen_id=session.citizen_id, level=session.level, authenticated_at=session.authenticated_at
        )
        if choice == "withdraw":
            self._verb.withdraw(session.citizen_id, view.consent_id, at)
        elif choice == "pause":
            self._verb.pause(session.citizen_id, view.consent_id, at)
        elif choice == "resume":
            self._verb.resume(who, view.consent_id, at)
        else:
            notice = notice_of(view.fingerprint, whose.words, shown_at)
            self._verb.confirm(who, view.consent_id, notice, at)

    def away(self, whose: SignedInVisitor) -> Response:
        """Return the page that says that nothing can be proven now."""
        return self._listing.away(whose)

    def find(
        self, consent_id: str
    ) -> tuple[SignedInVisitor, RepresentedChild, Consent, ConsentView] | Response:
        """Return what was given for a child, who looks and how it reads; or the page that says why not."""
        whose = visitor(self._visit, REPRESENTATION_PAGE)
        if isinstance(whose, Response):
            return whose
        if whose.session.level < LEVEL:
            return self._listing.too_low(whose)
        try:
            found = self._verb.find_consent(whose.citizen_id, consent_id, whose.at)
        except (StoreUnavailable, ConsentTransitionRefused):
            return self._listing.away(whose)
        if found is None:
            return self._listing.unknown(whose, "consents_unknown")
        return whose, *found, self._listing.consent_view(found[1], whose)

    def _page(
        self,
        whose: SignedInVisitor,
        child: RepresentedChild,
        consent: Consent,
        view: ConsentView,
        status: int = 200,
        error: str = "",
    ) -> Response:
        visit, language = self._visit, whose.words.language
        events = self._verb.history(child, consent.consent_id)
        return own_page(
            visit,
            whose,
            "represented_consent.html",
            REPRESENTATION_PAGE,
            status,
            is_error=bool(error),
            error=error,
            name=child.full_name,
            view=view,
            events=event_views(events, whose.words, "representative"),
            notices=told_views(self._told_of(consent.consent_id), whose.words),
            action=self._address(consent.consent_id),
            withdrawal=visit.addresses.page(
                CHILD_WITHDRAWAL_RULE.replace("<consent_id>", consent.consent_id), language
            ),
            extension=extension_address(visit, self._policies, whose, consent, CHILD_EXTENSION_RULE),
            needs_both=needs_both(consent),
            token=visit.tokens.token(whose.cookie, _bound(view), whose.at),
            other_address=self._address(consent.consent_id, whose.words.other),
        )

    def _address(self, consent_id: str, language: str = "") -> str:
        return self._visit.addresses.page(CHILD_CONSENT_RULE.replace("<consent_id>", consent_id), language)


def _bound(view: ConsentView) -> str:
    return f"represented consent {view.consent_id} {view.fingerprint}"
