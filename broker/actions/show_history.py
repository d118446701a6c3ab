"""`show_history`: who saw a person's data and who tried to, for that person alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.errors import StoreUnavailable
from broker.evidence.history import (
    CHART_MONTHS,
    PAGE_SIZE,
    HistoryCount,
    HistoryEntry,
    HistoryFilter,
    KeptOpening,
    months_before,
)
from connectors.base import LookupKey, Source, SourceAnswerRefused, SourceUnavailable
from policies.civil_time import civil_date

ACTION: Final = "show_history"
_COLUMNS: Final = ("personal_id",)


class HistoryStore(Protocol):
    """The entries of the log, by keyed hash of whom they are about. All methods raise StoreUnavailable.

    today: civil day of Viet Nam; what an agreement hides on it is as if it were not there.
    """

    def find_entries(
        self, refs: Sequence[bytes], wanted: HistoryFilter, today: date
    ) -> Sequence[HistoryEntry]:
        """Return the newest entries that fit, one more than a page has."""
        ...

    def find_entry(self, refs: Sequence[bytes], reference: str, today: date) -> HistoryEntry | None:
        """Return the one look under a reference (text of a UUID), None for one about anybody else."""
        ...

    def find_opening(self, refs: Sequence[bytes], reference: str, today: date) -> KeptOpening | None:
        """Return one entry of any kind with its salts, None for one about anybody else."""
        ...

    def count_entries(self, refs: Sequence[bytes], first_month: date, today: date) -> Sequence[HistoryCount]:
        """Return how often each recipient came per month since a month."""
        ...


@dataclass(frozen=True, slots=True)
class OwnEvidence:
    """Under which references one person's evidence is found, and the names they are hashes of.

    is_complete: False when the source could not be asked; then only what names the account is found.
    """

    refs: tuple[bytes, ...]
    names: tuple[str, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry and all that opens its commitments (`broker.evidence.verifier.verified` takes it as it is).

    entry: RFC 8785 bytes. data_subject: the name that was committed to. Salts: 32 bytes, None where the entry
    commits to nothing. The payload is the answer's bytes, which its recipient has and the broker does not.
    """

    entry: bytes
    data_subject: str
    data_subject_salt: bytes | None
    payload_salt: bytes | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page, newest first. following: `before` of the next page, "" on the last one.

    counts: of the last twelve months, whatever is looked for. months: their first days.
    """

    entries: Sequence[HistoryEntry]
    following: str
    counts: Sequence[HistoryCount]
    months: tuple[date, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """The verb with its doors.

    data_subject_ref: keyed hash of a data subject's opaque key. personal_id_of: account → personal id, "" for
    none. deadline_seconds: for the look-up in the source.
    """

    store: HistoryStore
    source: Source
    data_subject_ref: Callable[[str], bytes]
    personal_id_of: Callable[[str], str]
    deadline_seconds: float

    def page(self, citizen_id: str, wanted: HistoryFilter, at: datetime) -> HistoryPage:
        """Return a page of what happened to an account's holder. Raises StoreUnavailable."""
        own = self.evidence_of(citizen_id)
        today = civil_date(at)
        months = months_before(today, CHART_MONTHS)
        found = self.store.find_entries(own.refs, wanted, today)
        entries = found[:PAGE_SIZE]
        return HistoryPage(
            entries=entries,
            following=entries[-1].reference if len(found) > PAGE_SIZE else "",
            counts=self.store.count_entries(own.refs, months[0], today),
            months=months,
            is_complete=own.is_complete,
        )

    def find_entry(self, citizen_id: str, reference: str, at: datetime) -> HistoryEntry | None:
        """Return one look at an account holder's data; None for anybody else's, as for one that is not.

        Raises StoreUnavailable, also for an entry that is not found while the source cannot be asked: then
        nobody knows whose it is, and it is said of none that it is another's.
        """
        own = self.evidence_of(citizen_id)
        found = self.store.find_entry(own.refs, reference, civil_date(at))
        if found is None and not own.is_complete:
            raise StoreUnavailable("the source cannot say whose entry this is")
        return found

    def open_entry(self, citizen_id: str, reference: str, at: datetime) -> OpenedEntry | None:
        """Return one entry about an account's holder with what opens it; None for anybody else's.

        reference: text of a UUID. What was erased is nobody's any more, what is hidden nobody's
        yet. Raises the same as `find_entry`.
        """
        own = self.evidence_of(citizen_id)
        kept = self.store.find_opening(own.refs, reference, civil_date(at))
        if kept is None:
            if not own.is_complete:
                raise StoreUnavailable("the source cannot say whose entry this is")
            return None
        name = own.names[own.refs.index(kept.ref)]
        return OpenedEntry(kept.entry, name, kept.data_subject_salt, kept.payload_salt)

    def evidence_of(self, citizen_id: str) -> OwnEvidence:
        """Return under which references a person's evidence is found.

        What was stopped before the record was looked up names the account, all else the source's own opaque
        key. That is asked for each time: the broker keeps no copy that could outlive a correction there.
        """
        account = CITIZEN_PREFIX + citizen_id
        key = LookupKey("personal_id", self.personal_id_of(citizen_id))
        try:
            record = self.source.fetch(key, _COLUMNS, self.deadline_seconds)
        except (SourceUnavailable, SourceAnswerRefused):
            return self._known_as((account,), is_complete=False)
        names = (account,) if record is None else (account, record.data_subject)
        return self._known_as(names, is_complete=True)

    def _known_as(self, names: tuple[str, ...], *, is_complete: bool) -> OwnEvidence:
        return OwnEvidence(tuple(map(self.data_subject_ref, names)), names, is_complete)
