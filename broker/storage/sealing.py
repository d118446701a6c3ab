"""What a release before revision 0007 kept in the clear is sealed: batch by batch, before revision 0009.

The table it lay in is none of this release's any more: 0009 drops it, and is refused while rows are in it.

A batch is a range of the old table's pages: no index is needed, and pages that are done are passed over.
Each is one transaction that takes rows away there and puts them here, so a run that was stopped anywhere
is simply run again, and two at once share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Engine, text

from broker.evidence.recording import EvidenceRow
from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings
from broker.storage.tables import evidence_openings

BATCH_PAGES: Final = 32
_PAGES: Final = text("SELECT pg_relation_size('evidence_annex') / current_setting('block_size')::int")
_TAKEN: Final = text(
    """
DELETE FROM evidence_annex a USING evidence_entries e
WHERE a.ctid >= CAST(:first AS tid) AND a.ctid < CAST(:end AS tid) AND e.reference = a.reference
RETURNING a.reference, e.kind, CAST(left(convert_from(e.entry, 'UTF8')::json ->> 'at', 4) AS int) AS year,
  a.data_subject_ref, a.data_subject_salt, a.payload_salt
"""
)
_LEFT: Final = text("SELECT count(*) FROM evidence_annex")
_IS_THERE: Final = text("SELECT to_regclass('public.evidence_annex') IS NOT NULL")


class PostgresSealing:
    """Seals old rows. owner: engine of the owner role. All methods raise StoreUnavailable."""

    def __init__(self, owner: Engine, openings: PostgresOpenings, batch_pages: int = BATCH_PAGES) -> None:
        self._owner = owner
        self._openings = openings
        self._batch_pages = batch_pages

    def is_needed(self) -> bool:
        """Return whether the old table is there; since revision 0009 it is not."""
        with store_answers(), self._owner.connect() as connection:
            return bool(connection.execute(_IS_THERE).scalar_one())

    def count_pages(self) -> int:
        """Return how many pages the old table has."""
        with store_answers(), self._owner.connect() as connection:
            return int(connection.execute(_PAGES).scalar_one())

    def count_left(self) -> int:
        """Return how many rows are still in the clear."""
        with store_answers(), self._owner.connect() as connection:
            return int(connection.execute(_LEFT).scalar_one())

    def seal(self, page_count: int, on_pages: Callable[[int], None]) -> int:
        """Seal all rows of so many pages; return how many there were.

        on_pages: told after each batch how many pages are done. Raises EvidenceSecretUnreadable.
        """
        sealed = 0
        for first, end in self._ranges(page_count):
            sealed += self._seal(first, end)
            on_pages(end)
        return sealed

    def sweep(self) -> None:
        """Give the pages of the old table back, where nothing that is open still sees their rows."""
        autocommit = self._owner.execution_options(isolation_level="AUTOCOMMIT")
        with store_answers(), autocommit.connect() as connection:
            connection.execute(text("VACUUM evidence_annex"))

    def _ranges(self, page_count: int) -> Iterator[tuple[int, int]]:
        for first in range(0, page_count, self._batch_pages):
            yield first, min(first + self._batch_pages, page_count)

    def _seal(self, first: int, end: int) -> int:
        with store_answers(), self._owner.begin() as connection:
            taken = connection.execute(_TAKEN, {"first": f"({first},0)", "end": f"({end},0)"}).all()
            rows = [self._sealed(row) for row in taken]
            if rows:
                connection.execute(evidence_openings.insert(), rows)
        return len(rows)

    def _sealed(self, row: Any) -> dict[str, Any]:
        evidence = EvidenceRow(
            reference=str(row.reference),
            kind=row.kind,
            entry=b"",
            year=row.year,
            data_subject_ref=_bytes(row.data_subject_ref),
            data_subject_salt=_bytes(row.data_subject_salt),
            payload_salt=_bytes(row.payload_salt),
        )
        opening = self._openings.seal(evidence)
        return {
            "reference": row.reference,
            "key_year": opening.key_year,
            "person_link": opening.person_link,
            "sealed_salts": opening.sealed_salts,
        }


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
