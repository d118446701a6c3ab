"""Keys of persons and years: everybody has one, and taking one away leaves no way to it and all others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evidence.person_keys import (
    PATH_LENGTH,
    beside,
    descend,
    key_at,
    key_year,
    link_of,
    path_of,
    paths_above,
    seal_key_of,
)

ROOT = bytes(range(32))
PATHS = st.text("0123456789abcdef", min_size=PATH_LENGTH, max_size=PATH_LENGTH)


def taken_away(held: Mapping[str, bytes], path: str) -> dict[str, bytes]:
    """Return what is left of a year after the key at a path was taken away."""
    [node] = [above for above in paths_above(path) if above in held]
    left = {name: key for name, key in held.items() if name != node}
    return {**left, **dict(beside(node, held[node], path))}


def by_the_book(path: str) -> bytes:
    """Return the key at a path as RFC 7693 and the figure of the tree say, one branch at a time."""
    key = ROOT
    for digit in path:
        hashed = hashlib.blake2b(key=key, digest_size=32, person=b"evidence/child")
        hashed.update(digit.encode("ascii"))
        key = hashed.digest()
    return key


@given(PATHS)
def test_the_key_at_a_path_is_that_of_its_branches(path: str) -> None:
    assert key_at({"": ROOT}, path) == descend(ROOT, path) == by_the_book(path)


@given(st.lists(PATHS, min_size=1, max_size=6, unique=True), PATHS)
def test_what_was_taken_away_is_gone_and_everybody_elses_key_is_what_it_was(
    erased: list[str], other: str
) -> None:
    held: Mapping[str, bytes] = {"": ROOT}
    for path in erased:
        held = taken_away(held, path)
    assert [key_at(held, path) for path in erased] == [None] * len(erased)
    # No node that is left lies above, at or below one that was taken away.
    assert not [name for name in held for path in erased if path.startswith(name)]
    assert not {by_the_book(above) for path in erased for above in paths_above(path)} & set(held.values())
    expected = None if other in erased else by_the_book(other)
    assert key_at(held, other) == expected


@given(PATHS, st.integers(0, PATH_LENGTH - 1))
def test_the_nearest_neighbours_keep_their_keys(path: str, at: int) -> None:
    """Those who share the longest beginnings of a place are the first whom a mistake would hit."""
    held = taken_away({"": ROOT}, path)
    digit = "0123456789abcdef"[(int(path[at], 16) + 1) % 16]
    neighbour = path[:at] + digit + path[at + 1 :]
    assert key_at(held, neighbour) == by_the_book(neighbour)
    assert len(held) == 15 * PATH_LENGTH


def test_link_and_seal_key_differ_between_persons_years_and_uses() -> None:
    refs = [hashlib.sha256(b"%d" % number).digest() for number in range(20)]
    made = set()
    for root in (ROOT, bytes(32)):
        for ref in refs:
            key = key_at({"": root}, path_of(ref))
            assert key is not None
            made |= {link_of(key, ref), seal_key_of(key, ref), seal_key_of(key, ref)[:16]}
            assert (len(link_of(key, ref)), len(seal_key_of(key, ref))) == (16, 32)
    assert len(made) == 3 * 2 * len(refs)


def test_two_persons_at_one_place_have_different_links() -> None:
    one, other = b"\1" * 8 + bytes(24), b"\1" * 8 + b"\2" * 24
    assert path_of(one) == path_of(other)
    key = key_at({"": ROOT}, path_of(one))
    assert key is not None
    assert link_of(key, one) != link_of(key, other)
    assert seal_key_of(key, one) != seal_key_of(key, other)


@pytest.mark.parametrize(
    ("at", "year"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, 999_000, UTC), 2026),
        (datetime(2027, 1, 1, tzinfo=UTC), 2027),
        (datetime(2027, 1, 1, 6, 59, tzinfo=timezone(timedelta(hours=7))), 2026),
    ],
)
def test_the_year_is_that_of_utc(at: datetime, year: int) -> None:
    assert key_year(at) == year
