"""The two cookies of the citizen's pages: one for who is signed in, one that binds the sign-in form."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final

from flask import Request, Response

_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VALUE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Cookies:
    """Reads, sets and forgets them.

    is_secure: whether browsers come over TLS. Only then may a name begin with __Host- (RFC 6265bis, 4.1.3.2),
    which no neighbouring host can set and which goes to this host alone.
    """

    is_secure: bool

    def session(self, request: Request) -> str:
        """Return the value of the session cookie, "" if there is none that could be ours."""
        return _well_formed(request.cookies.get(self._name("citizen"), ""))

    def form(self, request: Request) -> str:
        """Return the value that binds the sign-in form, "" if there is none that could be ours."""
        return _well_formed(request.cookies.get(self._name("form"), ""))

    def set_session(self, response: Response, value: str) -> None:
        """Give the browser a session, and take back what bound the form that led to it."""
        self._set(response, "citizen", value)
        self._forget(response, "form")

    def set_form(self, response: Response, value: str) -> None:
        """Give the browser what binds the sign-in form."""
        self._set(response, "form", value)

    def forget_session(self, response: Response) -> None:
        """Take the session cookie back."""
        self._forget(response, "citizen")

    def _name(self, what: str) -> str:
        return f"__Host-broker-{what}" if self.is_secure else f"broker-{what}"

    def _set(self, response: Response, what: str, value: str) -> None:
        response.set_cookie(
            self._name(what), value, path="/", secure=self.is_secure, httponly=True, samesite="Lax"
        )

    def _forget(self, response: Response, what: str) -> None:
        response.delete_cookie(
            self._name(what), path="/", secure=self.is_secure, httponly=True, samesite="Lax"
        )


def new_value() -> str:
    """Return 256 fresh random bits in base64url."""
    return secrets.token_urlsafe(_VALUE_BYTES)


def _well_formed(value: str) -> str:
    return value if _VALUE.fullmatch(value) else ""
