"""OpenID Connect relying party: lets a browser out to a provider, and finds out whom the provider recognised.

Authorization code flow with PKCE, state and nonce (OpenID Connect Core, 3.1; RFC 9700, 2.1.1). Authlib judges
the claims, joserfc the signature. Tokens of the provider live inside one call and are neither returned,
kept nor logged.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

from connectors.identity_errors import IdentityRefused, IdentityUnavailable
from connectors.identity_exchange import Exchange
from connectors.identity_providers import ProviderEntry
from connectors.identity_token import verified_claims

__all__ = ["IdentityProvider", "IdentityRefused", "IdentityUnavailable", "Leaving", "VerifiedIdentity"]

LEEWAY_SECONDS: Final = 30
MAX_AGE_SECONDS: Final = 300
_NUMBER_DIGITS: Final = 12
_SUBJECT_CHARACTERS_MAX: Final = 255
_ANSWER_CHARACTERS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedIdentity:
    """Whom a provider has recognised. personal_id: 12 digits, "" if it did not say them. level: 1 or 2."""

    issuer: str
    subject: str = field(repr=False)
    personal_id: str = field(repr=False)
    level: int
    authenticated_at: datetime


@dataclass(frozen=True, slots=True)
class Leaving:
    """address: where the browser goes. expected: what `arrive` needs again, JSON members."""

    address: str = field(repr=False)
    expected: Mapping[str, Any] = field(repr=False)


class IdentityProvider:
    """One provider, safe for many threads. exchange: how its documents and tokens are fetched."""

    def __init__(self, entry: ProviderEntry, exchange: Exchange | None = None) -> None:
        self.entry = entry
        self._exchange = exchange or Exchange(entry)

    def leave(self, *, state: str, redirect_uri: str, level: int, at: datetime) -> Leaving:
        """Return where to send a browser (OpenID Connect Core, 3.1.2.1).

        level: that is needed; the acr values that stand for it are asked for. The person must do something:
        being signed in there already is not enough. Raises IdentityUnavailable.
        """
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        entry = self.entry
        endpoint = self._exchange.metadata()["authorization_endpoint"]
        asked = {
            "response_type": "code",
            "client_id": entry.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(entry.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
            "prompt": "login",
            "max_age": str(MAX_AGE_SECONDS),
        }
        if acr_values := " ".join(acr for acr, given in entry.acr_levels.items() if acr and given >= level):
            asked["acr_values"] = acr_values
        joint = "&" if urlsplit(endpoint).query else "?"
        expected = {"nonce": nonce, "verifier": verifier, "left_at": at.timestamp()}
        return Leaving(endpoint + joint + urlencode(asked), expected)

    def arrive(
        self,
        answer: Mapping[str, Sequence[str]],
        expected: Mapping[str, Any],
        redirect_uri: str,
        at: datetime,
    ) -> VerifiedIdentity:
        """Return whom the provider recognised. answer: parameters as they came; expected: of `leave`.

        The state has been checked by the caller. OpenID Connect Core 3.1.2.5 to 3.1.3.7, RFC 9207.
        Raises IdentityRefused, IdentityUnavailable; the code is spent either way.
        """
        code = self._code(answer)
        tokens = self._exchange.redeem(code, str(expected["verifier"]), redirect_uri, at)
        claims = verified_claims(
            self.entry,
            tokens,
            self._exchange.jwks,
            nonce=str(expected["nonce"]),
            now=int(at.timestamp()),
            leeway=LEEWAY_SECONDS,
        )
        return VerifiedIdentity(
            issuer=self.entry.issuer,
            subject=_subject(claims),
            personal_id=self._personal_id(claims, tokens),
            level=self._level(claims),
            authenticated_at=_authenticated_at(claims, float(expected["left_at"]), at),
        )

    def _code(self, answer: Mapping[str, Sequence[str]]) -> str:
        """Return the code of an authorization response of this provider."""
        if any(len(values) != 1 or len(values[0]) > _ANSWER_CHARACTERS_MAX for values in answer.values()):
            raise IdentityRefused("a parameter of the answer came twice or is too long")
        given = {name: values[0] for name, values in answer.items()}
        is_told = self._exchange.metadata().get("authorization_response_iss_parameter_supported") is True
        if given.get("iss", "" if is_told else self.entry.issuer) != self.entry.issuer:
            raise IdentityRefused("the answer is not of this issuer")
        if "error" in given:
            raise IdentityRefused("the provider answers with an error", is_told=True)
        if not given.get("code"):
            raise IdentityRefused("the answer has no code")
        return given["code"]

    def _level(self, claims: Mapping[str, Any]) -> int:
        """Return what the acr counts for; what the entry does not know counts for nothing."""
        acr = claims.get("acr", "")
        level = self.entry.acr_levels.get(acr) if isinstance(acr, str) else None
        if level is None:
            raise IdentityRefused("the acr is none that the entry of the provider knows")
        return level

    def _personal_id(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> str:
        entry = self.entry
        if not entry.personal_id_claim:
            return ""
        if entry.personal_id_from == "userinfo":
            told = self._exchange.userinfo(tokens)
            if told.get("sub") != claims["sub"]:
                raise IdentityRefused("UserInfo is about somebody else")
            claims = told
        number = claims.get(entry.personal_id_claim, "")
        if not isinstance(number, str):
            raise IdentityRefused("the personal id is not of the form of one")
        is_number = len(number) == _NUMBER_DIGITS and number.isascii() and number.isdigit()
        if number and not is_number:
            raise IdentityRefused("the personal id is not of the form of one")
        return number


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_CHARACTERS_MAX:
        raise IdentityRefused("sub is not of the form of one")
    return subject


def _authenticated_at(claims: Mapping[str, Any], left_at: float, at: datetime) -> datetime:
    """Return when the person did something, by our clock: after leaving us, before coming back.

    auth_time is demanded since max_age was asked for (OpenID Connect Core, 3.1.3.7, 11).
    """
    auth_time = claims.get("auth_time")
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        raise IdentityRefused("there is no auth_time")
    if not left_at - LEEWAY_SECONDS <= auth_time <= at.timestamp() + LEEWAY_SECONDS:
        raise IdentityRefused("the person did nothing to be recognised this time")
    return datetime.fromtimestamp(min(max(float(auth_time), left_at), at.timestamp()), UTC)
