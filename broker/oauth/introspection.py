"""Token introspection (RFC 7662), signed where it is wanted (RFC 9701): a client learns of its own tokens.

Authlib's endpoint is not built upon: it refuses unknown hints, tells nothing of the sender constraint, and
knows no signed answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from authlib.oauth2.rfc6749 import InvalidRequestError  # type: ignore[import-untyped]
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from broker.oauth.form_request import FormRequest
from broker.oauth.granted import secret_hash
from broker.oauth.grants import GrantStore
from broker.oauth.protector import Protector
from broker.oauth.registration import ClientRegistration

SIGNED_MEDIA_TYPE: Final = "application/token-introspection+jwt"
REFRESH_TOKEN_CHARACTERS_MAX: Final = 128
_INACTIVE: Final[Mapping[str, Any]] = {"active": False}
_TOLD: Final = (
    "iss",
    "sub",
    "aud",
    "client_id",
    "scope",
    "exp",
    "iat",
    "jti",
    "cnf",
    "authorization_details",
    "grant_id",
    "acr",
    "auth_time",
)


class LiveTokens(Protocol):
    """Knows which access tokens are alive; `broker.storage.access.PostgresAccess` is one."""

    def is_alive(self, token_hash: bytes) -> bool:
        """Return whether the token of this SHA-256 is neither expired nor revoked, nor is what it rests on.

        Raises StoreUnavailable.
        """
        ...


class IntrospectionSigner(Protocol):
    """Signs answers; `broker.keys.KeyRing` is one."""

    def sign_introspection(self, claims: dict[str, Any]) -> str:
        """Return the compact JWS with typ token-introspection+jwt."""
        ...


@dataclass(frozen=True, slots=True)
class IntrospectionEndpoint:
    """Says what a token is worth at this instant, to the client that it was issued to and nobody else."""

    issuer: str
    protector: Protector
    tokens: LiveTokens
    grants: GrantStore
    signer: IntrospectionSigner

    def respond(
        self, request: FormRequest, client: ClientRegistration
    ) -> tuple[int, Mapping[str, Any] | str, str]:
        """Return status, body and media type (RFC 7662, 2.2; RFC 9701, 5).

        client: authenticated. A token that is unknown, another client's, expired or revoked is not active,
        and nothing else is said of it. Raises InvalidRequestError, StoreUnavailable, SigningKeyUnavailable.
        """
        token = token_of(request)
        found = self._find_access_token(token, request, client) or self._find_refresh_token(
            token, request, client
        )
        answer = _INACTIVE if found is None else {"active": True, **found}
        if not (client.wants_signed_introspection or _is_asked_for(request.headers.get("Accept", ""))):
            return 200, answer, "application/json"
        # No exp and no sub: nothing of this may be taken for a token (RFC 9701, 5 and 8.1).
        claims = {
            "iss": self.issuer,
            "aud": client.client_id,
            "iat": int(request.at.timestamp()),
            "token_introspection": dict(answer),
        }
        return 200, self.signer.sign_introspection(claims), SIGNED_MEDIA_TYPE

    def _find_access_token(
        self, token: str, request: FormRequest, client: ClientRegistration
    ) -> Mapping[str, Any] | None:
        claims = self.protector.find_claims(token, request.at)
        if claims is None or claims["client_id"] != client.client_id:
            return None
        if not self.tokens.is_alive(secret_hash(token)):
            return None
        token_type = "DPoP" if "jkt" in claims["cnf"] else "Bearer"
        return {**{name: claims[name] for name in _TOLD if name in claims}, "token_type": token_type}

    def _find_refresh_token(
        self, token: str, request: FormRequest, client: ClientRegistration
    ) -> Mapping[str, Any] | None:
        if len(token) > REFRESH_TOKEN_CHARACTERS_MAX:
            return None
        grant = self.grants.find_refreshable(secret_hash(token), client.client_id, request.at)
        if grant is None:
            return None
        # It ends with its grant. No token_type: that is of access tokens (RFC 6749, 5.1).
        told = {
            "client_id": grant.client_id,
            "sub": grant.subject,
            "scope": grant.scope,
            "exp": int(grant.expires_at.timestamp()),
            "grant_id": grant.grant_id,
        }
        details = [dict(detail) for detail in grant.details]
        return {**told, "authorization_details": details} if details else told


def token_of(request: FormRequest) -> str:
    """Return the token parameter (RFC 7662, 2.1; RFC 7009, 2.1). Raises InvalidRequestError.

    token_type_hint is not looked at: every token is looked for in both places, whatever the hint says.
    """
    token: str | None = request.form.get("token")
    if token is None:
        raise InvalidRequestError("token is missing")
    return token


def _is_asked_for(accept: str) -> bool:
    """Whether the Accept field names the signed form, and JSON not with a higher weight (RFC 9701, 4)."""
    weights = dict(parse_accept_header(accept.lower(), MIMEAccept))
    signed = weights.get(SIGNED_MEDIA_TYPE, 0)
    return signed > 0 and signed >= weights.get("application/json", 0)
