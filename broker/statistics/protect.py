"""From true aggregates to a table that may leave: noise, thresholds, dominance, groups of one kind.

    hide n and S    where n' < k, zeros too
    hide S          where S - x1 - x2 < p% of x1, or nobody has any of the measure
    hide a group    where only one category of a sensitive dimension would be shown

Margins have keys, and so noise, of their own: they do not add up, and the method note says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broker.statistics.axes import Grid
from broker.statistics.draws import COUNT, Draw
from broker.statistics.grouped import Integers
from broker.statistics.keys import Keys
from broker.statistics.lookup import Floats, Lookup, count_noise
from broker.statistics.magnitudes import MagnitudeNoise, SumNoise
from broker.statistics.output import HIDDEN, Notes, OutputTable
from broker.statistics.parameters import CountParameters
from broker.statistics.perturbation_table import PerturbationTable
from broker.statistics.reasons import StatisticsRefused

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is shown. threshold: k, of the perturbed count. dominance_percent: p%. digits: of sums.

    Raises StatisticsRefused("rule_malformed").
    """

    threshold: int = 10
    dominance_percent: int = 15
    digits: int = 4

    def __post_init__(self) -> None:
        if not 3 <= self.threshold <= 1000:
            raise StatisticsRefused("rule_malformed", "the threshold lies between 3 and 1000 persons")
        if not 1 <= self.dominance_percent <= 100 or not 1 <= self.digits <= 6:
            raise StatisticsRefused("rule_malformed", "p% lies between 1 and 100, digits between 1 and 6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """The whole method of a release: the table for counts, the noise of each measure, the rules, the draws.

    One method and one secret serve all tables of a release: the same persons have the same noise everywhere.
    """

    counts: PerturbationTable
    sums: Mapping[str, MagnitudeNoise]
    rules: Rules
    draw: Draw

    def __post_init__(self) -> None:
        if not isinstance(self.counts.parameters, CountParameters):
            raise StatisticsRefused("rule_malformed", "counts have a table for counts")
        if self.counts.parameters.barred >= self.rules.threshold:
            raise StatisticsRefused("rule_malformed", "js lies below the threshold")


@dataclass(frozen=True, slots=True)
class Protected:
    """What leaves, and beside it why cells are hidden."""

    table: OutputTable
    notes: Notes


def protected(grid: Grid, method: Method, question: str) -> Protected:
    """Return the table that may leave once the auditor has seen it. question: the plan's hash.

    Raises StatisticsRefused("rule_malformed") where a measure has no noise.
    """
    if missing := sorted(set(grid.measures) - set(method.sums)):
        raise StatisticsRefused("rule_malformed", f"no noise is set for {', '.join(missing)}")
    rules, keys = method.rules, grid.keys.reshape(-1).astype(np.uint32)
    counts = perturbed_counts(method, grid.persons.reshape(-1), keys).reshape(grid.persons.shape)
    few = counts < rules.threshold
    alike = _alike(grid, few)
    persons_notes = np.where(few, "A", np.where(alike, "M", "F"))
    sums = np.zeros(grid.sums.shape, dtype=np.int64)
    sums_notes = np.full(grid.sums.shape, "F")
    for at, measure in enumerate(grid.measures):
        dominated = is_dominated(grid.sums[at], grid.largest[at], rules.dominance_percent)
        moved = perturbed_sums(
            SumNoise(measure, method.sums[measure]),
            grid.sums[at].reshape(-1),
            grid.largest[at].reshape(grid.largest.shape[1], -1).T,
            keys,
            (few | dominated).reshape(-1),
            method.draw,
        )
        sums[at] = rounded(moved, rules.digits).reshape(grid.persons.shape)
        sums_notes[at] = np.where(persons_notes != "F", persons_notes, np.where(dominated, "O", "F"))
    table = OutputTable(
        question,
        tuple((axis.name, axis.categories) for axis in grid.axes),
        grid.measures,
        np.where(persons_notes == "F", counts, HIDDEN),
        np.where(sums_notes == "F", sums, HIDDEN),
    )
    return Protected(table, Notes(persons_notes, sums_notes))


def perturbed_counts(method: Method, persons: Integers, keys: Keys) -> Integers:
    """Return n' = n + v; nobody stays nobody."""
    return persons + count_noise(Lookup(method.counts), persons, method.draw(keys, COUNT))


def perturbed_sums(
    noise: SumNoise, sums: Integers, largest: Integers, keys: Keys, is_sensitive: Flags, draw: Draw
) -> Floats:
    """Return S' = S + what its largest contributors are moved by, 0 or more."""
    return np.maximum(sums + noise.of_cells(sums, largest, keys, is_sensitive, draw), 0.0)


def is_dominated(sums: Integers, largest: Integers, percent: int) -> Flags:
    """Return where the rest of a sum would tell the largest contribution to within p%, or there is none.

    The second largest contributor knows its own part and the sum, so x1 <= S - x2, with an error of what the
    others have. largest: (3, *shape of sums).
    """
    rest = sums - largest[0] - largest[1]
    dominated: Flags = (100 * rest < percent * largest[0]) | (largest[0] == 0)
    return dominated


def rounded(sums: Floats, digits: int) -> Integers:
    """Return sums to so many significant digits, halves to the even one."""
    size = np.floor(np.log10(np.maximum(sums, 1.0))).astype(np.int64) + 1
    unit = np.power(10.0, np.maximum(size - digits, 0))
    found: Integers = (np.rint(sums / unit) * unit).astype(np.int64)
    return found


def _alike(grid: Grid, few: Flags) -> Flags:
    """Return the cells of groups in which just one category of a sensitive dimension would be shown.

    Hiding one group can leave another one with a single category: until nothing changes.
    """
    hidden = few.copy()
    sensitive = [at for at, axis in enumerate(grid.axes) if axis.is_sensitive]
    while True:
        before = int(hidden.sum())
        for at in sensitive:
            inner = tuple(slice(1, None) if one == at else slice(None) for one in range(few.ndim))
            lonely = (~hidden[inner]).sum(axis=at, keepdims=True) == 1
            hidden[inner] |= lonely
        if int(hidden.sum()) == before:
            return hidden & ~few
