"""RFC 8785 bytes of closed values, and salted commitments over them.

An entry holds strings, integers, booleans, null, lists and objects with ASCII keys, never a fraction; for
those `orjson`, sorted and without white space, writes exactly the RFC's bytes. Tests compare it with PyPI's
`rfc8785` over generated values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

import orjson

Json: TypeAlias = "str | int | bool | list[Json] | tuple[Json, ...] | Mapping[str, Json] | None"

ENTRY_BYTES_MAX = 65_535
"""An entry bundle of the log counts bytes in 16 bits (C2SP tlog-tiles)."""
SALT_BYTES = 32
DEPTH_MAX = 64
INTEGER_MAX = 2**53 - 1


def canonical_bytes(value: Mapping[str, Json]) -> bytes:
    """Return the RFC 8785 form of a closed value.

    value: object with ASCII keys; integers within ±(2^53 - 1); no floats.
    Raises ValueError for anything that RFC 8785 or this closed subset does not allow.
    """
    check_closed(value)
    return trusted_bytes(value)


def trusted_bytes(value: Mapping[str, Json]) -> bytes:
    """Return the same bytes for a value that this program built from checked parts only.

    The release path uses it: its values come from closed dataclasses. Raises ValueError on a lone
    surrogate.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise ValueError("a value has no canonical form") from None


def check_closed(value: object, depth: int = DEPTH_MAX) -> None:
    """Raise ValueError unless value lies in the subset for which the encoder is RFC 8785's.

    depth: how many lists and objects may yet lie within each other. Bytes from outside could hold more than a
    program can follow.
    """
    if depth < 0:
        raise ValueError("lists and objects lie too deep within each other")
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError("an integer outside ±(2^53 - 1) has no canonical form")
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError("keys are ASCII strings")
            check_closed(member, depth - 1)
    elif isinstance(value, list | tuple):
        for member in value:
            check_closed(member, depth - 1)
    else:
        raise ValueError(f"{type(value).__name__} has no place in evidence")  # noqa: TRY004 - one kind of refusal


def commitment(salt: bytes, content: bytes) -> str:
    """Return SHA-256(salt || content) in lower-case hex. salt: 32 fresh random bytes, kept beside the log.

    Raises ValueError for a salt of another length: twelve digits under a short salt are found in minutes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return hashlib.sha256(salt + content).hexdigest()
