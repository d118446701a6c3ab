"""How useful a protected table is to whoever reads it, beside what is true."""

from __future__ import annotations

import numpy as np

from broker.statistics.output import HIDDEN
from broker.statistics.views import Released


def useful_figures(released: Released) -> dict[str, float]:
    """Return how far shown cells are off in the median, and how many cells, persons and how much are hidden.

    Shares of persons and of amounts are of the inner cells: in margins everybody stands again. Of cells with
    nobody in them nothing can be off, and none is shown.
    """
    grid, table = released.grid, released.protected.table
    inner = (slice(1, None),) * grid.persons.ndim
    shown = table.persons != HIDDEN
    true, told = grid.persons[shown], table.persons[shown]
    figures = {
        "cells": float(table.cells),
        "inner_cells": float(grid.persons[inner].size),
        "cells_with_somebody": float(np.count_nonzero(grid.persons)),
        "hidden_share_of_cells": float(1 - shown.mean()),
        "hidden_share_of_persons": _hidden_share(grid.persons[inner], shown[inner]),
        "count_error_median": float(np.median(np.abs(told - true) / true)),
    }
    if len(grid.measures):
        sums_shown = table.sums[0] != HIDDEN
        sums, sums_told = grid.sums[0][sums_shown], table.sums[0][sums_shown]
        figures["sum_error_median"] = float(np.median(np.abs(sums_told - sums) / sums))
        figures["hidden_share_of_sums"] = _hidden_share(grid.sums[0][inner], sums_shown[inner])
    return figures


def _hidden_share(amounts: np.ndarray, shown: np.ndarray) -> float:
    return float(amounts[~shown].sum() / amounts.sum())
