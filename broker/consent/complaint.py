"""A citizen's complaint about what happened to the own data: what is kept of it, and until when it is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, TypeAlias

from policies.civil_time import VIET_NAM, civil_date
from policies.working_days import Holidays

ComplaintStatus: TypeAlias = Literal["received", "acknowledged", "answered"]
TEXT_MAX: Final = 2000
"""Characters of a complaint and of its answer."""
ACKNOWLEDGE_DAYS: Final = 2
"""Working days within which a complaint is acknowledged (Decree 356/2025 art. 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One complaint. reference: evidence that it is about, "" for none. acknowledge_by: aware UTC, exclusive.

    text, answer: the citizen's and the agency's words, opened; answer "" until there is one.
    """

    complaint_id: str
    citizen_id: str
    reference: str
    status: ComplaintStatus
    received_at: datetime
    acknowledge_by: datetime
    acknowledged_at: datetime | None = None
    answered_at: datetime | None = None
    text: str = field(default="", repr=False)
    answer: str = field(default="", repr=False)

    @property
    def due_day(self) -> date:
        """Return the last day of Viet Nam on which it is acknowledged in time."""
        return civil_date(self.acknowledge_by - timedelta(seconds=1))

    def is_late(self, at: datetime) -> bool:
        """Return whether nobody has acknowledged it in time."""
        return (self.acknowledged_at or at) >= self.acknowledge_by


def acknowledge_by(received_at: datetime, holidays: Holidays) -> datetime:
    """Return the end of the second working day after an aware instant, as a UTC instant."""
    day = holidays.working_day_after(civil_date(received_at), ACKNOWLEDGE_DAYS)
    return datetime.combine(day + timedelta(days=1), time.min, VIET_NAM).astimezone(UTC)


def find_text_fault(text: str) -> str | None:
    """Return what is wrong with the words of a complaint: empty, too_long, unreadable, or None.

    Line ends count as one character; other control characters are nobody's words.
    """
    plain = plain_text(text)
    if not plain:
        return "empty"
    if len(plain) > TEXT_MAX:
        return "too_long"
    if any(not one.isprintable() and one not in "\n\t" for one in plain):
        return "unreadable"
    return None


def plain_text(text: str) -> str:
    """Return a text as it is kept: line ends as browsers send them made one character, trimmed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
