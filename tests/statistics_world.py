"""A made-up population, moderate in size, in which nobody is real; and the method that protects it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.aggregate import aggregated
from broker.statistics.axes import Axis, Grid, on_grid
from broker.statistics.cells import CellTable
from broker.statistics.draws import Draw, keyed_draw
from broker.statistics.keys import Keys
from broker.statistics.magnitudes import MagnitudeNoise
from broker.statistics.parameters import MagnitudeParameters
from broker.statistics.protect import Method, Rules
from tests.oracles import D5V3, table_of

SUMS: Final = MagnitudeParameters(bound=5, variance=2, step=4, icat=(1, 3, 5))
SECRET_TABLE: Final = bytes(range(100, 132))
WAGE: Final = "wage"
PROVINCE: Final = Axis(name="province", categories=tuple(f"{n:02d}" for n in range(1, 64)))
SEX: Final = Axis(name="sex", categories=("F", "M"))
AGE: Final = Axis(name="age", categories=tuple(f"{n}-{n + 4}" for n in range(15, 65, 5)))
SECTOR: Final = Axis(name="sector", categories=tuple("ABCDEFGHIJKLMNOPQRSTU"), one_each=False)


def method(draw: Draw | None = None, *, rules: Rules | None = None, share_large: float = 0.10) -> Method:
    """The method that exports have unless an operator chooses another one."""
    wage = MagnitudeNoise(table=table_of(SUMS), share_large=share_large)
    return Method(
        counts=table_of(D5V3),
        sums={WAGE: wage},
        rules=rules or Rules(),
        draw=draw or keyed_draw(SECRET_TABLE),
    )


@dataclass(frozen=True)
class Population:
    """Rows of work: whose, where, in which sector, for which wage. codes: (rows, 4)."""

    codes: NDArray[np.int64]
    persons: NDArray[np.int64]
    wages: NDArray[np.int64]
    keys: Keys

    def cells(self, axes: tuple[Axis, ...], rows: NDArray[np.bool_] | None = None) -> CellTable:
        """Return the aggregates of some or all rows, cut by some of the axes."""
        chosen = np.ones(len(self.persons), dtype=bool) if rows is None else rows
        columns = [ALL_AXES.index(axis) for axis in axes]
        return aggregated(
            [axis.name for axis in axes],
            [WAGE],
            self.codes[chosen][:, columns],
            self.persons[chosen],
            self.wages[chosen][:, None],
            self.keys,
        )

    def grid(self, axes: tuple[Axis, ...], rows: NDArray[np.bool_] | None = None) -> Grid:
        return on_grid(self.cells(axes, rows), axes)


ALL_AXES: Final = (PROVINCE, SEX, AGE, SECTOR)


@cache
def population(persons: int, seed: int = 1) -> Population:
    """Return persons with one to three rows each; provinces and sectors are of very different sizes."""
    rng = np.random.default_rng(seed)
    rows = rng.choice([1, 2, 3], persons, p=[0.85, 0.12, 0.03])
    whose = np.repeat(np.arange(persons), rows)
    provinces = rng.choice(63, persons, p=_falling(63, 0.6))
    sexes, ages = rng.integers(0, 2, persons), rng.choice(10, persons, p=_falling(10, 0.4))
    codes = np.stack(
        [provinces[whose], sexes[whose], ages[whose], rng.choice(21, len(whose), p=_falling(21, 0.8))], axis=1
    )
    wages = np.rint(np.exp(rng.normal(16, 0.5, len(whose)))).astype(np.int64)
    keys = rng.integers(0, 2**32, persons, dtype=np.uint32)
    return Population(codes.astype(np.int64), whose.astype(np.int64), wages, keys)


def _falling(count: int, power: float) -> NDArray[np.float64]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -power
    return np.asarray(weights / weights.sum(), dtype=np.float64)
