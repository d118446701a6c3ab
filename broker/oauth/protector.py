"""Authenticate: access token and what binds it in, `VerifiedToken` out. The first step of every release.

The token's signature is verified once; its claims are then kept by token hash until it expires. The proof is
verified every time. Whether the token was revoked or the proof was used before is decided by the statement
that records the release, in the database: nothing kept here is the last word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol

from broker.errors import TokenInvalid, TokenMissing
from broker.oauth.bounded import BoundedMap
from broker.oauth.caller_facts import ClientCertificate
from broker.oauth.dpop import Proof, ProofVerifier
from broker.oauth.jose import (
    JoseRefused,
    check_window,
    decode_header,
    decode_object,
    decode_segment,
    encode_segment,
    is_number,
    split_compact,
)
from broker.oauth.jose_keys import VerifyingKey

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 (a media type)
_TYPES: Final = frozenset({ACCESS_TOKEN_TYPE, f"application/{ACCESS_TOKEN_TYPE}"})


class VerificationKeys(Protocol):
    """The public keys that access tokens of this issuer may be signed with."""

    def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the published key named kid, or None."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Who asks, and what the record station must still check and burn.

    token_hash: SHA-256 of the whole access token (32 bytes), key of table access_tokens.
    expires_at: aware, UTC. confirmation: the cnf claim, jkt (RFC 9449) or x5t#S256 (RFC 8705).
    proof_issued_at_seconds (Unix), proof_hash (SHA-256 of jkt and jti): key of table used_proofs; None where
    a certificate binds the token. claims: all that the token says; nobody may change them.
    """

    client_id: str
    scopes: frozenset[str]
    token_hash: bytes
    expires_at: datetime
    confirmation: Mapping[str, str]
    proof_issued_at_seconds: int | None
    proof_hash: bytes | None
    claims: Mapping[str, Any]

    @property
    def authorization_details(self) -> tuple[Mapping[str, Any], ...]:
        """What the token was narrowed to (RFC 9396, 9.1); empty for nothing."""
        return tuple(self.claims.get("authorization_details", ()))


@dataclass(frozen=True, slots=True)
class _Claims:
    client_id: str
    scopes: frozenset[str]
    expires_at: datetime
    expires_at_seconds: float
    confirmation: Mapping[str, str]
    ath: str
    members: Mapping[str, Any]


