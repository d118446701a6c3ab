"""From what a source says of a person to the category of a dimension: never a guess, `_U` or `_Z` instead."""

from __future__ import annotations

from datetime import date
from typing import Final

from broker.statistics.dimension_making import NONE, UNKNOWN
from broker.statistics.dimensions import PAYERS, band_of
from broker.statistics.provinces import PROVINCES
from broker.statistics.sectors import section_of
from policies.provinces import OLD_PROVINCES

AGE_MAX: Final = 120
"""Who would be older has a birth date that somebody made up."""
_SEXES: Final = {"female": "F", "male": "M"}
_FACILITY_LENGTH: Final = 5
_LEVELS: Final = frozenset("12345")
_MONTHLY: Final = frozenset({"pension"})
"""Benefits whose amount is paid in each month; all others are paid once, in the month in which they begin."""


def province_code(code: str | None) -> str:
    """Return the category of a residence, which has the codes of today."""
    return code if code in PROVINCES else UNKNOWN


def sex_code(sex: str | None) -> str:
    """Return the category of a sex."""
    return _SEXES.get(sex or "", UNKNOWN)


def age_code(born: date | None, on_day: date) -> str:
    """Return the band of whole years on a day; of who was born later there is none to ask for."""
    if born is None:
        return UNKNOWN
    age = on_day.year - born.year - ((on_day.month, on_day.day) < (born.month, born.day))
    return band_of(age) if 0 <= age <= AGE_MAX else UNKNOWN


def payer_code(payer: str | None) -> str:
    """Return the category of a card's payer group."""
    return payer if payer in PAYERS else UNKNOWN


def benefit_code(level: str | None) -> str:
    """Return the category of a card's benefit level."""
    return level if level in _LEVELS else UNKNOWN


def facility_code(facility: str | None) -> str:
    """Return the old province of a facility: the first two digits of a code of five. Others tell of none."""
    code = facility or ""
    return code[:2] if len(code) == _FACILITY_LENGTH and code[:2] in OLD_PROVINCES else UNKNOWN


def sector_code(unit: str | None, industry: str | None) -> str:
    """Return the sector of a contribution: `_Z` where no unit pays."""
    return NONE if unit is None else section_of(industry) or UNKNOWN


def is_paid_in(month: date, kind: str | None, first: date, last: date | None) -> bool:
    """Return whether a benefit counts in a month. month: its first day; first, last: days of the benefit."""
    if kind not in _MONTHLY:
        return first.replace(day=1) == month
    return first.replace(day=1) <= month and (last is None or month <= last)


def is_contributed_in(month: date, first: date, last: date | None) -> bool:
    """Return whether a contribution is of a month. first, last: first days of its months, or days in them."""
    return first.replace(day=1) <= month and (last is None or month <= last)
