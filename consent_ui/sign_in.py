"""The sign-in page, on the way to one pending request; and signing out."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

from flask import Response, request

from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizens import SignInAttempt, SignInBusy, SignInRefused, SignInThrottled
from consent_ui.addresses import request_ref_of
from consent_ui.cookies import new_value
from consent_ui.visit import Visit, words_of_request
from consent_ui.words import Words

BUSY_SECONDS: Final = 5
_PERSONAL_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)
SIGN_OUT_PAGE: Final = "sign-out"


class SignInViews:
    """Views of /citizen/sign-in and /citizen/sign-out."""

    def __init__(self, visit: Visit, callers: CallerReader) -> None:
        self._visit = visit
        self._callers = callers

    def show(self) -> Response:
        """Show the form: who is asking, and what one signs in for. 404 without a pending request."""
        at = self._visit.clock()
        handle = request.args.get("next", "")
        asked_for = self._visit.find_request(handle, at)
        words = words_of_request(asked_for)
        if asked_for is None:
            return self._visit.fault("request_unknown", words, 404)
        return self._form(asked_for, handle, words, at)

    def sign_in(self) -> Response:
        """Check what was typed. 303 to the decision page with a new session, or the form again.

        422 for what cannot be right, 403 for what is not, 429 after too many attempts, 503 when all places
        are taken.
        """
        at, visit = self._visit.clock(), self._visit
        handle = request.form.get("next", "")
        asked_for = visit.find_request(handle, at)
        words = words_of_request(asked_for)
        if asked_for is None:
            return visit.fault("request_unknown", words, 404)
        if not visit.is_good_form(visit.cookies.form(request), _page(handle), at):
            return self._form(asked_for, handle, words, at, 403, {"": words("form_stale")})
        attempt = self._attempt()
        errors = _errors(attempt, words)
        if errors:
            return self._form(asked_for, handle, words, at, 422, errors)
        try:
            signed_in = visit.sign_in.sign_in(attempt, at)
        except SignInThrottled as throttled:
            return self._throttled(handle, words, throttled.retry_after_seconds)
        except SignInBusy:
            again = visit.addresses.sign_in(handle, words.language)
            response = visit.pages.notice(words, 503, words("busy_title"), words("busy"), again)
            response.headers["Retry-After"] = str(BUSY_SECONDS)
            return response
        except SignInRefused:
            return self._form(asked_for, handle, words, at, 403, {"": words("sign_in_refused")})
        response = visit.pages.redirect(visit.addresses.request(handle, words.language))
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
        if request_ref_of(handle) is not None and visit.find_request(handle, at) is not None:
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
        )

    def _form(
        self,
        asked_for: AuthorizationRequest,
        handle: str,
        words: Words,
        at: datetime,
        status: int = 200,
        errors: dict[str, str] | None = None,
    ) -> Response:
        """Return the form; what was typed is not given back. errors: by field, "" for the whole."""
        visit, client = self._visit, asked_for.client
        names = (client.organisation_name_vi, client.organisation_name_en)
        cookie = visit.cookies.form(request) or new_value()
        response = visit.pages.page(
            "sign_in.html",
            words,
            status,
            is_error=bool(errors),
            errors=errors or {},
            why=words(
                "sign_in_why" if asked_for.details else "sign_in_why_openid",
                client=client.name or client.client_id,
                organisation=names[words.index] or names[1 - words.index] or client.organisation_id,
            ),
            needs_code=asked_for.level > 1,
            action=visit.addresses.sign_in_form(),
            handle=handle,
            token=visit.tokens.token(cookie, _page(handle), at),
            other_address=visit.addresses.sign_in(handle, words.other),
        )
        visit.cookies.set_form(response, cookie)
        return response

    def _throttled(self, handle: str, words: Words, retry_after_seconds: int) -> Response:
        told = words("throttled", minutes=math.ceil(retry_after_seconds / 60))
        again = self._visit.addresses.sign_in(handle, words.language)
        response = self._visit.pages.notice(words, 429, words("throttled_title"), told, again)
        response.headers["Retry-After"] = str(retry_after_seconds)
        return response


def _page(handle: str) -> str:
    return f"sign-in {handle}"


def _errors(attempt: SignInAttempt, words: Words) -> dict[str, str]:
    errors = {}
    if not _PERSONAL_ID.fullmatch(attempt.personal_id):
        errors["personal_id"] = words("personal_id_malformed")
    if not attempt.password:
        errors["password"] = words("password_missing")
    return errors
