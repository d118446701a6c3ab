"""Two working days of Viet Nam, over weekends and Tet; what is not verified lengthens no deadline."""

from __future__ import annotations

from datetime import date

import pytest

from policies.load import load_holidays
from policies.model import PolicyError
from policies.working_days import read_holidays

ENTRY = '[[{table}]]\nday = {day}\ncertainty = "{certainty}"\nname_vi = "Ngày nghỉ"\nsource = "a test"\n'


def entry(table: str, day: str, certainty: str = "S") -> str:
    return ENTRY.format(table=table, day=day, certainty=certainty)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-11-23", "2026-11-25"),  # Monday
        ("2026-11-26", "2026-11-30"),  # Thursday, over a weekend
        ("2026-11-27", "2026-12-01"),  # Friday
        ("2026-11-28", "2026-12-01"),  # Saturday
        ("2026-02-12", "2026-02-23"),  # Thursday before Tet: Friday, then the Monday after it
        ("2026-02-13", "2026-02-24"),  # Friday before Tet
        ("2026-02-17", "2026-02-24"),  # the lunar new year itself
        ("2026-04-24", "2026-04-29"),  # Friday; Monday is off in place of the Kings' Sunday
        ("2026-04-29", "2026-05-05"),  # Wednesday before 30 April and 1 May
        ("2026-12-31", "2027-01-05"),
    ],
)
def test_the_second_working_day_is_found_over_weekends_and_holidays(received: str, due: str) -> None:
    found = load_holidays().working_day_after(date.fromisoformat(received), 2)
    assert found == date.fromisoformat(due)


def test_a_day_off_that_is_not_verified_lengthens_no_deadline() -> None:
    unsure = read_holidays(entry("days_off", "2026-11-24", "U"))
    sure = read_holidays(entry("days_off", "2026-11-24", "S-full"))
    assert unsure.working_day_after(date(2026, 11, 23), 1) == date(2026, 11, 24)
    assert sure.working_day_after(date(2026, 11, 23), 1) == date(2026, 11, 25)


def test_a_saturday_that_is_worked_counts() -> None:
    worked = read_holidays(entry("worked", "2026-11-28"))
    assert worked.working_day_after(date(2026, 11, 27), 1) == date(2026, 11, 28)
    assert not read_holidays("").is_working_day(date(2026, 11, 28))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry("days_off", "2026-11-28"), "is what its weekday says already"),
        (entry("worked", "2026-11-27"), "is what its weekday says already"),
        (entry("days_off", "2026-11-27") * 2, "stands here once already"),
        (entry("days_off", "2026-11-27", "maybe"), "certainty"),
        ("[[days]]\n", "days"),
    ],
)
def test_a_table_that_says_something_odd_is_refused(text: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        read_holidays(text)


def test_every_shipped_day_names_its_source() -> None:
    holidays = load_holidays()
    named = [*holidays.days_off.values(), *holidays.worked.values()]
    assert len(named) > 20
    assert [one.day for one in named if len(one.source) < 10] == []
