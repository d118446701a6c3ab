"""Signing in with a password, on the way to a pending request or a page of one's own; and signing out."""

from __future__ import annotations

import re
from typing import Final

from flask import Response, request

from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizens import SignInAttempt, SignInBusy, SignInRefused, SignInThrottled
from consent_ui.browser_kind import browser_kind
from consent_ui.destinations import HOME
from consent_ui.sign_in_page import SignInPage, form_of
from consent_ui.visit import Visit, words_of_request
from consent_ui.words import Words

_PERSONAL_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)
SIGN_OUT_PAGE: Final = "sign-out"


class SignInViews:
    """Views of /citizen/sign-in and /citizen/sign-out."""

    def __init__(self, visit: Visit, callers: CallerReader, page: SignInPage) -> None:
        self._visit = visit
        self._callers = callers
        self._page = page

    def show(self) -> Response:
        """Show the form: who is asking, and what one signs in for. 404 for a request that waits no more."""
        at = self._visit.clock()
        destination = self._visit.find_destination(request.args.get("next", HOME), at)
        words = words_of_request(destination)
        if destination is None:
            return self._visit.fault("request_unknown", words, 404)
        return self._page.show(destination, words, at)

    def sign_in(self) -> Response:
        """Check what was typed. 303 to where it leads with a new session, or the form again.

        422 for what cannot be right, 403 for what is not, 429 after too many attempts, 503 when all places
        are taken.
        """
        at, visit = self._visit.clock(), self._visit
        destination = visit.find_destination(request.form.get("next", ""), at)
        words = words_of_request(destination)
        if destination is None:
            return visit.fault("request_unknown", words, 404)
        if not visit.is_good_form(visit.cookies.form(request), form_of(destination.name), at):
            return self._page.show(destination, words, at, 403, {"": words("form_stale")})
        attempt = self._attempt()
        errors = _errors(attempt, words)
        if errors:
            return self._page.show(destination, words, at, 422, errors)
        try:
            signed_in = visit.sign_in.sign_in(attempt, at)
        except SignInThrottled as throttled:
            return self._page.throttled(destination, words, throttled.retry_after_seconds)
        except SignInBusy:
            return self._page.busy(destination, words)
        except SignInRefused:
            return self._page.show(destination, words, at, 403, {"": words("sign_in_refused")})
        response = visit.go_on(destination, words)
        visit.cookies.set_session(response, signed_in.value)
        return response

    def sign_out(self) -> Response:
        """End the session. 303 to the sign-in page of the request that was open, or a page that says so."""
        at, visit, words = self._visit.clock(), self._visit, words_of_request()
        cookie = visit.cookies.session(request)
        if not visit.is_good_form(cookie, SIGN_OUT_PAGE, at):
            return visit.pages.notice(words, 403, words("sign_out_button"), words("form_stale"))
        visit.sign_in.sign_out(cookie)
        handle = request.form.get("next", "")
        if visit.find_request(handle, at) is not None:
            response = visit.pages.redirect(visit.addresses.sign_in(handle, words.language))
        else:
            response = visit.pages.notice(words, 200, words("signed_out_title"), words("signed_out"))
        visit.cookies.forget_session(response)
        return response

    def _attempt(self) -> SignInAttempt:
        form = request.form
        return SignInAttempt(
            personal_id="".join(form.get("personal_id", "").split()),
            password=form.get("password", ""),
            one_time_code=form.get("one_time_code", "")[:32],
            source_address=self._callers.read(request.environ).source_address,
            replaced=self._visit.cookies.session(request),
            browser=browser_kind(request.headers.get("User-Agent", "")),
        )


def _errors(attempt: SignInAttempt, words: Words) -> dict[str, str]:
    errors = {}
    if not _PERSONAL_ID.fullmatch(attempt.personal_id):
        errors["personal_id"] = words("personal_id_malformed")
    if not attempt.password:
        errors["password"] = words("password_missing")
    return errors
