"""Which counters a request raises, in which order, and how long a full one makes the asker wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from broker.actions.limits import LimitNotCountable, counter_steps, retry_after_seconds
from policies.civil_time import VIET_NAM
from policies.model import Limit

NOON = int(datetime(2026, 11, 22, 12, 34, 56, tzinfo=VIET_NAM).timestamp())
DAY = int(datetime(2026, 11, 22, tzinfo=VIET_NAM).timestamp())
HOUR = int(datetime(2026, 11, 22, 12, tzinfo=VIET_NAM).timestamp())
ALL = (Limit("data_subject_day", 20), Limit("acting_person_hour", 300), Limit("client_day", 20_000))
SUBJECTS = [bytes([at]) * 32 for at in (9, 1, 5)]


def steps(
    limits: tuple[Limit, ...] = ALL,
    *,
    now_seconds: int = NOON,
    agreement_id: str = "agreement",
    client_id: str = "client",
    staff_ref: bytes | None = b"s" * 32,
    subjects: list[bytes | None] | None = None,
) -> list[tuple[str, int, int, int, int, bytes]]:
    found = counter_steps(
        limits,
        now_seconds=now_seconds,
        agreement_id=agreement_id,
        client_id=client_id,
        staff_ref=staff_ref,
        data_subject_refs=SUBJECTS[:1] if subjects is None else subjects,
    )
    return [
        (
            one.limit_name,
            one.window_start_seconds,
            one.window_seconds,
            one.add_count,
            one.limit_count,
            one.counter_ref,
        )
        for one in found
    ]


def test_a_check_raises_three_counters_client_first_person_last() -> None:
    assert [one[:5] for one in steps()] == [
        ("client_day", DAY, 86_400, 1, 20_000),
        ("acting_person_hour", HOUR, 3_600, 1, 300),
        ("data_subject_day", DAY, 86_400, 1, 20),
    ]


def test_days_begin_at_midnight_of_viet_nam() -> None:
    midnight = int(datetime(2026, 11, 21, 17, tzinfo=UTC).timestamp())
    assert steps(now_seconds=midnight)[0][1] == midnight
    assert steps(now_seconds=midnight - 1)[0][1] == midnight - 86_400


def test_a_batch_counts_every_item_and_a_person_as_often_as_asked_about() -> None:
    first, second, third = SUBJECTS
    found = steps(subjects=[first, second, None, first, third, None])
    assert [one[3] for one in found if one[0] != "data_subject_day"] == [6, 6]
    persons = [one for one in found if one[0] == "data_subject_day"]
    assert sorted(one[3] for one in persons) == [1, 1, 2]
    assert [one[5] for one in persons] == sorted(one[5] for one in persons), "always in the same order"


def test_nobody_found_raises_no_counter_of_a_person() -> None:
    assert [one[0] for one in steps(subjects=[None])] == ["client_day", "acting_person_hour"]


def test_an_agreement_without_limits_counts_nothing() -> None:
    assert steps(limits=()) == []


def test_a_limit_per_staff_member_needs_one() -> None:
    with pytest.raises(LimitNotCountable):
        steps(staff_ref=None)
    assert [one[0] for one in steps((Limit("client_day", 1),), staff_ref=None)] == ["client_day"]


def test_counters_of_different_agreements_clients_and_persons_are_different() -> None:
    refs = [
        one[5]
        for found in (
            steps(),
            steps(agreement_id="another"),
            steps(client_id="another", staff_ref=b"t" * 32, subjects=[SUBJECTS[1]]),
        )
        for one in found
    ]
    assert len(set(refs)) == 9
    assert {len(ref) for ref in refs} == {16}
    assert steps() == steps(), "and the same every time"


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["acting_person_hour"], 3_600 - 34 * 60 - 56),
        (["client_day"], DAY + 86_400 - NOON),
        (["acting_person_hour", "data_subject_day"], DAY + 86_400 - NOON),
        ([], 1),
    ],
)
def test_waiting_ends_when_all_full_windows_have_ended(names: list[str], seconds: int) -> None:
    assert retry_after_seconds(names, NOON) == seconds


def test_at_the_last_second_one_second_is_left() -> None:
    assert retry_after_seconds(["client_day"], DAY + 86_399) == 1
    assert retry_after_seconds(["acting_person_hour"], HOUR + 3_599) == 1
    assert retry_after_seconds(["client_day"], DAY) == 86_400
