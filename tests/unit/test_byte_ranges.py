"""Single ranges and conditions (RFC 9110, 13 and 14), held against a list of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.byte_ranges import Wanted, wanted_bytes

ETAG = '"abc"'


def wanted(length: int, ranged: str = "", if_range: str = "", if_none_match: str = "") -> Wanted:
    return wanted_bytes(length, ETAG, ranged=ranged, if_range=if_range, if_none_match=if_none_match)


@given(st.integers(1, 40), st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)))
def test_a_range_is_the_slice_that_it_names(length: int, first: int, last: int | None) -> None:
    found = wanted(length, f"bytes={first}-{'' if last is None else last}")
    content = list(range(length))
    if last is not None and last < first:
        assert found == Wanted(200, 0, length), "not of its form: ignored (14.2)"
    elif first >= length:
        assert found == Wanted(416)
    else:
        assert found.status == 206
        assert content[found.start : found.end] == content[first : None if last is None else last + 1]


@given(st.integers(0, 40), st.integers(0, 60))
def test_a_suffix_is_the_last_bytes(length: int, count: int) -> None:
    found = wanted(length, f"bytes=-{count}")
    if count == 0 or length == 0:
        assert found == Wanted(416)
    else:
        assert list(range(length))[found.start : found.end] == list(range(length))[-count:]


@pytest.mark.parametrize(
    "ranged", ["", "bytes", "bytes=", "bytes=-", "bytes=0-1,4-5", "items=0-1", "bytes=a-b"]
)
def test_anything_else_is_no_range(ranged: str) -> None:
    assert wanted(10, ranged) == Wanted(200, 0, 10)


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [
        ("*", 304),
        (ETAG, 304),
        (f"W/{ETAG}", 304),
        (f'"x", {ETAG}', 304),
        ('"x"', 200),
        ("abc", 200),
        ("", 200),
    ],
)
def test_who_has_it_needs_no_more(if_none_match: str, status: int) -> None:
    assert wanted(10, if_none_match=if_none_match).status == status


@pytest.mark.parametrize(
    ("if_range", "status"), [("", 206), (ETAG, 206), (f" {ETAG}", 206), (f"W/{ETAG}", 200), ('"x"', 200)]
)
def test_a_part_of_something_else_is_no_part(if_range: str, status: int) -> None:
    assert wanted(10, "bytes=1-2", if_range).status == status


def test_a_condition_comes_before_a_range() -> None:
    assert wanted(10, "bytes=99-", if_none_match=ETAG) == Wanted(304)
