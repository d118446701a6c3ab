"""ID tokens (OpenID Connect Core, 2): a pseudonym and how its holder signed in; no field of any record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from broker.oauth.authorization_request import Grant
from broker.oauth.grants import claims_of

ID_TOKEN_SECONDS: Final = 300


class IdTokenSigner(Protocol):
    """Signs ID tokens; `broker.keys.KeyRing` is one."""

    def sign_id_token(self, claims: dict[str, Any]) -> str:
        """Return the compact JWS with typ JWT."""
        ...


@dataclass(frozen=True, slots=True)
class IdTokens:
    """Issues ID tokens for a client that asked for openid."""

    issuer: str
    signer: IdTokenSigner

    def issue(self, grant: Grant, nonce: str | None, at: datetime) -> str:
        """Return an ID token for the client of a grant. nonce: as it was pushed, None without one."""
        issued_at_seconds = int(at.timestamp())
        claims = {
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.client_id,
            "iat": issued_at_seconds,
            "exp": issued_at_seconds + ID_TOKEN_SECONDS,
            **claims_of(grant),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self.signer.sign_id_token(claims)
