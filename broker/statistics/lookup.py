"""Which noise a draw leads to: the first value whose cumulative probability is larger than the draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from broker.statistics.perturbation_table import PARTS, PerturbationTable

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Lookup:
    """A perturbation table, ready for many cells at once."""

    def __init__(self, table: PerturbationTable) -> None:
        step = table.parameters.step
        self.categories = np.array([row.category for row in table.rows], dtype=np.int64)
        self._values = [np.array(row.steps, dtype=np.float64) / step for row in table.rows]
        self._bounds = [np.array(row.bounds, dtype=np.float64) / PARTS for row in table.rows]

    def at_rows(self, rows: Integers, draws: Floats) -> Floats:
        """Return the noise of cells: rows are positions in the table, draws lie in [0, 1). Same shape."""
        noise = np.zeros(len(draws), dtype=np.float64)
        order = np.argsort(rows, kind="stable")
        present, starts = np.unique(rows[order], return_index=True)
        for row, members in zip(present, np.split(order, starts[1:]), strict=True):
            found = np.searchsorted(self._bounds[row], draws[members], side="right")
            noise[members] = self._values[row][found]
        return noise


def count_noise(lookup: Lookup, counts: Integers, draws: Floats) -> Integers:
    """Return the noise of counts, persons; counts beyond the last row use it."""
    rows = np.minimum(counts, lookup.categories[-1])
    return lookup.at_rows(rows, draws).astype(np.int64)


def magnitude_noise(lookup: Lookup, sizes: Floats, draws: Floats) -> Floats:
    """Return the noise for sizes >= 0 in units, between neighbouring rows in proportion.

    The same draw falls in both rows, so that a size just beside a row has nearly that row's noise.
    """
    categories = lookup.categories.astype(np.float64)
    within = np.minimum(sizes, categories[-1])
    above = np.searchsorted(categories, within, side="left")
    below = np.maximum(above - 1, 0)
    width = np.where(above > below, categories[above] - categories[below], 1.0)
    weight = np.where(above > below, (within - categories[below]) / width, 1.0)
    upper = lookup.at_rows(above, draws)
    lower = lookup.at_rows(below, draws)
    return (1.0 - weight) * lower + weight * upper
