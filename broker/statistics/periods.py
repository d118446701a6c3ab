"""The period of a release: a quarter, such as 2026-q3, with its three months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from broker.statistics.reasons import StatisticsRefused

_FORM: Final = re.compile(r"(20[0-9]{2})-q([1-4])")
MONTHS: Final = 3


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter of a year. number: 1 to 4."""

    year: int
    number: int

    @property
    def code(self) -> str:
        """How operators and releases name it: 2026-q3."""
        return f"{self.year}-q{self.number}"

    @property
    def months(self) -> tuple[date, ...]:
        """The first days of its months."""
        first = MONTHS * (self.number - 1)
        return tuple(date(self.year, first + number, 1) for number in (1, 2, 3))

    @property
    def first_day(self) -> date:
        """Its first day."""
        return self.months[0]

    @property
    def last_day(self) -> date:
        """Its last day: what is true of a person is taken as on that day."""
        year, month = divmod(12 * self.year + MONTHS * self.number, 12)
        return date(year, month + 1, 1) - timedelta(days=1)


def parse_quarter(text: str) -> Quarter:
    """Return the quarter that a text names. Raises StatisticsRefused("period_malformed")."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise StatisticsRefused("period_malformed", f"{text[:20]!r} is no quarter; one is written 2026-q3")
    return Quarter(int(form[1]), int(form[2]))


def month_code(month: date) -> str:
    """Return a month's code, as in tables and in paths: 2026-07."""
    return f"{month.year}-{month.month:02d}"


def release_code(quarter: Quarter, revision: int) -> str:
    """Return the code of a quarter's release: 2026-q3.1."""
    return f"{quarter.code}.{revision}"
