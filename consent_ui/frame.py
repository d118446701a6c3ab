"""What stands around a page of somebody who is signed in: navigation, whose session it is, the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import Response, current_app, request

from broker.oauth.citizens import CitizenSession
from consent_ui.visit import Visit, words_of_request
from consent_ui.words import Words

NAVIGATION: Final = (
    "home",
    "requests",
    "consents",
    "who_saw",
    "record",
    "receipts",
    "representation",
    "sessions",
    "passkeys",
    "help",
)
"""Pages of the navigation, by endpoint and in order; one that is not routed here is not shown."""
SIGN_OUT_FORM: Final = "sign-out"
"""What the form token of signing out is bound to."""


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """One link of the navigation."""

    label: str
    address: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Who:
    """Who is signed in, and the form that ends it. handle: request to come back to, "" for none."""

    digits: str
    action: str
    token: str
    handle: str


@dataclass(frozen=True, slots=True)
class SignedInVisitor:
    """Whoever opened an own page. at: one instant for all that this request does."""

    session: CitizenSession
    words: Words
    at: datetime
    cookie: str

    @property
    def citizen_id(self) -> str:
        """Whose pages these are."""
        return self.session.citizen_id


def visitor(visit: Visit, name: str) -> SignedInVisitor | Response:
    """Return who is signed in, or the 303 to the sign-in page that leads back to an own page.

    name: as in `next`. Nothing that is personal is read before.
    """
    at, words = visit.clock(), words_of_request()
    session = visit.find_session(at)
    if session is None:
        return visit.pages.redirect(visit.addresses.sign_in(name, words.language))
    return SignedInVisitor(session, words, at, visit.cookies.session(request))


def frame(
    visit: Visit, session: CitizenSession, words: Words, at: datetime, current: str = "", handle: str = ""
) -> Mapping[str, Any]:
    """Return the members of a page that base.html shows to whoever is signed in; give them to `Pages.page`.

    current: endpoint of the page in NAVIGATION, "" for none. handle: of the request that is open.
    """
    cookie = visit.cookies.session(request)
    return {
        "navigation": _navigation(visit, words, current),
        "who": Who(
            digits=visit.last_digits(session),
            action=visit.addresses.sign_out(),
            token=visit.tokens.token(cookie, SIGN_OUT_FORM, at),
            handle=handle,
        ),
    }


def own_page(
    visit: Visit, whose: SignedInVisitor, template: str, current: str, status: int = 200, **content: Any
) -> Response:
    """Return a page of whoever is signed in, with navigation, language switch and the way out."""
    framed = frame(visit, whose.session, whose.words, whose.at, current)
    other = visit.addresses.page(request.path, whose.words.other)
    return visit.pages.page(template, whose.words, status, **{**framed, "other_address": other, **content})


def routed_pages() -> Mapping[str, str]:
    """Return endpoint → path of all pages that are routed here and name nothing."""
    return {
        rule.endpoint.removeprefix("citizen."): rule.rule
        for rule in current_app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.arguments
    }


def _navigation(visit: Visit, words: Words, current: str) -> list[NavigationItem]:
    rules = routed_pages()
    return [
        NavigationItem(
            words(f"nav_{name}"), visit.addresses.page(rules[name], words.language), name == current
        )
        for name in NAVIGATION
        if name in rules
    ]
