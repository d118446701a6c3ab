"""How far each cell of a table can rise and fall within what the table tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from broker.statistics.lookup import Floats
from broker.statistics.views import Layout, View, not_adding_up

Room = tuple[Floats, Floats]
"""Above and below the true value of each cell, flat."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rooms:
    """The rooms of one view. alone: of moves that change one of several categories, and not their total."""

    together: Room
    alone: Mapping[str, Room]

    def of(self, name: str | None) -> Room:
        """Return the room of moves, alone in one dimension or (None) together with all totals."""
        if name is None or name not in self.alone:
            return self.together
        (above, below), (more, less) = self.together, self.alone[name]
        return np.minimum(above, more), np.minimum(below, less)


def rooms_of(view: View, views: Sequence[View]) -> Rooms:
    """Return the rooms of a view among all views of a quantity.

    Where a person can be in several categories, a total is at least as large as each of them and at most as
    large as all together; a move is sure only where it stays so. Tables that cut such a dimension otherwise
    than this one bind its cells in ways that are not followed: there nothing is taken away.
    """
    above, below = view.high - view.true, view.true - view.low
    alone = {}
    for name in not_adding_up(views):
        if not all(cuts_alike(name, view.layout, other.layout) for other in views):
            below = np.zeros_like(below)
        elif name in view.layout.axes:
            axis = view.layout.axes.index(name)
            below = np.minimum(below, _over_largest(view.true, axis))
            alone[name] = _alone(view.true, axis)
    return Rooms((above.reshape(-1), np.maximum(below, 0.0).reshape(-1)), alone)


def cuts_alike(name: str, one: Layout, other: Layout) -> bool:
    """Whether two tables keep the same part of a dimension, and cut it at the same level if both do."""
    if not np.array_equal(one.kept[name], other.kept[name]):
        return False
    cut = name in one.axes and name in other.axes
    return not cut or np.array_equal(one.places[name], other.places[name])


def _over_largest(true: Floats, axis: int) -> Floats:
    """Return, for totals of an axis, by how much they are larger than their largest cell; else infinity."""
    moved = np.moveaxis(true, axis, 0)
    room = np.full_like(moved, np.inf)
    room[0] = moved[0] - moved[1:].max(axis=0)
    return np.moveaxis(room, 0, axis)


def _alone(true: Floats, axis: int) -> Room:
    """Return the room of one category, or one total, of an axis where the others of its line stay."""
    moved = np.moveaxis(true, axis, 0)
    spare = np.broadcast_to(moved[1:].sum(axis=0) - moved[0], moved.shape)
    above, below = moved[0] - moved, spare.copy()
    above[0], below[0] = spare[0], moved[0] - moved[1:].max(axis=0)
    return np.moveaxis(above, 0, axis).reshape(-1), np.moveaxis(below, 0, axis).reshape(-1)
