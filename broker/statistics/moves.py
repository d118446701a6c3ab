"""Shows that hidden cells cannot be told closely: other populations that would give the same tables.

A move puts t persons (or an amount t) into one finest cell and, in each dimension, may take them from another
category instead of from nowhere. Whoever lives in such a population would have been told the very same
intervals, so no attacker can rule it out. What moves a hidden cell by enough, up and down together, keeps it
safe whatever linear programme the attacker solves. Moves are sought, not drawn.

What no move shows safe is not thereby told closely: `exact` decides where it can, and the rest is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Final

import numpy as np

from broker.statistics.grouped import Integers
from broker.statistics.joined_transfers import joined_reach
from broker.statistics.lookup import Floats
from broker.statistics.rooms import Rooms, cuts_alike, rooms_of
from broker.statistics.steps import Step, changes, sign_of, step_of, swapping, transferring
from broker.statistics.transfers import Transferable, transfer_bounds, transferable
from broker.statistics.views import Flags, View, not_adding_up

TRIALS: Final = 256

IDLE: Final = 64
"""After so many trials that showed no further cell safe the rest is given up: refused, or solved exactly."""

PARTS: Final = 3
"""Transfers that are tried together."""

JOINED_FROM: Final = 16
"""First trial of several transfers: most cells need none."""


def unsafe_cells(views: Sequence[View]) -> list[Integers]:
    """Return of each view the flat places of hidden cells that no move shows to be safe.

    views: of one quantity, of all tables of a release, the new one among them.
    """
    rooms = [rooms_of(view, views) for view in views]
    ready = transferable(views)
    return [_unsafe_of(at, views, rooms, ready) for at in range(len(views))]


def _unsafe_of(
    at: int, views: Sequence[View], rooms: Sequence[Rooms], ready: Sequence[Transferable]
) -> Integers:
    view = views[at]
    hidden = np.flatnonzero(view.is_hidden)
    is_hopeless = _is_hopeless(view, rooms[at], hidden)
    hopeless, cells = hidden[is_hopeless], hidden[~is_hopeless]
    best_up, best_down = np.zeros(len(cells)), np.zeros(len(cells))
    wanted = view.width.reshape(-1)[cells]
    modes: list[str | None] = [None, *_alone_in(view, views)]
    last = 0
    for trial in range(TRIALS):
        if not len(cells) or trial - last > IDLE:
            break
        # Every mode sees every combination of gaining and losing.
        turn, alone = trial // len(modes), modes[trial % len(modes)]
        steps = _steps(view, cells, turn, alone)
        up, down = np.full(len(cells), np.inf), np.full(len(cells), np.inf)
        for other, room in zip(views, rooms, strict=True):
            _bound(other, room, steps, alone, up, down)
        if ready:
            # Each is a population of its own: the best of them counts.
            one, other_way = _transferred(view, ready, cells, wanted, trial)
            up, down = np.maximum(up, one), np.maximum(down, other_way)
        best_up = np.maximum(best_up, np.minimum(up, 2 * wanted))
        best_down = np.maximum(best_down, np.minimum(down, 2 * wanted))
        is_open = np.floor(best_up) + np.floor(best_down) < wanted
        last = last if is_open.all() else trial
        cells, wanted, best_up, best_down = (one[is_open] for one in (cells, wanted, best_up, best_down))
    return np.sort(np.concatenate([hopeless, cells]))


def _transferred(
    view: View, ready: Sequence[Transferable], cells: Integers, wanted: Floats, trial: int
) -> tuple[Floats, Floats]:
    """Return how far transfers go, up and down: one, or later also several at once."""
    up, down = transfer_bounds(ready, _transfer_steps(view, cells, trial, trial))
    if trial >= JOINED_FROM:
        sizes = np.ceil(wanted / PARTS) if view.is_count else wanted / PARTS
        rises, falls = joined_reach(ready, _parts(view, cells, trial), sizes)
        up = np.where(rises, np.maximum(up, wanted), up)
        down = np.where(falls, np.maximum(down, wanted), down)
    return up, down


def _is_hopeless(view: View, rooms: Rooms, cells: Integers) -> Flags:
    """Return which cells have too little room themselves for any move: they need not be tried.

    Every move of a cell changes that very cell, so none goes farther than its own room; a transfer from a
    total over several categories could, a little, and is not tried.
    """
    above, below = rooms.of(None)
    wanted = view.width.reshape(-1)[cells]
    most = [np.floor(np.minimum(room[cells], 2 * wanted)) for room in (above, below)]
    found: Flags = most[0] + most[1] < wanted
    return found


def _transfer_steps(view: View, cells: Integers, turn: int, trial: int) -> dict[str, Step]:
    """Return where a transfer goes and comes from. Bits of turn say in which dimensions it crosses."""
    crossed = {name for bit, name in enumerate(transferring(view)) if ~turn >> bit & 1}
    return {
        name: step_of(view, name, number, cells, trial, alone=False, swaps=name in crossed)
        for number, name in enumerate(sorted(view.layout.kept))
    }


def _parts(view: View, cells: Integers, trial: int) -> list[dict[str, Step]]:
    """Return the transfers that are tried together: several that were tried, or will be, by themselves."""
    return [
        # Every second time all parts cross the same dimensions, else each its own.
        _transfer_steps(
            view, cells, trial // 2 + part * (trial % 2) * (trial // 2 + 1), 1 + trial * PARTS + part
        )
        for part in range(PARTS)
    ]


def _steps(view: View, cells: Integers, turn: int, alone: str | None) -> dict[str, Step]:
    """Return a step in each dimension of the release. The bits of turn say in which ones somebody loses."""
    losing = {name for bit, name in enumerate(swapping(view)) if turn >> bit & 1}
    return {
        name: step_of(view, name, number, cells, turn, alone=name == alone, swaps=name in losing)
        for number, name in enumerate(sorted(view.layout.kept))
    }


def _alone_in(view: View, views: Sequence[View]) -> list[str]:
    """Return the dimensions in which a category can change while its total stays."""
    return [
        name
        for name in not_adding_up([view])
        if name in view.layout.axes and all(cuts_alike(name, view.layout, one.layout) for one in views)
    ]


def _bound(
    other: View, rooms: Rooms, steps: dict[str, Step], alone: str | None, up: Floats, down: Floats
) -> None:
    """Narrow how far moves can go up and down by what one table tells: in place."""
    layout = other.layout
    outside = np.ones(len(up), dtype=np.int64)
    for name, kept in layout.kept.items():
        if name not in layout.axes:
            outside = outside * sign_of(kept, steps[name])
    if not np.any(outside):
        return
    above, below = rooms.of(alone)
    every = [list(changes(layout, name, steps[name])) for name in layout.axes]
    strides = [prod(other.true.shape[axis + 1 :]) for axis in range(other.true.ndim)]
    for combination in product(*every):
        sign, place = outside.copy(), np.zeros(len(up), dtype=np.int64)
        for (places, signs), stride in zip(combination, strides, strict=True):
            sign, place = sign * signs, place + places * stride
        rises, falls = sign > 0, sign < 0
        up[rises] = np.minimum(up[rises], above[place[rises]])
        down[rises] = np.minimum(down[rises], below[place[rises]])
        up[falls] = np.minimum(up[falls], below[place[falls]])
        down[falls] = np.minimum(down[falls], above[place[falls]])
