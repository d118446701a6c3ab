"""Which bytes a request wants of something that does not change: conditions and single ranges (RFC 9110).

Several ranges at once are not served: the whole is, as section 14.2 allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SINGLE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to answer: status 200, 206, 304 or 416; of the first two, bytes start <= n < end."""

    status: int
    start: int = 0
    end: int = 0


def wanted_bytes(length: int, etag: str, *, ranged: str, if_range: str, if_none_match: str) -> Wanted:
    """Return what a GET wants of a representation.

    length: in bytes. etag: strong, in quotes. ranged, if_range, if_none_match: header fields as they came,
    "" for none. The order is that of section 13.2.2. A range that is not of its form, or of a representation
    that was another, is ignored.
    """
    if _names(if_none_match, etag):
        return Wanted(304)
    whole = Wanted(200, 0, length)
    # Only a strong comparison says that it is the same bytes (13.1.5); a date is no etag of ours.
    if not ranged or (if_range and if_range.strip() != etag):
        return whole
    found = _SINGLE.fullmatch(ranged.replace(" ", ""))
    if found is None or found[1] == found[2] == "":
        return whole
    if found[1] == "":
        last = int(found[2])
        return Wanted(206, max(0, length - last), length) if last and length else Wanted(416)
    start = int(found[1])
    end = int(found[2]) + 1 if found[2] else max(length, start + 1)
    if end <= start:
        return whole
    return Wanted(206, start, min(end, length)) if start < length else Wanted(416)


def _names(if_none_match: str, etag: str) -> bool:
    """Return whether a list of etags names one; compared weakly (13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return etag in _TAG.findall(if_none_match)
