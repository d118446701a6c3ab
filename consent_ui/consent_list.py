"""The list of one's own consents: what waits, is given, rests and has ended; and pausing all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response

from broker.consent.record import Consent
from broker.errors import ConsentTransitionRefused, StoreUnavailable
from consent_ui.addresses import CONSENT_RULE, CONSENTS_RULE, WITHDRAWAL_RULE
from consent_ui.consent_presenting import ACTIVE, RESTING, WAITING, ConsentView
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.own_consents import CONSENTS_PAGE, OwnConsents, actor_of
from consent_ui.visit import before_of_request

LISTED_MAX: Final = 200
"""How many consents one page lists; the next ones list what ended before."""


@dataclass(frozen=True, slots=True)
class ListedConsent:
    """One line of the list, with where one acts. withdrawal, change, extension: "" where that cannot be."""

    view: ConsentView
    address: str
    withdrawal: str
    change: str
    extension: str


class ConsentListViews:
    """Views of /citizen/consents."""

    def __init__(self, own: OwnConsents) -> None:
        self._own = own

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        blueprint.add_url_rule(CONSENTS_RULE, "consents", self.show, methods=["GET"])
        blueprint.add_url_rule(CONSENTS_RULE, "pause_all", self.pause_all, methods=["POST"])

    def show(self) -> Response:
        """List requests that wait, then what is active, what rests, what has ended."""
        whose = visitor(self._own.visit, CONSENTS_PAGE)
        return whose if isinstance(whose, Response) else self._list(whose)

    def pause_all(self) -> Response:
        """Pause everything that is active: 303 to the list; 409 and the list with what is active still."""
        visit = self._own.visit
        whose = visitor(visit, CONSENTS_PAGE)
        if isinstance(whose, Response):
            return whose
        if not visit.is_good_form(whose.cookie, CONSENTS_PAGE, whose.at):
            return self._list(whose, 403, whose.words("form_stale"))
        left = self._own.verb.pause_all(actor_of(whose), whose.at)
        if left:
            views = self._own.views(whose, left)
            names = "; ".join(f"{one.organisation} – {one.purpose}" for one in views)
            return self._list(whose, 409, whose.words("consents_not_paused", which=names))
        return visit.pages.redirect(visit.addresses.page(CONSENTS_RULE, whose.words.language))

    def _list(self, whose: SignedInVisitor, status: int = 200, error: str = "") -> Response:
        visit, verb = self._own.visit, self._own.verb
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
        views = self._own.views(whose, mine)
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
        own, language = self._own, whose.words.language
        return ListedConsent(
            view=view,
            address=own.address(consent, CONSENT_RULE, language),
            withdrawal=own.address(consent, WITHDRAWAL_RULE, language) if view.can else "",
            change=own.change(whose, consent),
            extension=own.extension(whose, consent),
        )
