"""`erase_evidence`: what opens a person's evidence of one year is erased, or kept because the law says so.

Which it is depends on the year alone: evidence of a calendar year is kept until the last day of the year
that the retention setting names. So a year that runs is never erased, and no release can come in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Protocol

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.actions.doors import Pseudonyms, Salts
from broker.evidence.acting import IN_OFFICE, OPERATORS, Acting, Drafts
from broker.evidence.canonical import commitment
from broker.evidence.erasure_entry import Erasure, ErasureResult, erasure_entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import EvidenceRow
from connectors.base import LookupKey, Source
from policies.civil_time import civil_date

RETENTION_GROUND: Final = "decree_165_2025_17_10"
"""The law that processing logs are kept by (Decree 165/2025 art. 17.10, read in a secondary source)."""
_COLUMNS: Final = ("personal_id",)


class PersonUnknown(Exception):
    """Nobody with this personal id is known, neither to the source nor by an account."""


class ErasureStore(Protocol):
    """Where evidence is erased. All methods raise StoreUnavailable."""

    def count(self, refs: Sequence[bytes], year: int) -> int:
        """Return how many entries about a person are found in a year."""
        ...

    def erase(self, refs: Sequence[bytes], year: int, row: EvidenceRow) -> int:
        """Erase and record it, or do nothing and return 0 where nothing is found."""
        ...

    def keep(self, row: EvidenceRow) -> None:
        """Record that something is kept by law, or that somebody looked, with what opens that entry."""
        ...


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an erasure would do. kept_until: last civil day on which the law keeps it, or None."""

    entry_count: int
    kept_until: date | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done. reference: of the entry that says so, "" where there was nothing to do."""

    result: ErasureResult | None
    entry_count: int
    kept_until: date | None
    reference: str


@dataclass(frozen=True, slots=True)
class EraseEvidence:
    """The verb with its doors.

    citizen_of: personal id → account id, "" for none. retention_years: how many years after the end of a
    calendar year its evidence is kept by law. deadline_seconds: for the look-up in the source.
    """

    store: ErasureStore
    source: Source
    citizen_of: Callable[[str], str]
    pseudonyms: Pseudonyms
    salts: Salts
    new_reference: Callable[[], str]
    retention_years: int
    deadline_seconds: float

    def look(self, personal_id: str, year: int, operator: str, at: datetime) -> Prospect:
        """Return what would be erased, once it is recorded that the operator looks; change nothing else.

        Raises PersonUnknown, SourceUnavailable, SourceAnswerRefused, StoreUnavailable.
        """
        names = self._names(personal_id)
        entry_count = self.store.count(self._refs(names), year)
        self.store.keep(self._looked(names[0], year, operator, at))
        return Prospect(entry_count, self._kept_until(year, at))

    def erase(self, personal_id: str, year: int, ground: str, operator: str, at: datetime) -> Outcome:
        """Erase a year of a person's evidence, or record that the law keeps it. ground: code of the article.

        Raises the same as `look`. Said again it finds nothing and does nothing.
        """
        names = self._names(personal_id)
        refs, kept_until = self._refs(names), self._kept_until(year, at)
        row = self._row(names[0], year, ground, operator, at, kept_until)
        if kept_until is not None:
            entry_count = self.store.count(refs, year)
            self.store.keep(row)
            return Outcome("kept", entry_count, kept_until, row.reference)
        entry_count = self.store.erase(refs, year, row)
        if not entry_count:
            return Outcome(None, 0, None, "")
        return Outcome("erased", entry_count, None, row.reference)

    def _names(self, personal_id: str) -> list[str]:
        """Return by what names evidence knows a person: the source's own key and the account."""
        record = self.source.fetch(LookupKey("personal_id", personal_id), _COLUMNS, self.deadline_seconds)
        account = self.citizen_of(personal_id)
        names = [] if record is None else [record.data_subject]
        names += [CITIZEN_PREFIX + account] if account else []
        if not names:
            raise PersonUnknown
        return names

    def _refs(self, names: Sequence[str]) -> list[bytes]:
        return [self.pseudonyms.data_subject_ref(name) for name in names]

    def _kept_until(self, year: int, at: datetime) -> date | None:
        until = date(year + self.retention_years, 12, 31)
        return until if civil_date(at) <= until else None

    def _looked(self, name: str, year: int, operator: str, at: datetime) -> EvidenceRow:
        who = self.pseudonyms.staff_ref(OPERATORS, operator).hex()
        drafts = Drafts(
            acting=Acting(actor="operator", acting_person=who),
            clock=lambda: at,
            new_reference=self.new_reference,
            salts=self.salts,
            data_subject_ref=self.pseudonyms.data_subject_ref,
        )
        period = (datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
        return drafts.log_read("operator", "entry_count", IN_OFFICE, data_subject=name, period=period)

    def _row(
        self, name: str, year: int, ground: str, operator: str, at: datetime, kept_until: date | None
    ) -> EvidenceRow:
        salt, reference = self.salts(), self.new_reference()
        result: ErasureResult = "erased" if kept_until is None else "kept"
        erasure = Erasure(
            reference=reference,
            at=at,
            data_subject_commit=commitment(salt, name.encode()),
            year=year,
            result=result,
            legal_ground=ground if kept_until is None else RETENTION_GROUND,
            kept_until="" if kept_until is None else kept_until.isoformat(),
            acting_person=self.pseudonyms.staff_ref(OPERATORS, operator).hex(),
        )
        return EvidenceRow(
            reference=reference,
            kind="erasure",
            entry=erasure_entry_bytes(erasure),
            year=key_year(at),
            data_subject_ref=self.pseudonyms.data_subject_ref(name),
            data_subject_salt=salt,
            payload_salt=None,
        )
