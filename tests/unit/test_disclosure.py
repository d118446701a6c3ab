"""On which day a hidden look is shown, and how far that day can be moved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from broker.evidence.disclosure import HiddenLook, find_extension_fault, next_quarter, quarter_of
from policies.civil_time import civil_date

# 18:30 UTC: the first of November in Viet Nam already.
LOOK = HiddenLook("r", datetime(2026, 10, 31, 18, 30, tzinfo=UTC), hidden_days=30, hidden_days_maximum=90)


def test_days_are_counted_from_the_civil_day_of_viet_nam() -> None:
    assert LOOK.disclosed_on == date(2026, 12, 1)
    assert LOOK.last_day == date(2027, 1, 30)
    assert [LOOK.is_hidden(date(2026, 11, 30)), LOOK.is_hidden(date(2026, 12, 1))] == [True, False]


def test_an_extension_goes_forward_within_the_maximum_while_it_is_hidden() -> None:
    today = date(2026, 11, 20)
    assert find_extension_fault(LOOK, date(2026, 12, 2), today) is None
    assert find_extension_fault(LOOK, date(2027, 1, 30), today) is None
    assert find_extension_fault(LOOK, date(2027, 1, 31), today) == "beyond_maximum"
    assert find_extension_fault(LOOK, date(2026, 12, 1), today) == "not_later"
    assert find_extension_fault(LOOK, date(2027, 1, 1), date(2026, 12, 1)) == "already_disclosed"


@given(
    seconds=some.integers(0, 126_000_000),
    days=some.integers(1, 366),
    more=some.integers(0, 3_000),
    wishes=some.lists(some.tuples(some.integers(0, 4_000), some.integers(0, 4_000)), max_size=6),
)
def test_whatever_is_wished_the_day_of_disclosure_comes_and_never_goes_back(
    seconds: int, days: int, more: int, wishes: list[tuple[int, int]]
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    look = HiddenLook("r", at, days, days + more)
    first = civil_date(at)
    for today, until in sorted(wishes):
        moved = HiddenLook("r", at, days, days + more, first + timedelta(days=until))
        if find_extension_fault(look, first + timedelta(days=until), first + timedelta(days=today)) is None:
            assert look.is_hidden(first + timedelta(days=today))
            assert look.disclosed_on < moved.disclosed_on <= look.last_day
            look = moved
    assert first + timedelta(days=days) <= look.disclosed_on <= first + timedelta(days=days + more)
    assert not look.is_hidden(look.last_day)


@given(some.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_every_day_lies_in_one_quarter(day: date) -> None:
    quarter = quarter_of(day)
    assert quarter <= day < next_quarter(quarter)
    assert (quarter.day, quarter.month % 3) == (1, 1)
    assert quarter_of(next_quarter(quarter)) == next_quarter(quarter)
