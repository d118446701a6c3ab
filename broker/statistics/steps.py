"""Which finest categories gain and lose in a move: the same ones every time, for a heart has no coin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from broker.statistics.grouped import Integers
from broker.statistics.views import Flags, Layout, View

_LARGEST: Final = 6
"""Something is taken from one of so many categories with the most."""

_LEAST: Final = 2
"""Places of an axis on which nothing can be taken from elsewhere: the total and one category."""

Change = tuple[Integers, Integers]
"""Places on an axis, and by which sign they change: one of each for every cell looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A move in one dimension, for many cells. gains, loses: leaves; loses is -1 where nobody does.

    alone: the places that change and whose total does not; None where totals change with their cells.
    """

    gains: Integers
    loses: Integers
    alone: Integers | None = None


def transferring(view: View) -> list[str]:
    """Return the dimensions of a view in which a transfer can come from another category."""
    sizes = zip(view.layout.axes, view.true.shape, strict=True)
    return [name for name, size in sizes if size > _LEAST]


def swapping(view: View) -> list[str]:
    """Return the dimensions of a view in which a move can take from another category what it gives.

    Nobody can be moved from one of several categories to another: perhaps the person is in both.
    """
    several = view.layout.several if view.is_count else frozenset()
    sizes = zip(view.layout.axes, view.true.shape, strict=True)
    return [name for name, size in sizes if size > _LEAST and name not in several]


def step_of(
    view: View, name: str, number: int, cells: Integers, trial: int, *, alone: bool, swaps: bool
) -> Step:
    """Return the step of one trial in one dimension, for flat cells of a view.

    alone: a category changes and not its total. swaps: another category loses what it gains.
    """
    kept, spread = view.layout.kept[name], _spread(cells, trial, number)
    leaves, nobody = np.flatnonzero(kept), np.full(len(cells), -1, dtype=np.int64)
    if name not in view.layout.axes:
        return Step(leaves[spread % len(leaves)], nobody)
    axis = view.layout.axes.index(name)
    own = np.unravel_index(cells, view.true.shape)[axis].astype(np.int64)
    of_place = [leaves, *_leaves_of_places(view, name)]
    sizes = np.array([len(one) for one in of_place])
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    gains = np.concatenate(of_place)[firsts[own] + spread % np.maximum(sizes[own], 1)]
    if alone:
        return Step(gains, nobody, own)
    if not swaps:
        return Step(gains, nobody)
    return Step(
        gains, np.where(own > 0, np.concatenate(of_place)[firsts[_givers(view, axis, own, spread)]], -1)
    )


def changes(layout: Layout, name: str, step: Step) -> Iterator[Change]:
    """Yield the places of an axis that change: of the gaining leaf, of the losing one, and the total."""
    if step.alone is not None:
        yield step.alone, np.ones_like(step.alone)
        return
    kept, places = layout.kept[name], layout.places[name]
    gaining = np.where(kept[step.gains], places[step.gains], 0)
    losing = np.where((step.loses >= 0) & kept[step.loses], places[step.loses], 0)
    apart = (gaining != losing).astype(np.int64)
    yield gaining, (gaining > 0) * apart
    if np.any(step.loses >= 0):
        yield losing, -((losing > 0) * apart)
    yield np.zeros_like(gaining), sign_of(kept, step)


def sign_of(kept: Flags, step: Step) -> Integers:
    """Return by which sign a set of leaves changes as a whole."""
    if step.alone is not None:
        # A total that changes alone changes in every table that has it; a category does not change totals.
        return np.asarray(step.alone == 0, dtype=np.int64)
    lost = np.where(step.loses >= 0, kept[step.loses], False)
    return kept[step.gains].astype(np.int64) - lost.astype(np.int64)


def _givers(view: View, axis: int, own: Integers, spread: Integers) -> Integers:
    """Return for each cell another place of the axis, one of those with the most."""
    whole = view.true[tuple(slice(1, None) if one == axis else 0 for one in range(view.true.ndim))]
    order = np.argsort(-whole, kind="stable") + 1
    most = min(_LARGEST, len(order))
    # Every second time the largest one: where a category is thin, most others are empty too.
    at = np.where(spread % 2 == 0, 0, (spread // 7) % most)
    giver = order[at]
    return np.where(giver == own, order[(at + 1) % most], giver)


def _leaves_of_places(view: View, name: str) -> list[Integers]:
    places, kept = view.layout.places[name], view.layout.kept[name]
    length = view.true.shape[view.layout.axes.index(name)]
    return [np.flatnonzero(kept & (places == place)) for place in range(1, length)]


def _spread(cells: Integers, trial: int, number: int) -> Integers:
    """Return numbers that differ from cell to cell and from trial to trial, always the same ones."""
    mixed: Integers = (cells + 1) * 2654435761 + (trial + 1) * 40503 * (number + 1)
    return (mixed ^ (mixed >> 15)) % 1_000_003
