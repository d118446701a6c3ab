"""A person's history in PostgreSQL: the entries about one person, found through the index of its openings.

What an agreement hides for a while is left out here, where pages are cut and entries counted, so that
nothing above can tell that it is there (`broker.storage.hidden_reads`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, text

from broker.evidence.history import (
    PAGE_SIZE,
    HistoryCount,
    HistoryEntry,
    HistoryFilter,
    KeptOpening,
    history_entry,
    month_bounds,
)
from broker.storage.faults import store_answers
from broker.storage.hidden_reads import HIDING, is_about_hidden, is_hidden
from broker.storage.openings import PostgresOpenings

_FIRST: Final = str(UUID(int=0))
_LAST: Final = str(UUID(int=2**128 - 1))
# The person's references come out of their index first: without
# MATERIALIZED the planner may walk the whole log backwards instead, in the hope of an early end.
_MINE: Final = """
WITH {hiding}, mine AS MATERIALIZED (
  SELECT reference FROM evidence_openings WHERE person_link = ANY(CAST(:links AS bytea[]))
    AND reference >= CAST(:first AS uuid) AND reference < CAST(:before AS uuid)
)"""
_PAGE_TAIL: Final = """, told AS (
  SELECT e.reference, e.kind, e.entry, convert_from(e.entry, 'UTF8')::jsonb AS document
  FROM mine JOIN evidence_entries e USING (reference)
  WHERE CAST(:is_everything AS boolean) OR e.kind IN ('release', 'refusal')
)
SELECT t.entry, coalesce(o.name_vi, '') AS name_vi, coalesce(o.name_en, '') AS name_en
FROM told t LEFT JOIN organisations o ON o.organisation_id = t.document ->> 'recipient'
WHERE (CAST(:recipient AS text) = '' OR t.document ->> 'recipient' = CAST(:recipient AS text))
  AND (CAST(:result AS text) = '' OR t.document ->> 'result' = CAST(:result AS text))
  AND (t.kind NOT IN ('release', 'refusal') OR NOT {is_hidden})
  AND (t.kind <> 'log_read' OR NOT {is_about_hidden})
ORDER BY t.reference DESC LIMIT :count
"""
_COUNTS_TAIL: Final = """, counted AS (
  SELECT date_trunc('month', d.at AT TIME ZONE 'Asia/Ho_Chi_Minh')::date AS month, d.recipient,
    d.result = 'released' AS is_released, count(*) AS times
  FROM mine JOIN evidence_entries e USING (reference)
    CROSS JOIN LATERAL json_to_record(convert_from(e.entry, 'UTF8')::json)
      AS d (at timestamptz, recipient text, result text, agreement_revision text)
  WHERE e.kind IN ('release', 'refusal') AND NOT {is_hidden}
  GROUP BY 1, 2, 3
)
SELECT c.*, coalesce(o.name_vi, '') AS name_vi, coalesce(o.name_en, '') AS name_en
FROM counted c LEFT JOIN organisations o ON o.organisation_id = c.recipient
ORDER BY c.month, c.recipient, c.is_released
"""
_HIDDEN_HEAD: Final = """
WITH {hiding}, t AS (
  SELECT reference, kind, convert_from(entry, 'UTF8')::jsonb AS document FROM evidence_entries
  WHERE reference = CAST(:reference AS uuid)
) SELECT EXISTS (SELECT FROM t WHERE kind IN ('release', 'refusal') AND {is_hidden}
    OR kind = 'log_read' AND {is_about_hidden})
"""
_TOLD: Final = is_hidden(
    "t.reference", "t.document ->> 'agreement_revision'", "CAST(t.document ->> 'at' AS timestamptz)"
)
_SEEN: Final = is_about_hidden("t.document ->> 'entry'")
_PAGE: Final = text((_MINE + _PAGE_TAIL).format(hiding=HIDING, is_hidden=_TOLD, is_about_hidden=_SEEN))
_COUNTED: Final = is_hidden("e.reference", "d.agreement_revision", "d.at")
_COUNTS: Final = text((_MINE + _COUNTS_TAIL).format(hiding=HIDING, is_hidden=_COUNTED))
_HIDDEN: Final = text(_HIDDEN_HEAD.format(hiding=HIDING, is_hidden=_TOLD, is_about_hidden=_SEEN))


class PostgresHistory:
    """Implements `broker.actions.show_history.HistoryStore`."""

    def __init__(self, engine: Engine, openings: PostgresOpenings) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._openings = openings

    def find_entries(
        self, refs: Sequence[bytes], wanted: HistoryFilter, today: date
    ) -> Sequence[HistoryEntry]:
        """Return the newest entries under these references that fit, one more than a page has.

        refs: keyed hashes of 32 bytes. wanted.before: text of a UUID. today: what is hidden on that day is
        not there, and leaves no gap. Raises StoreUnavailable.
        """
        first, end = (_FIRST, _LAST) if wanted.month is None else month_bounds(wanted.month)
        before = min(end, str(UUID(wanted.before))) if wanted.before else end
        parameters = {
            **self._whose(refs),
            "today": today,
            "first": first,
            "before": before,
            "recipient": wanted.recipient,
            "result": wanted.result,
            "is_everything": wanted.is_everything,
            "count": PAGE_SIZE + 1,
        }
        with store_answers(), self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(_PAGE, parameters)]

    def find_entry(self, refs: Sequence[bytes], reference: str, today: date) -> HistoryEntry | None:
        """Return the one look under a reference, None also for one about anybody else, and for a note."""
        number = UUID(reference).int
        parameters = {
            **self._whose(refs),
            "today": today,
            "first": str(UUID(int=number)),
            "before": str(UUID(int=min(number + 1, 2**128 - 1))),
            "recipient": "",
            "result": "",
            "is_everything": False,
            "count": 1,
        }
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(_PAGE, parameters).one_or_none()
        return None if row is None else _entry(row)

    def find_opening(self, refs: Sequence[bytes], reference: str, today: date) -> KeptOpening | None:
        """Return one entry of any kind with its salts, None also for one about anybody else, or hidden.

        Both questions are asked whatever the first one says, so that neither answer comes sooner.
        """
        found = self._openings.find_opening(refs, reference)
        with store_answers(), self._engine.connect() as connection:
            hidden = connection.execute(_HIDDEN, {"reference": reference, "today": today}).scalar_one()
        return None if hidden else found

    def count_entries(self, refs: Sequence[bytes], first_month: date, today: date) -> Sequence[HistoryCount]:
        """Return how often each recipient came per month since the first day of a month, oldest first."""
        first = month_bounds(first_month)[0]
        parameters = {**self._whose(refs), "today": today, "first": first, "before": _LAST}
        with store_answers(), self._engine.connect() as connection:
            return [
                HistoryCount(row.month, row.recipient, (row.name_vi, row.name_en), row.is_released, row.times)
                for row in connection.execute(_COUNTS, parameters)
            ]

    def _whose(self, refs: Sequence[bytes]) -> Mapping[str, Any]:
        """Return the parameters that say whose entries are looked for."""
        return {"links": list(self._openings.links(refs))}


def _entry(row: Any) -> HistoryEntry:
    return history_entry(bytes(row.entry), (row.name_vi, row.name_en))
