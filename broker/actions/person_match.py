"""Do the asker's words fit the record? Names and birth dates as a reception desk writes them.

When two names count as equal is said in `policies.names`; agreement of initials only is a near miss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Final, Literal, TypeAlias

from policies.names import name_syllables

Precision: TypeAlias = Literal["day", "month", "year"]

_DAY: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})|([0-9]{2})([0-9]{2})([0-9]{4})")
_ISO: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MONTH: Final = re.compile(r"([0-9]{1,2})/([0-9]{4})")
_YEAR: Final = re.compile(r"[0-9]{4}")
_EARLIEST_YEAR: Final = 1890


class NameMatch(Enum):
    """How two names agree."""

    EQUAL = "equal"
    INITIALS = "initials"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class BirthDate:
    """A birth date as far as it is known: the missing parts of `day` are 1."""

    day: date
    precision: Precision


class BirthDateMalformed(ValueError):
    """The text is no birth date in one of the accepted forms."""


def match_names(asked: str, recorded: str) -> NameMatch:
    """Compare two full names. A blank name fits nothing, a blank record neither."""
    if asked == recorded and asked.strip():
        return NameMatch.EQUAL
    ours, theirs = name_syllables(recorded), name_syllables(asked)
    if not ours or not theirs:
        return NameMatch.DIFFERENT
    if ours == theirs:
        return NameMatch.EQUAL
    if len(ours) == len(theirs) and all(a[0][:1] == b[0][:1] for a, b in zip(ours, theirs, strict=True)):
        return NameMatch.INITIALS
    return NameMatch.DIFFERENT


def parse_birth_date(text: str, not_after: date) -> BirthDate:
    """Return a birth date from dd/MM/yyyy, ddMMyyyy, MM/yyyy, yyyy or yyyy-MM-dd.

    not_after: today; a birth date in the future or before 1890 is malformed.
    Raises BirthDateMalformed without repeating the text.
    """
    day, month, year, precision = _parts(text.strip())
    try:
        found = BirthDate(date(year, month, day), precision)
    except ValueError:
        raise BirthDateMalformed("no such day") from None
    if year < _EARLIEST_YEAR or found.day > not_after:
        raise BirthDateMalformed("a birth date lies between 1890 and today")
    return found


def _parts(text: str) -> tuple[int, int, int, Precision]:
    if match := _DAY.fullmatch(text):
        day, month, year = (match[1], match[2], match[3]) if match[1] else (match[4], match[5], match[6])
        return int(day), int(month), int(year), "day"
    if match := _ISO.fullmatch(text):
        return int(match[3]), int(match[2]), int(match[1]), "day"
    if match := _MONTH.fullmatch(text):
        return 1, int(match[1]), int(match[2]), "month"
    if _YEAR.fullmatch(text):
        return 1, 1, int(text), "year"
    raise BirthDateMalformed("dd/MM/yyyy, ddMMyyyy, MM/yyyy, yyyy or yyyy-MM-dd")


def match_birth_dates(asked: BirthDate, recorded: BirthDate) -> bool:
    """Return whether the asker knows the recorded birth date, as precisely as it is recorded.

    A record that knows only the year is matched by a full date of that year (ID cards print one); a record
    that knows the day is not matched by the bare year, or a name and a guess would do.
    """
    if recorded.precision == "year":
        return asked.day.year == recorded.day.year
    if recorded.precision == "month":
        return asked.precision != "year" and (asked.day.year, asked.day.month) == (
            recorded.day.year,
            recorded.day.month,
        )
    return asked.precision == "day" and asked.day == recorded.day
