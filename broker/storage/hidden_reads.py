"""Looks that are kept out of histories for a while, in PostgreSQL: which, until when, and how many.

Nothing is marked when somebody looks: the entry names the agreement's revision, and that revision says for
how many days. So what is hidden stands in the log like everything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from broker.evidence.disclosure import CountedQuarter, HiddenLook, next_quarter, quarter_of
from broker.evidence.history import least_reference
from broker.evidence.recording import EvidenceRow
from broker.storage.acts import record_evidence
from broker.storage.faults import store_answers
from broker.storage.openings import SealedOpening
from broker.storage.tables import disclosure_extensions, hidden_read_quarters
from policies.civil_time import civil_date, midnight

SETTLED: Final = timedelta(days=2)
"""How long after its end a quarter is counted: whatever was under way has been recorded by then."""
HIDING: Final = """hiding AS MATERIALIZED (
  SELECT revision_hash, hidden_days FROM agreement_revisions WHERE hidden_days IS NOT NULL
)"""
"""A common table expression: the revisions that hide looks. There are few, and mostly none."""

_IS_HIDDEN: Final = """EXISTS (SELECT FROM hiding h WHERE h.revision_hash = {revision}
    AND CAST(:today AS date) < GREATEST(
      ({at} AT TIME ZONE 'Asia/Ho_Chi_Minh')::date + h.hidden_days,
      (SELECT max(x.hidden_until) FROM disclosure_extensions x WHERE x.reference = {reference})))"""

_IS_ABOUT_HIDDEN: Final = """EXISTS (SELECT FROM evidence_entries seen
    CROSS JOIN LATERAL json_to_record(convert_from(seen.entry, 'UTF8')::json)
      AS d (at timestamptz, agreement_revision text)
  WHERE seen.reference = CAST(NULLIF({entry}, '') AS uuid) AND seen.kind IN ('release', 'refusal')
    AND {is_hidden})"""


def is_hidden(reference: str, revision: str, at: str) -> str:
    """Return SQL that says, with HIDING and the parameter today, whether a release or refusal is hidden.

    reference, revision, at: expressions of the entry's uuid, text and timestamptz. What is null in GREATEST
    does not count.
    """
    return _IS_HIDDEN.format(reference=reference, revision=revision, at=at)


_LOOK: Final = text(
    """SELECT convert_from(e.entry, 'UTF8')::json ->> 'at' AS at, r.hidden_days, r.hidden_days_maximum,
         (SELECT max(x.hidden_until) FROM disclosure_extensions x WHERE x.reference = e.reference) AS until
       FROM evidence_entries e JOIN agreement_revisions r
         ON r.revision_hash = convert_from(e.entry, 'UTF8')::json ->> 'agreement_revision'
       WHERE e.reference = CAST(:reference AS uuid) AND e.kind IN ('release', 'refusal')
         AND r.hidden_days IS NOT NULL"""
)
_HIDING: Final = text(
    "SELECT revision_hash, published_at FROM agreement_revisions WHERE hidden_days IS NOT NULL"
)
# Only entries about somebody count: what was stopped before is in nobody's history. The bytes are searched
# before any is parsed.
_COUNT: Final = text(
    """SELECT document ->> 'recipient' AS recipient, count(*) AS times FROM (
         SELECT convert_from(e.entry, 'UTF8')::json AS document FROM evidence_entries e
         WHERE e.reference >= CAST(:first AS uuid) AND e.reference < CAST(:before AS uuid)
           AND e.kind IN ('release', 'refusal')
           AND position(convert_to(CAST(:revision AS text), 'UTF8') IN e.entry) > 0
       ) AS told
       WHERE document ->> 'agreement_revision' = :revision AND document ->> 'data_subject_commit' IS NOT NULL
       GROUP BY 1"""
)
_EXTENSIONS: Final = text(
    """SELECT convert_from(e.entry, 'UTF8')::json ->> 'recipient' AS recipient, count(*) AS times
       FROM disclosure_extensions x JOIN evidence_entries e USING (reference)
       WHERE x.extended_at >= :first AND x.extended_at < :before GROUP BY 1"""
)


def is_about_hidden(entry: str) -> str:
    """Return SQL that says whether a look into the log was at an entry that is hidden: it would betray it.

    entry: expression of that entry's reference as text, "" or null for none.
    """
    seen = is_hidden("seen.reference", "d.agreement_revision", "d.at")
    return _IS_ABOUT_HIDDEN.format(entry=entry, is_hidden=seen)


class PostgresHiddenReads:
    """Implements `broker.actions.extend_hiding.HiddenStore`, and counts. Methods raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_look(self, reference: str) -> HiddenLook | None:
        """Return a look under an agreement that hides looks, disclosed or not; None for any other entry."""
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(_LOOK, {"reference": reference}).one_or_none()
        if row is None:
            return None
        at = datetime.fromisoformat(row.at)
        return HiddenLook(reference, at, row.hidden_days, row.hidden_days_maximum, row.until)

    def extend(self, look: HiddenLook, until: date, ground: str, row: EvidenceRow, at: datetime) -> bool:
        """Move a look's day of disclosure, and record that; False if somebody moved it meanwhile.

        As the owner role: the application may not.
        """
        with store_answers(), self._engine.begin() as connection:
            connection.execute(text("LOCK TABLE disclosure_extensions IN SHARE ROW EXCLUSIVE MODE"))
            found = connection.execute(_LOOK, {"reference": look.reference}).one()
            if found.until != look.extended_until:
                return False
            record_evidence(connection, row, SealedOpening(row.year, None, None))
            connection.execute(
                disclosure_extensions.insert().values(
                    evidence_reference=row.reference,
                    reference=look.reference,
                    hidden_until=until,
                    legal_ground=ground,
                    extended_at=at,
                )
            )
        return True

    def count_quarters(self, at: datetime) -> Sequence[date]:
        """Count every quarter that has ended and is not counted yet; return their first days.

        Nothing is counted where no agreement ever hid anything. Day by day, so that no statement is long.
        """
        with store_answers(), self._engine.connect() as connection:
            hiding = connection.execute(_HIDING).all()
            known = set(connection.execute(select(hidden_read_quarters.c.quarter)).scalars())
        if not hiding:
            return []
        quarter, counted = quarter_of(civil_date(min(row.published_at for row in hiding))), []
        while civil_date(at - SETTLED) >= next_quarter(quarter):
            if quarter not in known:
                self._count_quarter(quarter, [row.revision_hash for row in hiding], at)
                counted.append(quarter)
            quarter = next_quarter(quarter)
        return counted

    def _count_quarter(self, quarter: date, revisions: Sequence[str], at: datetime) -> None:
        found: Counter[str] = Counter()
        end = next_quarter(quarter)
        autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with store_answers(), autocommit.connect() as connection:
            for day in (quarter + timedelta(days=number) for number in range((end - quarter).days)):
                first, before = (midnight(one) for one in (day, day + timedelta(days=1)))
                bounds = {"first": least_reference(first), "before": least_reference(before)}
                for revision in revisions:
                    for row in connection.execute(_COUNT, {**bounds, "revision": revision}):
                        found[row.recipient] += row.times
            window = {"first": midnight(quarter), "before": midnight(end)}
            extended = {row.recipient: row.times for row in connection.execute(_EXTENSIONS, window)}
            connection.execute(
                insert(hidden_read_quarters)
                .values(quarter=quarter, counts=dict(found), extension_counts=extended, counted_at=at)
                .on_conflict_do_nothing(index_elements=["quarter"])
            )

    def list_quarters(self) -> Sequence[CountedQuarter]:
        """Return the quarters that are counted, the latest first."""
        columns = hidden_read_quarters.c
        statement = select(columns.quarter, columns.counts, columns.extension_counts)
        with store_answers(), self._engine.connect() as connection:
            rows = connection.execute(statement.order_by(columns.quarter.desc())).all()
        return [CountedQuarter(*row) for row in rows]
