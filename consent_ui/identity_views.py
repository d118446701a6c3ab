"""Signing in through a provider of identities: out with one form, and back with one answer."""

from __future__ import annotations

import logging
from typing import Final

from flask import Response, request

from broker.oauth.caller_facts import CallerReader
from broker.oauth.citizens import SignInThrottled
from broker.oauth.identity_sign_in import IdentityNotAccepted
from broker.oauth.sign_in_challenges import counter_of, kept_counter
from connectors.identity import IdentityRefused, IdentityUnavailable
from consent_ui.browser_kind import browser_kind
from consent_ui.destinations import HOME, Destination
from consent_ui.sign_in_page import BUSY_SECONDS, SignInPage, form_of
from consent_ui.visit import Visit, words_of_request
from consent_ui.ways import Ways
from consent_ui.words import Words

_log: Final = logging.getLogger("broker.identity")


class IdentityViews:
    """Views of /citizen/sign-in/with/<provider> and /citizen/sign-in/callback/<provider>."""

    def __init__(self, visit: Visit, callers: CallerReader, page: SignInPage, ways: Ways) -> None:
        self._visit = visit
        self._callers = callers
        self._page = page
        self._ways = ways

    def leave(self, provider: str) -> Response:
        """Send the browser to a provider (303), or the form again (403), 404, 429, 503."""
        at, visit = self._visit.clock(), self._visit
        destination = visit.find_destination(request.form.get("next", ""), at)
        words = words_of_request(destination)
        chosen = self._ways.providers.get(provider)
        if destination is None or chosen is None:
            return visit.fault("request_unknown", words, 404)
        cookie = visit.cookies.form(request)
        if not visit.is_good_form(cookie, form_of(destination.name, provider), at):
            return self._page.show(destination, words, at, 403, {"": words("form_stale")})
        try:
            counter = visit.sign_in.count_source(self._callers.read(request.environ).source_address, at)
        except SignInThrottled as throttled:
            return self._page.throttled(destination, words, throttled.retry_after_seconds)
        state = self._ways.identities.new_state()
        try:
            leaving = chosen.leave(
                state=state,
                redirect_uri=visit.addresses.callback(provider),
                level=destination.level,
                at=at,
            )
        except IdentityUnavailable as refused:
            return self._failed(destination, words, provider, refused)
        expected = {
            **leaving.expected,
            "provider": provider,
            "next": destination.name,
            "language": words.language,
            "counter": kept_counter(counter),
        }
        self._ways.identities.leave(state, cookie, expected, at)
        return visit.pages.redirect(leaving.address)

    def arrive(self, provider: str) -> Response:
        """Take a provider's answer: 303 to where the sign-in leads, or one plain page (403, 503).

        The state is good once, in the browser that left, at this address; nothing else is looked at before.
        """
        at, visit = self._visit.clock(), self._visit
        cookie, states = visit.cookies.form(request), request.args.getlist("state")
        state = states[0] if len(states) == 1 else ""
        expected = self._ways.identities.returned(state, cookie, at)
        chosen = self._ways.providers.get(provider)
        if expected is None or chosen is None or expected["provider"] != provider:
            words, home = words_of_request(), Destination(HOME, None)
            _log.warning("a sign-in through a provider is refused: %s", "the state is not ours")
            return self._page.refused(home, words, words("sign_in_unknown"))
        words = Words(expected["language"])
        destination = visit.find_destination(expected["next"], at) or Destination(HOME, None)
        try:
            answer = {name: values for name, values in request.args.lists() if name != "state"}
            redirect_uri = visit.addresses.callback(provider)
            identity = chosen.arrive(answer, expected, redirect_uri, at)
            signed_in = self._ways.identities.enter(
                identity,
                at,
                replaced=visit.cookies.session(request),
                browser=browser_kind(request.headers.get("User-Agent", "")),
                counted=(counter_of(expected["counter"]),),
            )
        except (IdentityRefused, IdentityNotAccepted) as refused:
            return self._failed(destination, words, provider, refused)
        response = visit.go_on(destination, words)
        visit.cookies.set_session(response, signed_in.value)
        return response

    def _failed(
        self,
        destination: Destination,
        words: Words,
        provider: str,
        refused: IdentityRefused | IdentityNotAccepted,
    ) -> Response:
        """Return one plain page, and tell the operators why in fixed words."""
        _log.warning("a sign-in through a provider is refused: %s: %s", provider, refused.reason)
        if isinstance(refused, IdentityUnavailable):
            response = self._page.refused(destination, words, words("provider_unavailable"), 503)
            response.headers["Retry-After"] = str(BUSY_SECONDS)
            return response
        if isinstance(refused, IdentityRefused) and refused.is_told:
            return self._page.refused(destination, words, words("provider_said_no"))
        return self._page.refused(destination, words, words("provider_refused"))
