"""What releases are cut by: whole hierarchies, words in two languages, and fields that the catalogue has."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from broker.engines.shipped_tables import shipped_tables
from broker.statistics.dimensions import MEASURES, band_of, registry_of, words_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.make_table import made_table
from broker.statistics.manifest import Label
from broker.statistics.methods import hashes_of, method_of, tables_needed
from broker.statistics.parameters import CountParameters
from broker.statistics.periods import month_code, parse_quarter, release_code
from broker.statistics.provinces import PROVINCE_OF_OLD, PROVINCES, REGIONS
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.sectors import GROUPS, SECTIONS, section_of
from broker.statistics.table_csv import table_from_csv, table_name
from policies.provinces import OLD_PROVINCES

QUARTER = parse_quarter("2026-q3")
CATALOGUE = Path(__file__).parents[2] / "policies" / "fields.toml"


def test_the_dimensions_and_levels_are_those_that_were_agreed() -> None:
    levels = {
        dimension.name: [(level.name, len(level.categories)) for level in dimension.levels]
        for dimension in registry_of(QUARTER, 1).dimensions
    }
    assert levels == {
        "period": [("month", 3), ("quarter", 1)],
        "province": [("province", 35), ("region", 7)],
        "sex": [("sex", 3)],
        "age": [("age_band", 19), ("age_group", 6)],
        "sector": [("sector", 23), ("sector_group", 5)],
        "payer": [("payer_group", 7)],
        "benefit": [("benefit_level", 7)],
        "facility": [("facility_province_old", 65), ("facility_province", 36), ("facility_region", 8)],
    }


def test_only_periods_and_sectors_have_persons_in_several_categories() -> None:
    dimensions = registry_of(QUARTER, 1).dimensions
    assert {one.name for one in dimensions if not one.one_each} == {"period", "sector"}
    assert {one.name for one in dimensions if one.is_sensitive} == {"payer", "benefit"}


def test_every_level_and_category_has_words_in_both_languages() -> None:
    for dimension, about in zip(registry_of(QUARTER, 1).dimensions, words_of(QUARTER), strict=True):
        assert dimension.name == about.name
        codes = {(level.name, code) for level in dimension.levels for code, _ in level.categories}
        assert set(about.categories) == codes
        assert set(about.levels) == {level.name for level in dimension.levels}
        words: list[Label] = [about.label, *about.levels.values(), *about.categories.values()]
        assert all(one.vi.strip() and one.en.strip() for one in words)


def test_fields_are_those_of_the_catalogue() -> None:
    catalogue = tomllib.loads(CATALOGUE.read_text("utf-8"))["fields"]
    named = {field for about in words_of(QUARTER) for field in about.fields}
    named |= {field for measure in MEASURES for field in measure.fields}
    assert named <= set(catalogue)
    assert not any(catalogue[field].get("not_held") for field in named)


def test_every_old_province_lies_in_one_of_today_and_every_one_of_today_in_a_region() -> None:
    assert set(PROVINCE_OF_OLD) == set(OLD_PROVINCES)
    assert {one.region for one in PROVINCES.values()} == set(REGIONS)


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-4"), (4, "0-4"), (5, "5-9"), (84, "80-84"), (85, "85+"), (119, "85+")]
)
def test_bands_of_ages(age: int, band: str) -> None:
    assert band_of(age) == band


@pytest.mark.parametrize(
    ("industry", "section"),
    [
        ("01110", "A"), ("10101", "C"), ("33999", "C"), ("35", "D"), ("85310", "P"), ("c", "C"),
        ("C1010", "C"), ("34000", None), ("00", None), ("V", None), ("", None), (None, None), ("ß", None),
    ],
)  # fmt: skip
def test_sections_of_industries(industry: str | None, section: str | None) -> None:
    assert section_of(industry) == section


def test_every_section_is_in_one_group() -> None:
    assert sorted("".join(letters for letters, _ in GROUPS.values())) == sorted(SECTIONS)


def test_a_quarter_has_three_months_and_a_last_day() -> None:
    assert [month_code(one) for one in QUARTER.months] == ["2026-07", "2026-08", "2026-09"]
    assert parse_quarter("2027-q4").last_day == date(2027, 12, 31)
    assert parse_quarter("2028-q1").last_day == date(2028, 3, 31)
    assert release_code(QUARTER, 2) == "2026-q3.2"


@pytest.mark.parametrize("text", ["2026", "2026-q5", "2026-Q3", "2026-q3 ", "1999-q1", "", "../2026-q3"])
def test_what_is_no_quarter_is_refused(text: str) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        parse_quarter(text)
    assert refused.value.reason == "period_malformed"
    assert "2026-q3" in refused.value.detail


def test_the_tables_of_the_default_parameters_come_with_the_package() -> None:
    needed = tables_needed(DisclosureParameters())
    assert set(shipped_tables()) == {table_name(one) for one in needed}
    for one in needed:
        shipped = table_from_csv(shipped_tables()[table_name(one)], one)
        made = made_table(one)
        for kept, anew in zip(shipped.rows, made.rows, strict=True):
            assert kept.steps == anew.steps
            # A solver on another machine may come to other last digits: those of one part in a million.
            assert all(abs(a - b) <= 10**6 for a, b in zip(kept.parts, anew.parts, strict=True))


def test_a_whole_number_is_the_same_parameter_however_it_is_written() -> None:
    written = CountParameters(bound=5, variance=3.0, barred=2)
    assert table_name(written) in shipped_tables()
    assert table_from_csv(shipped_tables()[table_name(written)], written).parameters == written


def test_a_method_is_made_of_kept_tables_without_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.statistics.make_table.largest_entropy", None)
    method = method_of(DisclosureParameters(), ("salary", "months"), shipped_tables(), bytes(32))
    assert set(method.sums) == {"salary", "months"}
    assert method.counts.parameters == DisclosureParameters().counts
    assert (method.rules.threshold, method.rules.dominance_percent, method.rules.digits) == (10, 15, 4)


def test_a_release_without_its_table_has_no_method() -> None:
    with pytest.raises(StatisticsRefused) as refused:
        method_of(DisclosureParameters(), ("salary",), {}, bytes(32))
    assert refused.value.reason == "table_malformed"
    assert "counts D=5" in refused.value.detail


def test_a_table_that_somebody_changed_is_refused() -> None:
    changed = {name: text.replace("0.1367", "0.1368", 1) for name, text in shipped_tables().items()}
    assert hashes_of(changed) != hashes_of(shipped_tables())
    with pytest.raises(StatisticsRefused, match="table_malformed"):
        method_of(DisclosureParameters(), ("salary",), changed, bytes(32))
