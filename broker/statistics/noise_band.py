"""How far what is told may be from what is true: half widths at 95 %, from what anybody may know.

They are computed from parameters and told numbers alone, so that whoever draws a chart tells nothing more.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.magnitudes import EPSILON

Z_95: Final = 1.959964
LARGEST_OF_MEAN: Final = 5.0
"""The largest contributor is taken for this many times the mean: who reads a table does not know it."""


def count_deviation(parameters: DisclosureParameters) -> float:
    """Return the standard deviation of a count's noise, persons; counts near the barred ones have less."""
    return sqrt(parameters.counts.variance)


def sum_share(parameters: DisclosureParameters) -> float:
    """Return the standard deviation of a sum's noise, at most, as a share of the sum's largest contributor.

    Of three contributors that are equal; where one is much larger than the others, it is a little less.
    """
    weight = sqrt(sum(one * one for one in EPSILON))
    return parameters.share_large * sqrt(parameters.sums.variance) * weight


def count_band(parameters: DisclosureParameters) -> float:
    """Return the half width, persons: 95 of 100 counts are told with less noise; none with more than D."""
    return min(Z_95 * count_deviation(parameters), float(parameters.counts.bound))


def sum_band(parameters: DisclosureParameters, total: int, persons: int) -> float:
    """Return the half width of a told sum, in its unit, given the told count of the same cell.

    Noise goes by the largest contributor, which nobody is told: it is taken for `LARGEST_OF_MEAN` means, and
    for no more than the rule of dominance leaves it. Rounding counts too.
    """
    if persons <= 0 or total <= 0:
        return 0.0
    shown = total * 100 / (100 + parameters.dominance_percent)
    largest = min(LARGEST_OF_MEAN * total / persons, shown)
    unit = 10 ** max(len(str(total)) - parameters.digits, 0)
    rounding = unit * unit / 12 if unit > 1 else 0.0
    return Z_95 * sqrt((sum_share(parameters) * largest) ** 2 + rounding)


def margin_band(parameters: DisclosureParameters, parts: int) -> float:
    """Return the half width, persons, of a margin less the sum of its parts: each has noise of its own."""
    return Z_95 * count_deviation(parameters) * sqrt(parts + 1)
