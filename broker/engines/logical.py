"""The one logical plan of all engines: which rows count, into which cells, once for each person.

A person is in one category of most dimensions, and may be in several of others (a month, a sector of work).
Cells that differ in a dimension of the first kind have no person in common: their aggregates merge exactly,
and their margins are made of them afterwards. So an engine collapses rows to persons once for each set of
dimensions of the second kind, and counts only cells that are cut by all dimensions of the first kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from broker.engines.mart import dimension_column, measure_column
from broker.statistics.plan import TablePlan, categories_of
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry

OUTSIDE = -1
"""The place of a finest category that the table does not have."""


@dataclass(frozen=True, slots=True)
class CutDimension:
    """A dimension of the table. places: of each finest category its number in the table, or `OUTSIDE`.

    column: where rows hold the finest category. size: how many categories the table has.
    """

    name: str
    column: str
    places: tuple[int, ...]
    size: int
    one_each: bool


@dataclass(frozen=True, slots=True)
class KeptLeaves:
    """A filter: rows whose finest category is one of these count. count: how many there are in all."""

    name: str
    column: str
    leaves: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """What an engine counts. cut, measures: in the order of the table. columns: of the measures."""

    cut: tuple[CutDimension, ...]
    kept: tuple[KeptLeaves, ...]
    measures: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def ones(self) -> tuple[CutDimension, ...]:
        """The dimensions with each person in one category; packed into one number, the last one fastest."""
        return tuple(one for one in self.cut if one.one_each)

    @property
    def several(self) -> tuple[CutDimension, ...]:
        """The dimensions in several categories of which a person may be."""
        return tuple(one for one in self.cut if not one.one_each)

    @property
    def cells(self) -> int:
        """How many different numbers the packed dimensions have."""
        return prod(one.size for one in self.ones)

    def groupings(self) -> Iterator[tuple[bool, ...]]:
        """Yield which of `several` are shown: rows are collapsed for each. The finest first."""
        yield from product((True, False), repeat=len(self.several))


def logical_plan(registry: Registry, plan: TablePlan) -> LogicalPlan:
    """Return what engines count for a plan of a registry. Raises StatisticsRefused("release_differs")."""
    if plan.release != registry.release:
        raise StatisticsRefused("release_differs", f"this registry is of {registry.release}")
    return LogicalPlan(
        tuple(_cut(registry, plan, name) for name, _ in plan.cut),
        tuple(_kept(registry, name, leaves) for name, leaves in plan.kept),
        plan.measures,
        tuple(measure_column(name) for name in plan.measures),
    )


def _cut(registry: Registry, plan: TablePlan, name: str) -> CutDimension:
    dimension = registry.dimension(name)
    categories = categories_of(registry, plan, name)
    place_of = {leaf: place for place, (_, leaves) in enumerate(categories) for leaf in leaves}
    places = tuple(place_of.get(leaf, OUTSIDE) for leaf in dimension.leaves)
    return CutDimension(name, dimension_column(name), places, len(categories), dimension.one_each)


def _kept(registry: Registry, name: str, kept: tuple[str, ...]) -> KeptLeaves:
    leaves = registry.dimension(name).leaves
    chosen = frozenset(kept)
    numbers = tuple(number for number, leaf in enumerate(leaves) if leaf in chosen)
    return KeptLeaves(name, dimension_column(name), numbers, len(leaves))
