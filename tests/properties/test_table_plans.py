"""Questions for tables: one form, one hash, refusals that name what is allowed, overlaps, and the cap."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.statistics.output import HIDDEN
from broker.statistics.plan import Filter, TablePlan, cells_of, planned
from broker.statistics.plan_layout import axes_of, layout_of, overlap
from broker.statistics.plan_parse import parse_plan
from broker.statistics.protect import protected
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Dimension, Level, Limits, Registry
from broker.statistics.release_cap import may_release
from tests.statistics_world import PROVINCE, SEX, method, population


def leaves(*codes: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((code, (code,)) for code in codes)


PLACE: Final = Dimension(
    name="place",
    levels=(
        Level("province", leaves("p1", "p2", "p3", "p4")),
        Level("region", (("north", ("p1", "p2")), ("south", ("p3", "p4")))),
    ),
)
GENDER: Final = Dimension(name="sex", levels=(Level("sex", leaves("F", "M")),))
ILLNESS: Final = Dimension(
    name="illness", levels=(Level("illness", leaves("i1", "i2", "i3")),), is_sensitive=True
)
WORK: Final = Dimension(name="work", levels=(Level("sector", leaves("A", "B", "C")),), one_each=False)
REGISTRY: Final = Registry(
    release="2026-q3", dimensions=(PLACE, GENDER, ILLNESS, WORK), measures=("wage", "benefit")
)
FINE: Final = {"place": "province", "sex": "sex", "illness": "illness", "work": "sector"}


@st.composite
def plans(draw: st.DrawFn) -> TablePlan:
    names = draw(st.lists(st.sampled_from(sorted(FINE)), min_size=1, max_size=3, unique=True))
    cut = tuple(
        (name, draw(st.sampled_from([level.name for level in REGISTRY.dimension(name).levels])))
        for name in names
    )
    filters = []
    for name in draw(st.lists(st.sampled_from(["place", "sex", "work"]), max_size=2, unique=True)):
        level = dict(cut).get(name, FINE[name])
        codes = [code for code, _ in REGISTRY.dimension(name).level(level).categories]
        chosen = draw(st.lists(st.sampled_from(codes), min_size=1, unique=True))
        filters.append(Filter(name, level, tuple(chosen)))
    measures = draw(st.lists(st.sampled_from(REGISTRY.measures), unique=True))
    return planned(REGISTRY, cut, tuple(filters), tuple(measures))


def document(**changed: Any) -> dict[str, Any]:
    return {
        "release": "2026-q3",
        "dimensions": [{"name": "place", "level": "province"}, {"name": "sex", "level": "sex"}],
        "filters": [{"dimension": "work", "level": "sector", "categories": ["B", "A"]}],
        "measures": ["wage", "benefit"],
        **changed,
    }


def test_a_question_is_read_into_its_one_form() -> None:
    plan = parse_plan(document(), REGISTRY)
    assert plan == TablePlan(
        release="2026-q3",
        cut=(("place", "province"), ("sex", "sex")),
        kept=(("work", ("A", "B")),),
        measures=("benefit", "wage"),
    )
    assert json.loads(plan.canonical()) == {
        "cut": [["place", "province"], ["sex", "sex"]],
        "kept": [["work", ["A", "B"]]],
        "measures": ["benefit", "wage"],
        "release": "2026-q3",
    }
    # Tables are known by this hash as long as their release is: it must not change.
    assert plan.hash == "594262e1c37bd50d05829238f278b8aa89cd7060edc6d9494dff6b9cfd468c66"
    assert cells_of(REGISTRY, plan) == 5 * 3
    short = {"release": "2026-q3", "dimensions": [{"name": "sex", "level": "sex"}]}
    assert parse_plan(short, REGISTRY) == TablePlan("2026-q3", (("sex", "sex"),), (), ())


@given(st.permutations(range(2)), st.permutations(["A", "B"]), st.permutations(["wage", "benefit"]))
def test_the_same_question_is_the_same_table_in_whatever_order(
    order: list[int], categories: list[str], measures: list[str]
) -> None:
    dimensions = [document()["dimensions"][at] for at in order]
    filters = [{"dimension": "work", "level": "sector", "categories": categories}]
    asked = document(dimensions=dimensions, filters=filters, measures=measures)
    assert parse_plan(asked, REGISTRY).hash == parse_plan(document(), REGISTRY).hash


def test_a_filter_is_what_it_leaves_in() -> None:
    cut = (("sex", "sex"),)
    by_region = planned(REGISTRY, cut, (Filter("place", "region", ("north",)),))
    by_province = planned(REGISTRY, cut, (Filter("place", "province", ("p2", "p1")),))
    assert by_region == by_province
    everything = planned(REGISTRY, cut, (Filter("place", "region", ("south", "north")),))
    assert everything == planned(REGISTRY, cut)
    assert everything.hash != by_region.hash


@pytest.mark.parametrize(
    ("changed", "reason", "said"),
    [
        (
            {"persons": ["079203001234"]},
            "plan_malformed",
            "no member 'persons'; it has dimensions, fil",
        ),
        ({"where": "age > 30"}, "plan_malformed", "no member 'where'"),
        ({"dimensions": []}, "plan_too_large", "0 dimensions asked for; 1 to 4 are allowed"),
        (
            {"dimensions": [{"name": "age", "level": "year"}]},
            "name_unregistered",
            "'age'; registered: p",
        ),
        (
            {"dimensions": [{"name": "place", "level": "street"}]},
            "name_unregistered",
            "level of place 'street'; registered: province, region",
        ),
        (
            {"dimensions": [{"name": "place", "level": "region"}, {"name": "place", "level": "province"}]},
            "plan_malformed",
            "a dimension stands twice",
        ),
        (
            {"dimensions": [{"name": "place", "level": "region", "from": 3, "to": 9}]},
            "plan_malformed",
            "a dimension has no member 'from'; it has level, name",
        ),
        ({"dimensions": [{"name": "place"}]}, "plan_malformed", "a dimension lacks level"),
        ({"dimensions": "place"}, "plan_malformed", "dimensions is a list of at most 20000"),
        ({"dimensions": ["place"]}, "plan_malformed", "a dimension is an object"),
        ({"measures": ["income"]}, "name_unregistered", "measure 'income'; registered: wage, benefit"),
        ({"measures": ["wage", "wage"]}, "plan_malformed", "a measure stands twice"),
        ({"measures": [5]}, "plan_malformed", "a measure is a text"),
        ({"release": "2026-q4"}, "release_differs", "this registry is of 2026-q3"),
        ({"release": None}, "plan_malformed", "release is a text"),
    ],
)
def test_what_is_not_allowed_is_refused_and_what_is_is_named(
    changed: dict[str, Any], reason: str, said: str
) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        parse_plan(document(**changed), REGISTRY)
    assert refused.value.reason == reason
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("dimension", "level", "categories", "reason", "said"),
    [
        (
            "place",
            "province",
            ["p9"],
            "name_unregistered",
            "'p9'; registered: p1, p2",
        ),
        ("place", "province", [], "plan_malformed", "place names categories, each once"),
        (
            "place",
            "province",
            ["p1", "p1"],
            "plan_malformed",
            "place names categories, each once",
        ),
        (
            "illness",
            "illness",
            ["i1"],
            "plan_malformed",
            "illness is sensitive: a table may cut by it",
        ),
        ("age", "year", ["7"], "name_unregistered", "'age'; registered: place, sex, illness, work"),
    ],
)
def test_filters_are_of_whole_registered_categories(
    dimension: str, level: str, categories: list[str], reason: str, said: str
) -> None:
    asked = [{"dimension": dimension, "level": level, "categories": categories}]
    with pytest.raises(StatisticsRefused) as refused:
        parse_plan(document(filters=asked), REGISTRY)
    assert refused.value.reason == reason
    assert said in refused.value.detail


def test_a_filter_never_goes_through_a_category_that_the_table_has() -> None:
    with pytest.raises(StatisticsRefused, match="plan_malformed: the filter of place goes through north"):
        planned(REGISTRY, (("place", "region"),), (Filter("place", "province", ("p1", "p3", "p4")),))
    plan = planned(REGISTRY, (("place", "province"),), (Filter("place", "region", ("south",)),))
    assert [axis.categories for axis in axes_of(REGISTRY, plan)] == [("p3", "p4")]


def test_a_question_is_not_too_large() -> None:
    small = replace(REGISTRY, limits=Limits(dimensions=2, filters=1, measures=1, cells=14))
    cut = (("place", "province"), ("sex", "sex"))
    sexes = (("sex", "sex"),)
    two = (Filter("place", "region", ("north",)), Filter("work", "sector", ("A",)))
    asked: list[tuple[tuple[Any, ...], str]] = [
        (((*cut, ("work", "sector")),), "3 dimensions asked for; 1 to 2 are allowed"),
        ((cut,), "15 cells asked for; 1 to 14 are allowed"),
        ((sexes, (), ("wage", "benefit")), "2 measures asked for; 0 to 1"),
        ((sexes, two), "2 filters asked for; 0 to 1"),
    ]
    for question, said in asked:
        with pytest.raises(StatisticsRefused, match="plan_too_large") as refused:
            planned(small, *question)
        assert said in refused.value.detail


def cell_sets(plan: TablePlan) -> list[frozenset[tuple[str, ...]]]:
    """Return the finest cells of each cell of a table: the slow twin of overlaps and layouts."""
    names = [dimension.name for dimension in REGISTRY.dimensions]
    choices = []
    for name in names:
        kept = set(plan.kept_of(REGISTRY, name))
        sets = [kept]
        if name in dict(plan.cut):
            level = REGISTRY.dimension(name).level(dict(plan.cut)[name])
            sets += [set(group) for _, group in level.categories if set(group) <= kept and set(group) != kept]
        choices.append(sets)
    return [frozenset(product(*map(sorted, one))) for one in product(*choices)]


def have_equal_cells_beside(name: str, one: TablePlan, other: TablePlan) -> bool:
    """Return whether a cell of each is the same but for one dimension."""
    at = [dimension.name for dimension in REGISTRY.dimensions].index(name)

    def beside(plan: TablePlan) -> set[frozenset[tuple[str, ...]]]:
        return {frozenset(leaf[:at] + leaf[at + 1 :] for leaf in cell) for cell in cell_sets(plan)}

    return bool(beside(one) & beside(other))


@settings(max_examples=80)
@given(plans(), plans())
def test_overlaps_are_the_twin_s(one: TablePlan, other: TablePlan) -> None:
    found = overlap(REGISTRY, one, other)
    assert found == overlap(REGISTRY, other, one)
    assert found.shared_cells == len(set(cell_sets(one)) & set(cell_sets(other)))
    apart = [name for name in FINE if set(one.kept_of(REGISTRY, name)) != set(other.kept_of(REGISTRY, name))]
    differing = [name for name in apart if have_equal_cells_beside(name, one, other)]
    assert found.differs_by == (differing[0] if differing else None)


@given(plans())
def test_a_layout_says_where_every_finest_category_lies(plan: TablePlan) -> None:
    layout, axes = layout_of(REGISTRY, plan), axes_of(REGISTRY, plan)
    assert layout.axes == tuple(axis.name for axis in axes) == tuple(name for name, _ in plan.cut)
    assert layout.several == {"work"}
    for dimension in REGISTRY.dimensions:
        kept = set(plan.kept_of(REGISTRY, dimension.name))
        assert layout.kept[dimension.name].tolist() == [leaf in kept for leaf in dimension.leaves]
    for axis in axes:
        dimension = REGISTRY.dimension(axis.name)
        assert (axis.is_sensitive, axis.one_each) == (dimension.is_sensitive, dimension.one_each)
        groups = dict(dimension.level(dict(plan.cut)[axis.name]).categories)
        for leaf, place in zip(dimension.leaves, layout.places[axis.name].tolist(), strict=True):
            if place:
                assert leaf in groups[axis.categories[place - 1]]
            else:
                assert leaf not in plan.kept_of(REGISTRY, axis.name)


@settings(max_examples=60)
@given(st.lists(plans(), max_size=12), plans())
def test_the_same_question_is_always_answered_and_distinct_ones_up_to_the_cap(
    released: list[TablePlan], plan: TablePlan
) -> None:
    registry = replace(REGISTRY, limits=Limits(tables=5, differences=100))
    distinct = {one.hash for one in released}
    if plan.hash in distinct:
        assert not may_release(registry, plan, released).is_new
    elif len(distinct) >= 5:
        with pytest.raises(StatisticsRefused, match="tables_exhausted: 5 distinct tables for all clients"):
            may_release(registry, plan, released)
    else:
        permission = may_release(registry, plan, released)
        assert permission.is_new
        assert {key for key, _ in permission.overlaps} == distinct
        assert permission == may_release(registry, plan, released[::-1] + released), "asked twice is one"


def test_tables_that_the_auditor_refused_count() -> None:
    registry = replace(REGISTRY, limits=Limits(tables=2))
    plan = planned(registry, (("sex", "sex"),))
    assert may_release(registry, plan, [], refused_count=1).is_new
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 2 distinct tables for all clients"):
        may_release(registry, plan, [], refused_count=2)
    assert not may_release(registry, plan, [plan], refused_count=2).is_new, "what is out already"


def without(*provinces: str, measures: tuple[str, ...] = ("wage",)) -> TablePlan:
    chosen = tuple(code for code in PLACE.leaves if code not in provinces)
    return planned(REGISTRY, (("sex", "sex"),), (Filter("place", "province", chosen),), measures)


def test_few_tables_differ_by_a_filter_alone() -> None:
    registry = replace(REGISTRY, limits=Limits(differences=2))
    whole = planned(REGISTRY, (("sex", "sex"),), (), ("wage",))
    first = may_release(registry, without("p1"), [whole])
    assert first.overlaps[0][1].differs_by == "place"
    released = [whole, without("p1")]
    with pytest.raises(StatisticsRefused) as refused:
        may_release(registry, without("p2"), released)
    assert refused.value.reason == "overlap_exhausted"
    assert refused.value.detail.startswith("2 tables that differ by a filter of one dimension alone")
    assert may_release(registry, without("p1"), released).is_new is False, "the same question again"
    for others in (("benefit",), ()):
        with pytest.raises(StatisticsRefused, match="overlap_exhausted"):
            may_release(registry, without("p2", measures=others), released)
    again = [whole, replace(whole, measures=("benefit",)), replace(whole, measures=())]
    assert may_release(registry, without("p1"), again).is_new, "the same persons, whatever is summed"
    other_cut = planned(REGISTRY, (("work", "sector"),), (), ("wage",))
    assert may_release(registry, other_cut, released).is_new, "differs from one of them by a filter"


def test_tables_of_another_release_are_none_of_this_one() -> None:
    plan = without("p1")
    for wrong in [(replace(plan, release="2026-q4"), []), (plan, [replace(plan, release="2026-q4")])]:
        with pytest.raises(StatisticsRefused, match="release_differs: this registry is of 2026-q3"):
            may_release(REGISTRY, *wrong)


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((), "has a name and at least one level"),
        ((Level("a", ()),), "has 1 to 20000 finest categories"),
        ((Level("a", (("x", ("y",)),)),), "the first level of d is its finest"),
        ((Level("a", leaves("x", "x")),), "codes of d stand once"),
        ((Level("a", leaves("_T")),), "codes of d stand once, and _T is the total's"),
        ((Level("a", leaves("x y")),), "names and codes of d are short and plain"),
        ((Level("A", leaves("x")),), "names and codes of d are short and plain"),
        ((Level("a", leaves("x")), Level("a", leaves("x"))), "levels of d have names of their own"),
        (
            (Level("a", leaves("x", "y")), Level("b", (("g", ("x",)),))),
            "has each finest category once",
        ),
        (
            (Level("a", leaves("x", "y")), Level("b", (("g", ("x", "y")), ("h", ())))),
            "has each finest category once",
        ),
        (
            (
                Level("a", leaves("x", "y", "z")),
                Level("b", (("g", ("x", "y")), ("h", ("z",)))),
                Level("c", (("k", ("x",)), ("l", ("y", "z")))),
            ),
            "b of d does not lie within c",
        ),
    ],
)
def test_a_dimension_is_a_hierarchy_of_whole_categories(levels: tuple[Level, ...], said: str) -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed") as refused:
        Dimension(name="d", levels=levels)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"release": "a b"}, "a release has a code"),
        ({"dimensions": (GENDER, GENDER)}, "a release has a code, and its dimensions names of their own"),
        ({"measures": ("wage", "wage")}, "measures have names of their own"),
        ({"measures": ("Wage",)}, "measures have names of their own"),
        ({"measures": ("persons",)}, "persons are always counted, and are no measure"),
        ({"measures": ("wage",), "dimensions": (replace(GENDER, name="wage_mean"),)}, "none of the numbers"),
        ({"dimensions": (replace(GENDER, name="persons"),)}, "none of the numbers that a cell has"),
    ],
)
def test_a_registry_is_unambiguous(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed") as refused:
        replace(REGISTRY, **changed)
    assert said in refused.value.detail


def test_a_filtered_table_tells_of_shared_cells_what_the_whole_one_tells() -> None:
    people, made = population(20_000), method()
    registry = Registry(
        release="r",
        dimensions=(
            Dimension(name="province", levels=(Level("province", leaves(*PROVINCE.categories)),)),
            Dimension(name="sex", levels=(Level("sex", leaves(*SEX.categories)),)),
        ),
        measures=("wage",),
    )
    whole = planned(registry, (("province", "province"), ("sex", "sex")))
    women = planned(registry, (("province", "province"),), (Filter("sex", "sex", ("F",)),))
    assert overlap(registry, whole, women).shared_cells == 64
    rows = layout_of(registry, women).kept["sex"][people.codes[:, 1]]
    told = protected(people.grid(axes_of(registry, whole)), made, whole.hash).table
    filtered = protected(people.grid((PROVINCE,), rows), made, women.hash).table
    assert np.array_equal(told.persons[:, 1], filtered.persons)
    assert np.count_nonzero(filtered.persons != HIDDEN) > 50
