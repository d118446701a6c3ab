"""Whether a release may answer one more question, given those it has answered: for all clients together.

Noise protects each table; many tables of the same persons wear it away. Where what was released is kept, and
that two questions at once are one after the other, is the business of whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import Overlap, overlap
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry


@dataclass(frozen=True, slots=True)
class Allowance:
    """A table may be released. is_new: it counts against the release; otherwise it is out already.

    overlaps: with each other table of the release, by its hash.
    """

    is_new: bool
    overlaps: tuple[tuple[str, Overlap], ...]


def may_release(
    registry: Registry,
    plan: TablePlan,
    released: Iterable[TablePlan],
    superseded: Iterable[TablePlan] = (),
    refused_count: int = 0,
) -> Allowance:
    """Return the allowance for one table. The same question again is always answered, with the same table.

    superseded: tables of releases that this one supersedes. They are of nearly the same persons: each counts
    against the limit, and overlaps as if it were of this release. The same question of another release is
    another table; what changed between the two is what a release's policy of revision bounds.
    refused_count: tables that the auditor refused. His word depends on who is in hidden cells: each refusal
    is an answer too, told with a word instead of a table, and counts as one.
    Raises StatisticsRefused: release_differs, tables_exhausted, overlap_exhausted.
    """
    distinct = {one.hash: one for one in released}
    if any(one.release != registry.release for one in (plan, *distinct.values())):
        raise StatisticsRefused("release_differs", f"this registry is of {registry.release}")
    before = {one.hash: one for one in superseded}
    taken = len(distinct) + len(before) + refused_count
    if plan.hash not in distinct:
        again = (replace(one, release=registry.release) for one in before.values())
        distinct |= {one.hash: one for one in again if one.hash != plan.hash and _is_of(registry, one)}
    others = sorted((key, one) for key, one in distinct.items() if key != plan.hash)
    overlaps = tuple((key, overlap(registry, plan, one)) for key, one in others)
    if plan.hash in distinct:
        return Allowance(is_new=False, overlaps=overlaps)
    limits = registry.limits
    if taken >= limits.tables:
        raise StatisticsRefused("tables_exhausted", f"{limits.tables} distinct tables for all clients")
    # Persons are counted whatever is summed, and their noise is the same for all measures: tables that have
    # other measures tell nothing new of them, nor are they less than another table.
    differing = {
        (one.cut, one.kept): common.differs_by
        for (_, one), (_, common) in zip(others, overlaps, strict=True)
        if common.differs_by
    }
    if len(differing) >= limits.differences:
        raise StatisticsRefused(
            "overlap_exhausted",
            f"{limits.differences} tables that differ by a filter of one dimension alone; "
            f"of {', '.join(sorted(set(differing.values())))} there are as many",
        )
    return Allowance(is_new=True, overlaps=overlaps)


def _is_of(registry: Registry, plan: TablePlan) -> bool:
    """Return whether a registry has everything that a plan of another release names."""
    dimensions = {dimension.name: dimension for dimension in registry.dimensions}
    has_levels = all(
        name in dimensions and level in [one.name for one in dimensions[name].levels]
        for name, level in plan.cut
    )
    return has_levels and all(
        name in dimensions and set(leaves) <= set(dimensions[name].leaves) for name, leaves in plan.kept
    )
