"""Rows within a range of days: which rows speak of no day outside."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from policies.load import load_directory
from policies.model import Record, Value
from policies.row_days import ROW_DAYS, range_columns, within_days

TODAY = date(2026, 11, 22)


def kept(began: Value, ended: Value, first: date | None, last: date | None) -> bool:
    row = {"contribution_from": began, "contribution_to": ended}
    record = Record("p", datetime(2026, 11, 1, tzinfo=UTC), {"si_status": "x"}, {"contributions": (row,)})
    left = within_days(record, first, last, TODAY)
    assert left.fields == record.fields, "what is held once per person is not touched"
    return left.groups["contributions"] == (row,)


@pytest.mark.parametrize(
    ("began", "ended", "first", "last", "is_kept"),
    [
        (date(2026, 1, 1), date(2026, 6, 30), date(2026, 1, 1), date(2026, 6, 30), True),
        (date(2025, 12, 31), date(2026, 6, 30), date(2026, 1, 1), None, False),
        (date(2026, 1, 1), date(2026, 7, 1), None, date(2026, 6, 30), False),
        (date(2026, 1, 1), None, None, TODAY, True),
        (date(2026, 1, 1), None, None, date(2026, 11, 21), False),
        (date(2027, 1, 1), None, None, TODAY, False),
        (None, date(2026, 6, 30), None, None, False),
        (date(2020, 1, 1), None, None, None, True),
    ],
)
def test_a_row_stays_if_it_speaks_of_a_day_outside(
    began: Value, ended: Value, first: date | None, last: date | None, is_kept: bool
) -> None:
    assert kept(began, ended, first, last) is is_kept


def test_a_group_whose_days_nobody_knows_has_no_rows_in_any_range() -> None:
    record = Record("p", datetime(2026, 11, 1, tzinfo=UTC), {}, {"family": ({"family_name": "x"},)})
    assert within_days(record, None, None, TODAY).groups == {"family": ()}


def test_every_group_that_repeats_is_known_with_fields_of_its_own_or_holds_no_rows_in_time() -> None:
    catalogue = load_directory().catalogue
    repeating = {name for name, group in catalogue.groups.items() if group.repeats}
    assert repeating - set(ROW_DAYS) == {"family", "visits", "lookups"}
    for group, names in ROW_DAYS.items():
        assert {catalogue.fields[name].group for name in names} == {group}
        assert all(catalogue.fields[name].type in ("date", "month") for name in names)


def test_the_days_are_read_besides_what_leaves() -> None:
    assert range_columns(frozenset({"contributions", ""})) == ("contribution_from", "contribution_to")
