"""Our canonical bytes against PyPI's `rfc8785`, over everything that an entry may hold."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.evidence.canonical import Json, canonical_bytes, check_closed, commitment, trusted_bytes
from broker.evidence.entry import Circumstances, Outcome, check_entry, entry_bytes, entry_object

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(max_codepoint=127))
integers = st.integers(-(2**53) + 1, 2**53 - 1)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
objects: st.SearchStrategy[dict[str, Json]] = st.dictionaries(keys, values, max_size=6)
codes = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:>=<\-]{0,79}", fullmatch=True)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
pairs = st.lists(st.tuples(codes, codes), max_size=5).map(tuple)
circumstances = st.builds(
    Circumstances,
    reference=codes,
    request_id=codes,
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    client=codes,
    recipient=codes,
    acting_person=st.none() | hashes,
    encounter=st.none() | hashes,
    action=codes,
    purpose=codes,
    legal_basis=codes,
    agreement=codes,
    agreement_revision=hashes,
    consent=st.none() | codes,
    consent_version=st.none() | st.integers(0, 1000),
)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(["release", "refusal"]),
    result=st.sampled_from(["released", "answered_without_data", "refused", "error"]),
    reason=st.just("") | codes,
    released=pairs,
    withheld=pairs,
    determining_rules=st.lists(codes, max_size=3).map(tuple),
    data_subject_commit=st.none() | hashes,
    payload_commit=st.none() | hashes,
)


@settings(max_examples=400)
@given(objects)
def test_the_bytes_are_those_of_the_rfc(value: dict[str, Json]) -> None:
    ours = canonical_bytes(value)
    assert ours == trusted_bytes(value) == rfc8785.dumps(value)
    assert json.loads(ours) == value


@pytest.mark.parametrize(
    "value",
    [
        {"\x7f": 1, "": 2, "~": 3, "A": 4, "a": 5, "0": 6, "\x00": 7},
        {"a": "\u2028\u2029\x7f\x80\xff\ufeff\uffff\U0001f600"},
        {"a": '"\\/\b\f\n\r\t\x00\x1f'},
        {"a": [True, False, None, 0, -0, -1, 2**53 - 1, -(2**53) + 1]},
        {"a": {}, "b": [], "c": "", "d": ["", [], {}]},
        {"tên".encode().hex(): "Nguyễn Thị Ánh", "nfd": "a\u0302\u0301"},
    ],
)
def test_the_corners_of_the_rfc(value: dict[str, Json]) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(objects)
def test_reading_and_writing_again_changes_nothing(value: dict[str, Json]) -> None:
    written = canonical_bytes(value)
    assert canonical_bytes(json.loads(written)) == written


@settings(max_examples=200)
@given(circumstances, outcomes)
def test_every_entry_is_canonical_and_fits_its_schema(about: Circumstances, came_of_it: Outcome) -> None:
    content = entry_bytes(about, came_of_it)
    decoded = json.loads(content)
    assert content == rfc8785.dumps(decoded) == canonical_bytes(entry_object(about, came_of_it))
    check_entry(decoded)


@given(circumstances, outcomes, keys.filter(bool), values)
def test_an_entry_with_another_member_is_refused(
    about: Circumstances, came_of_it: Outcome, name: str, value: Any
) -> None:
    decoded = json.loads(entry_bytes(about, came_of_it))
    if name in decoded:
        name += "+"
    with pytest.raises(ValueError, match="members differ"):
        check_entry({**decoded, name: value})


@given(values, st.sampled_from([0.5, 1.0, 2**53, -(2**53), b"bytes", {"ä": 1}, {1: 1}, float("inf"), {1}]))
def test_a_value_outside_the_subset_is_found_however_deep_it_lies(value: Any, foreign: Any) -> None:
    for wrapped in ({"a": foreign}, {"a": [value, {"b": [foreign]}]}, {"a": {"b": {"c": foreign}}}):
        with pytest.raises(ValueError, match=r"\w"):
            check_closed(wrapped)
        with pytest.raises(ValueError, match=r"\w"):
            canonical_bytes(wrapped)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.binary(max_size=100))
def test_a_commitment_opens_to_one_content_only(salt: bytes, content: bytes, other: bytes) -> None:
    assert commitment(salt, content) == hashlib.sha256(salt + content).hexdigest()
    assert (commitment(salt, content) == commitment(salt, other)) == (content == other)
