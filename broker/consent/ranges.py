"""Ranges of days and counts of uses: which lies within which, and when a period ends."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Literal, TypeAlias

from broker.consent.record import Consent, DataRange
from policies.civil_time import VIET_NAM, civil_date

CivilPeriod: TypeAlias = Literal["day", "week", "month"]


def is_range_within(inner: DataRange | None, outer: DataRange | None) -> bool:
    """Return whether inner speaks of no day that outer leaves out; None and open ends speak of all days."""
    first, last = _ends(inner)
    outer_first, outer_last = _ends(outer)
    return outer_first <= first <= last <= outer_last


def period_end(consent: Consent, at: datetime) -> datetime | None:
    """Return when the period ends in which releases are counted now; None where nothing is counted.

    Days, weeks (from Monday) and months are civil ones of Viet Nam; "consent" ends with the consent.
    """
    frequency = consent.terms.frequency
    if frequency is None:
        return None
    return consent.valid_to_at if frequency.per == "consent" else civil_period_end(frequency.per, at)


def civil_period_end(per: CivilPeriod, at: datetime) -> datetime:
    """Return when the civil day, week or month of an instant ends."""
    day = civil_date(at)
    if per == "week":
        day += timedelta(days=7 - day.weekday())
    elif per == "month":
        # Four days after the 28th it is the next month, however long this one is.
        day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    else:
        day += timedelta(days=1)
    return datetime.combine(day, time.min, VIET_NAM)


def _ends(days: DataRange | None) -> tuple[date, date]:
    if days is None:
        return date.min, date.max
    return days.first_day or date.min, days.last_day or date.max
