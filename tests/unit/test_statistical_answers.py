"""The whole way: a question as JSON, cells as shards count them, a table, an audit, and the cap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from broker.statistics.aggregate import aggregated
from broker.statistics.answering import Answered, answered
from broker.statistics.audit_rules import AuditRules
from broker.statistics.cells import CellTable, merged
from broker.statistics.output import HIDDEN
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import layout_of
from broker.statistics.plan_parse import parse_plan
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Dimension, Level, Limits, Registry
from tests.statistics_world import AGE, PROVINCE, SEX, WAGE, method, population

AXES: Final = (PROVINCE, SEX, AGE)
FINEST: Final = {axis.name: tuple((code, (code,)) for code in axis.categories) for axis in AXES}
REGIONS: Final = (("north", PROVINCE.categories[:25]), ("south", PROVINCE.categories[25:]))
REGISTRY: Final = Registry(
    release="2026-q3",
    dimensions=(
        Dimension(name="province", levels=(Level("province", FINEST["province"]), Level("region", REGIONS))),
        Dimension(name="sex", levels=(Level("sex", FINEST["sex"]),)),
        Dimension(name="age", levels=(Level("age", FINEST["age"]),)),
    ),
    measures=(WAGE,),
    limits=Limits(tables=3),
)
RULES: Final = AuditRules()
COLUMNS: Final = {"province": 0, "sex": 1, "age": 2}


def asked(*cut: tuple[str, str], **changed: Any) -> TablePlan:
    dimensions = [{"name": name, "level": level} for name, level in cut]
    question = {"release": "2026-q3", "dimensions": dimensions, "measures": [WAGE], **changed}
    return parse_plan(question, REGISTRY)


def counted(plan: TablePlan, shards: int = 3) -> CellTable:
    """Return what shards by person count for a plan, merged."""
    people, layout = population(20_000), layout_of(REGISTRY, plan)
    kept = np.ones(len(people.persons), dtype=bool)
    for name, leaves in layout.kept.items():
        kept &= leaves[people.codes[:, COLUMNS[name]]]
    places = {name: layout.places[name][people.codes[:, COLUMNS[name]]] for name in layout.axes}
    codes = np.stack([places[name] - 1 for name in layout.axes], axis=1)
    values = people.wages[:, None][:, : len(plan.measures)]
    parts = []
    for shard in range(shards):
        rows = kept & (people.persons % shards == shard)
        counts = codes[rows], people.persons[rows], values[rows], people.keys
        parts.append(aggregated(layout.axes, plan.measures, *counts))
    return merged(parts)


def answer(plan: TablePlan, earlier: list[Answered] | None = None) -> Answered:
    return answered(REGISTRY, plan, counted(plan), method(), earlier or [], RULES)


def test_a_question_becomes_a_table_whatever_the_shards() -> None:
    plan = asked(("sex", "sex"), ("province", "region"))
    found = answer(plan).released.protected.table
    assert found.question == plan.hash
    assert found.dimensions == (("province", ("north", "south")), ("sex", ("F", "M")))
    assert found.measures == (WAGE,)
    assert [row.codes for row in found.rows()][:3] == [("_T", "_T"), ("_T", "F"), ("_T", "M")]
    assert not np.any(found.persons == HIDDEN)
    other = answered(REGISTRY, plan, counted(plan, shards=1), method(), [], RULES)
    assert other.released.protected.table.content() == found.content()


def test_a_filter_leaves_its_categories_alone_on_the_axis() -> None:
    south = [{"dimension": "province", "level": "region", "categories": ["south"]}]
    plan = asked(("province", "province"), ("sex", "sex"), filters=south)
    table = answer(plan).released.protected.table
    assert table.dimensions[0] == ("province", PROVINCE.categories[25:])
    by_region = answer(asked(("province", "region"), ("sex", "sex"))).released.protected.table
    assert np.array_equal(table.persons[0], by_region.persons[2]), "the same persons, the same numbers"


def test_the_same_question_is_answered_with_the_same_table_and_counts_once() -> None:
    plans = [asked(("sex", "sex")), asked(("age", "age")), asked(("sex", "sex"), ("age", "age"))]
    earlier: list[Answered] = []
    for plan in plans:
        earlier.append(answer(plan, earlier))
    again = answer(asked(("sex", "sex")), earlier)
    assert again is earlier[0]
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 3 distinct tables"):
        answer(asked(("province", "region")), earlier)


def test_cells_are_those_of_the_plan() -> None:
    plan, other = asked(("sex", "sex")), asked(("age", "age"))
    for cells, said in [
        (counted(other), "the axes are not the dimensions of the cells"),
        (counted(asked(("sex", "sex"), measures=[])), "the cells have other measures than the plan"),
    ]:
        with pytest.raises(StatisticsRefused, match="cells_differ") as refused:
            answered(REGISTRY, plan, cells, method(), [], RULES)
        assert refused.value.detail == said


def test_the_auditor_has_the_last_word() -> None:
    plan = asked(("province", "province"), ("age", "age"))
    assert answer(plan).released.protected.table.hidden_permille > 10
    with pytest.raises(StatisticsRefused, match=rf"cell_narrowed: \d+ of persons in {plan.hash[:12]}"):
        answered(REGISTRY, plan, counted(plan), method(), [], replace(RULES, persons=100))


def test_nothing_true_stands_in_a_repr() -> None:
    found = answer(asked(("sex", "sex")))
    assert repr(found) == f"Answered({found.plan.hash[:12]})"
