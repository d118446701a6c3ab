"""Positions of entries in the log: given in the order of transactions, each once, none skipped.

An entry tells the number of its transaction. Every transaction below a snapshot's xmin has ended, whichever
way, so no entry can appear below it any more, however late others commit: what is visible there is all there
will ever be. Up to there everything gets a position; one whose transaction is older than another that still
runs merely waits.

The horizon says how far that has come. Transaction numbers mean something in one PostgreSQL cluster only: in
another one (a dump that was restored, an upgrade) every entry without a position is looked for once. Which
one it is, its system identifier says, or an epoch that the operator sets; numbers that went back say it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, TextClause, text

from broker.errors import LogStopped
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.sequencing import Placed, Strange, Waiting
from broker.storage.faults import log_answers
from broker.storage.log_binary import copy_positions, fetched
from broker.storage.log_published import note_published
from broker.storage.log_unplaced import (
    NOTHING,
    Found,
    Horizon,
    all_unplaced,
    complete_at,
    horizon_at,
    next_unplaced,
)

BATCH: Final = 16_384
COUNTED: Final = 10_000
"""Of what waits; and the rows that are looked at to say for how long."""
KEEP_BEHIND: Final = 10_000
"""How many transactions the written horizon may lag behind while there is nothing to order."""

YearOf = Callable[[bytes], tuple[int, Reason | None]]

_CLUSTER: Final = "(pg_control_system()).system_identifier::text"
_NEXT: Final = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_SNAPSHOT: Final = """SELECT h.epoch, h.entered_transaction, h.reference,
         pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended_below, {next} AS next_transaction,
         {cluster} AS cluster
    FROM log_horizon h"""
# The table is never read as a whole for the few newest of it, whatever the planner knows of them.
_BY_INDEX: Final = text("SET LOCAL enable_seqscan = off")
# Nor the table of positions; and what is read is put in order in memory, by one process: the other cores are
# the releases'.
_FEW: Final = text(
    """SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('work_mem', '64MB', true), set_config('max_parallel_workers_per_gather', '0', true)"""
)
_IN_ORDER: Final = text("SET LOCAL enable_bitmapscan = off")
_SIZE: Final = text("SELECT coalesce(max(leaf_index) + 1, 0) FROM log_positions WHERE shard = :shard")
_PLACE_OF: Final = text("SELECT shard, leaf_index FROM log_positions WHERE reference = :reference")
_MOVE: Final = text(
    "UPDATE log_horizon SET epoch = :epoch, entered_transaction = :transaction, reference = :reference"
)
_BEGIN: Final = """INSERT INTO log_horizon (epoch, entered_transaction, reference)
    SELECT {cluster}, 0, :nothing ON CONFLICT DO NOTHING"""
_ENTRIES: Final = """SELECT p.leaf_index, e.entry
    FROM log_positions p LEFT JOIN evidence_entries e USING (reference)
    WHERE p.shard = %(shard)s AND p.leaf_index >= %(first)s ORDER BY p.leaf_index LIMIT %(most)s"""
# Rows are looked at one by one and only so many: a log that stands still must not cost more each minute.
# Of a moved database numbers of the cluster before, which all have their positions, are passed over.
_WAITING: Final = """WITH unplaced AS (
      SELECT e.recorded_at
      FROM (
        SELECT CASE WHEN is_known THEN entered_transaction ELSE 0 END AS looked_from,
          CASE WHEN is_known THEN {next} ELSE 9223372036854775807 END AS looked_to
        FROM (
          SELECT entered_transaction, epoch = {cluster} AND entered_transaction <= {next} AS is_known
          FROM log_horizon
        ) k
      ) h JOIN evidence_entries e ON e.entered_transaction >= h.looked_from
        AND e.entered_transaction < h.looked_to
      WHERE (SELECT p.shard FROM log_positions p WHERE p.reference = e.reference) IS NULL LIMIT :most
    ), unsigned AS (
      SELECT (SELECT e.recorded_at FROM evidence_entries e WHERE e.reference = p.reference) AS recorded_at
      FROM unnest(CAST(:shards AS smallint[]), CAST(:sizes AS bigint[])) AS s (shard, size)
      CROSS JOIN LATERAL (
        SELECT reference FROM log_positions l
        WHERE l.shard = s.shard AND l.leaf_index >= s.size ORDER BY l.leaf_index LIMIT :most
      ) p
    )
    SELECT count(*) AS waiting, min(recorded_at) AS oldest_at
    FROM (TABLE unplaced UNION ALL TABLE unsigned) AS unmerged"""


class PostgresLogPositions:
    """Implements `broker.actions.log_doors.Positions`, as the role `broker_sequencer`.

    epoch: what the operator calls the present cluster, "" where PostgreSQL itself is asked.
    """

    def __init__(self, engine: Engine, year_of: YearOf, epoch: str = "") -> None:
        self._engine = engine
        self._year_of = year_of
        self._epoch = epoch

    def begin(self) -> None:
        """Write the first horizon, below everything; leave one that is there. Raises StoreUnavailable."""
        with log_answers(), self._engine.begin() as connection:
            connection.execute(self._knowing(_BEGIN), {"nothing": NOTHING})

    def place(self, years: frozenset[int]) -> Placed:
        """Give the next entries their positions; all of it is one transaction.

        years: of the shards that there are. Raises LogStopped where an entry belongs into none of them, or
        into no log at all, or another sequencer is at work; StoreUnavailable.
        """
        snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with log_answers(), snapshot.begin() as connection:
                return self._place(connection, years, BATCH)
        except psycopg.IntegrityError:
            raise LogStopped("another sequencer gives positions at the same time: end all but one") from None

    def _place(self, connection: Connection, years: frozenset[int], most: int) -> Placed:
        connection.execute(_BY_INDEX)
        seen = connection.execute(self._knowing(_SNAPSHOT)).one_or_none()
        if seen is None:
            raise LogStopped("no log was ever made here: broker log create")
        is_known = seen.epoch == seen.cluster and seen.entered_transaction <= seen.next_transaction
        before = Horizon(seen.entered_transaction, seen.reference)
        if is_known:
            connection.execute(_FEW)
            found = next_unplaced(connection, before, seen.ended_below, most)
        else:
            found = all_unplaced(connection, seen.ended_below, most)
        by_year, strange, placed = self._sorted(found.rows, years)
        for year, references in by_year.items():
            if not references:
                continue
            first = connection.execute(_SIZE, {"shard": year}).scalar_one()
            copy_positions(connection, year, first, references)
        horizon, has_more = found.horizon, found.has_more
        if placed < len(found.rows):
            horizon, has_more = horizon_at(found.rows[placed - 1]), True
        is_far = placed or horizon.transaction - before.transaction > KEEP_BEHIND
        # In another cluster numbers count only when every entry that was there has its position.
        if is_far if is_known else not has_more:
            self._move(connection, seen.cluster, horizon)
        return Placed(
            placed, has_more, strange, None if has_more else complete_at(connection, seen.ended_below)
        )

    def _knowing(self, statement: str) -> TextClause:
        """Return a statement that knows which cluster this is. A set epoch is never a system identifier."""
        if not self._epoch:
            return text(statement.format(next=_NEXT, cluster=_CLUSTER))
        told = text(statement.format(next=_NEXT, cluster="CAST(:cluster AS text)"))
        return told.bindparams(cluster=f"set:{self._epoch}")

    def note_published(self, sizes: Mapping[int, int], complete_at: datetime) -> None:
        """Tell releases how much is published. Raises StoreUnavailable."""
        with log_answers(), self._engine.begin() as connection:
            note_published(connection, sizes, complete_at)

    def _sorted(
        self, rows: Sequence[Found], years: frozenset[int]
    ) -> tuple[Mapping[int, list[bytes]], tuple[Strange, ...], int]:
        """Return references by shard, what is strange among them, and how many.

        It ends before the first that cannot be placed, and raises LogStopped where that is the very first.
        """
        by_year: dict[int, list[bytes]] = {year: [] for year in years}
        strange: list[Strange] = []
        for count, (reference, entry, _) in enumerate(rows):
            try:
                year, reason = self._year_of(entry)
            except EvidenceInvalid as broken:
                named = UUID(bytes=reference)
                fault = f"the entry {named} can stand in no log ({broken.reason}): look at its row"
            else:
                if year in by_year:
                    by_year[year].append(reference)
                    if reason is not None:
                        strange.append(Strange(str(UUID(bytes=reference)), reason))
                    continue
                fault = f"there is no shard for {year}: broker log create --year {year}"
            if count:
                return by_year, tuple(strange), count
            raise LogStopped(fault)
        return by_year, tuple(strange), len(rows)

    def _move(self, connection: Connection, epoch: str, horizon: Horizon) -> None:
        given = {"transaction": horizon.transaction, "reference": horizon.reference}
        connection.execute(_MOVE, {"epoch": epoch, **given})

    def size(self, year: int) -> int:
        """Return how many entries of a shard have positions. Raises StoreUnavailable."""
        with log_answers(), self._engine.connect() as connection:
            size: int = connection.execute(_SIZE, {"shard": year}).scalar_one()
        return size

    def entries(self, year: int, first: int, most: int) -> Sequence[bytes]:
        """Return the entries at positions from first on, in their order.

        Raises LogStopped where one is missing, StoreUnavailable.
        """
        given = {"shard": year, "first": first, "most": most}
        with log_answers(), self._engine.connect() as connection:
            for setting in (_BY_INDEX, _FEW, _IN_ORDER):
                connection.execute(setting)
            rows = fetched(connection, _ENTRIES, given)
        for wanted, (leaf_index, entry) in enumerate(rows, first):
            if leaf_index != wanted or entry is None:
                raise LogStopped(
                    f"position {wanted} of {year} has no entry any more: the database was restored or changed"
                )
        return [entry for _, entry in rows]

    def find(self, reference: str) -> tuple[int, int] | None:
        """Return shard and index of an entry by its reference, or None while it has no position.

        Any role that may read positions may ask. Raises StoreUnavailable.
        """
        with log_answers(), self._engine.connect() as connection:
            row = connection.execute(_PLACE_OF, {"reference": UUID(reference)}).one_or_none()
        return None if row is None else (row.shard, row.leaf_index)

    def waiting(self, sizes: Mapping[int, int]) -> Waiting:
        """Return what stands in no signed tree. sizes: of the signed trees, by year.

        At most COUNTED are counted, those that were recorded first. Any role that may read evidence and
        positions may ask. Raises StoreUnavailable.
        """
        with log_answers(), self._engine.connect() as connection, connection.begin():
            connection.execute(_BY_INDEX)
            given = {"shards": list(sizes), "sizes": list(sizes.values()), "most": COUNTED}
            row = connection.execute(self._knowing(_WAITING), given).one()
        return Waiting(row.waiting, row.oldest_at)
