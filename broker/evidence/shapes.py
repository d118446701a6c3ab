"""The forms of members in entries, and the one check of an entry against its closed list of members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Final, TypeAlias

from broker.evidence.canonical import ENTRY_BYTES_MAX, Json, canonical_bytes, check_closed

Form: TypeAlias = Callable[[object], bool]
"""Whether a decoded value is of a form."""
Shape: TypeAlias = Mapping[str, Form]
"""Form of each member of a kind, `kind` and `schema` left aside: they are in every entry."""

# Twelve digits could be a person's number: nothing that stands in an entry may look like one.
_CODE: Final = re.compile(r"(?![0-9]{12}\Z)[A-Za-z0-9][A-Za-z0-9_.:>=<\-]{0,79}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
# What clients, organisations and the broker's own rows are called: RFC 3986's unreserved characters, and
# colons; not twelve digits either.
_ID: Final = re.compile(r"(?![0-9]{12}\Z)[A-Za-z0-9._~:\-]{1,80}")
_KEYED_HASH: Final = re.compile(r"[0-9a-f]{32,64}")
_KEY_ID: Final = re.compile(r"(?![0-9]{12}\Z)[A-Za-z0-9_\-]{1,80}")
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _matching(pattern: re.Pattern[str]) -> Form:
    match = pattern.fullmatch
    return lambda value: isinstance(value, str) and match(value) is not None


is_code: Final = _matching(_CODE)
is_id: Final = _matching(_ID)
is_hash: Final = _matching(_HASH)
is_keyed_hash: Final = _matching(_KEYED_HASH)
is_key_id: Final = _matching(_KEY_ID)
is_reference: Final = _matching(_REFERENCE)
_looks_like_an_instant: Final = _matching(_INSTANT)
_looks_like_a_day: Final = _matching(_DAY)


def is_instant(value: object) -> bool:
    """Return whether a value is an instant that exists: 2026-11-22T00:15:04.123Z."""
    if not isinstance(value, str) or not _looks_like_an_instant(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_day(value: object) -> bool:
    """Return whether a value is a civil day that exists: 2026-11-22."""
    if not isinstance(value, str) or not _looks_like_a_day(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_pairs_of_codes(value: object) -> bool:
    """Return whether a value is a list of pairs of codes."""
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and is_code(pair[0]) and is_code(pair[1])
        for pair in value
    )


def or_empty(form: Form) -> Form:
    """Return the form that also allows the empty text."""
    return lambda value: value == "" or form(value)


def or_null(form: Form) -> Form:
    """Return the form that also allows null."""
    return lambda value: value is None or form(value)


def one_of(words: Iterable[str]) -> Form:
    """Return the form of a closed list of words."""
    closed = frozenset(words)
    return lambda value: isinstance(value, str) and value in closed


def number_within(least: int, most: int) -> Form:
    """Return the form of whole numbers from least to most. To Python `true` is a number; here it is none."""
    return lambda value: type(value) is int and least <= value <= most


def check_shape(entry: Mapping[str, object], kind: str, version: int, shape: Shape) -> None:
    """Raise ValueError unless an entry has exactly the members of a kind, each of its form.

    entry: a decoded entry. The message names the member, never its value.
    """
    members = {"kind", "schema", *shape}
    if entry.keys() != members:
        raise ValueError("members differ: " + ", ".join(sorted(map(str, entry.keys() ^ members))))
    check_closed(entry)
    if entry["kind"] != kind:
        raise ValueError("kind is not known")
    if type(entry["schema"]) is not int or entry["schema"] != version:
        raise ValueError("schema is not known")
    for name, is_of_form in shape.items():
        if not is_of_form(entry[name]):
            raise ValueError(f"{name} is not of its form")


def shaped_bytes(kind: str, version: int, shape: Shape, members: Mapping[str, Json]) -> bytes:
    """Return an entry of a kind as RFC 8785 bytes, checked against its shape before anybody writes it.

    Raises ValueError for members of another form, or an entry that the log could not hold.
    """
    entry: dict[str, Json] = {**members, "kind": kind, "schema": version}
    check_shape(entry, kind, version, shape)
    content = canonical_bytes(entry)
    if len(content) > ENTRY_BYTES_MAX:
        raise ValueError("the entry is too long for the log")
    return content
