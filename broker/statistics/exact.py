"""Exactly how closely a hidden cell of a small table can be told: linear programmes over the finest cells.

Only where totals add up, and where there are few finest cells: large tables are shown safe by `moves`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.grouped import Integers
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.views import View, not_adding_up

FINEST_MAX: Final = 4096

Matrix = NDArray[np.float64]


def can_be_exact(views: Sequence[View]) -> bool:
    """Whether these views are small enough, and add up."""
    finest = prod(len(kept) for kept in views[0].layout.kept.values())
    return finest <= FINEST_MAX and not not_adding_up(views)


def intervals(views: Sequence[View], at: int, cells: Integers) -> NDArray[np.float64]:
    """Return the least and largest values that flat cells of one view can have: (cells, 2), inf if unbounded.

    Raises StatisticsRefused("audit_unsolved").
    """
    # The extra `statistics`; whoever only reads tables needs no solver.
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    members = [_members(view) for view in views]
    rows, limits = [], []
    for view, member in zip(views, members, strict=True):
        high, low = view.high.reshape(-1), view.low.reshape(-1)
        rows += [member[np.isfinite(high)], -member[low > 0]]
        limits += [high[np.isfinite(high)], -low[low > 0]]
    told, most = csr_array(np.concatenate(rows)), np.concatenate(limits)
    found = []
    for cell in cells.tolist():
        ends = []
        for sign in (1.0, -1.0):
            solved = linprog(sign * members[at][cell], A_ub=told, b_ub=most, bounds=(0, None), method="highs")
            if solved.status not in (0, 3):
                raise StatisticsRefused("audit_unsolved", f"the solver said {solved.status}")
            ends.append(sign * solved.fun if solved.status == 0 else -sign * np.inf)
        found.append(ends)
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _members(view: View) -> Matrix:
    """Return which finest cells each cell of a grid is made of: (cells, finest cells), of 0 and 1."""
    member: Matrix = np.ones((1, 1))
    order = [name for name in sorted(view.layout.kept) if name not in view.layout.axes]
    for name in view.layout.axes:
        length = view.true.shape[view.layout.axes.index(name)]
        kept, places = view.layout.kept[name], view.layout.places[name]
        of_place = np.stack([kept if place == 0 else kept & (places == place) for place in range(length)])
        member = np.asarray(np.kron(member, of_place), dtype=np.float64)
    for name in order:
        member = np.asarray(np.kron(member, view.layout.kept[name][None, :]), dtype=np.float64)
    # From the order of this table's axes to the one order of all tables.
    names = [*view.layout.axes, *order]
    shape = [len(view.layout.kept[name]) for name in names]
    turned = member.reshape(-1, *shape).transpose(0, *(1 + names.index(name) for name in sorted(names)))
    return turned.reshape(len(member), -1)
