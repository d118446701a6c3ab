"""Working days of Viet Nam: Monday to Friday, without the public holidays of public_holidays.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from policies.reading import read_toml
from policies.vocabulary import CERTAINTIES

FILE: Final = "public_holidays.toml"
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class NamedDay:
    """A day of the calendar that is not what its weekday says. certainty: S | S-full | U."""

    day: date
    certainty: str
    name_vi: str
    source: str


@dataclass(frozen=True, slots=True)
class Holidays:
    """The table of public holidays, and of weekend days that are worked instead."""

    days_off: Mapping[date, NamedDay]
    worked: Mapping[date, NamedDay]

    def is_working_day(self, day: date) -> bool:
        """Return whether an authority works on a day, as far as that is verified.

        What is not verified (U) never lets anybody wait longer.
        """
        if day.weekday() >= _SATURDAY:
            named = self.worked.get(day)
            return named is not None and named.certainty != "U"
        named = self.days_off.get(day)
        return named is None or named.certainty == "U"

    def working_day_after(self, day: date, count: int) -> date:
        """Return the count-th working day after a day, which does not count (Civil Code 2015 art. 147)."""
        while count:
            day += timedelta(days=1)
            count -= self.is_working_day(day)
        return day


def read_holidays(text: str, file: str = FILE) -> Holidays:
    """Read a table of holidays. Raises PolicyError for anything not understood, or a day named twice."""
    top = read_toml(text, file)
    tables: dict[str, dict[date, NamedDay]] = {}
    for name in ("days_off", "worked"):
        found = tables.setdefault(name, {})
        for entry in top.tables(name, optional=True):
            day = entry.day("day")
            if day in found:
                raise entry.refusal("day", "stands here once already")
            if (day.weekday() >= _SATURDAY) is (name == "days_off"):
                raise entry.refusal("day", "is what its weekday says already")
            found[day] = NamedDay(
                day, entry.word("certainty", CERTAINTIES), entry.text("name_vi"), entry.text("source")
            )
            entry.finish()
    top.finish()
    return Holidays(**tables)
