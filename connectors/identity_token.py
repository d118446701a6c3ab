"""ID tokens (OpenID Connect Core, 2 and 3.1.3.7): whose signature, for whom, since when, asked by whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact

from connectors.identity_errors import IdentityRefused, IdentityUnavailable
from connectors.identity_providers import ALGORITHMS, ProviderEntry

LIFETIME_SECONDS_MAX: Final = 86_400
_TOKEN_CHARACTERS_MAX: Final = 16_384
_HEADER_BYTES_MAX: Final = 4_096
_KEYS_MAX: Final = 64
_RSA_BITS_MIN: Final = 2_048
_KINDS: Final[Mapping[str, type[ECKey] | type[RSAKey] | type[OKPKey]]] = {
    "EC": ECKey,
    "RSA": RSAKey,
    "OKP": OKPKey,
}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

KeySource = Callable[[bool], str | None]
"""(renew) → the provider's key set as JSON text, None when it cannot be had now."""


def usable_keys(text: str) -> str:
    """Return of a provider's JWK set the public keys that may sign, as JSON text.

    Keys for encryption, of unknown kinds or too short are left out. Raises ValueError (fixed words) where
    something private is shown, or nothing is left.
    """
    try:
        listed = json.loads(text)["keys"]
        usable = [jwk for jwk in listed if _is_usable(jwk)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the document is not a JWK set") from None
    if any(not _PRIVATE.isdisjoint(jwk) for jwk in listed):
        raise ValueError("the set shows a secret")
    if not usable or len(listed) > _KEYS_MAX:
        raise ValueError("the set has no key that may sign, or too many keys")
    return json.dumps({"keys": usable})


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "ES256") not in ALGORITHMS:
        return False
    kind = _KINDS.get(jwk.get("kty", ""))
    try:
        key = None if kind is None else kind.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError):
        return False
    if isinstance(key, RSAKey):
        return key.public_key.key_size >= _RSA_BITS_MIN
    return key is not None


def verified_claims(
    entry: ProviderEntry,
    tokens: Mapping[str, Any],
    keys: KeySource,
    *,
    nonce: str,
    now: int,
    leeway: int,
) -> Mapping[str, Any]:
    """Return the claims of the ID token of a token response.

    tokens: id_token, and access_token where at_hash is to be held against it. now, leeway: seconds. A kid
    that is not known reads the keys anew, once. Raises IdentityRefused, IdentityUnavailable.
    """
    id_token = tokens.get("id_token")
    if not isinstance(id_token, str) or len(id_token) > _TOKEN_CHARACTERS_MAX:
        raise IdentityRefused("there is no ID token, or it is too long")
    registry = JWSRegistry(algorithms=list(entry.algorithms), strict_check_header=False)
    registry.max_header_length = _HEADER_BYTES_MAX
    try:
        header = extract_compact(id_token.encode("ascii"), None, registry).headers()
        if header.get("alg") not in entry.algorithms:
            raise IdentityRefused("the ID token is signed in a way that the entry does not name")
        key = _key(keys, header)
        token = jwt.decode(id_token, key, registry=registry)
        judged = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": entry.issuer},
                "aud": {"essential": True, "value": entry.client_id},
            },
            params={
                "nonce": nonce,
                "client_id": entry.client_id,
                "access_token": tokens.get("access_token"),
                "max_age": True,
            },
        )
        judged.validate(now=now, leeway=leeway)
    except (JoseError, ValueError, TypeError):
        raise IdentityRefused("the ID token is not right") from None
    claims: Mapping[str, Any] = judged
    issued_at, ends_at = claims["iat"], claims["exp"]
    if now - issued_at > LIFETIME_SECONDS_MAX or ends_at - issued_at > LIFETIME_SECONDS_MAX:
        raise IdentityRefused("the ID token lives too long")
    return claims


def _key(keys: KeySource, header: Mapping[str, Any]) -> ECKey | RSAKey | OKPKey:
    """Return the one key that a header names; without a name, the only one of its kind."""
    for renew in (False, True):
        text = keys(renew)
        if text is None and renew:
            break
        if text is None:
            raise IdentityUnavailable("the keys of the provider cannot be had now")
        found = [jwk for jwk in json.loads(text)["keys"] if _fits(jwk, header)]
        if len(found) == 1:
            return _KINDS[found[0]["kty"]].import_key(found[0])
    raise IdentityRefused("the ID token names no key of the provider")


def _fits(jwk: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    """Return whether a key can be the one that a header means."""
    algorithm = str(header.get("alg", ""))
    kind = "OKP" if algorithm == "EdDSA" else {"E": "EC", "R": "RSA", "P": "RSA"}.get(algorithm[:1])
    is_named = "kid" not in header or header["kid"] == jwk.get("kid")
    return bool(is_named and jwk["kty"] == kind and jwk.get("alg", algorithm) == algorithm)
