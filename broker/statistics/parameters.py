"""Parameters of perturbation tables, and which of them can have a table at all.

Terms are those of the cell-key literature: D bounds the noise, V is its variance, js is the largest count
that is never shown, pstay the least probability of no noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from broker.statistics.reasons import StatisticsRefused

BOUND_MAX: Final = 100
STEPS_MAX: Final = 100
STAY_MAX: Final = 0.95
SHARE_LARGE_MIN: Final = 0.10
"""Below it, two tables that differ by one person tell that person's wage (docs/statistics.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountParameters:
    """A perturbation table for counts of persons.

    bound: D, persons. variance: V, persons squared. barred: js, counts 1..js are never shown. stay: pstay.
    reaches: every row has variance V exactly where it can; otherwise a row of larger entropy keeps less.
    free_rows: rows whose probabilities need not rise towards no noise (only to make published tables again).
    Raises StatisticsRefused("parameters_infeasible") with the reason.
    """

    bound: int
    variance: float
    barred: int = 0
    stay: float = 0.0
    reaches: bool = False
    free_rows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_common(self.bound, self.variance)
        if not self.barred >= 0:
            raise _infeasible("js is 0 or more")
        if self.bound <= self.barred:
            raise _infeasible(f"D must be larger than js: counts of {self.barred + 1} could not be told")
        least = (self.barred + 1) ** 2 // 4
        if self.variance <= least:
            raise _infeasible(f"V must be larger than {least} for js = {self.barred}")
        if not 0 <= self.stay <= STAY_MAX:
            raise _infeasible(f"pstay lies between 0 and {STAY_MAX}")

    @property
    def step(self) -> int:
        """How many values of noise there are for one person: one."""
        return 1

    @property
    def categories(self) -> tuple[int, ...]:
        """The counts that have a row of their own; larger ones use the last row."""
        last = self.bound + self.barred + 1 if self.barred else self.bound
        return tuple(range(1, last + 1))

    def steps_of(self, category: int) -> tuple[int, ...]:
        """Return the noise that a count can have, rising."""
        shown = range(max(0, category - self.bound), category + self.bound + 1)
        return tuple(one - category for one in shown if one == 0 or one > self.barred)


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnitudeParameters:
    """A perturbation table for sums: noise in units of the contributor's share, in steps of 1/step.

    bound: D, variance: V, both in those units. icat: the rows, rising from 1; between them one interpolates.
    reaches: as for counts. Raises StatisticsRefused("parameters_infeasible").
    """

    bound: int
    variance: float
    step: int
    icat: tuple[int, ...]
    reaches: bool = False

    def __post_init__(self) -> None:
        _check_common(self.bound, self.variance)
        if not 1 <= self.step <= STEPS_MAX:
            raise _infeasible(f"there are 1 to {STEPS_MAX} steps to a unit")
        rising = all(low < high for low, high in zip(self.icat, self.icat[1:], strict=False))
        if not self.icat or self.icat[0] != 1 or self.icat[-1] > self.bound or not rising:
            raise _infeasible("rows rise from 1 to at most D")

    @property
    def stay(self) -> float:
        """Sums always move where they can."""
        return 0.0

    @property
    def free_rows(self) -> tuple[int, ...]:
        """Every row's probabilities rise towards no noise."""
        return ()

    @property
    def categories(self) -> tuple[int, ...]:
        """The sizes, in units, that have a row of their own."""
        return self.icat

    def steps_of(self, category: int) -> tuple[int, ...]:
        """Return the noise of a row, rising, in steps of 1/step."""
        return tuple(range(-min(category, self.bound) * self.step, self.bound * self.step + 1))


Parameters = CountParameters | MagnitudeParameters


def _check_common(bound: int, variance: float) -> None:
    if not 1 <= bound <= BOUND_MAX:
        raise _infeasible(f"D lies between 1 and {BOUND_MAX}")
    if not isfinite(variance) or not 0 < variance <= bound * bound:
        raise _infeasible("V is larger than 0 and not larger than D squared")


def _infeasible(detail: str) -> StatisticsRefused:
    return StatisticsRefused("parameters_infeasible", detail)
