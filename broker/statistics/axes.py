"""The grid of a table: every registered category of every dimension, whether anybody is in it or not.

A table that left empty cells out would say where nobody is. On a grid each dimension is an axis; place 0 is
the total, place 1 + c category c. Margins are slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.statistics.cells import CellTable
from broker.statistics.grouped import TOP, Integers
from broker.statistics.reasons import StatisticsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A dimension as it stands in a table. categories: codes in the order of their numbers.

    is_sensitive: who learns a person's category learns what concerns the person alone (a diagnosis, a debt).
    one_each: a person is in at most one category at a time (sex), not in several (a sector of work).
    """

    name: str
    categories: tuple[str, ...]
    is_sensitive: bool = False
    one_each: bool = True


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Grid:
    """The true aggregates of a table, on its grid; zeros where nobody is. Never leaves the process.

    persons, keys: of the grid's shape. sums: (measures, *shape). largest: (measures, 3, *shape).
    """

    axes: tuple[Axis, ...]
    measures: tuple[str, ...]
    persons: Integers
    keys: Integers
    sums: Integers
    largest: Integers

    def __repr__(self) -> str:
        return f"Grid({'x'.join(str(length) for length in self.persons.shape)})"


def shape_of(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    """Return the shape of a grid: of each axis its categories and the total."""
    return tuple(len(axis.categories) + 1 for axis in axes)


def on_grid(table: CellTable, axes: tuple[Axis, ...]) -> Grid:
    """Return the cells of a table on the grid of its axes.

    Raises StatisticsRefused: cells_differ where the axes are not the table's dimensions, cells_malformed
    where a code is no category, a margin is missing, or a margin does not go with its cells.
    """
    if tuple(axis.name for axis in axes) != table.dimensions:
        raise StatisticsRefused("cells_differ", "the axes are not the dimensions of the cells")
    shape = shape_of(axes)
    if np.any(table.codes + 1 >= np.array(shape, dtype=np.int64)):
        raise StatisticsRefused("cells_malformed", "a code is no registered category")
    places = tuple((table.codes + 1).T)
    measures = len(table.measures)
    persons, keys = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    sums = np.zeros((measures, *shape), dtype=np.int64)
    largest = np.zeros((measures, TOP, *shape), dtype=np.int64)
    persons[places], keys[places] = table.persons, table.key_sums
    for at in range(measures):
        sums[(at, *places)] = table.sums[:, at]
        for rank in range(TOP):
            largest[(at, rank, *places)] = table.largest[:, at, rank]
    grid = Grid(axes, table.measures, persons, keys, sums, largest)
    _check_margins(grid)
    return grid


def _check_margins(grid: Grid) -> None:
    """Refuse what an engine that lost rows or counted persons twice would return."""
    for at, axis in enumerate(grid.axes):
        total, inner = split(grid.persons, at)
        summed = inner.sum(axis=at)
        if np.any(total > summed) or np.any(total < inner.max(axis=at, initial=0)):
            raise StatisticsRefused("cells_malformed", f"persons over {axis.name} are not those of its cells")
        if axis.one_each and np.any(total != summed):
            raise StatisticsRefused("cells_malformed", f"somebody is in two categories of {axis.name}")
        for measure, sums in zip(grid.measures, grid.sums, strict=True):
            of_total, of_inner = split(sums, at)
            if np.any(of_total != of_inner.sum(axis=at)):
                raise StatisticsRefused("cells_malformed", f"{measure} over {axis.name} is another one")


def split(array: Integers, axis: int) -> tuple[Integers, Integers]:
    """Return the totals over an axis and the cells of its categories."""
    total: Integers = np.take(array, 0, axis=axis)
    inner: Integers = np.take(array, np.arange(1, array.shape[axis]), axis=axis)
    return total, inner
