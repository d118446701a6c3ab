"""What the views share: who is signed in, in which language, for which request, with a good form or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, request

from broker.actions.own_reading import OwnReader
from broker.clock import Clock
from broker.evidence.history import is_reference
from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.citizens import CitizenSession, CitizenSignIn
from consent_ui.addresses import Addresses, request_ref_of
from consent_ui.cookies import Cookies
from consent_ui.destinations import Destination, own_path
from consent_ui.doors import Authorizations
from consent_ui.form_tokens import FormTokens, is_from_own_page
from consent_ui.pages import Pages, guarded
from consent_ui.words import Words, words_for


def words_of_request(asked_for: AuthorizationRequest | Destination | None = None) -> Words:
    """Return the words for the request under way: its own lang first, then the client's ui_locales."""
    if isinstance(asked_for, Destination):
        asked_for = asked_for.asked_for
    return words_for(
        request.values.get("lang"),
        "" if asked_for is None else asked_for.ui_locales,
        request.headers.get("Accept-Language", ""),
    )


def before_of_request() -> str:
    """Return the id after which a list goes on, "" for its beginning and for what is no id."""
    before = request.args.get("before", "")
    return before if is_reference(before) else ""


@dataclass(frozen=True, slots=True)
class Visit:
    """The parts that every view works with."""

    pages: Pages
    cookies: Cookies
    tokens: FormTokens
    sign_in: CitizenSignIn
    authorizations: Authorizations
    clock: Clock

    @property
    def addresses(self) -> Addresses:
        """Where the pages are."""
        return self.pages.addresses

    def find_request(self, handle: str, at: datetime) -> AuthorizationRequest | None:
        """Return the pending request of a handle, None for one that is unknown, expired or decided."""
        request_ref = request_ref_of(handle)
        return None if request_ref is None else self.authorizations.find(request_ref, at)

    def find_destination(self, name: str, at: datetime) -> Destination | None:
        """Return where `next` leads, None for what is no page of ours and no request that waits."""
        if own_path(name) is not None:
            return Destination(name, None)
        asked_for = self.find_request(name, at)
        return None if asked_for is None else Destination(name, asked_for)

    def go_on(self, destination: Destination, words: Words) -> Response:
        """Return the 303 to where a sign-in leads."""
        path = own_path(destination.name)
        request_path = self.addresses.request(destination.name, words.language)
        return self.pages.redirect(
            request_path if path is None else self.addresses.page(path, words.language)
        )

    @property
    def session_cookie(self) -> str:
        """Return the value of the session cookie of whoever asks, "" without one."""
        return self.cookies.session(request)

    def find_session(self, at: datetime) -> CitizenSession | None:
        """Return the session of whoever asks."""
        return self.sign_in.find_session(self.cookies.session(request), at)

    def is_good_form(self, cookie: str, page: str, at: datetime) -> bool:
        """Return whether the form that was posted stood on that page, in this browser, a short time ago."""
        return self.form_shown_at(cookie, page, at) is not None

    def form_shown_at(self, cookie: str, page: str, at: datetime) -> datetime | None:
        """Return when the page of a good form was shown, None for a form that is_good_form refuses."""
        if not is_from_own_page(request.headers, self.addresses.origin):
            return None
        return self.tokens.made_at(request.form.get("token", ""), cookie, page, at)

    def reader(self, session: CitizenSession) -> OwnReader:
        """Return who looks at the own record. Raises StoreUnavailable."""
        return OwnReader(
            citizen_id=session.citizen_id,
            level=session.level,
            authenticated_at=session.authenticated_at,
            personal_id=self.sign_in.personal_id(session),
        )

    def last_digits(self, session: CitizenSession) -> str:
        """Return the last three digits of who is signed in: enough to see that it is oneself."""
        return self.sign_in.personal_id(session)[-3:]

    def paging(self, rule: str, words: Words, before: str, following: str) -> dict[str, Any]:
        """Return what a page of a list names: the newest, the older, and the same in the other language.

        before: the id after which this page goes on; following: the one after which the next does; or "".
        """
        page = self.addresses.page
        return {
            "newest": page(rule, words.language) if before else "",
            "older": page(rule, words.language, before=following) if following else "",
            "other_address": page(rule, words.other, before=before),
        }

    def fault(self, reason: str, words: Words, status: int) -> Response:
        """Return the page that says why a request cannot go on."""
        response = Response(self.pages.fault(reason, words), status, mimetype="text/html")
        return guarded(response)
