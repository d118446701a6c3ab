"""Access tokens (RFC 9068) bound to their sender (RFC 9449, RFC 8705): for every grant that issues one."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn, Protocol

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidGrantError,
    InvalidScopeError,
)

from broker.oauth.binding import Binding, SenderCheck
from broker.oauth.form_request import FormRequest
from broker.oauth.issuing import IssueVerdict, OneTimeValues, TokenIssue, TokenStore
from broker.oauth.registration import ClientRegistration
from broker.oauth.token_errors import InvalidDpopProof, InvalidTarget, client_refused

MACHINE_SUBJECT_PREFIX: Final = "client:"
"""Subjects of clients that act for themselves: never to be confused with a person's (RFC 9700, 4.15)."""

# One spelling: tokens of RFC 6749, 3.3 with single spaces between them.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")

Details = tuple[Mapping[str, Any], ...]
"""authorization_details as checked (RFC 9396, 2): JSON objects with a type each."""


class TokenSigner(Protocol):
    """Signs access tokens; `broker.keys.KeyRing` is one."""

    def sign_access_token(self, claims: dict[str, Any]) -> str:
        """Return the compact JWS with typ at+jwt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """What a token will say. subject: the "sub" claim. grant_id: None for a client that acts for itself.

    expires_at: of the grant; the token never outlives it. extra: further claims (acr, auth_time).
    """

    subject: str
    scope: str
    details: Details = ()
    grant_id: str | None = None
    expires_at: datetime | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """All that turning an authenticated request into a bound access token takes.

    audience: resource identifier of this broker. lifetime_seconds: at most 300; consent_lifetime_seconds: of
    a token that rests on a citizen's consent, at most 120.
    """

    issuer: str
    audience: str
    signer: TokenSigner
    store: TokenStore
    sender: SenderCheck
    lifetime_seconds: int = 300
    consent_lifetime_seconds: int = 120

    def check_target(self, request: FormRequest) -> None:
        """Check the resource parameters, if there are any (RFC 8707, 2). Raises InvalidTarget."""
        if any(resource != self.audience for resource in request.payload.datalist["resource"]):
            raise InvalidTarget

    def issue(
        self,
        request: FormRequest,
        client: ClientRegistration,
        terms: TokenTerms,
        store: Callable[[TokenIssue], IssueVerdict] | None = None,
    ) -> dict[str, Any]:
        """Return a token response (RFC 6749, 5.1), once its hash is kept and the one-time values are burned.

        store: the statement that keeps it, issue_token when not given.
        Raises InvalidDpopProof (no proof; used before), InvalidClientError (suspended meanwhile, assertion
        used before), InvalidGrantError, StoreUnavailable, SigningKeyUnavailable.
        """
        if request.client is None:
            raise RuntimeError("a token was about to be issued without client authentication")
        binding = self.sender.bind(request, client)
        issued_at = request.at.replace(microsecond=0)
        expires_at = self._end(issued_at, client, terms)
        if _seconds(expires_at) <= _seconds(issued_at):
            # In the last second of a grant or a registration: a token that is over before it arrives.
            refuse_verdict("client_not_active" if expires_at == client.expires_at else "credential_not_alive")
        token = self.signer.sign_access_token(self._claims(client, terms, binding, issued_at, expires_at))
        verdict = (store or self.store.issue_token)(
            TokenIssue(
                token_hash=hashlib.sha256(token.encode("ascii")).digest(),
                client_id=client.client_id,
                grant_id=terms.grant_id,
                scope=terms.scope,
                issued_at=issued_at,
                expires_at=expires_at,
                once=one_time_values(request),
            )
        )
        if verdict != "issued":
            refuse_verdict(verdict)
        response = {
            "access_token": token,
            "token_type": binding.token_type,
            "expires_in": _seconds(expires_at) - _seconds(issued_at),
            "scope": terms.scope,
        }
        if terms.details:
            response["authorization_details"] = [dict(detail) for detail in terms.details]
        if terms.grant_id is not None:
            response["grant_id"] = terms.grant_id
        return response

    def _end(self, issued_at: datetime, client: ClientRegistration, terms: TokenTerms) -> datetime:
        seconds = self.lifetime_seconds
        if terms.grant_id is not None:
            seconds = min(seconds, self.consent_lifetime_seconds)
        ends = [issued_at + timedelta(seconds=seconds), client.expires_at]
        return min(ends if terms.expires_at is None else [*ends, terms.expires_at])

    def _claims(
        self,
        client: ClientRegistration,
        terms: TokenTerms,
        binding: Binding,
        issued_at: datetime,
        expires_at: datetime,
    ) -> dict[str, Any]:
        claims = {
            "iss": self.issuer,
            "sub": terms.subject,
            "client_id": client.client_id,
            "aud": self.audience,
            "iat": _seconds(issued_at),
            "exp": _seconds(expires_at),
            "jti": secrets.token_urlsafe(16),
            "scope": terms.scope,
            "cnf": dict(binding.confirmation),
            **(terms.extra or {}),
        }
        if terms.details:
            claims["authorization_details"] = [dict(detail) for detail in terms.details]
        if terms.grant_id is not None:
            claims["grant_id"] = terms.grant_id
        return claims


def one_time_values(request: FormRequest) -> OneTimeValues:
    """Return what the statement that serves a request must burn."""
    assertion, proof = request.assertion, request.proof
    return OneTimeValues(
        assertion_hash=None if assertion is None else assertion.assertion_hash,
        assertion_expires_at=None if assertion is None else assertion.expires_at,
        proof_issued_at_seconds=None if proof is None else proof.issued_at_seconds,
        proof_hash=None if proof is None else proof.proof_hash,
    )


def refuse_verdict(verdict: str) -> NoReturn:
    """Raise what a verdict other than issued or burned means."""
    if verdict == "client_not_active":
        raise client_refused("the client is suspended or its registration has expired")
    if verdict == "assertion_replayed":
        raise client_refused("jti of the client assertion was used before")
    if verdict == "proof_replayed":
        raise InvalidDpopProof("jti of the proof was used before")
    raise InvalidGrantError("the code or token is unknown, used, expired or revoked")


def granted_scope(requested: str | None, allowed: frozenset[str], offered: frozenset[str]) -> str:
    """Return the scope to grant: what was requested, each word once, all of it allowed (RFC 6749, 3.3).

    allowed: of the client's registration. offered: of this server. Nothing is dropped silently and nothing
    is granted unasked: least privilege (FAPI 2.0, 5.3.2.1-14). Raises InvalidScopeError.
    """
    if requested is None:
        raise InvalidScopeError("name the scopes that this token is needed for")
    if not _SCOPE.fullmatch(requested):
        raise InvalidScopeError
    words = dict.fromkeys(requested.split(" "))
    if not words.keys() <= (allowed & offered):
        raise InvalidScopeError("a scope is unknown or the client is not registered for it")
    return " ".join(words)


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
