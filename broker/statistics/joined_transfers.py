"""Several transfers at once: a cell gains a little from each of several others, and no margin moves much.

Each part is a transfer of its own (`transfers`) and all parts end in the same cell. What they change of one
cell of a table is added up before it is held against what the table tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from broker.statistics.grouped import Integers
from broker.statistics.lookup import Floats
from broker.statistics.steps import Step
from broker.statistics.transfers import Transferable, changes_of
from broker.statistics.views import Flags


def joined_reach(
    ready: Sequence[Transferable], parts: Sequence[dict[str, Step]], sizes: Floats
) -> tuple[Flags, Flags]:
    """Return which cells can rise, and which can fall, by all parts together, each of its size.

    parts: steps as of `transfer_bounds`. sizes: of a part, of each cell; whole numbers for counts.
    """
    crosses = np.all(
        [np.any([step.loses >= 0 for step in steps.values()], axis=0) for steps in parts], axis=0
    )
    rises, falls = crosses.copy(), crosses.copy()
    for one in ready:
        _check(one, parts, sizes, rises, falls)
    return rises, falls


def _check(
    one: Transferable, parts: Sequence[dict[str, Step]], sizes: Floats, can_rise: Flags, can_fall: Flags
) -> None:
    """Take away, in place, what one table does not allow."""
    places, amounts = [], []
    whole = sizes * len(parts)
    for steps in parts:
        for change in changes_of(one, steps, len(sizes)):
            places += [change.to, change.off]
            amounts += [np.where(change.rises, sizes, 0.0), np.where(change.falls, -sizes, 0.0)]
            if one.lines is None or change.is_same is None:
                continue
            # All parts may fall on one line: as if each were as large as all together.
            same, apart = change.is_same, ~change.is_same
            within, without = one.lines.within, one.lines.without
            can_rise &= ~(change.rises & same & (within[change.to] < whole))
            can_fall &= ~(change.falls & same & (within[change.off] < whole))
            can_rise &= ~(change.falls & apart & (without[change.off] < whole))
            can_fall &= ~(change.rises & apart & (without[change.to] < whole))
    if places:
        rows, at, changed = _added_up(np.stack(places, axis=1), np.stack(amounts, axis=1))
        above, below = one.above[at], one.below[at]
        can_rise[rows[(changed > above) | (-changed > below)]] = False
        can_fall[rows[(changed > below) | (-changed > above)]] = False


def _added_up(places: Integers, amounts: Floats) -> tuple[Integers, Integers, Floats]:
    """Return the cells that each row changes, and by how much in all: rows, places, amounts."""
    order = np.argsort(places, axis=1, kind="stable")
    sorted_places = np.take_along_axis(places, order, axis=1)
    sums = np.cumsum(np.take_along_axis(amounts, order, axis=1), axis=1)
    is_last = np.ones(places.shape, dtype=bool)
    is_last[:, :-1] = sorted_places[:, :-1] != sorted_places[:, 1:]
    rows, columns = np.nonzero(is_last)
    ends = sums[rows, columns]
    before = np.concatenate([[0.0], ends[:-1]])
    before[np.concatenate([[True], rows[1:] != rows[:-1]])] = 0.0
    return rows, sorted_places[rows, columns], ends - before
