"""How a plan's table lies: its axes, what it keeps of each dimension, and what two tables have in common."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from broker.statistics.axes import Axis
from broker.statistics.plan import TablePlan, categories_of
from broker.statistics.registry import Registry
from broker.statistics.views import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two tables of a release have in common.

    shared_cells: cells of exactly the same persons. differs_by: a dimension whose filters alone make persons
    of a cell of one others than those of a cell of the other, or None: whoever subtracts learns of those
    between. In all other dimensions the two cells are the same, be it within a margin of one of the tables.
    """

    shared_cells: int
    differs_by: str | None


def axes_of(registry: Registry, plan: TablePlan) -> tuple[Axis, ...]:
    """Return the axes of a plan's table: the dimensions it is cut by, in its order."""
    axes = []
    for name, _ in plan.cut:
        dimension = registry.dimension(name)
        codes = tuple(code for code, _ in categories_of(registry, plan, name))
        axes.append(
            Axis(
                name=name,
                categories=codes,
                is_sensitive=dimension.is_sensitive,
                one_each=dimension.one_each,
            )
        )
    return tuple(axes)


def layout_of(registry: Registry, plan: TablePlan) -> Layout:
    """Return how a plan's table cuts the finest categories of every registered dimension."""
    kept, places = {}, {}
    for dimension in registry.dimensions:
        chosen = frozenset(plan.kept_of(registry, dimension.name))
        kept[dimension.name] = np.array([leaf in chosen for leaf in dimension.leaves], dtype=bool)
    for name, _ in plan.cut:
        numbers = enumerate(categories_of(registry, plan, name), start=1)
        place_of = {leaf: place for place, (_, leaves) in numbers for leaf in leaves}
        places[name] = np.array(
            [place_of.get(leaf, 0) for leaf in registry.dimension(name).leaves], dtype=np.int64
        )
    several = frozenset(dimension.name for dimension in registry.dimensions if not dimension.one_each)
    return Layout(tuple(name for name, _ in plan.cut), kept, places, several)


def overlap(registry: Registry, one: TablePlan, other: TablePlan) -> Overlap:
    """Return what two tables of the registry's release have in common. It does not matter which is first."""
    names = [dimension.name for dimension in registry.dimensions]
    common = {name: len(_sets(registry, one, name) & _sets(registry, other, name)) for name in names}
    apart = [name for name in names if one.kept_of(registry, name) != other.kept_of(registry, name)]
    differing = (name for name in apart if all(common[at] for at in apart if at != name))
    return Overlap(shared_cells=prod(common.values()), differs_by=next(differing, None))


def _sets(registry: Registry, plan: TablePlan, name: str) -> frozenset[frozenset[str]]:
    """Return the sets of finest categories that a table's cells have in a dimension, the total's too."""
    whole = frozenset(plan.kept_of(registry, name))
    if name not in dict(plan.cut):
        return frozenset({whole})
    return frozenset({whole, *(frozenset(leaves) for _, leaves in categories_of(registry, plan, name))})
