"""From what an engine told to the cells of a table: numbers unpacked, parts merged, margins made.

Dimensions with each person in one category have margins that are sums over disjoint sets of persons; the
others were counted for each margin by the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broker.engines.logical import LogicalPlan
from broker.statistics.cells import CellTable, gathered_table
from broker.statistics.grouped import TOP, TOTAL, Integers
from broker.statistics.reasons import StatisticsRefused


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Counted:
    """Rows of one answer. cells: packed numbers. several: (rows, dimensions of `LogicalPlan.several`).

    persons, keys: (rows,). apart: (rows,), 0 unless somebody is in two cells that no person can be in.
    sums: (rows, measures). largest: (rows, measures, 3).
    """

    cells: Integers
    several: Integers
    persons: Integers
    keys: Integers
    apart: Integers
    sums: Integers
    largest: Integers

    def __repr__(self) -> str:
        return f"Counted({len(self.cells)} rows)"


def cells_with_margins(plan: LogicalPlan, parts: Sequence[Counted]) -> CellTable:
    """Return the cells of a plan with every margin, from parts whose persons are disjoint.

    Raises StatisticsRefused("cells_malformed").
    """
    names = tuple(one.name for one in plan.cut)
    table = gathered_table(
        names,
        plan.measures,
        _joined([_codes(plan, part) for part in parts], len(names)),
        _joined([part.persons for part in parts]),
        _joined([part.keys for part in parts]),
        _joined([part.sums for part in parts], len(plan.measures)),
        _joined([part.largest for part in parts], len(plan.measures), TOP),
    )
    for at, one in enumerate(plan.cut):
        if one.one_each:
            table = _with_margin(table, at)
    return table


def check_persons(plan: LogicalPlan, table: CellTable, persons_count: int) -> None:
    """Refuse a table that has other persons than the release: some who were lost, or counted in two places.

    persons_count: of the whole release. A filter leaves some of them; without one it is everybody.
    """
    everybody = np.all(table.codes == TOTAL, axis=1)
    counted = int(table.persons[everybody].sum())
    if counted > persons_count or (not plan.kept and counted != persons_count):
        raise StatisticsRefused("cells_malformed", "there are more or fewer persons than in the release")


def _with_margin(table: CellTable, at: int) -> CellTable:
    """Return cells with their totals over one dimension, with each person in one of its categories."""
    codes = table.codes.copy()
    codes[:, at] = TOTAL
    return gathered_table(
        table.dimensions,
        table.measures,
        np.concatenate([table.codes, codes]),
        np.concatenate([table.persons, table.persons]),
        np.concatenate([table.key_sums, table.key_sums]),
        np.concatenate([table.sums, table.sums]),
        np.concatenate([table.largest, table.largest]),
    )


def _codes(plan: LogicalPlan, part: Counted) -> Integers:
    """Return the table's codes of rows. Raises StatisticsRefused where a code is no category."""
    if np.any(part.cells < 0) or np.any(part.cells >= plan.cells):
        raise StatisticsRefused("cells_malformed", "a code is no registered category")
    if np.any(part.apart != 0):
        raise StatisticsRefused(
            "cells_malformed", "somebody is in two categories of which a person is in one"
        )
    sizes = np.array([one.size for one in plan.several], dtype=np.int64)
    if np.any(part.several < TOTAL) or np.any(part.several >= sizes):
        raise StatisticsRefused("cells_malformed", "a code is no registered category")
    ones = _unpacked(plan, part.cells)
    several = iter(part.several.T)
    columns = [next(ones) if one.one_each else next(several) for one in plan.cut]
    return np.stack(columns, axis=1).astype(np.int64)


def _unpacked(plan: LogicalPlan, cells: Integers) -> Iterator[NDArray[np.integer]]:
    if not plan.ones:
        return iter(())
    return iter(np.unravel_index(cells, tuple(one.size for one in plan.ones)))


def _joined(arrays: Sequence[Integers], *shape: int) -> Integers:
    return np.concatenate([np.zeros((0, *shape), dtype=np.int64), *arrays])
