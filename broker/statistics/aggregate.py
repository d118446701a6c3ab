"""A small engine: partial aggregates from rows in memory, for one box and for tests of other engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from broker.statistics.cells import CellTable, cell_table
from broker.statistics.grouped import TOTAL, Integers, distinct, group_largest, group_sums
from broker.statistics.keys import Keys
from broker.statistics.reasons import StatisticsRefused


def aggregated(
    dimensions: Sequence[str],
    measures: Sequence[str],
    codes: NDArray[np.integer],
    persons: NDArray[np.integer],
    values: NDArray[np.integer],
    keys: Keys,
) -> CellTable:
    """Return the cells of rows, with every margin.

    codes: (rows, dimensions), categories' numbers from 0. persons: (rows,), whose row it is, as a number
    into keys: (persons,), the record keys. values: (rows, measures), whole numbers >= 0. A person may have
    many rows in many cells: in each cell, in margins too, a person counts once and has one total.
    """
    if values.size and int(values.min()) < 0:
        raise StatisticsRefused("cells_malformed", "a value is negative")
    parts = [
        _grouped(shown, codes.astype(np.int64), persons.astype(np.int64), values.astype(np.int64), keys)
        for shown in groupings(len(dimensions))
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return cell_table(dimensions, measures, *columns)


def groupings(dimensions: int) -> Iterator[tuple[bool, ...]]:
    """Yield every set of dimensions that cells can be cut by: those of the table and of all its margins."""
    yield from product((True, False), repeat=dimensions)


def _grouped(
    shown: tuple[bool, ...], codes: Integers, persons: Integers, values: Integers, keys: Keys
) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """Return codes, persons, sums of keys, sums and largest totals of one grouping."""
    kept = np.where(np.array(shown, dtype=bool)[None, :], codes, TOTAL)
    cells, groups = distinct(kept)
    # One row for each person in each cell: the unit is the person.
    pairs, members = np.unique(groups * len(keys) + persons, return_inverse=True)
    totals = group_sums(members.reshape(-1).astype(np.int64), values, len(pairs))
    owners, count = pairs // len(keys), len(cells)
    largest = [group_largest(owners, totals[:, at], count) for at in range(values.shape[1])]
    return (
        cells,
        np.bincount(owners, minlength=count).astype(np.int64),
        group_sums(owners, keys[pairs % len(keys)].astype(np.int64), count),
        group_sums(owners, totals, count),
        np.stack(largest, axis=1) if largest else np.zeros((count, 0, 3), dtype=np.int64),
    )
