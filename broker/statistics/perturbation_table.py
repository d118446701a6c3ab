"""A perturbation table: for each size of a cell, which noise it can have and how likely.

Probabilities are whole numbers of `PARTS`, so that the table's bytes say exactly where each draw falls, on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from broker.statistics.parameters import Parameters
from broker.statistics.reasons import StatisticsRefused

PARTS: Final = 10**12
MEAN_MAX: Final = 1e-7
VARIANCE_OVER_MAX: Final = 1e-6
VARIANCE_TOLERANCE: Final = 1e-6
RISE_TOLERANCE: Final = 10**4
"""In parts: as exact as the solver is (1e-8)."""


@dataclass(frozen=True, slots=True)
class Row:
    """The noise of one category. steps: noise in 1/step, rising. parts: of 10^12, one for each of steps."""

    category: int
    steps: tuple[int, ...]
    parts: tuple[int, ...]

    @property
    def bounds(self) -> tuple[int, ...]:
        """Upper bounds of the draws that lead to each step, in parts."""
        return tuple(accumulate(self.parts))

    def mean(self, step: int) -> float:
        """Return the mean of the noise, in units."""
        return sum(a * b for a, b in zip(self.steps, self.parts, strict=True)) / (PARTS * step)

    def variance(self, step: int) -> float:
        """Return the variance of the noise, in squared units (its mean is 0)."""
        return sum(a * a * b for a, b in zip(self.steps, self.parts, strict=True)) / (PARTS * step * step)


@dataclass(frozen=True, slots=True)
class PerturbationTable:
    """Rows for category 0 (nothing stays nothing) and for each category of the parameters, rising.

    Raises StatisticsRefused("table_malformed") unless the rows have the support, the mean and the variance
    that their parameters ask for.
    """

    parameters: Parameters
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        categories = (0, *self.parameters.categories)
        if tuple(row.category for row in self.rows) != categories:
            raise _malformed("rows are 0 and the categories of the parameters")
        if self.rows[0] != Row(0, (0,), (PARTS,)):
            raise _malformed("row 0 is no noise")
        for row in self.rows[1:]:
            _check_row(self.parameters, row)

    @property
    def unreached(self) -> dict[int, float]:
        """The categories whose noise has less variance than V, and how much they have."""
        step, wanted = self.parameters.step, self.parameters.variance
        found = {row.category: row.variance(step) for row in self.rows[1:]}
        return {category: had for category, had in found.items() if had < wanted - VARIANCE_TOLERANCE}


def _check_row(parameters: Parameters, row: Row) -> None:
    where = f"row {row.category}"
    if row.steps != parameters.steps_of(row.category) or len(row.parts) != len(row.steps):
        raise _malformed(f"{where} has another support")
    if min(row.parts) < 1 or sum(row.parts) != PARTS:
        raise _malformed(f"{where} does not sum to 1")
    if abs(row.mean(parameters.step)) > MEAN_MAX:
        raise _malformed(f"the mean of {where} is not 0")
    if row.variance(parameters.step) > parameters.variance + VARIANCE_OVER_MAX:
        raise _malformed(f"the variance of {where} is larger than V")
    none = [at for at, step in enumerate(row.steps) if step <= 0]
    if row.category not in parameters.free_rows and any(
        row.parts[at] > row.parts[at + 1] + RISE_TOLERANCE for at in none[:-1]
    ):
        raise _malformed(f"{where} does not rise towards no noise")
    stays = dict(zip(row.steps, row.parts, strict=True)).get(0, PARTS)
    if stays < parameters.stay * PARTS - RISE_TOLERANCE:
        raise _malformed(f"{where} stays less often than pstay")


def _malformed(detail: str) -> StatisticsRefused:
    return StatisticsRefused("table_malformed", detail)
