"""`complain`: a citizen says that something about the own data was not right, and sees what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from broker.consent.complaint import Complaint, acknowledge_by, find_text_fault, plain_text
from broker.evidence.history import HistoryEntry, is_reference
from policies.working_days import Holidays


class ComplaintStore(Protocol):
    """Keeps complaints. All methods raise StoreUnavailable."""

    def keep(self, complaint: Complaint) -> bool:
        """Keep a complaint; False if its id is taken."""
        ...

    def find_of_citizen(self, citizen_id: str) -> Sequence[Complaint]:
        """Return a person's complaints, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Complain:
    """The verb with its doors.

    find_entry: (citizen id, reference, instant) → the own entry of the history, None for anybody else's.
    new_id: a fresh UUIDv7 as text.
    """

    store: ComplaintStore
    holidays: Holidays
    find_entry: Callable[[str, str, datetime], HistoryEntry | None]
    new_id: Callable[[], str]

    def about(self, citizen_id: str, reference: str, at: datetime) -> HistoryEntry | None:
        """Return what a complaint would be about; None for what is no reference or not about this person.

        Raises StoreUnavailable, also where the source cannot say whose it is.
        """
        return self.find_entry(citizen_id, reference, at) if is_reference(reference) else None

    def file(self, citizen_id: str, complaint_id: str, entry: HistoryEntry, text: str, at: datetime) -> bool:
        """Keep a complaint; False if this very one was kept before.

        entry: what `about` found for this person. complaint_id: from the form, made by `new_id`. Raises
        ValueError for words that `find_text_fault` does not let through, StoreUnavailable.
        """
        if find_text_fault(text) is not None:
            raise ValueError("the text of a complaint")
        return self.store.keep(
            Complaint(
                complaint_id=complaint_id,
                citizen_id=citizen_id,
                reference=entry.reference,
                status="received",
                received_at=at,
                acknowledge_by=acknowledge_by(at, self.holidays),
                text=plain_text(text),
            )
        )

    def list_mine(self, citizen_id: str) -> Sequence[Complaint]:
        """Return a person's own complaints, the newest first."""
        return self.store.find_of_citizen(citizen_id)
