"""Reads a question from decoded JSON: a closed form, in which nothing but a table can be asked for.

    {"release": "2026-q3", "dimensions": [{"name": "province", "level": "region"}],
     "filters": [{"dimension": "sex", "level": "sex", "categories": ["F"]}], "measures": ["wage"]}

There is no place for a list of persons, a cut point, a condition across dimensions or an expression: unknown
members are refused, with the names of those there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from broker.statistics.plan import Filter, TablePlan, planned
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry

_MEMBERS: Final = ("dimensions", "filters", "measures", "release")
_LIST_MAX: Final = 20_000


def parse_plan(document: object, registry: Registry) -> TablePlan:
    """Return the plan that a decoded document asks for. `filters` and `measures` may be left out.

    Raises StatisticsRefused: plan_malformed, release_differs, name_unregistered, plan_too_large.
    """
    members = _object("the question", document, _MEMBERS, optional=("filters", "measures"))
    release = _text("release", members["release"])
    if release != registry.release:
        raise StatisticsRefused("release_differs", f"this registry is of {registry.release}")
    cut = []
    for one in _list("dimensions", members["dimensions"]):
        dimension = _object("a dimension", one, ("level", "name"))
        cut.append((_text("name", dimension["name"]), _text("level", dimension["level"])))
    filters = []
    for one in _list("filters", members.get("filters", [])):
        asked = _object("a filter", one, ("categories", "dimension", "level"))
        categories = [_text("a category", code) for code in _list("categories", asked["categories"])]
        filters.append(
            Filter(_text("dimension", asked["dimension"]), _text("level", asked["level"]), tuple(categories))
        )
    measures = [_text("a measure", one) for one in _list("measures", members.get("measures", []))]
    return planned(registry, tuple(cut), tuple(filters), tuple(measures))


def kept_plan(canonical: str) -> TablePlan:
    """Return the plan that was kept as its canonical form. Raises ValueError where it is none."""
    try:
        content = json.loads(canonical)
        plan = TablePlan(
            release=content["release"],
            cut=tuple((name, level) for name, level in content["cut"]),
            kept=tuple((name, tuple(leaves)) for name, leaves in content["kept"]),
            measures=tuple(content["measures"]),
        )
    except (TypeError, KeyError) as error:
        raise ValueError("this is no plan") from error
    if plan.canonical() != canonical:
        raise ValueError("this is no plan in its canonical form")
    return plan


def _object(
    what: str, value: object, members: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise StatisticsRefused("plan_malformed", f"{what} is an object")
    if unknown := sorted(set(value) - set(members)):
        raise StatisticsRefused(
            "plan_malformed", f"{what} has no member {unknown[0][:40]!r}; it has {', '.join(members)}"
        )
    if missing := sorted(set(members) - set(optional) - set(value)):
        raise StatisticsRefused("plan_malformed", f"{what} lacks {', '.join(missing)}")
    return value


def _list(what: str, value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > _LIST_MAX:
        raise StatisticsRefused("plan_malformed", f"{what} is a list of at most {_LIST_MAX}")
    return value


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise StatisticsRefused("plan_malformed", f"{what} is a text")
    return value
