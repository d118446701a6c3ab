"""Which entries come next: read in the order of transactions, a stretch at a time, however many wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

NOTHING: Final = UUID(int=0)
"""Smaller than every reference."""
STRETCH: Final = 16_384
"""Transactions that are looked through at once; twice as many each time that nothing is found."""

_COLUMNS: Final = "SELECT e.reference, e.entry, e.entered_transaction FROM evidence_entries e"
_WITHOUT: Final = "NOT EXISTS (SELECT FROM log_positions p WHERE p.reference = e.reference)"
# What one transaction entered, in order of references: of a large one the primary key gives the next.
_REST: Final = text(
    f"""{_COLUMNS} WHERE e.entered_transaction = :transaction AND e.reference > :reference AND {_WITHOUT}
    ORDER BY e.reference LIMIT :most"""
)
_LATER: Final = text(
    f"""{_COLUMNS}
    WHERE e.entered_transaction >= :first AND e.entered_transaction < :end AND {_WITHOUT}
    ORDER BY e.entered_transaction, e.reference LIMIT :most"""
)
# Numbers of another cluster, in a database that was moved, may be larger than any of this one.
_COMPLETE: Final = text(
    """SELECT least(now(), min(e.recorded_at)) FROM evidence_entries e
    WHERE e.entered_transaction >= :ended_below
      AND e.entered_transaction < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND (SELECT p.shard FROM log_positions p WHERE p.reference = e.reference) IS NULL"""
)
_ALL: Final = text(f"{_COLUMNS} WHERE {_WITHOUT} ORDER BY e.reference LIMIT :most")


@dataclass(frozen=True, slots=True)
class Horizon:
    """Everything of a transaction below has its position, and of this one what has a reference up to this."""

    transaction: int
    reference: UUID = NOTHING


@dataclass(frozen=True, slots=True)
class Unplaced:
    """The next entries. rows: reference, entry and entered_transaction of each, in their order.

    horizon: where it stands once all of them have positions. has_more: whether others may wait behind it.
    """

    rows: Sequence[Row[Any]]
    horizon: Horizon
    has_more: bool


def next_unplaced(connection: Connection, horizon: Horizon, ended_below: int, most: int) -> Unplaced:
    """Return what comes next of the transactions that have ended: all those below a number.

    Reads a stretch at a time: the next ones are found as quickly when a hundred million wait as when ten do.
    """
    rows: list[Row[Any]] = []
    first = horizon.transaction
    if first < ended_below and horizon.reference != NOTHING:
        given = {"transaction": first, "reference": horizon.reference, "most": most}
        rows += connection.execute(_REST, given)
        first += 1
    width = STRETCH
    while len(rows) < most and first < ended_below:
        end = min(first + width, ended_below)
        rows += connection.execute(_LATER, {"first": first, "end": end, "most": most - len(rows)})
        if rows:
            return _until(rows, most, Horizon(end), has_more=end < ended_below)
        first, width = end, 2 * width
    return _until(rows, most, Horizon(max(first, horizon.transaction)), has_more=False)


def all_unplaced(connection: Connection, ended_below: int, most: int) -> Unplaced:
    """Return entries without a position, whatever the numbers of their transactions say."""
    rows = connection.execute(_ALL, {"most": most}).all()
    return Unplaced(rows, Horizon(ended_below), has_more=len(rows) == most)


def complete_at(connection: Connection, ended_below: int) -> datetime:
    """Return since when something may lack a position, once all that was entered below a number has one."""
    found: datetime = connection.execute(_COMPLETE, {"ended_below": ended_below}).scalar_one()
    return found


def _until(rows: Sequence[Row[Any]], most: int, horizon: Horizon, *, has_more: bool) -> Unplaced:
    if len(rows) < most:
        return Unplaced(rows, horizon, has_more)
    return Unplaced(rows, Horizon(rows[-1].entered_transaction, rows[-1].reference), has_more=True)
