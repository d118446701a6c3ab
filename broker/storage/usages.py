"""Releases about a person, for a portal that shows them: all, page by page, without what is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Engine, text

from broker.storage.faults import store_answers
from broker.storage.hidden_reads import HIDING, is_hidden
from broker.storage.openings import PostgresOpenings

PAGE: Final = 1_000
"""Entries in memory at a time, however many there are."""
_LAST: Final = str(UUID(int=2**128 - 1))
_SQL: Final = """
WITH {hiding}, mine AS MATERIALIZED (
  SELECT reference FROM evidence_openings
  WHERE person_link = ANY(CAST(:links AS bytea[])) AND reference < CAST(:before AS uuid)
), t AS (
  SELECT e.reference, e.entry, convert_from(e.entry, 'UTF8')::jsonb AS document
  FROM mine JOIN evidence_entries e USING (reference) WHERE e.kind = 'release'
)
SELECT t.reference, t.entry, coalesce(o.name_vi, '') AS name_vi, coalesce(o.name_en, '') AS name_en
FROM t LEFT JOIN organisations o ON o.organisation_id = t.document ->> 'recipient'
WHERE NOT {is_hidden} ORDER BY t.reference DESC LIMIT :count
"""
_PAGE: Final = text(
    _SQL.format(
        hiding=HIDING,
        is_hidden=is_hidden(
            "t.reference", "t.document ->> 'agreement_revision'", "CAST(t.document ->> 'at' AS timestamptz)"
        ),
    )
)
_OLDEST: Final = text(
    "SELECT convert_from(entry, 'UTF8')::json ->> 'at' FROM evidence_entries ORDER BY reference LIMIT 1"
)


class PostgresUsages:
    """Implements `broker.actions.find_usage.UsageStore`."""

    def __init__(self, engine: Engine, openings: PostgresOpenings) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._openings = openings

    def iterate_releases(
        self, refs: Sequence[bytes], today: date
    ) -> Iterator[tuple[dict[str, Any], tuple[str, str]]]:
        """Yield the releases about a person that are shown on a civil day, newest first, with names.

        refs: keyed hashes of one person's names, none for nobody: then too one statement is asked.
        """
        whose = {"links": list(self._openings.links(refs)), "today": today}
        before = _LAST
        while True:
            parameters = {**whose, "before": before, "count": PAGE}
            with store_answers(), self._engine.connect() as connection:
                rows = connection.execute(_PAGE, parameters).all()
            for row in rows:
                yield orjson.loads(bytes(row.entry)), (row.name_vi, row.name_en)
            if len(rows) < PAGE:
                return
            before = str(rows[-1].reference)

    def find_oldest(self) -> datetime | None:
        """Return the instant of the oldest entry of all, None where there is none."""
        with store_answers(), self._engine.connect() as connection:
            found = connection.execute(_OLDEST).scalar_one_or_none()
        return None if found is None else datetime.fromisoformat(found)
