"""Civil time of Viet Nam: the law's days are days of this zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

VIET_NAM = timezone(timedelta(hours=7), "UTC+07:00")
"""One zone, no daylight saving."""


def civil_date(instant: datetime) -> date:
    """Return the calendar day of Viet Nam on which an aware instant falls."""
    return instant.astimezone(VIET_NAM).date()


def midnight(day: date) -> datetime:
    """Return the instant at which a calendar day of Viet Nam begins."""
    return datetime.combine(day, time.min, VIET_NAM)


def day_start_seconds(unix_seconds: int) -> int:
    """Return the Unix time at which the civil day of an instant began."""
    offset = int(VIET_NAM.utcoffset(None).total_seconds())
    local = unix_seconds + offset
    return local - local % 86_400 - offset
