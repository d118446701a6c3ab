"""The citizen's own sessions: where somebody is signed in, and how to end that here and elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flask import Response, request

from broker.oauth.citizens import CitizenSession, session_ref_of
from broker.oauth.session_list import SessionStore, SessionSummary, session_handle_of
from consent_ui.addresses import SESSIONS_RULE
from consent_ui.visit import Visit, words_of_request
from consent_ui.words import Words
from policies.civil_time import VIET_NAM

SESSIONS_PAGE: Final = "sessions"


class SessionViews:
    """Views of /citizen/sessions."""

    def __init__(self, visit: Visit, sessions: SessionStore) -> None:
        self._visit = visit
        self._sessions = sessions

    def show(self) -> Response:
        """Show all sessions of whoever is signed in; 303 to the sign-in page otherwise."""
        at, visit, words = self._visit.clock(), self._visit, words_of_request()
        session = visit.find_session(at)
        if session is None:
            return visit.pages.redirect(visit.addresses.sign_in(SESSIONS_PAGE, words.language))
        return self._page(session, words, at)

    def end(self) -> Response:
        """End one session, or all of them at one instant: 303 to the list, or a page that says so."""
        at, visit, words = self._visit.clock(), self._visit, words_of_request()
        session = visit.find_session(at)
        if session is None:
            return visit.pages.redirect(visit.addresses.sign_in(SESSIONS_PAGE, words.language))
        cookie = visit.cookies.session(request)
        if not visit.is_good_form(cookie, SESSIONS_PAGE, at):
            return visit.pages.notice(words, 403, words("sessions_title"), words("form_stale"))
        handle = request.form.get("session", "")
        if handle == "all":
            told = words("signed_out_everywhere", count=self._sessions.end_all(session.citizen_id))
            response = visit.pages.notice(words, 200, words("signed_out_title"), told)
            visit.cookies.forget_session(response)
            return response
        self._sessions.end_one(session.citizen_id, handle)
        return visit.pages.redirect(visit.addresses.page(SESSIONS_RULE, words.language))

    def _page(self, session: CitizenSession, words: Words, at: datetime) -> Response:
        visit = self._visit
        cookie = visit.cookies.session(request)
        own = session_handle_of(session_ref_of(cookie))
        return visit.pages.page(
            "sessions.html",
            words,
            sessions=[_row(one, own, words) for one in self._sessions.list_sessions(session.citizen_id, at)],
            action=visit.addresses.page(SESSIONS_RULE),
            token=visit.tokens.token(cookie, SESSIONS_PAGE, at),
            other_address=visit.addresses.page(SESSIONS_RULE, words.other),
        )


def moment(instant: datetime) -> str:
    """Return an instant as clocks and calendars in Viet Nam show it."""
    return instant.astimezone(VIET_NAM).strftime("%H:%M %d/%m/%Y")


def _row(one: SessionSummary, own: str, words: Words) -> dict[str, object]:
    """Return one session in words. method: how it was entered."""
    methods = {
        "password": words("method_password"),
        "one_time_code": words("method_one_time_code"),
        "identity_provider": words("method_identity_provider"),
        "passkey": words("method_passkey"),
    }
    return {
        "handle": one.handle,
        "is_own": one.handle == own,
        "browser": one.browser or words("session_unknown"),
        "method": methods[one.method],
        "level": one.level,
        "since": moment(one.authenticated_at),
        "seen": moment(one.last_seen_at),
    }
