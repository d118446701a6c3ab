"""A package of SDMX, read back by pysdmx and judged by SDMX's own schemas."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import pandas as pd
import pytest
from pysdmx.errors import Invalid
from pysdmx.io import get_datasets, read_sdmx
from pysdmx.io.csv.sdmx20.writer import write
from pysdmx.io.xml.doc_validation import validate_doc

from broker.exports.about import TableAbout
from broker.exports.sdmx_names import component_id, sdmx_code
from broker.statistics.dimensions import MEASURES, registry_of, words_of
from broker.statistics.manifest import Label
from broker.statistics.output import OutputTable
from broker.statistics.periods import parse_quarter
from broker.statistics.plan import Filter, planned
from tests.packages_world import (
    DIMENSIONS,
    MANIFEST,
    OWNER,
    WHOLE,
    about_of,
    asked,
    manifest_of,
    table_of,
    unpacked,
)

COM: Final = "{http://www.sdmx.org/resources/sdmxml/schemas/v3_0/common}"
STR: Final = "{http://www.sdmx.org/resources/sdmxml/schemas/v3_0/structure}"
LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"
QUARTER: Final = parse_quarter("2026-q3")
REAL: Final = registry_of(QUARTER, 1)


@cache
def package() -> dict[str, bytes]:
    return unpacked(table_of(WHOLE), about_of(WHOLE), "sdmx-csv")


def parsed(content: bytes) -> ElementTree.Element:
    """Return XML that was made here."""
    return ElementTree.fromstring(content)  # noqa: S314


def structure(about: TableAbout, table: OutputTable) -> str:
    return unpacked(table, about, "sdmx-csv")["structure.xml"].decode()


def read_back(files: dict[str, bytes], directory: Path) -> Any:
    """Return the dataset that pysdmx finds in a package."""
    for name in ("data.csv", "structure.xml"):
        (directory / name).write_bytes(files[name])
    [found] = get_datasets(directory / "data.csv", directory / "structure.xml")
    return found


def test_the_head_is_that_of_sdmx_csv_2_0() -> None:
    head, first, *_ = package()["data.csv"].decode().splitlines()
    assert head == (
        "STRUCTURE,STRUCTURE_ID,ACTION,PROVINCE,SEX,INDICATOR,OBS_VALUE,OBS_STATUS,CONF_STATUS,UNIT_MEASURE,"
        "NOISE_METHOD,NOISE_BOUND,NOISE_VARIANCE,SUM_NOISE_BOUND,SUM_NOISE_VARIANCE,SUM_NOISE_SHARE,RELEASE"
    )
    flow = f"{OWNER}:DF_{WHOLE.hash[:16].upper()}(1.0.0)"
    assert first == f"dataflow,{flow},I,_T,_T,PERSONS,81349,A,F,PERSONS,CELL_KEY,5,3,5,2,0.1,2026-q3.1"


def test_pysdmx_reads_every_cell_back(tmp_path: Path) -> None:
    table, found = table_of(WHOLE), read_back(package(), tmp_path)
    assert list(found.data.columns) == [
        "PROVINCE",
        "SEX",
        "INDICATOR",
        "OBS_VALUE",
        "OBS_STATUS",
        "CONF_STATUS",
        "UNIT_MEASURE",
    ]
    wanted = [
        (*row.codes, value)
        for row in table.rows()
        for value in (row.persons, *(one for pair in zip(row.sums, row.means, strict=True) for one in pair))
    ]
    rows = found.data.itertuples(index=False)
    for one, (province, sex, value) in zip(rows, wanted, strict=True):
        assert (province, sex) == (one.PROVINCE, one.SEX)
        if value is None:
            assert pd.isna(one.OBS_VALUE)
            assert (one.OBS_STATUS, one.CONF_STATUS) == ("Q", "C")
        else:
            assert value == one.OBS_VALUE
            assert (one.OBS_STATUS, one.CONF_STATUS) == ("A", "F")


def test_the_dataset_tells_how_it_was_perturbed(tmp_path: Path) -> None:
    found = read_back(package(), tmp_path)
    assert {name: str(value) for name, value in found.attributes.items()} == {
        "NOISE_METHOD": "CELL_KEY",
        "NOISE_BOUND": "5",
        "NOISE_VARIANCE": "3.0",
        "SUM_NOISE_BOUND": "5",
        "SUM_NOISE_VARIANCE": "2.0",
        "SUM_NOISE_SHARE": "0.1",
        "RELEASE": "2026-q3.1",
    }


@pytest.mark.parametrize("measures", [(), ("contributions", "months")])
def test_these_are_the_bytes_that_pysdmx_writes(measures: tuple[str, ...], tmp_path: Path) -> None:
    plan = asked("age", "sex", measures=measures)
    files = unpacked(table_of(plan), about_of(plan), "sdmx-csv")
    theirs = write([read_back(files, tmp_path)])
    assert theirs is not None
    # A column with means in it is one of floats to pysdmx, and every measure is mandatory to it.
    assert re.sub(r"\.0(?=,)", "", theirs).replace(",NaN,", ",,") == files["data.csv"].decode()


def test_counts_alone_are_whole_numbers_to_whoever_reads_the_structure(tmp_path: Path) -> None:
    plan = asked("sex", measures=())
    files = unpacked(table_of(plan), about_of(plan), "sdmx-csv")
    found = read_back(files, tmp_path)
    assert str(found.data["OBS_VALUE"].dtype) == "int64[pyarrow]"
    assert "SUM_NOISE_SHARE" not in files["data.csv"].decode()


def test_the_structure_is_valid_and_tells_names_in_both_languages() -> None:
    text = package()["structure.xml"].decode()
    validate_doc(text)
    told = []
    for one in parsed(text.encode()).iter():
        names = [(name.get(LANGUAGE), name.text) for name in one.findall(f"{COM}Name")]
        assert [language for language, _ in names] in ([], ["vi", "en"])
        told += names
    assert len(told) > 60
    assert ("vi", "Thành phố Hồ Chí Minh") in told
    assert ("en", "Ho Chi Minh City") in told
    assert ("vi", "Tiền đóng, bình quân một người") in told


def test_an_invalid_structure_would_be_found() -> None:
    text = package()["structure.xml"].decode().replace('id="CL_SEX', 'id="9CL_SEX')
    with pytest.raises(Invalid, match="is not accepted by the pattern"):
        validate_doc(text)


def test_code_lists_have_the_level_of_the_table_with_its_total_and_the_coarser_ones() -> None:
    message = read_sdmx(package()["structure.xml"].decode(), validate=True)
    lists = {one.id: [code.id for code in one.items] for one in message.get_codelists()}
    assert lists["CL_PROVINCE_PROVINCE_2026-q3_2E1"] == ["_T", "01", "02", "31", "79", "_U"]
    assert lists["CL_PROVINCE_REGION_2026-q3_2E1"] == ["north", "south", "_U"]
    [flow] = message.get_dataflows()
    assert flow.id == f"DF_{WHOLE.hash[:16].upper()}"


def test_statuses_that_would_tell_a_reason_are_not_even_in_the_lists() -> None:
    message = read_sdmx(package()["structure.xml"].decode(), validate=True)
    lists = {one.id.rsplit("_", 1)[0]: [code.id for code in one.items] for one in message.get_codelists()}
    assert lists["CL_OBS_STATUS"] == ["A", "Q"]
    assert lists["CL_CONF_STATUS"] == ["F", "C"]


def test_a_hierarchy_goes_from_the_total_down_to_the_level_of_the_table() -> None:
    root = parsed(package()["structure.xml"])
    [province] = [one for one in root.iter(f"{STR}Hierarchy") if one.get("id", "").startswith("H_PROVINCE")]
    [total] = province.findall(f"{STR}HierarchicalCode")
    found = {
        region.get("id"): [code.get("id") for code in region.findall(f"{STR}HierarchicalCode")]
        for region in total.findall(f"{STR}HierarchicalCode")
    }
    assert total.get("id") == "_T"
    assert found == {
        "region@north": ["province@01", "province@02", "province@31"],
        "region@south": ["province@79"],
        "region@_U": ["province@_U"],
    }


def test_a_table_at_a_coarser_level_has_that_level_alone() -> None:
    plan = asked("province:region", filters=(Filter("province", "region", ("north",)),))
    text = structure(about_of(plan), table_of(plan))
    validate_doc(text)
    assert "CL_PROVINCE_REGION_2026-q3_2E1" in text
    assert "CL_PROVINCE_PROVINCE" not in text


def test_codes_that_sdmx_has_no_place_for_are_told_beside_theirs() -> None:
    plan = asked("age")
    files = unpacked(table_of(plan), about_of(plan), "sdmx-csv")
    validate_doc(files["structure.xml"].decode())
    assert ",65$2B,PERSONS," in files["data.csv"].decode()
    root = parsed(files["structure.xml"])
    [title] = [one.text for one in root.iter(f"{COM}AnnotationTitle")]
    assert title == "65+"


@pytest.mark.parametrize(
    ("code", "found"),
    [("65+", "65$2B"), ("1.5", "1$2E5"), ("-5", "$2D5"), ("0-14", "0-14"), ("_T", "_T"), ("+", "$2B")],
)
def test_codes_become_identifiers_of_sdmx(code: str, found: str) -> None:
    assert sdmx_code(code) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sex", "SEX"),
        ("indicator", "INDICATOR_"),
        ("indicator_", "INDICATOR__"),
        ("time_period", "TIME_PERIOD_"),
    ],
)
def test_no_dimension_takes_the_name_of_a_component(name: str, found: str) -> None:
    assert component_id(name) == found


def test_hostile_words_stay_words() -> None:
    hostile = Label('</com:Name><x a="&lt;\'">\x00\ue000\ud800', "=cmd|' /C calc'!A0 &amp; ]]>\r\n")
    sex = replace(DIMENSIONS[1], label=hostile, categories={("sex", "F"): hostile})
    about = replace(about_of(asked("sex"), manifest_of(dimensions=(sex,))), title=hostile)
    text = structure(about, table_of(asked("sex")))
    validate_doc(text)
    told = [one.text for one in parsed(text.encode()).iter(f"{COM}Name")]
    assert '</com:Name><x a="&lt;\'">   ' in told
    assert "=cmd|' /C calc'!A0 &amp; ]]>  " in told


def test_what_has_no_words_is_called_by_its_name() -> None:
    plan = asked("sector")
    text = structure(about_of(plan, MANIFEST), table_of(plan))
    validate_doc(text)
    assert '<com:Name xml:lang="vi">sector</com:Name><com:Name xml:lang="en">sector</com:Name>' in text


@pytest.mark.parametrize(
    ("owner", "agency"), [(OWNER, OWNER), ("Cơ quan BHXH", "C__quan_BHXH"), ("7.vn", "A_7_vn"), ("", "A_")]
)
def test_the_owner_is_an_agency_whatever_its_name(owner: str, agency: str) -> None:
    plan = asked("sex")
    text = structure(replace(about_of(plan), owner=owner), table_of(plan))
    validate_doc(text)
    assert f'agencyID="{agency}"' in text


@pytest.mark.parametrize(
    ("name", "level"), [(one.name, level.name) for one in REAL.dimensions for level in one.levels]
)
def test_every_dimension_of_real_releases_has_a_valid_structure(name: str, level: str) -> None:
    plan = planned(REAL, ((name, level),), (), ("benefits", "months"))
    manifest = manifest_of(REAL, words_of(QUARTER), MEASURES)
    files = unpacked(table_of(plan, REAL), about_of(plan, manifest), "sdmx-csv")
    validate_doc(files["structure.xml"].decode())
    message = read_sdmx(files["structure.xml"].decode(), validate=False)
    [codes] = [
        {code.id for code in one.items}
        for one in message.get_codelists()
        if one.id.startswith(f"CL_{name.upper()}_{level.upper()}_2")
    ]
    rows = [row.split(",") for row in files["data.csv"].decode().splitlines()[1:]]
    assert {row[3] for row in rows} == codes
