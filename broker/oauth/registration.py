"""What the authorization server knows of a client: its keys, its scopes, whether it is active."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Protocol

from broker.oauth.jose import JoseRefused, decode_object
from broker.oauth.jose_keys import VerifyingKey, import_public_jwk

AUTHENTICATION_METHOD: Final = "private_key_jwt"
MAX_KEYS: Final = 8


class JwksRefused(ValueError):
    """A client's key set cannot be registered; the text says what to mend and holds nothing of the keys."""


@dataclass(frozen=True, slots=True)
class ClientRegistration:
    """A registered client, as Authlib asks for one (RFC 7591 metadata behind it).

    jwks: JSON text of its public key set (RFC 7517, 5). is_active: neither the client nor its organisation is
    suspended. expires_at: aware; afterwards the client is unknown to every endpoint.
    """

    client_id: str
    organisation_id: str
    is_active: bool
    scopes: frozenset[str]
    grant_types: frozenset[str]
    jwks: str
    expires_at: datetime

    def get_client_id(self) -> str:
        """Return the client's identifier."""
        return self.client_id

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 (Authlib's)
        """Return whether the client authenticates with method; it is the same at every endpoint."""
        return method == AUTHENTICATION_METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client is registered for a grant type."""
        return grant_type in self.grant_types


class ClientStore(Protocol):
    """Where registrations are kept; `broker.storage.clients` implements it."""

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client, suspended and expired ones included.

        Raises StoreUnavailable.
        """
        ...


@lru_cache(maxsize=1024)
def read_jwks(text: str) -> tuple[VerifyingKey, ...]:
    """Return the keys of a public JWK set (RFC 7517, 5), parsed once per distinct text.

    Raises JwksRefused: not a set, no key or more than 8, a private member anywhere, a key that FAPI 2.0 does
    not allow (5.4.1), or one kid for two keys (5.4.2).
    """
    try:
        members = decode_object(text.encode("utf-8"))
        listed = members.get("keys")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_KEYS:
            raise JwksRefused(f"a JWK set needs a list named keys with 1 to {MAX_KEYS} keys")
        keys = tuple(import_public_jwk(jwk) for jwk in listed)
    except (JoseRefused, UnicodeEncodeError) as refused:
        raise JwksRefused(f"the JWK set is refused: {refused}") from None
    named = [key.kid for key in keys if key.kid is not None]
    if len(set(named)) != len(named):
        raise JwksRefused("two keys of the set have the same kid")
    return keys


def registrable_jwks(text: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return a client's JWK set as it will be registered: checked, each key with kid, alg and use.

    text: JSON of a JWK set or of a single public JWK. A key without kid gets its RFC 7638 thumbprint.
    Raises JwksRefused.
    """
    try:
        members = decode_object(text.encode("utf-8"))
    except (JoseRefused, UnicodeEncodeError):
        raise JwksRefused("the file does not hold one JSON object with unique member names") from None
    jwks = members if "keys" in members else {"keys": [members]}
    keys = read_jwks(json.dumps(jwks))
    return {
        "keys": [
            {**jwk, "kid": key.kid or key.thumbprint, "alg": key.algorithm, "use": "sig"}
            for jwk, key in zip(jwks["keys"], keys, strict=True)
        ]
    }