class Protector:
    """Verifies access tokens (RFC 9068) bound to their sender (RFC 9449, RFC 8705) for one issuer."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: VerificationKeys,
        *,
        proofs: ProofVerifier | None = None,
        kept_tokens: int = 20_000,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._proofs = proofs or ProofVerifier()
        self._kept: BoundedMap[bytes, _Claims] = BoundedMap(kept_tokens)

    def verify(
        self,
        authorization: str | None,
        dpop: str | None,
        method: str,
        urls: Sequence[str],
        now: datetime,
        certificate: ClientCertificate | None = None,
    ) -> VerifiedToken:
        """Return what the access token of a request says, once token and sender are verified.

        authorization, dpop: values of these header fields, None where absent. method: "POST" etc. urls: by
        which clients may address the resource (public scheme, host and path; a query does not count).
        now: aware. certificate: of the connection, if a trusted proxy saw one.
        Raises TokenInvalid (no token, another scheme, not ours, expired, bound to another sender) and
        ProofInvalid (RFC 9449, 4.3 and 7.1).
        """
        scheme, token = _token_in(authorization)
        token_hash = hashlib.sha256(token.encode("ascii")).digest()
        now_seconds = now.timestamp()
        claims = self._kept.find(token_hash)
        if claims is None:
            claims = self._verified_claims(token, token_hash, now_seconds)
            self._kept.keep(token_hash, claims)
        if claims.expires_at_seconds <= now_seconds:
            self._kept.forget(token_hash)
            raise TokenInvalid("the access token has expired")
        jkt = claims.confirmation.get("jkt")
        if scheme != ("dpop" if jkt is not None else "bearer"):
            # A bound token never goes by another scheme, or the binding could be dropped (RFC 9449, 7.2).
            raise TokenInvalid("the Authorization header must use the scheme that the token was issued for")
        proof: Proof | None = None
        if jkt is not None:
            proof = self._proofs.verify(dpop, method, urls, now_seconds, jkt=jkt, ath=claims.ath)
        elif certificate is None or certificate.thumbprint != claims.confirmation["x5t#S256"]:
            raise TokenInvalid("the access token is bound to another client certificate")
        return VerifiedToken(
            client_id=claims.client_id,
            scopes=claims.scopes,
            token_hash=token_hash,
            expires_at=claims.expires_at,
            confirmation=claims.confirmation,
            proof_issued_at_seconds=None if proof is None else proof.issued_at_seconds,
            proof_hash=None if proof is None else proof.proof_hash,
            claims=claims.members,
        )

    def find_claims(self, token: str, now: datetime) -> Mapping[str, Any] | None:
        """Return the claims of an access token of ours that has not expired, whoever sends it; else None.

        For introspection; whether the token was revoked is for the store to say.
        """
        try:
            claims = self._verified_claims(token, b"", now.timestamp())
        except TokenInvalid:
            return None
        return None if claims.expires_at_seconds <= now.timestamp() else claims.members

    def _verified_claims(self, token: str, token_hash: bytes, now_seconds: float) -> _Claims:
        try:
            header_segment, payload_segment, signature = split_compact(token)
            kid, algorithm = _key_named(header_segment)
            key = None if kid is None else self._keys.find_key(kid)
            if key is None or key.algorithm != algorithm:
                raise TokenInvalid("the access token is not signed by a key of this issuer")
            if not key.is_signature(header_segment + b"." + payload_segment, decode_segment(signature)):
                raise TokenInvalid("the signature of the access token does not verify")
            claims = decode_object(decode_segment(payload_segment))
            check_window(claims, now_seconds, 10)
        except JoseRefused as refused:
            raise TokenInvalid(f"the access token is not acceptable: {refused}") from None
        return self._checked(claims, token_hash)

    def _checked(self, claims: dict[str, Any], token_hash: bytes) -> _Claims:
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise TokenInvalid("the access token is not for this server")
        expires, client_id, scope = claims.get("exp"), claims.get("client_id"), claims.get("scope", "")
        if not is_number(expires) or not isinstance(client_id, str) or not isinstance(scope, str):
            raise TokenInvalid("the access token lacks a claim")
        confirmation = claims.get("cnf")
        if not isinstance(confirmation, dict) or list(confirmation) not in (["jkt"], ["x5t#S256"]):
            raise TokenInvalid("the access token is not bound to its sender")
        if not all(isinstance(thumbprint, str) for thumbprint in confirmation.values()):
            raise TokenInvalid("the access token is not bound to its sender")
        return _Claims(
            client_id=client_id,
            scopes=frozenset(scope.split()),
            expires_at=datetime.fromtimestamp(expires, UTC),
            expires_at_seconds=expires,
            confirmation=confirmation,
            ath=encode_segment(token_hash).decode("ascii"),
            members=MappingProxyType(claims),
        )


@lru_cache(maxsize=64)
def _key_named(header_segment: bytes) -> tuple[str | None, str]:
    """Return kid (None if it is no text) and alg of a token's header; ours have few. Raises JoseRefused."""
    header = decode_header(header_segment, _TYPES)
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None, header["alg"]


def _token_in(authorization: str | None) -> tuple[str, str]:
    """Return scheme (lower case) and token of an Authorization field (RFC 9449, 7.1; RFC 6750, 2.1)."""
    if authorization is None:
        raise TokenMissing("the Authorization header is missing")
    scheme, _, token = authorization.partition(" ")
    scheme = scheme.lower()
    if scheme not in ("dpop", "bearer"):
        raise TokenInvalid("the Authorization header must use the scheme DPoP")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenInvalid("the Authorization header must hold one access token")
    return scheme, token
