"""What is recognised by its bytes alone, against what is decoded and checked member by member."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.evidence.canonical import ENTRY_BYTES_MAX, trusted_bytes
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.kinds import checked_instant, parse_entry
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.spelling import spelt_instant
from tests.evidence_entries import decoded, one_of_each_kind, release
from tests.properties.test_evidence_canonical import circumstances, outcomes, values

MEMBERS: Final = sorted(decoded(release()))
# What is nearly right: the forms of other members, their edges, and what only looks like a digit or a letter.
NEAR: Final[list[Any]] = [
    *("", "-", "a" * 80, "a" * 81, "é", "٣", "0" * 31, "0" * 32, "0" * 64, "0" * 65, "A" * 64, "a\n", 'a"'),
    *("2026-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "0000-01-01T00:00:00.000Z", "release", "error"),
    *(0, 1, -1, 2**53 - 1, 2**53, 10**15, 10**14, 1.0, True, False, None, [], [[]], [["a", "b"]], [["a"]]),
    *([["a", "b", "c"]], [["a", ""]], [["a", "b"], ["c", "d"]], ["a/b"], ["a" * 160], ["a" * 161], ["a", 1]),
]


def judged(content: bytes) -> str | None:
    """Return the instant of what the slow way takes, None for what it refuses."""
    try:
        return str(parse_entry(content)["at"])
    except EvidenceInvalid:
        return None


@settings(max_examples=200)
@given(circumstances, outcomes)
def test_every_release_and_refusal_that_can_be_made_is_recognised(
    about: Circumstances, came_of_it: Outcome
) -> None:
    content = entry_bytes(about, came_of_it)
    assert spelt_instant(content) == checked_instant(content) == judged(content) == decoded(content)["at"]


@settings(max_examples=300)
@given(st.integers(0, len(release()) - 1), st.binary(max_size=2), st.integers(0, 3))
@example(0, b" ", 0)
@example(len(release()) - 1, b"}\n", 1)
def test_bytes_changed_anywhere_are_recognised_only_where_the_slow_way_takes_them(
    at: int, put: bytes, taken: int
) -> None:
    content = release()
    changed = content[:at] + put + content[at + taken :]
    assert spelt_instant(changed) == judged(changed)


@settings(max_examples=400)
@given(st.sampled_from(MEMBERS), st.sampled_from(NEAR) | values)
@example("consent_version", 999_999_999_999_999)
def test_a_member_changed_at_will_is_judged_alike_both_ways(name: str, value: Any) -> None:
    try:
        content = trusted_bytes({**decoded(release()), name: value})
    except ValueError:
        return
    if name == "consent_version" and isinstance(value, int) and value >= 10**15:
        assert spelt_instant(content) is None, "so long a number is left to who reads numbers"
    else:
        assert spelt_instant(content) == judged(content)


@pytest.mark.parametrize("name", MEMBERS)
def test_without_a_member_or_with_it_twice_nothing_is_recognised(name: str) -> None:
    entry = decoded(release())
    member = trusted_bytes({name: entry[name]})[1:-1]
    content = release()
    assert member in content
    for changed in (content.replace(member + b",", b""), content.replace(member, member + b"," + member)):
        if changed != content:
            assert spelt_instant(changed) is None


def test_what_is_too_long_for_the_log_is_not_recognised() -> None:
    pair = b'["hi_card","value"]'
    many = b",".join([pair] * (ENTRY_BYTES_MAX // len(pair)))
    content = release().replace(pair, many)
    assert len(content) > ENTRY_BYTES_MAX
    assert spelt_instant(content) is None
    assert spelt_instant(release().replace(pair, many[: len(many) // 2 // 20 * 20 - 1])) is not None


@pytest.mark.parametrize(("kind", "content"), one_of_each_kind().items())
def test_entries_of_all_kinds_tell_their_instant(kind: str, content: bytes) -> None:
    assert checked_instant(content) == decoded(content)["at"]
    assert (spelt_instant(content) is not None) == (kind in ("release", "refusal"))
    with pytest.raises(EvidenceInvalid, match="entry_schema"):
        checked_instant(re.sub(rb'"schema":\d', b'"schema":9', content))
