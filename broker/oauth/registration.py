"""What the authorization server knows of a client: its keys, its scopes, whether it is active."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, Protocol, TypeAlias

from broker.oauth.jose import JoseRefused, decode_object
from broker.oauth.jose_keys import VerifyingKey, import_public_jwk
from broker.oauth.recipient_keys import check_recipient_key, registrable_recipient_key

PRIVATE_KEY_JWT: Final = "private_key_jwt"
TLS_CLIENT_AUTH: Final = "tls_client_auth"
SELF_SIGNED_TLS_CLIENT_AUTH: Final = "self_signed_tls_client_auth"
AUTHENTICATION_METHODS: Final = (PRIVATE_KEY_JWT, TLS_CLIENT_AUTH, SELF_SIGNED_TLS_CLIENT_AUTH)
"""All that FAPI 2.0 allows (5.3.2.1-6): nobody is identified by a secret that both sides know."""
MAX_KEYS: Final = 8


class JwksRefused(ValueError):
    """A client's key set cannot be registered; the text says what to mend and holds nothing of the keys."""


Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """A registered client, as Authlib asks for one (RFC 7591 metadata behind it).

    jwks: JSON text of its public key set (RFC 7517, 5), "" when jwks_uri says where it is published.
    is_active: neither suspended nor its organisation. expires_at: aware; afterwards the client is unknown to
    every endpoint. source_networks: where its requests may come from, empty for anywhere.
    tls_name: the one registered name of its certificate, (RFC 8705 2.1.2 metadata name, value), for
    tls_client_auth. detail_types: types of authorization_details it may send, None for any.
    wants_signed_introspection: what it is told of tokens is always signed (RFC 9701, 6).
    """

    client_id: str
    organisation_id: str
    is_active: bool
    scopes: frozenset[str]
    grant_types: frozenset[str]
    expires_at: datetime
    jwks: str = ""
    jwks_uri: str = ""
    name: str = ""
    organisation_kind: str = ""
    organisation_name_vi: str = ""
    organisation_name_en: str = ""
    agreement_ids: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    authentication_method: str = PRIVATE_KEY_JWT
    tls_name: tuple[str, str] | None = None
    is_dpop_bound: bool = False
    is_certificate_bound: bool = False
    detail_types: frozenset[str] | None = None
    source_networks: tuple[Network, ...] = ()
    wants_signed_introspection: bool = False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 (Authlib's)
        """Return whether the client authenticates with method; it is the same at every endpoint."""
        return method == self.authentication_method

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client is registered for a grant type."""
        return grant_type in self.grant_types

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether a redirect URI is registered, compared character by character (RFC 9700, 2.1)."""
        return redirect_uri in self.redirect_uris

    def is_source(self, address: str) -> bool:
        """Return whether requests may come from an IP address; one that cannot be read is nobody's."""
        if not self.source_networks:
            return True
        try:
            source = ip_address(address)
        except ValueError:
            return False
        return any(source in network for network in self.source_networks)


class ClientStore(Protocol):
    """Where registrations are kept; `broker.storage.clients` implements it."""

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client, suspended and expired ones included.

        Raises StoreUnavailable.
        """
        ...


class PublishedClientKeys(Protocol):
    """Where key sets behind a jwks_uri are read; `connectors.client_keys` implements it."""

    def find_jwks(self, jwks_uri: str, *, renew: bool = False) -> str | None:
        """Return the JSON text of the key set, or None when it cannot be had.

        renew: the set kept does not fit; read it anew, if that was not done just before.
        """
        ...


@lru_cache(maxsize=1024)
def read_jwks(text: str) -> tuple[VerifyingKey, ...]:
    """Return the keys of a public JWK set (RFC 7517, 5) to sign with, parsed once per distinct text.

    Keys of `use` enc are looked at and left out: nobody signs with them. Raises JwksRefused: not a set, no
    key to sign with, more than 8 keys, a private member anywhere, a key that FAPI 2.0 does not allow (5.4.1),
    one to encrypt to that cannot be used, or two keys that neither kid nor algorithm tells apart (5.4.3).
    """
    try:
        members = decode_object(text.encode("utf-8"))
        listed = members.get("keys")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_KEYS:
            raise JwksRefused(f"a JWK set needs a list named keys with 1 to {MAX_KEYS} keys")
        for jwk in filter(_is_to_encrypt, listed):
            check_recipient_key(jwk)
        keys = tuple(import_public_jwk(jwk) for jwk in listed if not _is_to_encrypt(jwk))
    except (JoseRefused, UnicodeEncodeError) as refused:
        raise JwksRefused(f"the JWK set is refused: {refused}") from None
    if not keys:
        raise JwksRefused("the set has no key to sign with")
    # The algorithm of a key stands for its kty and use: each has one of both.
    named = [(key.kid, key.algorithm) for key in keys if key.kid is not None]
    if len(set(named)) != len(named):
        raise JwksRefused("two keys of the set have the same kid and algorithm")
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
    keys = iter(read_jwks(json.dumps(jwks)))
    registered: list[Mapping[str, Any]] = []
    for jwk in jwks["keys"]:
        if _is_to_encrypt(jwk):
            registered.append(registrable_recipient_key(jwk))
        else:
            key = next(keys)
            registered.append({**jwk, "kid": key.kid or key.thumbprint, "alg": key.algorithm, "use": "sig"})
    return {"keys": registered}


def encryption_key(text: str) -> Mapping[str, Any] | None:
    """Return the first key of a registered JWK set that one may encrypt to, or None."""
    return next(filter(_is_to_encrypt, json.loads(text)["keys"]), None)


def _is_to_encrypt(jwk: object) -> bool:
    return isinstance(jwk, Mapping) and jwk.get("use") == "enc"
