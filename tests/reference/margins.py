"""What an attacker can tell of a cell of one table from its margins: the linear programme, plainly."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog


def interval(
    low: NDArray[np.float64], high: NDArray[np.float64], cell: tuple[int, ...], several: frozenset[int]
) -> tuple[float, float]:
    """Return the least and largest value of a cell. Place 0 of each axis is the total of the others.

    several: axes on which a total is at least each of its cells and at most all of them.
    """
    shape = low.shape
    equal, within = [], []
    for axis in range(len(shape)):
        others = [range(size) for at, size in enumerate(shape) if at != axis]
        for line in product(*others):
            places = [(*line[:axis], at, *line[axis:]) for at in range(shape[axis])]
            row = np.zeros(shape)
            row[places[0]] = 1
            for place in places[1:]:
                row[place] = -1
            if axis not in several:
                equal.append(row.reshape(-1))
                continue
            within.append(row.reshape(-1))
            for place in places[1:]:
                row = np.zeros(shape)
                row[place], row[places[0]] = 1, -1
                within.append(row.reshape(-1))
    target = np.zeros(shape)
    target[cell] = 1
    ends = []
    for sign in (1, -1):
        solved = linprog(
            sign * target.reshape(-1),
            A_eq=np.array(equal) if equal else None,
            b_eq=np.zeros(len(equal)) if equal else None,
            A_ub=np.array(within) if within else None,
            b_ub=np.zeros(len(within)) if within else None,
            bounds=np.stack([low.reshape(-1), high.reshape(-1)], axis=1),
        )
        assert solved.status in (0, 3), solved.message
        ends.append(float(solved.fun) * sign if solved.status == 0 else -sign * float("inf"))
    return ends[0], ends[1]
