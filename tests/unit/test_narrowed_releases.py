"""What an agreement opens of a release: dimensions, measures and levels; plans mean what they meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from broker.statistics.dimensions import MEASURES, registry_of, words_of
from broker.statistics.narrowing import Opened, is_within, opened, planned_within
from broker.statistics.periods import parse_quarter
from broker.statistics.plan_parse import parse_plan
from broker.statistics.reasons import StatisticsRefused
from policies.statistics_terms import ExportLimits
from tests.frozen_release import frozen_release

QUARTER: Final = parse_quarter("2026-q3")
MADE: Final[tuple[Any, ...]] = (*words_of(QUARTER), *MEASURES)
EVERYTHING: Final = frozenset(name for one in MADE for name in one.fields)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place: Path = tmp_path_factory.mktemp("release")
    return frozen_release(place, persons=20).frozen.manifest


def document(level: str = "region", **more: Any) -> dict[str, Any]:
    return {"release": "2026-q3.1", "dimensions": [{"name": "province", "level": level}], **more}


def test_whoever_may_have_everything_has_the_release_as_it_is(whole: Any) -> None:
    part = opened(whole, EVERYTHING, ExportLimits())
    assert part.registry == whole.registry == registry_of(QUARTER, 1)
    assert (part.dimensions, part.measures) == (whole.dimensions, whole.measures)


@pytest.mark.parametrize("about", MADE, ids=lambda one: one.name)
def test_one_field_less_closes_what_is_made_of_it(whole: Any, about: Any) -> None:
    for field in about.fields:
        part = opened(whole, EVERYTHING - {field}, ExportLimits())
        made: tuple[Any, ...] = (*part.dimensions, *part.measures)
        names = [one.name for one in made]
        assert about.name not in names
        assert about.name not in [one.name for one in part.registry.dimensions]
        assert about.name not in part.registry.measures


def test_a_plan_in_a_part_is_the_plan_in_the_whole(whole: Any) -> None:
    part = opened(whole, frozenset({"province", "sex"}), ExportLimits(cells=500))
    asked = document(filters=[{"dimension": "sex", "level": "sex", "categories": ["F"]}])
    assert planned_within(asked, part) == parse_plan(asked, whole.registry)


def narrowed(whole: Any) -> Opened:
    return opened(whole, EVERYTHING, ExportLimits(levels=(("age", ("no_such",)), ("province", ("region",)))))


def test_levels_that_are_not_open_are_refused_and_not_named(whole: Any) -> None:
    part = narrowed(whole)
    assert planned_within(document("region"), part).cut == (("province", "region"),)
    for asked in (
        document("province"),
        document("nothing"),
        {
            **document("region"),
            "dimensions": [{"name": "sex", "level": "sex"}],
            "filters": [{"dimension": "province", "level": "province", "categories": ["01"]}],
        },
    ):
        with pytest.raises(StatisticsRefused) as refused:
            planned_within(asked, part)
        assert refused.value.reason == "name_unregistered"
        assert refused.value.detail.endswith("registered: region")


def test_a_dimension_without_any_open_level_is_not_there(whole: Any) -> None:
    part = narrowed(whole)
    assert "age" not in [one.name for one in part.dimensions]
    with pytest.raises(StatisticsRefused, match="dimension 'age'; registered: period, province, sex, sector"):
        planned_within({**document(), "dimensions": [{"name": "age", "level": "age_group"}]}, part)


@pytest.mark.parametrize("spoilt", [None, 7, "x", [7], [{"name": 7, "level": []}], [{}]])
def test_what_is_not_of_its_form_is_left_to_the_reader_of_plans(whole: Any, spoilt: object) -> None:
    with pytest.raises(StatisticsRefused, match="plan_malformed"):
        planned_within({**document(), "dimensions": spoilt}, narrowed(whole))


def test_limits_are_the_smaller_of_both(whole: Any) -> None:
    limits = opened(whole, EVERYTHING, ExportLimits(dimensions=2, cells=10**6, measures=0)).registry.limits
    kept = whole.registry.limits
    assert (limits.dimensions, limits.cells, limits.measures) == (2, kept.cells, 0)
    assert (limits.filters, limits.tables, limits.differences) == (
        kept.filters,
        kept.tables,
        kept.differences,
    )


def test_a_table_is_within_a_part_that_opens_all_it_names_and_in_no_other(whole: Any) -> None:
    plan = parse_plan(
        document(
            filters=[{"dimension": "sex", "level": "sex", "categories": ["F"]}], measures=["contributions"]
        ),
        whole.registry,
    )
    assert is_within(plan, opened(whole, EVERYTHING, ExportLimits()))
    for field in ("province", "sex", "contribution_amount"):
        assert not is_within(plan, opened(whole, EVERYTHING - {field}, ExportLimits())), field
    assert is_within(plan, opened(whole, EVERYTHING - {"benefit_amount"}, ExportLimits()))
    assert not is_within(plan, opened(whole, EVERYTHING, ExportLimits(levels=(("province", ("province",)),))))
