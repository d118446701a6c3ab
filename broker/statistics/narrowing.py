"""What one agreement may ask of a release: dimensions, measures, levels and limits that it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.statistics.manifest import DimensionAbout, MeasureAbout, ReleaseManifest
from broker.statistics.plan import TablePlan
from broker.statistics.plan_parse import parse_plan
from broker.statistics.registry import Limits, Registry, unregistered
from policies.statistics_terms import ExportLimits


@dataclass(frozen=True, slots=True)
class Opened:
    """The part of a release that is open. registry: narrowed; plans mean the same as in the whole one.

    dimensions, measures: in words, those that are open. levels: dimension → its levels that are open.
    """

    registry: Registry
    dimensions: tuple[DimensionAbout, ...]
    measures: tuple[MeasureAbout, ...]
    levels: Mapping[str, tuple[str, ...]]


def opened(manifest: ReleaseManifest, fields: frozenset[str], limits: ExportLimits) -> Opened:
    """Return what of a release is open to whoever may have tables of these fields of the catalogue.

    A dimension or measure is open if every field from which it is made is; a dimension whose levels are
    narrowed to none of its own is not.
    """
    whole = manifest.registry
    narrowed = dict(limits.levels)
    levels = {}
    for dimension in whole.dimensions:
        names = tuple(level.name for level in dimension.levels)
        levels[dimension.name] = tuple(one for one in names if one in narrowed.get(dimension.name, names))
    dimensions = tuple(
        one for one in manifest.dimensions if fields.issuperset(one.fields) and levels.get(one.name)
    )
    measures = tuple(one for one in manifest.measures if fields.issuperset(one.fields))
    open_names, measured = {one.name for one in dimensions}, {one.name for one in measures}
    registry = replace(
        whole,
        dimensions=tuple(one for one in whole.dimensions if one.name in open_names),
        measures=tuple(one for one in whole.measures if one in measured),
        limits=_least(whole.limits, limits),
    )
    return Opened(registry, dimensions, measures, {name: levels[name] for name in open_names})


def planned_within(document: Mapping[str, Any], part: Opened) -> TablePlan:
    """Return the plan of a document (`plan_parse`), if all that it names is open.

    Raises StatisticsRefused as `parse_plan` does, naming what is open and nothing else.
    """
    for members, named in (("dimensions", "name"), ("filters", "dimension")):
        listed = document.get(members)
        for one in listed if isinstance(listed, list) else ():
            _check_level(part, one, named)
    return parse_plan(document, part.registry)


def is_within(plan: TablePlan, part: Opened) -> bool:
    """Return whether all that a plan names is open: a table that was asked for once may be closed since."""
    named = [name for name, _ in (*plan.cut, *plan.kept)]
    return (
        set(named) <= set(part.levels)
        and all(level in part.levels[name] for name, level in plan.cut)
        and set(plan.measures) <= set(part.registry.measures)
    )


def _check_level(part: Opened, asked: object, named: str) -> None:
    """Refuse a level that is not open. What is not of its form is left to whoever reads the plan."""
    name, level = (asked.get(named), asked.get("level")) if isinstance(asked, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(level, str) or name not in part.levels:
        return
    if level not in part.levels[name]:
        raise unregistered(f"level of {name}", level, list(part.levels[name]))


def _least(kept: Limits, asked: ExportLimits) -> Limits:
    def least(name: str) -> int:
        most, own = int(getattr(kept, name)), getattr(asked, name)
        return most if own is None else min(most, own)

    return replace(
        kept,
        dimensions=least("dimensions"),
        filters=least("filters"),
        measures=least("measures"),
        cells=least("cells"),
    )
