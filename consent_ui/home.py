"""Where a sign-in leads: what waits for the citizen and where everything is; and help in plain words."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

from broker.errors import ConsentTransitionRefused, StoreUnavailable
from consent_ui.addresses import CONSENTS_RULE, HELP_RULE, HOME_RULE, SIGN_IN_RULE
from consent_ui.consent_presenting import WAITING
from consent_ui.frame import SignedInVisitor, own_page, routed_pages, visitor
from consent_ui.own_consents import ConsentParts
from consent_ui.visit import Visit, words_of_request

HOME_PAGE: Final = "home"
HELP_PAGE: Final = "help"
LISTED: Final = (
    "consents",
    "who_saw",
    "record",
    "receipts",
    "complaints",
    "representation",
    "sessions",
    "passkeys",
    "help",
)
"""Pages that are told of, by endpoint and in order; one that is not routed here is not told of."""
HELP_TOPICS: Final = (
    "service",
    "asked",
    "free",
    "end",
    "who_saw",
    "wrong",
    "children",
    "receipts",
    "safe",
    "lost",
    "without",
)
"""Questions that are answered, in order."""


class HomeViews:
    """Views of /citizen/ and /citizen/help. consents: None for a server without them."""

    def __init__(self, visit: Visit, consents: ConsentParts | None) -> None:
        self._visit = visit
        self._consents = consents

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint of the citizen's pages."""
        # Without strict slashes nobody is redirected to an address that the Host of a request completes.
        blueprint.add_url_rule(HOME_RULE, HOME_PAGE, self.show, methods=["GET"], strict_slashes=False)
        blueprint.add_url_rule(HELP_RULE, HELP_PAGE, self.show_help, methods=["GET"])

    def show(self) -> Response:
        """Say how many requests wait, and where everything is; 303 to the sign-in page otherwise."""
        whose = visitor(self._visit, HOME_PAGE)
        if isinstance(whose, Response):
            return whose
        count, is_complete = self._waiting(whose)
        words, addresses, rules = whose.words, self._visit.addresses, routed_pages()
        return own_page(
            self._visit,
            whose,
            "home.html",
            HOME_PAGE,
            waiting=words.number(count),
            has_waiting=count > 0,
            is_complete=is_complete,
            requests=addresses.page(CONSENTS_RULE, words.language),
            pages=[
                (words(f"nav_{name}"), addresses.page(rules[name], words.language), words(f"home_{name}"))
                for name in LISTED
                if name in rules
            ],
            other_address=addresses.page(HOME_RULE, words.other),
        )

    def show_help(self) -> Response:
        """Answer what is asked most, to whoever asks: with navigation for somebody who is signed in.

        Help needs nothing that could be away: without the store it is shown as to anybody.
        """
        at, words, visit = self._visit.clock(), words_of_request(), self._visit
        topics = [(name, words(f"help_{name}"), words(f"told_of_{name}")) for name in HELP_TOPICS]
        try:
            session = visit.find_session(at)
        except StoreUnavailable:
            session = None
        if session is None:
            return visit.pages.page(
                "help.html",
                words,
                topics=topics,
                sign_in=visit.addresses.page(SIGN_IN_RULE, words.language),
                other_address=visit.addresses.page(HELP_RULE, words.other),
            )
        whose = SignedInVisitor(session, words, at, visit.session_cookie)
        return own_page(visit, whose, "help.html", HELP_PAGE, topics=topics, sign_in="")

    def _waiting(self, whose: SignedInVisitor) -> tuple[int, bool]:
        """Return how many requests wait, and whether that is all: who must sign may not be known now."""
        if self._consents is None:
            return 0, True
        verb, is_complete = self._consents.verb, True
        try:
            found = verb.find_all(whose.citizen_id, whose.at)
        except (StoreUnavailable, ConsentTransitionRefused):
            found, is_complete = verb.find_mine(whose.citizen_id, whose.at), False
        return sum(1 for one in found if one.state in WAITING), is_complete
