"""Noise of sums: each of the three largest contributors moves the sum by a multiple of a share of its own.

    m(x) = p_small                                                                            where x < fp
         = p_large (1 + (p_small x - p_large fp) / (p_large fp) (2 fp / (fp + x))^q)          elsewhere
    d_j  = x_j m(S) eps_j, or what is left of the sum, if that is less
    hat  = |d_j| sign(v) (mu + |v|), never below what is left           v from the table at min(|left/d_j|, D)

S is the true sum of the cell, x_1 >= x_2 >= x_3 its largest totals of one person. With separation, sums below
z_s = unit sqrt(V_small) / (p sqrt(sum of eps squared)) get noise in whole units from a table of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.draws import Draw, contributor
from broker.statistics.grouped import TOP, Integers
from broker.statistics.keys import Keys
from broker.statistics.lookup import Floats, Lookup, magnitude_noise
from broker.statistics.parameters import SHARE_LARGE_MIN
from broker.statistics.perturbation_table import PerturbationTable
from broker.statistics.reasons import StatisticsRefused

EPSILON: Final = (1.0, 0.5, 0.2)
"""How much of its share the first, second and third contributor moves a sum by, unless said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCells:
    """Separation: sums of a few units have noise in whole units. unit: of the measure, such as 1,000,000."""

    table: PerturbationTable
    unit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeNoise:
    """How a measure's sums are perturbed.

    share_small (p_small): the share of a contributor in sums below flex_point (fp, in the measure's unit).
    share_large (p_large): what it falls towards in large sums, at least 0.10. flex (q): how fast.
    epsilon: of the first, second and third contributor. extra (mu): added to the noise of sensitive cells.
    Raises StatisticsRefused("rule_malformed").
    """

    table: PerturbationTable
    share_small: float = 0.20
    share_large: float = SHARE_LARGE_MIN
    flex_point: int = 0
    flex: float = 3.0
    epsilon: tuple[float, float, float] = EPSILON
    extra: float = 0.0
    small_cells: SmallCells | None = None

    def __post_init__(self) -> None:
        first, *others = self.epsilon
        falls = all(a >= b for a, b in zip(self.epsilon, others, strict=False))
        if not SHARE_LARGE_MIN <= self.share_large <= self.share_small <= 1:
            raise _malformed(f"shares lie between {SHARE_LARGE_MIN} and 1, and fall with the sum")
        if first != 1 or not falls or self.epsilon[-1] < 0:
            raise _malformed("epsilon begins with 1 and falls to 0 at least")
        if self.flex_point < 0 or not 1 <= self.flex <= 10 or not 0 <= self.extra <= 5:
            raise _malformed("the flex point is 0 or more, q lies between 1 and 10, mu between 0 and 5")
        if self.small_cells is not None and self.small_cells.unit < 1:
            raise _malformed("a unit is 1 or more")

    @property
    def weight(self) -> float:
        """The square root of the sum of the squares of epsilon."""
        return sqrt(sum(one * one for one in self.epsilon))

    @property
    def separation(self) -> float:
        """z_s: sums below it use the table of small cells; 0 without one."""
        if self.small_cells is None:
            return 0.0
        spread = self.small_cells.unit * sqrt(self.small_cells.table.parameters.variance)
        at_small = spread / (self.share_small * self.weight)
        return at_small if at_small < self.flex_point else spread / (self.share_large * self.weight)

    @property
    def bound_share(self) -> float:
        """The noise of a sum is never larger than this share of the sum's largest contributor."""
        bound = self.table.parameters.bound
        return self.share_small * sum(self.epsilon) * (self.extra + bound)

    @property
    def bound_small(self) -> float:
        """The noise of a small sum is never larger than this, in the measure's unit."""
        if self.small_cells is None:
            return 0.0
        return float(self.small_cells.unit * self.small_cells.table.parameters.bound)


def shares(noise: MagnitudeNoise, sums: Floats) -> Floats:
    """Return m(x) of sums."""
    fp, small, large = float(noise.flex_point), noise.share_small, noise.share_large
    if fp == 0:
        return np.full(len(sums), large)
    slope = (small * sums - large * fp) / (large * fp)
    flexed = large * (1 + slope * (2 * fp / (fp + sums)) ** noise.flex)
    return np.where(sums < fp, small, flexed)


class SumNoise:
    """A measure's noise, ready for many cells at once."""

    def __init__(self, measure: str, noise: MagnitudeNoise) -> None:
        self.measure, self.noise = measure, noise
        self._lookup = Lookup(noise.table)
        self._small = None if noise.small_cells is None else Lookup(noise.small_cells.table)

    def of_cells(
        self, sums: Integers, largest: Integers, keys: Keys, is_sensitive: NDArray[np.bool_], draw: Draw
    ) -> Floats:
        """Return what is added to sums: (cells,), never less than -sum.

        largest: (cells, 3), falling. is_sensitive: the cells whose noise has `extra` on top.
        """
        total = sums.astype(np.float64)
        left, share = total.copy(), shares(self.noise, total)
        extra = np.where(is_sensitive, self.noise.extra, 0.0)
        for rank in range(TOP):
            part = largest[:, rank] * share * self.noise.epsilon[rank]
            part = np.where(np.abs(left) < np.abs(part), left, part)
            moves = part != 0
            sizes = np.abs(np.divide(left, part, out=np.zeros_like(left), where=moves))
            value = magnitude_noise(self._lookup, sizes, draw(keys, contributor(self.measure, rank + 1)))
            moved = np.abs(part) * np.sign(value) * (extra + np.abs(value))
            left += np.where(moves, np.maximum(moved, -left), 0.0)
        return np.where(total < self.noise.separation, self._small_noise(total, keys, draw), left - total)

    def _small_noise(self, total: Floats, keys: Keys, draw: Draw) -> Floats:
        if self._small is None or self.noise.small_cells is None:
            return np.zeros_like(total)
        unit = self.noise.small_cells.unit
        value = magnitude_noise(self._small, total / unit, draw(keys, contributor(self.measure, 1)))
        return np.maximum(value * unit, -total)


def _malformed(detail: str) -> StatisticsRefused:
    return StatisticsRefused("rule_malformed", detail)
