"""What an attacker knows of one quantity of one released table, and what is true: the auditor's material.

Dimensions of all tables are laid out over their finest registered categories (leaves). A table keeps some
leaves (its filters), and puts each kept leaf at a place of its axis (its level); place 0 is their total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.axes import Grid
from broker.statistics.grouped import Integers
from broker.statistics.lookup import Floats
from broker.statistics.output import HIDDEN
from broker.statistics.protect import Method, Protected

Flags = NDArray[np.bool_]
_ROUNDING: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How a table cuts the leaves of each dimension of its release.

    axes: names of its dimensions, in order. kept: of every dimension, (leaves,), who is in the table at all.
    places: of its own dimensions, (leaves,), from 1; only where kept. several: dimensions in which a person
    can be in several categories.
    """

    axes: tuple[str, ...]
    kept: Mapping[str, Flags]
    places: Mapping[str, Integers]
    several: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class View:
    """One quantity of one table on its grid. true: never told. low, high: what the table tells of each cell.

    is_hidden: the cells to protect. width: how wide what can be told of them must stay, at least.
    is_count: of persons, who count once in a total; sums always add up.
    """

    layout: Layout
    true: Floats
    low: Floats
    high: Floats
    is_hidden: Flags
    width: Floats
    is_count: bool

    def __repr__(self) -> str:
        return f"View({self.true.size} cells)"


def not_adding_up(views: Sequence[View]) -> list[str]:
    """Return the dimensions in which a total of some table is less than its cells together, by their names.

    They are those in which a person can be in several categories, where counts are cut or filtered by them.
    """
    return sorted({
        name
        for view in views
        if view.is_count
        for name in view.layout.several
        if name in view.layout.axes or not view.layout.kept[name].all()
    })  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Released:
    """A table of a release, released or about to be, with what is true of it."""

    grid: Grid
    protected: Protected
    layout: Layout

    def __repr__(self) -> str:
        return f"Released({self.protected.table.question})"


def persons_view(released: Released, method: Method, width: int) -> View:
    """Return what a table tells of its counts: n' - D to n' + D, or at most k - 1 + D where it is hidden.

    Of a cell that is hidden for another reason nothing is told. width: persons.
    """
    bound = method.counts.parameters.bound
    told, why = released.protected.table.persons, released.protected.notes.persons
    few = float(method.rules.threshold - 1 + bound)
    hidden = told == HIDDEN
    high = np.where(hidden, np.where(why == "A", few, np.inf), told + bound)
    return View(
        layout=released.layout,
        true=released.grid.persons.astype(np.float64),
        low=np.where(hidden, 0.0, np.maximum(told - bound, 0)),
        high=high,
        is_hidden=hidden,
        width=np.full(told.shape, float(width)),
        is_count=True,
    )


def sum_view(released: Released, method: Method, measure: str, percent: int) -> View:
    """Return what a table tells of a measure's sums: S' as exact as noise and rounding leave it.

    width: percent of the largest contributor of a cell, at least 1.
    """
    at, noise = released.grid.measures.index(measure), method.sums[measure]
    told = released.protected.table.sums[at].astype(np.float64)
    hidden = told == HIDDEN
    size = np.floor(np.log10(np.maximum(told, 1.0))) + 1
    # A sum just below a power of ten may have been rounded in the coarser unit above it.
    unit = np.power(10.0, np.maximum(size - method.rules.digits, 0)) * _ROUNDING
    share, least = noise.bound_share, noise.bound_small
    low = np.minimum((told - unit) / (1 + share), told - unit - least)
    spread = np.maximum((told + unit) / (1 - share), told + unit + least) if share < 1 else np.inf
    return View(
        layout=released.layout,
        true=released.grid.sums[at].astype(np.float64),
        low=np.where(hidden, 0.0, np.maximum(low, 0.0)),
        high=np.where(hidden, np.inf, spread),
        is_hidden=hidden,
        width=np.maximum(released.grid.largest[at, 0] * (percent / 100.0), 1.0),
        is_count=False,
    )
