"""The sign-in page with every way in that there is, and what is said when one of them is not open now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flask import Response, request

from consent_ui.addresses import PASSKEY_SIGN_IN_RULE
from consent_ui.cookies import new_value
from consent_ui.destinations import Destination
from consent_ui.visit import Visit
from consent_ui.words import Words

BUSY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class ProviderButton:
    """A provider as it is offered. key: its name in addresses. labels: Vietnamese, English."""

    key: str
    labels: tuple[str, str]
    form_origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Renders the page. providers: in the order of the buttons. has_passkeys: whether they can work here."""

    visit: Visit
    providers: Sequence[ProviderButton] = ()
    has_passkeys: bool = False

    def show(
        self,
        destination: Destination,
        words: Words,
        at: datetime,
        status: int = 200,
        errors: dict[str, str] | None = None,
    ) -> Response:
        """Return the page; what was typed is not given back. errors: by field, "" for the whole."""
        visit, name = self.visit, destination.name
        cookie = visit.cookies.form(request) or new_value()

        def token(page: str) -> str:
            return visit.tokens.token(cookie, page, at)

        response = visit.pages.page(
            "sign_in.html",
            words,
            status,
            # The answer to the form of a provider leads there, on ways that its entry names.
            goes_to=" ".join(dict.fromkeys(one for each in self.providers for one in each.form_origins)),
            is_error=bool(errors),
            errors=errors or {},
            why=self._why(destination, words),
            is_again=request.values.get("again") == "1",
            needs_code=destination.level > 1,
            action=visit.addresses.sign_in_form(),
            handle=name,
            token=token(form_of(name)),
            providers=[
                {
                    "label": each.labels[words.index],
                    "action": visit.addresses.sign_in_with(each.key),
                    "token": token(form_of(name, each.key)),
                }
                for each in self.providers
            ],
            passkey_action=visit.addresses.page(PASSKEY_SIGN_IN_RULE) if self.has_passkeys else "",
            passkey_token=token(form_of(name, "passkey")),
            other_address=visit.addresses.sign_in(name, words.other),
        )
        visit.cookies.set_form(response, cookie)
        return response

    def throttled(self, destination: Destination, words: Words, retry_after_seconds: int) -> Response:
        """Return the page that says until when there were too many attempts (429)."""
        told = words("throttled", minutes=math.ceil(retry_after_seconds / 60))
        response = self._notice(destination, words, 429, words("throttled_title"), told)
        response.headers["Retry-After"] = str(retry_after_seconds)
        return response

    def busy(self, destination: Destination, words: Words) -> Response:
        """Return the page that says that all places are taken (503)."""
        response = self._notice(destination, words, 503, words("busy_title"), words("busy"))
        response.headers["Retry-After"] = str(BUSY_SECONDS)
        return response

    def refused(self, destination: Destination, words: Words, told: str, status: int = 403) -> Response:
        """Return the plain page of a sign-in in another way that came to nothing."""
        return self._notice(destination, words, status, words("sign_in_failed_title"), told)

    def _notice(self, destination: Destination, words: Words, status: int, title: str, told: str) -> Response:
        again = self.visit.addresses.sign_in(destination.name, words.language)
        return self.visit.pages.notice(words, status, title, told, again)

    def _why(self, destination: Destination, words: Words) -> str:
        asked_for = destination.asked_for
        if asked_for is None:
            return words("sign_in_why_own")
        client = asked_for.client
        names = (client.organisation_name_vi, client.organisation_name_en)
        return words(
            "sign_in_why" if asked_for.details else "sign_in_why_openid",
            client=client.name or client.client_id,
            organisation=names[words.index] or names[1 - words.index] or client.organisation_id,
        )


def form_of(name: str, way: str = "") -> str:
    """Return what a form of this page means. way: key of a provider, or passkey; "" for the password."""
    return f"sign-in {name} {way}"
