"""Which days the rows of repeating groups speak of, and which rows lie within a range of days.

A person may consent to a part of the time only; then a row leaves only if it speaks of no day outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Final

from policies.form_context import as_day
from policies.model import Record, Value

ROW_DAYS: Final[Mapping[str, tuple[str, str]]] = {
    "hi_cards": ("valid_from", "valid_to"),
    "contributions": ("contribution_from", "contribution_to"),
    "unemployment": ("unemployment_from", "unemployment_to"),
    "benefits": ("benefit_from", "benefit_to"),
}
"""Repeating group → the fields that say from when to when a row speaks."""


def range_columns(groups: frozenset[str]) -> tuple[str, ...]:
    """Return the fields that must be read so that rows of these groups can be held against a range."""
    return tuple(name for group, names in ROW_DAYS.items() if group in groups for name in names)


def within_days(record: Record, first_day: date | None, last_day: date | None, today: date) -> Record:
    """Return a record whose repeating groups hold only rows that speak of no day outside a range.

    first_day, last_day: inclusive; None is open. A row without an end speaks of the days up to today; one
    without a beginning, and any row of a group whose days nobody knows, is dropped: it could speak of any
    day. Fields held once per person are not touched: they speak of today.
    """
    groups = {
        group: tuple(row for row in rows if _is_within(group, row, first_day, last_day, today))
        for group, rows in record.groups.items()
    }
    return replace(record, groups=groups)


def _is_within(
    group: str, row: Mapping[str, Value], first_day: date | None, last_day: date | None, today: date
) -> bool:
    names = ROW_DAYS.get(group)
    began = None if names is None else as_day(row.get(names[0]))
    if names is None or began is None:
        return False
    ended = as_day(row.get(names[1])) or max(today, began)
    return (first_day is None or began >= first_day) and (last_day is None or ended <= last_day)
