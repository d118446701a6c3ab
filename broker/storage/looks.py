"""A look at the log is recorded in one statement, once in its window: counter and entry, or neither."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, text

from broker.evidence.recording import EvidenceRow
from broker.storage.faults import store_answers
from broker.storage.openings import PostgresOpenings

# Of two who come at once the second waits for the first at the counter's key, and then finds it taken. So
# nothing is shown whose entry is not committed, whoever wrote it.
_ONCE: Final = text(
    """
WITH counted AS (
  INSERT INTO usage_counters (window_start_seconds, counter_ref, used_count, limit_count)
  VALUES (:window_start_seconds, :once_ref, 1, 1) ON CONFLICT DO NOTHING RETURNING 1
), entered AS (
  INSERT INTO evidence_entries (reference, kind, entry)
  SELECT CAST(:reference AS uuid), :kind, :entry FROM counted
), opening AS (
  INSERT INTO evidence_openings (reference, key_year, person_link, sealed_salts)
  SELECT CAST(:reference AS uuid), :key_year, CAST(:person_link AS bytea), CAST(:sealed_salts AS bytea)
  FROM counted
)
SELECT count(*) FROM counted
"""
)


class PostgresLooks:
    """Implements `broker.actions.own_looks.LookStore`."""

    def __init__(self, engine: Engine, openings: PostgresOpenings) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._openings = openings

    def record_once(self, row: EvidenceRow, once_ref: bytes, window_start_seconds: int) -> bool:
        """Record a look unless one was recorded under the same key in that window; return whether it was.

        Raises StoreUnavailable, EvidenceSecretUnreadable.
        """
        opening = self._openings.seal(row)
        parameters = {
            "window_start_seconds": window_start_seconds,
            "once_ref": once_ref,
            "reference": row.reference,
            "kind": row.kind,
            "entry": row.entry,
            "key_year": opening.key_year,
            "person_link": opening.person_link,
            "sealed_salts": opening.sealed_salts,
        }
        with store_answers(), self._engine.connect() as connection:
            return bool(connection.execute(_ONCE, parameters).scalar_one())
