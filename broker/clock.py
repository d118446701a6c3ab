"""The only reader of time. Hearts and actions are given instants, never a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol


class Clock(Protocol):
    """Gives the present instant."""

    def __call__(self) -> datetime:
        """Return now as an aware UTC instant."""
        ...


def system_clock() -> datetime:
    """Return now, aware, in UTC."""
    return datetime.now(UTC)


def countdown(seconds: float) -> Callable[[], float]:
    """Return a function that says how many of these seconds are left; never below 0."""
    until = monotonic() + seconds
    return lambda: max(0.0, until - monotonic())
