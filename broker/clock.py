"""The only reader of time. Hearts and actions are given instants, never a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from time import monotonic
from typing import Protocol

VIET_NAM = timezone(timedelta(hours=7), "UTC+07:00")
"""Civil time of Viet Nam: one zone, no daylight saving; the law's days are days of this zone."""


class Clock(Protocol):
    """Gives the present instant."""

    def __call__(self) -> datetime:
        """Return now as an aware UTC instant."""
        ...


def system_clock() -> datetime:
    """Return now, aware, in UTC."""
    return datetime.now(UTC)


def civil_date(instant: datetime) -> date:
    """Return the calendar day of Viet Nam on which an aware instant falls."""
    return instant.astimezone(VIET_NAM).date()


def countdown(seconds: float) -> Callable[[], float]:
    """Return a function that says how many of these seconds are left; never below 0."""
    until = monotonic() + seconds
    return lambda: max(0.0, until - monotonic())
