"""Exporters that do what seems enough: each is broken by an attack that the protected tables withstand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from broker.statistics.axes import Grid
from broker.statistics.output import HIDDEN

Numbers = NDArray[np.int64]


def exact_counts(grid: Grid, threshold: int = 10) -> Numbers:
    """True counts; those below the threshold are hidden."""
    return np.where(grid.persons < threshold, HIDDEN, grid.persons)


def exact_sums(grid: Grid, threshold: int = 10) -> Numbers:
    """True sums of the first measure, where enough persons are in the cell."""
    return np.where(grid.persons < threshold, HIDDEN, grid.sums[0])


def only_nonempty(grid: Grid) -> dict[tuple[int, ...], int | None]:
    """A list of the cells in which somebody is, as a GROUP BY gives it; small ones without their number."""
    counts = exact_counts(grid)
    there = [tuple(place) for place in np.argwhere(grid.persons > 0).tolist()]
    return {place: None if counts[place] == HIDDEN else int(counts[place]) for place in there}


def fresh_noise(grid: Grid, rng: np.random.Generator) -> Numbers:
    """Counts with noise that is drawn anew for every answer."""
    return grid.persons + rng.integers(-5, 6, grid.persons.shape)
