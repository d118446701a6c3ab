"""Key sets of clients: what of a published one is used, how a registered one changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from broker.oauth.jose import JoseRefused, decode_object
from broker.oauth.jose_keys import PRIVATE_MEMBERS, import_public_jwk
from broker.oauth.registration import JwksRefused, read_jwks

REFERENCES: Final = frozenset({"x5u", "jku"})
PUBLISHED_KEYS_MAX: Final = 64


def usable_jwks(text: str) -> str:
    """Return of a published JWK set the keys that clients may sign with here, as JSON text.

    A set serves many: keys for encryption, of other types or algorithms are left out (RFC 7517, 5). Refused
    as a whole (JwksRefused): a private member, a reference to elsewhere (x5u, jku), two usable keys of one
    kid and algorithm (FAPI 2.0, 5.4.3), no usable key, more than 8 of them, more than 64 keys.
    """
    try:
        listed = decode_object(text.encode("utf-8")).get("keys")
    except (JoseRefused, UnicodeEncodeError):
        raise JwksRefused("the document is not one JSON object with unique member names") from None
    if not isinstance(listed, list) or not 0 < len(listed) <= PUBLISHED_KEYS_MAX:
        raise JwksRefused(f"a JWK set needs a list named keys with 1 to {PUBLISHED_KEYS_MAX} keys")
    for jwk in listed:
        check_public(jwk)
    usable = json.dumps({"keys": [jwk for jwk in listed if _is_usable(jwk)]}, separators=(",", ":"))
    read_jwks(usable)
    return usable


def check_public(jwk: object) -> None:
    """Check that a JWK shows nothing private and refers to nothing elsewhere. Raises JwksRefused."""
    if not isinstance(jwk, dict):
        raise JwksRefused("a key of the set is not a JSON object")
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise JwksRefused("the set holds a private key: that key is lost, make a new one")
    if not REFERENCES.isdisjoint(jwk):
        raise JwksRefused("the set refers to keys elsewhere (x5u, jku)")


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    try:
        import_public_jwk(jwk)
    except JoseRefused:
        return False
    return True


def rotated_jwks(
    old: Mapping[str, Any], new: Mapping[str, Any] | None, *, keep_old: bool, retire: Collection[str]
) -> dict[str, Any]:
    """Return a client's JWK set after a change: old keys where kept, less those retired, then the new ones.

    old, new: registered sets, each key with a kid. keep_old: without it, and without retire, the new keys
    take the old ones' place. Raises JwksRefused: a kid to retire that is not there, the same kid for
    another key, nothing left, more than 8 keys.
    """
    old_keys: Sequence[Mapping[str, Any]] = old.get("keys", ())
    new_keys: Sequence[Mapping[str, Any]] = (new or {}).get("keys", ())
    if not set(retire) <= {key["kid"] for key in old_keys}:
        raise JwksRefused("a kid to retire is not among the client's keys")
    kept = [key for key in old_keys if key["kid"] not in retire] if keep_old or retire else []
    same = {key["kid"] for key in new_keys}
    changed = {"keys": [*(key for key in kept if key["kid"] not in same or key not in new_keys), *new_keys]}
    if not changed["keys"]:
        raise JwksRefused("no key would be left; suspend the client instead")
    read_jwks(json.dumps(changed))
    return changed
