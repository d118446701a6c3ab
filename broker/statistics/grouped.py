"""Arrays by group: what partial aggregates are made of and merged with, without a loop over cells."""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.reasons import StatisticsRefused

Integers = NDArray[np.int64]

TOTAL: Final = -1
"""The code of a dimension that a cell does not cut by: the cell stands in a margin."""

TOP: Final = 3
"""How many of the largest totals of a cell are kept: two for the rule of dominance, three for the noise."""


def distinct(codes: Integers) -> tuple[Integers, Integers]:
    """Return the distinct rows of codes >= -1 (rows, dimensions), in order, and of each row which it is.

    Each row is packed into one number first, which is much faster to sort.
    """
    radix = [int(column.max(initial=TOTAL)) - TOTAL + 1 for column in codes.T]
    if prod(radix) >= 2**62:
        raise StatisticsRefused("cells_malformed", "codes are too large for one table")
    packed = np.zeros(len(codes), dtype=np.int64)
    for column, size in zip(codes.T, radix, strict=True):
        packed = packed * size + (column - TOTAL)
    _, first, groups = np.unique(packed, return_index=True, return_inverse=True)
    return codes[first], groups.reshape(-1).astype(np.int64)


def group_sums(groups: Integers, values: Integers, count: int) -> Integers:
    """Return the exact sums of values (rows,) or (rows, columns) by group 0..count-1, in whole numbers."""
    summed = np.zeros((count, *values.shape[1:]), dtype=np.int64)
    np.add.at(summed, groups, values)
    return summed


def group_largest(groups: Integers, values: Integers, count: int) -> Integers:
    """Return the `TOP` largest of values >= 0 (rows,) by group, falling, then zeros: (count, TOP)."""
    # A zero is what stands where there is nothing: leaving zeros out changes nothing, and sorts less.
    groups, values = groups[values > 0], values[values > 0]
    order = np.lexsort((-values, groups))
    sorted_groups = groups[order]
    starts = np.searchsorted(sorted_groups, np.arange(count))
    rank = np.arange(len(order)) - starts[sorted_groups]
    within = rank < TOP
    largest = np.zeros((count, TOP), dtype=np.int64)
    largest[sorted_groups[within], rank[within]] = values[order][within]
    return largest
