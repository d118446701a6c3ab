"""Reading the log of evidence: one entry, one version of a consent, or a period in order, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, text

from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings

PAGE: Final = 1_000
"""Entries in memory at a time, whatever the period."""
_ENTRY: Final = text("SELECT entry FROM evidence_entries WHERE reference = CAST(:reference AS uuid)")
_CONSENT: Final = text(
    """
WITH mine AS MATERIALIZED (
  SELECT reference FROM evidence_openings WHERE person_link = ANY(CAST(:links AS bytea[]))
), told AS MATERIALIZED (
  SELECT e.entry, convert_from(e.entry, 'UTF8')::jsonb AS document
  FROM mine JOIN evidence_entries e USING (reference) WHERE e.kind = 'consent'
)
SELECT entry FROM told
WHERE document ->> 'consent' = :consent AND CAST(document ->> 'consent_version' AS int) = :version
LIMIT 1
"""
)
_COUNT: Final = text(
    "SELECT count(*) FROM evidence_entries"
    " WHERE reference > CAST(:after AS uuid) AND reference < CAST(:before AS uuid)"
)
_PAGE: Final = text(
    "SELECT reference, entry FROM evidence_entries"
    " WHERE reference > CAST(:after AS uuid) AND reference < CAST(:before AS uuid)"
    " ORDER BY reference LIMIT :count"
)


class PostgresEvidence:
    """The log as it is kept. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def find_entry(self, reference: str) -> bytes | None:
        """Return the entry under a reference (UUID text), of whatever kind, or None."""
        with store_answers(), self._engine.connect() as connection:
            found = connection.execute(_ENTRY, {"reference": reference}).scalar_one_or_none()
        return None if found is None else bytes(found)

    def count_entries(self, after: str, before: str) -> int:
        """Return how many entries lie between two references, neither of them included."""
        with store_answers(), self._engine.connect() as connection:
            return int(connection.execute(_COUNT, {"after": after, "before": before}).scalar_one())

    def iterate_entries(self, after: str, before: str) -> Iterator[bytes]:
        """Yield the entries between two references in order, which is that of time; so many in memory.

        Each page is a statement of its own: no transaction is open while the caller writes.
        """
        while True:
            parameters = {"after": after, "before": before, "count": PAGE}
            with store_answers(), self._engine.connect() as connection:
                rows = connection.execute(_PAGE, parameters).all()
            for row in rows:
                yield bytes(row.entry)
            if len(rows) < PAGE:
                return
            after = str(rows[-1].reference)


class EvidenceByPerson(PostgresEvidence):
    """The log with what finds a person's entries. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine, openings: PostgresOpenings) -> None:
        super().__init__(engine)
        self._openings = openings

    def find_consent_entry(self, ref: bytes, consent_id: str, version: int) -> bytes | None:
        """Return the entry of one version of a consent, or None. ref: keyed hash of whose consent it is.

        Of a person's year that was erased nothing is found. Raises EvidenceSecretUnreadable besides.
        """
        links = list(self._openings.links([ref]))
        parameters = {"links": links, "consent": consent_id, "version": version}
        with store_answers(), self._engine.connect() as connection:
            found = connection.execute(_CONSENT, parameters).scalar_one_or_none()
        return None if found is None else bytes(found)
