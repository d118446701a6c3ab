"""What a policy of revision lets through: by how much changed and how many there are, and by nothing else."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.statistics.collapsed import collapsed
from broker.statistics.keys import record_key
from broker.statistics.parameters import CountParameters
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.revision import Change, RevisionPolicy, check_change, check_revision
from tests.oracles import D5V3, table_of

POLICY = RevisionPolicy()
ROWS = st.integers(0, 10**9)


def is_let_through(policy: RevisionPolicy, change: Change) -> bool:
    with suppress(StatisticsRefused):
        check_change(policy, change)
        return True
    return False


@given(before=ROWS, now=ROWS, gone=ROWS, come=ROWS)
def test_what_passes_lies_between_the_bounds_and_all_of_it_passes(
    before: int, now: int, gone: int, come: int
) -> None:
    change = Change(before, now, gone, come)
    most = max(before, now)
    differing = max(gone, come)
    expected = most > 0 and most <= 1000 * differing <= 200 * most
    assert is_let_through(POLICY, change) is expected


@given(before=ROWS, now=ROWS, gone=ROWS, come=ROWS)
def test_a_change_is_as_large_from_either_side(before: int, now: int, gone: int, come: int) -> None:
    there, back = Change(before, now, gone, come), Change(now, before, come, gone)
    assert there.permille == back.permille


@given(rows=st.integers(1, 10**9))
def test_the_same_rows_again_are_never_let_through(rows: int) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        check_change(POLICY, Change(rows, rows, 0, 0))
    assert refused.value.reason == "revision_unlikely"
    assert "would average out" in refused.value.detail


@given(before=ROWS, now=ROWS, gone=ROWS, come=ROWS)
def test_a_refusal_tells_no_number_of_rows(before: int, now: int, gone: int, come: int) -> None:
    details = []
    try:
        check_change(POLICY, Change(before, now, gone, come))
    except StatisticsRefused as refused:
        details.append(refused.detail)
    assert all(detail.split(" rows differ")[0] in _SAID for detail in details)


_SAID = ("less than 1 in 1000", "more than 200 in 1000")


@given(revision=st.integers(1, 50), most=st.integers(1, 10))
def test_no_more_revisions_than_the_policy_has(revision: int, most: int) -> None:
    policy = RevisionPolicy(revisions=most)
    if revision <= most:
        check_revision(policy, revision)
        return
    with pytest.raises(StatisticsRefused) as refused:
        check_revision(policy, revision)
    assert refused.value.reason == "revisions_exhausted"


@pytest.mark.parametrize(
    "changed",
    [
        {"revisions": 0},
        {"revisions": 11},
        {"least_permille": -1},
        {"least_permille": 201},
        {"most_permille": 1001},
    ],
)
def test_a_policy_outside_of_what_is_meant_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        RevisionPolicy(**changed)
    assert refused.value.reason == "rule_malformed"


def test_all_releases_of_a_quarter_together_leave_a_deviation_of_one_person() -> None:
    """The mean of as many draws as a quarter has releases: what is said of the number of revisions."""
    assert CountParameters(bound=5, variance=3, barred=2) == D5V3
    variance = table_of(D5V3).rows[-1].variance(1) / POLICY.revisions
    assert np.sqrt(variance) == pytest.approx(1.0, abs=0.01)


@given(secret=st.binary(min_size=32, max_size=32), person=st.text(max_size=20))
def test_a_collapsed_person_has_the_record_key_of_the_method(secret: bytes, person: str) -> None:
    number, key = collapsed(secret, person)
    assert key == record_key(secret, person)
    assert 0 <= number < 2**63


def test_nobody_is_the_same_number_in_two_releases() -> None:
    persons = [str(key) for key in range(2_000)]
    first = {collapsed(bytes(32), person) for person in persons}
    second = {collapsed(bytes([1]) * 32, person) for person in persons}
    assert len(first) == len(second) == len(persons)
    assert not {number for number, _ in first} & {number for number, _ in second}


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(StatisticsRefused, match="secret_malformed"):
        collapsed(b"short", "1")
