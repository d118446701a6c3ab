"""Which entries come next: read in the order of transactions, a stretch at a time, however many wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, text

from broker.storage.log_binary import fetched

NOTHING: Final = UUID(int=0)
"""Smaller than every reference."""
STRETCH: Final = 16_384
"""Transactions that are looked through at once; twice as many each time that nothing is found."""

_WITHOUT: Final = "NOT EXISTS (SELECT FROM log_positions p WHERE p.reference = e.reference)"
_ROWS: Final = "SELECT e.reference, e.entry, e.entered_transaction FROM"
# What waits is put in order without its entries: only those that come next are read, each where it lies.
_LATER: Final = f"""{_ROWS} (
      SELECT e.ctid, e.entered_transaction, e.reference FROM evidence_entries e
      WHERE e.entered_transaction >= %(first)s AND e.entered_transaction < %(end)s
        AND (e.entered_transaction > %(first)s OR e.reference > %(reference)s) AND {_WITHOUT}
      ORDER BY e.entered_transaction, e.reference LIMIT %(most)s
    ) AS next JOIN evidence_entries e ON e.ctid = next.ctid
    ORDER BY next.entered_transaction, next.reference"""  # noqa: S608 - constants of this module
# Of a transaction that entered very much the primary key gives the next without looking at all of it.
_REST: Final = f"""{_ROWS} (
      SELECT * FROM evidence_entries WHERE reference > %(reference)s ORDER BY reference LIMIT %(most)s
    ) AS e WHERE e.entered_transaction = %(first)s AND {_WITHOUT} ORDER BY e.reference"""  # noqa: S608 - constants of this module
# Numbers of another cluster, in a database that was moved, may be larger than any of this one.
_COMPLETE: Final = text(
    """SELECT least(now(), min(e.recorded_at)) FROM evidence_entries e
    WHERE e.entered_transaction >= :ended_below
      AND e.entered_transaction < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND (SELECT p.shard FROM log_positions p WHERE p.reference = e.reference) IS NULL"""
)
_ALL: Final = f"{_ROWS} evidence_entries e WHERE {_WITHOUT} ORDER BY e.reference LIMIT %(most)s"

Found: TypeAlias = tuple[bytes, bytes, int]
"""Reference (16 bytes), entry and entered_transaction of an entry without a position."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Everything of a transaction below has its position, and of this one what has a reference up to this."""

    transaction: int
    reference: UUID = NOTHING


@dataclass(frozen=True, slots=True)
class Unplaced:
    """The next entries. rows: in their order.

    horizon: where it stands once all of them have positions. has_more: whether others may wait behind it.
    """

    rows: Sequence[Found]
    horizon: Horizon
    has_more: bool


def next_unplaced(connection: Connection, horizon: Horizon, ended_below: int, most: int) -> Unplaced:
    """Return what comes next of the transactions that have ended: all those below a number.

    Reads a stretch at a time: the next ones are found as quickly when a hundred million wait as when ten do.
    """
    given = {"first": horizon.transaction, "reference": horizon.reference, "most": most}
    if horizon.transaction < ended_below and horizon.reference != NOTHING:
        rest = _found(connection, _REST, given)
        if 2 * len(rest) >= most:
            return Unplaced(rest, horizon_at(rest[-1]), has_more=True)
    rows: list[Found] = []
    width = STRETCH
    while horizon.transaction < ended_below:
        end = min(horizon.transaction + width, ended_below)
        given = {"first": horizon.transaction, "reference": horizon.reference, "end": end}
        found = _found(connection, _LATER, {**given, "most": most - len(rows)})
        rows += found
        if len(rows) >= most:
            return Unplaced(rows, horizon_at(rows[-1]), has_more=True)
        width = width if found else 2 * width
        horizon = Horizon(end)
    return Unplaced(rows, horizon, has_more=False)


def all_unplaced(connection: Connection, ended_below: int, most: int) -> Unplaced:
    """Return entries without a position, whatever the numbers of their transactions say."""
    rows = _found(connection, _ALL, {"most": most})
    return Unplaced(rows, Horizon(ended_below), has_more=len(rows) == most)


def complete_at(connection: Connection, ended_below: int) -> datetime:
    """Return since when something may lack a position, once all that was entered below a number has one."""
    found: datetime = connection.execute(_COMPLETE, {"ended_below": ended_below}).scalar_one()
    return found


def horizon_at(row: Found) -> Horizon:
    """Return the horizon once everything up to an entry has its position."""
    reference, _, transaction = row
    return Horizon(transaction, UUID(bytes=reference))


def _found(connection: Connection, statement: str, given: Mapping[str, object]) -> Sequence[Found]:
    found: Sequence[Found] = fetched(connection, statement, given)
    return found
