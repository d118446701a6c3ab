"""My consents: what waits for a decision, what is given, paused and ended; and ending it in two clicks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from flask import Blueprint, Response, request

from broker.actions.decide_consent import DecideConsent
from broker.consent.record import Actor, Consent, Notice, Signer
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused, StoreUnavailable
from consent_ui.addresses import CONSENT_RULE, CONSENTS_RULE, EXTENSION_RULE, WITHDRAWAL_RULE
from consent_ui.consent_presenting import (
    ACTIVE,
    OPENING,
    RESTING,
    WAITING,
    ConsentView,
    consent_view,
    event_views,
)
from consent_ui.extending import lengths_of, needs_both
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.notices import notice_of
from consent_ui.previews import Previewing, PreviewView, asked_in_inbox
from consent_ui.told import Told, told_views
from consent_ui.visit import Visit, before_of_request
from policies.compile import PolicySet

CONSENTS_PAGE: Final = "consents"
LISTED_MAX: Final = 200
"""How many consents one page lists; the next ones list what ended before."""


@dataclass(frozen=True, slots=True)
class ConsentParts:
    """What these pages need from behind. names_of: organisations → two names of each.

    told_of: consent → how far the notices of it have come, the oldest first.
    """

    verb: DecideConsent
    names_of: Callable[[Collection[str]], Mapping[str, tuple[str, str]]]
    told_of: Callable[[str], Sequence[Told]]


@dataclass(frozen=True, slots=True)
class ListedConsent:
    """One line of the list, with where one acts. withdrawal, extension: "" where that cannot be."""

    view: ConsentView
    address: str
    withdrawal: str
    extension: str


class ConsentViews:
    """Views of /citizen/consents."""

    def __init__(
        self, visit: Visit, policies: PolicySet, parts: ConsentParts, previewing: Previewing
    ) -> None:
        self._visit = visit
        self._policies = policies
        self._parts = parts
        self._previewing = previewing

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(CONSENTS_RULE, "consents", self.show_all, methods=["GET"])
        blueprint.add_url_rule(CONSENTS_RULE, "pause_all", self.pause_all, methods=["POST"])
        blueprint.add_url_rule(CONSENT_RULE, "consent", self.show, methods=["GET"])
        blueprint.add_url_rule(CONSENT_RULE, "act_on_consent", self.act, methods=["POST"])

    def show_all(self) -> Response:
        """List requests that wait, then what is active, what rests, what has ended."""
        whose = visitor(self._visit, CONSENTS_PAGE)
        if isinstance(whose, Response):
            return whose
        return self._list(whose)

    def pause_all(self) -> Response:
        """Pause everything that is active: 303 to the list; 409 and the list with what is active still."""
        whose = visitor(self._visit, CONSENTS_PAGE)
        if isinstance(whose, Response):
            return whose
        if not self._visit.is_good_form(whose.cookie, CONSENTS_PAGE, whose.at):
            return self._list(whose, 403, whose.words("form_stale"))
        left = self._parts.verb.pause_all(actor_of(whose), whose.at)
        if left:
            views = self._views(whose, left)
            names = "; ".join(f"{one.organisation} – {one.purpose}" for one in views)
            return self._list(whose, 409, whose.words("consents_not_paused", which=names))
        return self._visit.pages.redirect(self._visit.addresses.page(CONSENTS_RULE, whose.words.language))

    def show(self, consent_id: str) -> Response:
        """Show one of the person's own consents; 404 for any other, whether or not it exists."""
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        return self._page(*found)

    def act(self, consent_id: str) -> Response:
        """Do what was chosen: 303 to the page; the page again (403, 409, 422) where it cannot be."""
        found = self._found(consent_id)
        if isinstance(found, Response):
            return found
        whose, consent, view = found
        words, visit = whose.words, self._visit
        shown_at = visit.form_shown_at(whose.cookie, bound_to(view), whose.at)
        if shown_at is None:
            return self._page(whose, consent, view, 403, words("form_stale"))
        choice = request.form.get("choice", "")
        given = frozenset(request.form.getlist("field")) & consent.terms.field_names
        if choice == "show" and view.may_decide:
            asked = asked_in_inbox(consent, self._policies)
            preview = self._previewing.show(whose.session, asked, CONSENTS_PAGE, words)
            return self._page(whose, consent, view, preview=preview)
        allowed = ("give", "refuse") if view.may_decide else view.can
        if choice not in allowed:
            return self._page(whose, consent, view, 422, words("consents_choose"))
        if choice == "give" and not (given and consent.terms.required_names <= given):
            return self._page(whose, consent, view, 422, words("consents_tick"))
        if choice in OPENING and not whose.session.is_recent(whose.at):
            again = visit.addresses.sign_in(CONSENTS_PAGE, words.language, again=True)
            return visit.pages.redirect(again)
        try:
            self._act(whose, consent, notice_of(view.fingerprint, words, shown_at), choice, given)
        except ConsentTransitionRefused as refused:
            key = "consents_level" if refused.reason == "level_too_low" else "consents_moved"
            return self._page(whose, consent, view, 409, words(key))
        except (ConsentMoved, ConsentNotFound):
            return self._page(whose, consent, view, 409, words("consents_moved"))
        return visit.pages.redirect(self._address(consent.consent_id, words.language))

    def _act(
        self, whose: SignedInVisitor, consent: Consent, notice: Notice, choice: str, given: frozenset[str]
    ) -> None:
        verb, at, consent_id = self._parts.verb, whose.at, consent.consent_id
        session = whose.session
        signer = Signer(
            role="data_subject",
            citizen_id=session.citizen_id,
            level=session.level,
            authenticated_at=session.authenticated_at,
            signed_at=at,
        )
        if choice in ("give", "refuse"):
            verb.decide(signer, consent_id, given if choice == "give" else frozenset(), notice, at)
        elif choice == "withdraw":
            verb.withdraw(actor_of(whose), consent_id, at)
        elif choice == "pause":
            verb.pause(actor_of(whose), consent_id, at)
        elif choice == "resume":
            verb.resume(signer, consent_id, at)
        else:
            verb.confirm(signer, consent_id, notice, at)

    def _found(self, consent_id: str) -> tuple[SignedInVisitor, Consent, ConsentView] | Response:
        whose = visitor(self._visit, CONSENTS_PAGE)
        if isinstance(whose, Response):
            return whose
        try:
            found = self._parts.verb.find_one(whose.citizen_id, str(UUID(consent_id)), whose.at)
        except ValueError:
            found = None
        if found is None:
            back = self._visit.addresses.page(CONSENTS_RULE, whose.words.language)
            told = whose.words("consents_unknown")
            return self._visit.pages.notice(whose.words, 404, whose.words("consents_title"), told, back)
        return whose, found, self._views(whose, [found])[0]

    def _views(self, whose: SignedInVisitor, consents: Sequence[Consent]) -> list[ConsentView]:
        names, policies = self._parts.names_of({one.organisation_id for one in consents}), self._policies
        return [
            consent_view(one, names[one.organisation_id], policies, whose.words, whose.citizen_id, whose.at)
            for one in consents
        ]

    def _list(self, whose: SignedInVisitor, status: int = 200, error: str = "") -> Response:
        visit, verb = self._visit, self._parts.verb
        before = before_of_request()
        try:
            mine = (
                verb.find_mine(whose.citizen_id, whose.at, before)
                if before
                else verb.find_all(whose.citizen_id, whose.at)
            )
        except (StoreUnavailable, ConsentTransitionRefused):
            # Who must sign cannot be known now; what was opened before is shown all the same.
            error = error or whose.words("consents_source_away")
            mine = verb.find_mine(whose.citizen_id, whose.at)
        is_more, mine = len(mine) > LISTED_MAX, mine[:LISTED_MAX]
        following = mine[-1].consent_id if is_more else ""
        views = self._views(whose, mine)
        listed = [self._listed(whose, *one) for one in zip(mine, views, strict=True)]
        sections = {
            "waiting": [one for one in listed if one.view.state in WAITING],
            "active": [one for one in listed if one.view.state in ACTIVE],
            "resting": [one for one in listed if one.view.state in RESTING],
            "ended": [one for one in listed if one.view.state not in WAITING | ACTIVE | RESTING],
        }
        return own_page(
            visit,
            whose,
            "consents.html",
            CONSENTS_PAGE,
            status,
            is_error=bool(error),
            error=error,
            sections=[("ended", sections["ended"])] if before else list(sections.items()),
            has_active=bool(sections["active"]),
            action=visit.addresses.page(CONSENTS_RULE),
            token=visit.tokens.token(whose.cookie, CONSENTS_PAGE, whose.at),
            **visit.paging(CONSENTS_RULE, whose.words, before, following),
        )

    def _listed(self, whose: SignedInVisitor, consent: Consent, view: ConsentView) -> ListedConsent:
        language = whose.words.language
        return ListedConsent(
            view=view,
            address=self._address(view.consent_id, language),
            withdrawal=self._address(view.consent_id, language, WITHDRAWAL_RULE) if view.can else "",
            extension=self._extension(whose, consent),
        )

    def _extension(self, whose: SignedInVisitor, consent: Consent) -> str:
        """Return where a consent is extended, "" where it cannot be."""
        lengths = lengths_of(consent, self._policies, whose.at, whose.words)
        return self._address(consent.consent_id, whose.words.language, EXTENSION_RULE) if lengths else ""

    def _page(
        self,
        whose: SignedInVisitor,
        consent: Consent,
        view: ConsentView,
        status: int = 200,
        error: str = "",
        preview: PreviewView | None = None,
    ) -> Response:
        visit = self._visit
        events = self._parts.verb.history(whose.citizen_id, consent.consent_id)
        return own_page(
            visit,
            whose,
            "consent.html",
            CONSENTS_PAGE,
            status,
            is_error=bool(error),
            error=error,
            view=view,
            preview=(
                preview or self._previewing.offer(whose.session, CONSENTS_PAGE, whose.words)
                if view.may_decide
                else None
            ),
            events=event_views(events, whose.words),
            withdrawal=self._address(consent.consent_id, whose.words.language, WITHDRAWAL_RULE),
            extension=self._extension(whose, consent),
            needs_both=needs_both(consent),
            notices=told_views(self._parts.told_of(consent.consent_id), whose.words),
            ticked=frozenset(request.form.getlist("field")) if error else frozenset(),
            action=self._address(consent.consent_id),
            token=visit.tokens.token(whose.cookie, bound_to(view), whose.at),
            other_address=self._address(consent.consent_id, whose.words.other),
        )

    def _address(self, consent_id: str, language: str = "", rule: str = CONSENT_RULE) -> str:
        return self._visit.addresses.page(rule.replace("<consent_id>", consent_id), language)


def actor_of(whose: SignedInVisitor) -> Actor:
    """Return the signed-in person as the one who acts in the own matter."""
    return Actor(kind="data_subject", reference=whose.citizen_id)


def bound_to(view: ConsentView) -> str:
    """Return what a form token of a consent's page vouches for: this consent, as it was shown."""
    return f"consent {view.consent_id} {view.fingerprint}"
