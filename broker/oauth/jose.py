"""Compact JWS (RFC 7515) read strictly and written plainly.

Key parsing and thumbprints are joserfc's, the mathematics is cryptography's. What is ours is the envelope:
three base64url segments, two JSON objects, one raw signature, each with a size and one spelling only. The
release path verifies one proof per request, so nothing here does work twice (ADR 0005 has the figures).
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeGuard

MAX_HEADER_BYTES: Final = 4096
MAX_PAYLOAD_BYTES: Final = 8192
MAX_SIGNATURE_BYTES: Final = 700
MAX_COMPACT_BYTES: Final = MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES + MAX_SIGNATURE_BYTES + 2

# base64url to base64; "+", "/" and "=" become a character that the strict decoder refuses.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/\x00\x00\x00")
_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
# The last character of an unpadded segment may carry no stray bits: one spelling for each value.
_LAST_CHARACTER: Final = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}


class JoseRefused(Exception):
    """A JWS or JWK was not accepted. The text is fixed and holds nothing of the input."""


def decode_segment(segment: bytes) -> bytes:
    """Return the bytes that an unpadded base64url segment stands for (RFC 7515, section 2 and appendix C).

    Raises JoseRefused for padding, for a character outside the alphabet, for an impossible length and for
    stray bits in the last character.
    """
    rest = len(segment) & 3
    if rest == 1 or (rest and segment[-1] not in _LAST_CHARACTER[rest]):
        raise JoseRefused("a segment is not strict base64url")
    try:
        return binascii.a2b_base64(
            segment.translate(_TO_STANDARD) + b"=" * (-len(segment) & 3), strict_mode=True
        )
    except binascii.Error:
        raise JoseRefused("a segment is not strict base64url") from None


def encode_segment(content: bytes) -> bytes:
    """Return bytes as unpadded base64url (RFC 7515, section 2)."""
    return binascii.b2a_base64(content, newline=False).rstrip(b"=").translate(_TO_URLSAFE)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_: str) -> NoReturn:
    raise ValueError


_decode_json: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode


def decode_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that UTF-8 bytes hold.

    Raises JoseRefused for other encodings, repeated member names (RFC 7515, section 4: one reading only),
    NaN and infinities, nesting too deep to read, and anything that is not an object.
    """
    try:
        members = _decode_json(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise JoseRefused("a part is not a JSON object with unique members") from None
    if type(members) is not dict:
        raise JoseRefused("a part is not a JSON object with unique members")
    return members


def split_compact(compact: str) -> tuple[bytes, bytes, bytes]:
    """Return the header, payload and signature segments of a compact JWS, still encoded (RFC 7515, 7.1).

    Raises JoseRefused when there are not exactly three non-empty segments or one is too long.
    """
    if len(compact) > MAX_COMPACT_BYTES or not compact.isascii():
        raise JoseRefused("not a compact JWS")
    segments = compact.encode("ascii").split(b".")
    if len(segments) != 3:
        raise JoseRefused("not a compact JWS")
    header, payload, signature = segments
    if not (0 < len(header) <= MAX_HEADER_BYTES and 0 < len(payload) <= MAX_PAYLOAD_BYTES):
        raise JoseRefused("a part of the JWS is empty or too long")
    if not 0 < len(signature) <= MAX_SIGNATURE_BYTES:
        raise JoseRefused("a part of the JWS is empty or too long")
    return header, payload, signature


def decode_header(segment: bytes, types: frozenset[str], *, typ_required: bool = True) -> dict[str, Any]:
    """Return the protected header of a JWS whose "typ" is one of types (or absent, if it may be).

    types: lower-case media types, with and without "application/" where both are allowed.
    Unknown members are ignored, as RFC 7515 section 4 asks; "crit" is refused because nothing that it could
    name is understood here, "b64" because it would change what was signed (RFC 7797).
    Raises JoseRefused.
    """
    header = decode_object(decode_segment(segment))
    typ = header.get("typ")
    if typ is None and not typ_required and "typ" not in header:
        pass
    elif not isinstance(typ, str) or typ.lower() not in types:
        raise JoseRefused("typ is not what this place expects")
    if "crit" in header or "b64" in header:
        raise JoseRefused("crit and b64 are not supported")
    if not isinstance(header.get("alg"), str):
        raise JoseRefused("alg is missing")
    return header


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a claim is a NumericDate (RFC 7519, section 2) of a sane size."""
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value < 1 << 37


def check_window(claims: Mapping[str, Any], now_seconds: float, ahead_seconds: float) -> None:
    """Check "iat", "nbf" and "exp" where present (RFC 7519, 4.1; FAPI 2.0, 5.3.2.1-13).

    now_seconds: Unix time. ahead_seconds: how far another clock may be ahead of ours (iat and nbf).
    An "exp" that has passed is refused without any allowance. Raises JoseRefused.
    """
    for name in ("iat", "nbf"):
        value = claims.get(name)
        if value is None and name not in claims:
            continue
        if not is_number(value) or value > now_seconds + ahead_seconds:
            raise JoseRefused("iat or nbf lies in the future or is not a number")
    if "exp" in claims:
        expires = claims["exp"]
        if not is_number(expires) or expires <= now_seconds:
            raise JoseRefused("exp has passed or is not a number")
