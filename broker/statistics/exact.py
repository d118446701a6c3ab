"""Exactly how closely a hidden cell can be told: linear programmes over what the tables can tell apart.

Finest categories that no table tells apart are one: of a release with eight dimensions, a table of three
leaves the product of its own. Only where totals add up, and where that is not too much to solve: otherwise
what `moves` does not show safe is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.grouped import Integers
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.views import View, not_adding_up

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FINEST_MAX: Final = 4096
"""So many finest cells are solved for any number of hidden ones."""
LARGE_MAX: Final = 65_536
FEW: Final = 64
"""Of so many finest cells, so many hidden ones are solved: each may take a second or two."""


def can_be_exact(views: Sequence[View], cells: int = FEW) -> bool:
    """Whether these views add up, and are small enough for so many hidden cells."""
    if not_adding_up(views):
        return False
    finest = prod(len(firsts) for firsts in _classes(views).values())
    return finest <= FINEST_MAX or (finest <= LARGE_MAX and cells <= FEW)


def intervals(views: Sequence[View], at: int, cells: Integers) -> NDArray[np.float64]:
    """Return the least and largest values that flat cells of one view can have: (cells, 2), inf if unbounded.

    Raises StatisticsRefused("audit_unsolved").
    """
    # The extra `statistics`; whoever only reads tables needs no solver.
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    classes = _classes(views)
    members = [_members(view, classes) for view in views]
    rows, limits = [], []
    for view, member in zip(views, members, strict=True):
        high, low = view.high.reshape(-1), view.low.reshape(-1)
        rows += [member[np.flatnonzero(np.isfinite(high))], -member[np.flatnonzero(low > 0)]]
        limits += [high[np.isfinite(high)], -low[low > 0]]
    told, most = vstack(rows, format="csr"), np.concatenate(limits)
    found = []
    for cell in cells.tolist():
        aim = members[at][[cell]].toarray()[0]
        ends = []
        for sign in (1.0, -1.0):
            solved = linprog(sign * aim, A_ub=told, b_ub=most, bounds=(0, None), method="highs")
            if solved.status not in (0, 3):
                raise StatisticsRefused("audit_unsolved", f"the solver said {solved.status}")
            ends.append(sign * solved.fun if solved.status == 0 else -sign * np.inf)
        found.append(ends)
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _classes(views: Sequence[View]) -> Mapping[str, Integers]:
    """Return of each dimension, in order of names, one finest category of each set that no table splits."""
    found = {}
    for name in sorted(views[0].layout.kept):
        told: list[NDArray[Any]] = [view.layout.kept[name] for view in views]
        told += [
            np.where(view.layout.kept[name], view.layout.places[name], 0)
            for view in views
            if name in view.layout.axes
        ]
        _, firsts = np.unique(np.stack(told).astype(np.int64), axis=1, return_index=True)
        found[name] = np.sort(firsts).astype(np.int64)
    return found


def _members(view: View, classes: Mapping[str, Integers]) -> csr_array:
    """Return which finest cells each cell of a grid is made of: (cells, finest cells), of 0 and 1."""
    from scipy.sparse import csr_array, kron

    layout = view.layout
    member = csr_array(np.ones((1, 1)))
    for name, firsts in classes.items():
        kept = layout.kept[name][firsts]
        of_place = [kept]
        if name in layout.axes:
            places, length = layout.places[name][firsts], view.true.shape[layout.axes.index(name)]
            of_place += [kept & (places == place) for place in range(1, length)]
        member = kron(member, csr_array(np.stack(of_place).astype(np.float64)), format="csr")
    # Rows stand in the order of names; those of the grid in the order of its axes.
    names = [name for name in classes if name in layout.axes]
    shape = [view.true.shape[layout.axes.index(name)] for name in names]
    rows = np.arange(prod(shape)).reshape(shape).transpose([names.index(name) for name in layout.axes])
    return csr_array(member)[rows.reshape(-1)]
