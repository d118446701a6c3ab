"""The citizen's own sessions: where somebody is signed in, and how to end that here and elsewhere."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from broker.oauth.citizens import session_ref_of
from broker.oauth.session_list import SessionStore, SessionSummary, session_handle_of
from consent_ui.addresses import SESSIONS_RULE
from consent_ui.frame import SignedInVisitor, own_page, visitor
from consent_ui.visit import Visit
from consent_ui.words import Words

SESSIONS_PAGE: Final = "sessions"


class SessionViews:
    """Views of /citizen/sessions."""

    def __init__(self, visit: Visit, sessions: SessionStore) -> None:
        self._visit = visit
        self._sessions = sessions

    def show(self) -> Response:
        """Show all sessions of whoever is signed in; 303 to the sign-in page otherwise."""
        whose = visitor(self._visit, SESSIONS_PAGE)
        return whose if isinstance(whose, Response) else self._page(whose)

    def end(self) -> Response:
        """End one session, or all of them at one instant: 303 to the list, or a page that says so."""
        whose = visitor(self._visit, SESSIONS_PAGE)
        if isinstance(whose, Response):
            return whose
        visit, words, citizen_id = self._visit, whose.words, whose.citizen_id
        if not visit.is_good_form(whose.cookie, SESSIONS_PAGE, whose.at):
            return visit.pages.notice(words, 403, words("sessions_title"), words("form_stale"))
        handle = request.form.get("session", "")
        if handle == "all":
            told = words("signed_out_everywhere", count=self._sessions.end_all(citizen_id))
            response = visit.pages.notice(words, 200, words("signed_out_title"), told)
            visit.cookies.forget_session(response)
            return response
        self._sessions.end_one(citizen_id, handle)
        return visit.pages.redirect(visit.addresses.page(SESSIONS_RULE, words.language))

    def _page(self, whose: SignedInVisitor) -> Response:
        visit = self._visit
        own = session_handle_of(session_ref_of(whose.cookie))
        found = self._sessions.list_sessions(whose.citizen_id, whose.at)
        return own_page(
            visit,
            whose,
            "sessions.html",
            SESSIONS_PAGE,
            sessions=[_row(one, own, whose.words) for one in found],
            action=visit.addresses.page(SESSIONS_RULE),
            token=visit.tokens.token(whose.cookie, SESSIONS_PAGE, whose.at),
        )


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
        "since": words.moment(one.authenticated_at),
        "seen": words.moment(one.last_seen_at),
    }
