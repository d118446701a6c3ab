"""A question for one table, in the one form that it has: the same question has the same hash.

A filter that leaves everything in is no filter; categories of a coarser level are the finest ones they hold;
the order of what is asked does not matter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from math import prod

from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry, unregistered


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A table of a release. Made by `planned` alone, which checks it against the registry.

    cut: dimensions with their levels, in order of their names. kept: of filtered dimensions, the finest
    categories that are in, in the registry's order. measures: in order; persons are always counted.
    """

    release: str
    cut: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, tuple[str, ...]], ...]
    measures: tuple[str, ...]

    def canonical(self) -> str:
        """Return the plan as one line of JSON: what is hashed."""
        content = {"cut": self.cut, "kept": self.kept, "measures": self.measures, "release": self.release}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical form in hex: the identity of a table within all releases."""
        return sha256(self.canonical().encode()).hexdigest()

    def kept_of(self, registry: Registry, name: str) -> tuple[str, ...]:
        """Return the finest categories of a dimension that are in the table."""
        return dict(self.kept).get(name, registry.dimension(name).leaves)


@dataclass(frozen=True, slots=True)
class Filter:
    """Whole categories of one level of a dimension, as they are asked for."""

    dimension: str
    level: str
    categories: tuple[str, ...]


def planned(
    registry: Registry,
    cut: tuple[tuple[str, str], ...],
    filters: tuple[Filter, ...] = (),
    measures: tuple[str, ...] = (),
) -> TablePlan:
    """Return the plan of a question.

    Raises StatisticsRefused: plan_malformed, name_unregistered (naming what there is), plan_too_large.
    """
    limits = registry.limits
    _check_size("dimensions", len(cut), 1, limits.dimensions)
    _check_size("filters", len(filters), 0, limits.filters)
    _check_size("measures", len(measures), 0, limits.measures)
    for kind, names in (
        ("dimension", [name for name, _ in cut]),
        ("filter", [one.dimension for one in filters]),
        ("measure", list(measures)),
    ):
        if len(set(names)) != len(names):
            raise StatisticsRefused("plan_malformed", f"a {kind} stands twice")
    for measure in measures:
        if measure not in registry.measures:
            raise unregistered("measure", measure, list(registry.measures))
    for name, level in cut:
        registry.dimension(name).level(level)
    kept = tuple(sorted(_kept(registry, one, dict(cut)) for one in filters))
    kept = tuple((name, leaves) for name, leaves in kept if leaves != registry.dimension(name).leaves)
    plan = TablePlan(registry.release, tuple(sorted(cut)), kept, tuple(sorted(measures)))
    _check_size("cells", cells_of(registry, plan), 1, limits.cells)
    return plan


def cells_of(registry: Registry, plan: TablePlan) -> int:
    """Return how many cells a table has, margins and empty ones too."""
    return prod(len(categories_of(registry, plan, name)) + 1 for name, _ in plan.cut)


def categories_of(registry: Registry, plan: TablePlan, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the categories by which a table cuts one of its dimensions, with their leaves."""
    kept = frozenset(plan.kept_of(registry, name))
    level = registry.dimension(name).level(dict(plan.cut)[name])
    return tuple((code, leaves) for code, leaves in level.categories if kept.issuperset(leaves))


def _kept(registry: Registry, one: Filter, cut: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    dimension = registry.dimension(one.dimension)
    level = dict(dimension.level(one.level).categories)
    if dimension.is_sensitive:
        raise StatisticsRefused(
            "plan_malformed", f"{dimension.name} is sensitive: a table may cut by it, not be filtered by it"
        )
    if not one.categories or len(set(one.categories)) != len(one.categories):
        raise StatisticsRefused("plan_malformed", f"a filter of {dimension.name} names categories, each once")
    for category in one.categories:
        if category not in level:
            raise unregistered(f"category of {dimension.name} at {one.level}", category, list(level))
    chosen = {leaf for category in one.categories for leaf in level[category]}
    if dimension.name in cut:
        for code, leaves in dimension.level(cut[dimension.name]).categories:
            if chosen.intersection(leaves) not in (set(), set(leaves)):
                raise StatisticsRefused(
                    "plan_malformed",
                    f"the filter of {dimension.name} goes through {code}, which the table has",
                )
    return dimension.name, tuple(leaf for leaf in dimension.leaves if leaf in chosen)


def _check_size(what: str, asked: int, least: int, most: int) -> None:
    if not least <= asked <= most:
        raise StatisticsRefused("plan_too_large", f"{asked} {what} asked for; {least} to {most} are allowed")
