"""Moves that take persons from one cell and put them into another one, in several dimensions at once.

A swap (`steps`) crosses two rows with two columns and needs somebody at three corners; where a category is
thin there is nobody. A transfer needs somebody in one other cell alone: t persons (or an amount t) who are
at B in the truth are at A in another population. What has both of them does not change.

In one dimension persons can be in several categories: a union of T persons with parts of c_s is possible
exactly if every c_s <= T <= their sum. Whoever is transferred was in one of them alone, and is in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from broker.statistics.grouped import Integers
from broker.statistics.lookup import Floats
from broker.statistics.rooms import cuts_alike
from broker.statistics.steps import Step
from broker.statistics.views import Flags, View, not_adding_up


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lines:
    """How far categories can change along the dimension with several of them, each flat like its view.

    within: how far a category can rise while its total stays. without: how far it can fall with its total
    until another category is as large as the total.
    """

    within: Floats
    without: Floats


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Transferable:
    """One view, ready for transfers. several: its axis with persons in several categories, or -1."""

    view: View
    above: Floats
    below: Floats
    several: int
    lines: Lines | None


def transferable(views: Sequence[View]) -> list[Transferable]:
    """Return all views of a quantity, or none where it is not followed which transfers are feasible.

    That is where two dimensions have persons in several categories, or tables cut one otherwise.
    """
    apart = not_adding_up(views)
    if len(apart) > 1 or any(
        not cuts_alike(name, one.layout, other.layout) for name in apart for one in views for other in views
    ):
        return []
    return [_ready(view, apart) for view in views]


def transfer_bounds(ready: Sequence[Transferable], steps: dict[str, Step]) -> tuple[Floats, Floats]:
    """Return how far one transfer for each of many cells can go, up and down.

    steps: of each dimension the leaf that gains, and the one that loses; -1 where both are the same.
    """
    # Where nothing loses nothing is transferred, and nothing shown.
    crosses = np.any([step.loses >= 0 for step in steps.values()], axis=0)
    up, down = (np.where(crosses, np.inf, 0.0) for _ in range(2))
    for one in ready:
        _bound(one, steps, up, down)
    return up, down


def _ready(view: View, apart: Sequence[str]) -> Transferable:
    above, below = (view.high - view.true).reshape(-1), (view.true - view.low).reshape(-1)
    axis = next((view.layout.axes.index(name) for name in apart if name in view.layout.axes), -1)
    if not view.is_count or axis < 0:
        return Transferable(view, above, below, -1, None)
    moved = np.moveaxis(view.true, axis, 0)
    total, categories = moved[0], moved[1:]
    ranked = np.sort(np.concatenate([np.zeros_like(categories), categories]), axis=0)
    largest, second = ranked[-1], ranked[-2]
    others = np.where(categories == largest, second, largest)
    within, without = np.full_like(moved, np.inf), np.full_like(moved, np.inf)
    within[1:], without[1:] = total - categories, total - others
    flat = [np.moveaxis(room, 0, axis).reshape(-1) for room in (within, without)]
    return Transferable(view, above, below, axis, Lines(*flat))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Change:
    """What transfers change at the cells of one margin: flat places and where they rise and fall.

    is_same: of a margin that shows categories a person can be in several of, where both are of one line.
    """

    to: Integers
    off: Integers
    rises: Flags
    falls: Flags
    is_same: Flags | None


def changes_of(one: Transferable, steps: dict[str, Step], count: int) -> Iterator[Change]:
    """Yield what transfers of so many cells change in one table; nothing where it has neither end."""
    layout, shape = one.view.layout, one.view.true.shape
    loses = {name: np.where(step.loses < 0, step.gains, step.loses) for name, step in steps.items()}
    gaining, losing = np.ones(count, dtype=bool), np.ones(count, dtype=bool)
    for name, kept in layout.kept.items():
        gaining &= kept[steps[name].gains]
        losing &= kept[loses[name]]
    if not (gaining.any() or losing.any()):
        return
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    to = [layout.places[name][steps[name].gains] * at for name, at in zip(layout.axes, strides, strict=True)]
    off = [layout.places[name][loses[name]] * at for name, at in zip(layout.axes, strides, strict=True)]
    for shown in product((False, True), repeat=len(shape)):
        at_a, at_b = _sum(to, shown, count), _sum(off, shown, count)
        stays = gaining & losing & (at_a == at_b)
        is_same = None
        if one.lines is not None and shown[one.several]:
            line = [is_shown and axis != one.several for axis, is_shown in enumerate(shown)]
            is_same = gaining & losing & (_sum(to, line, count) == _sum(off, line, count))
        yield Change(at_a, at_b, gaining & ~stays, losing & ~stays, is_same)


def _bound(one: Transferable, steps: dict[str, Step], up: Floats, down: Floats) -> None:
    """Narrow how far transfers can go by what one table tells: in place."""
    for change in changes_of(one, steps, len(up)):
        _least(up, change.rises, one.above[change.to])
        _least(down, change.rises, one.below[change.to])
        _least(up, change.falls, one.below[change.off])
        _least(down, change.falls, one.above[change.off])
        if one.lines is not None and change.is_same is not None:
            is_same = change.is_same
            _least(up, change.rises & is_same, one.lines.within[change.to])
            _least(down, change.falls & is_same, one.lines.within[change.off])
            _least(up, change.falls & ~is_same, one.lines.without[change.off])
            _least(down, change.rises & ~is_same, one.lines.without[change.to])


def _sum(parts: Sequence[Integers], shown: Sequence[bool], count: int) -> Integers:
    """Return flat places, of the axes that are shown; the others are at their total."""
    place = np.zeros(count, dtype=np.int64)
    for part, is_shown in zip(parts, shown, strict=True):
        if is_shown:
            place = place + part
    return place


def _least(bound: Floats, where: Flags, room: Floats) -> None:
    bound[where] = np.minimum(bound[where], room[where])
