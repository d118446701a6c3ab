"""Access tokens (RFC 9068) bound to the key of a DPoP proof (RFC 9449): for every grant that issues one."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from authlib.oauth2.rfc6749 import InvalidScopeError  # type: ignore[import-untyped]

from broker.errors import ProofInvalid
from broker.oauth.dpop import ProofVerifier
from broker.oauth.form_request import FormRequest
from broker.oauth.issuing import TokenIssue, TokenStore
from broker.oauth.registration import ClientRegistration
from broker.oauth.token_errors import InvalidDpopProof, InvalidTarget, client_refused

MACHINE_SUBJECT_PREFIX: Final = "client:"
"""Subjects of clients that act for themselves: never to be confused with a person's (RFC 9700, 4.15)."""

# One spelling: tokens of RFC 6749, 3.3 with single spaces between them.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


class TokenSigner(Protocol):
    """Signs access tokens; `broker.keys.KeyRing` is one."""

    def sign_access_token(self, claims: dict[str, Any]) -> str:
        """Return the compact JWS with typ at+jwt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """All that turning an authenticated request into a bound access token takes.

    token_endpoint: URL as clients address it, the htu of their proofs. audience: resource identifier of this
    broker. lifetime_seconds: at most 300.
    """

    issuer: str
    audience: str
    token_endpoint: str
    signer: TokenSigner
    store: TokenStore
    proofs: ProofVerifier
    lifetime_seconds: int = 300

    def check_target(self, request: FormRequest) -> None:
        """Check the resource parameter, if there is one (RFC 8707, 2). Raises InvalidTarget."""
        if request.form.get("resource", self.audience) != self.audience:
            raise InvalidTarget

    def check_proof(self, request: FormRequest) -> None:
        """Verify the DPoP proof and leave it in request.proof (RFC 9449, 5). Raises InvalidDpopProof."""
        try:
            request.proof = self.proofs.verify(
                request.headers.get("DPoP"), "POST", self.token_endpoint, request.at.timestamp()
            )
        except ProofInvalid as refused:
            raise InvalidDpopProof(refused.detail) from None

    def issue(
        self, request: FormRequest, client: ClientRegistration, subject: str, scope: str
    ) -> dict[str, Any]:
        """Return a token response (RFC 6749, 5.1), once its hash is kept and assertion and proof are burned.

        subject: the "sub" claim. Raises InvalidClientError (suspended meanwhile, assertion used before),
        InvalidDpopProof (proof used before), StoreUnavailable, SigningKeyUnavailable.
        """
        if request.assertion is None or request.proof is None:
            raise RuntimeError("a token was about to be issued without client authentication or proof")
        issued_at = request.at.replace(microsecond=0)
        expires_at = min(issued_at + timedelta(seconds=self.lifetime_seconds), client.expires_at)
        token = self.signer.sign_access_token(
            {
                "iss": self.issuer,
                "sub": subject,
                "client_id": client.client_id,
                "aud": self.audience,
                "iat": _seconds(issued_at),
                "exp": _seconds(expires_at),
                "jti": secrets.token_urlsafe(16),
                "scope": scope,
                "cnf": {"jkt": request.proof.jkt},
            }
        )
        verdict = self.store.issue_token(
            TokenIssue(
                token_hash=hashlib.sha256(token.encode("ascii")).digest(),
                client_id=client.client_id,
                scope=scope,
                issued_at=issued_at,
                expires_at=expires_at,
                assertion_hash=request.assertion.assertion_hash,
                assertion_expires_at=request.assertion.expires_at,
                proof_issued_at_seconds=request.proof.issued_at_seconds,
                proof_hash=request.proof.proof_hash,
            )
        )
        if verdict == "client_not_active":
            raise client_refused("the client is suspended or its registration has expired")
        if verdict == "assertion_replayed":
            raise client_refused("jti of the client assertion was used before")
        if verdict == "proof_replayed":
            raise InvalidDpopProof("jti of the proof was used before")
        return {
            "access_token": token,
            "token_type": "DPoP",
            "expires_in": _seconds(expires_at) - _seconds(issued_at),
            "scope": scope,
        }


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
