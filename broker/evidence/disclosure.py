"""From which day on a person sees a look that an agreement kept out of the own history for a while.

Days are civil days of Viet Nam. The day is fixed by the agreement's revision under which the look was
answered, and moves only by an extension: an act of administration with evidence, never back behind a day
that has come, and never beyond the maximum of that revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, TypeAlias

from policies.civil_time import civil_date

ExtensionFault: TypeAlias = Literal["already_disclosed", "not_later", "beyond_maximum"]


@dataclass(frozen=True, slots=True)
class HiddenLook:
    """A look under an agreement that hides looks.

    at: of the entry, aware. hidden_days, hidden_days_maximum: of the revision, from the day of the look, the
    second with every extension. extended_until: the latest day that an extension named, None without.
    """

    reference: str
    at: datetime
    hidden_days: int
    hidden_days_maximum: int
    extended_until: date | None = None

    @property
    def disclosed_on(self) -> date:
        """The first day on which the person sees it."""
        first = civil_date(self.at) + timedelta(days=self.hidden_days)
        return first if self.extended_until is None else max(first, self.extended_until)

    @property
    def last_day(self) -> date:
        """The latest day of disclosure that any extension may name."""
        return civil_date(self.at) + timedelta(days=self.hidden_days_maximum)

    def is_hidden(self, today: date) -> bool:
        """Return whether the person does not see it yet."""
        return today < self.disclosed_on


@dataclass(frozen=True, slots=True)
class CountedQuarter:
    """How many looks were kept out of histories in a quarter, and how often a day of disclosure was moved.

    quarter: its first day. counts, extension_counts: by organisation.
    """

    quarter: date
    counts: Mapping[str, int]
    extension_counts: Mapping[str, int]

    @property
    def name(self) -> str:
        """The quarter as it is written: 2026-Q4."""
        return f"{self.quarter.year}-Q{(self.quarter.month + 2) // 3}"


def find_extension_fault(look: HiddenLook, until: date, today: date) -> ExtensionFault | None:
    """Return why the day of disclosure cannot be moved to a day, or None if it can.

    What a person may have seen is not hidden again.
    """
    if not look.is_hidden(today):
        return "already_disclosed"
    if until <= look.disclosed_on:
        return "not_later"
    if until > look.last_day:
        return "beyond_maximum"
    return None


def quarter_of(day: date) -> date:
    """Return the first day of the calendar quarter in which a day lies."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def next_quarter(quarter: date) -> date:
    """Return the first day of the quarter after one that begins on a day."""
    return quarter_of(quarter + timedelta(days=93))
