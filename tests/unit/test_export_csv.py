"""A package of CSV, judged by csvw and by frictionless, which others wrote."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from csvw import CSVW
from frictionless import validate

from broker.exports.texts import defused, fused, number_text, plain
from broker.statistics.manifest import Label
from broker.statistics.plan import Filter, planned
from broker.statistics.registry import Dimension, Level, Registry
from tests.packages_world import (
    DIMENSIONS,
    WHOLE,
    about_of,
    asked,
    leaves,
    manifest_of,
    table_of,
    unpacked,
)

DATA: Final = "data.csv"


@cache
def package() -> dict[str, bytes]:
    return unpacked(table_of(WHOLE), about_of(WHOLE), "csv")


def laid_out(files: dict[str, bytes], directory: Path, changed: tuple[str, str] = ("", "")) -> Path:
    """Write a package's files, with one text in its data changed."""
    for name, content in files.items():
        (directory / name).write_bytes(content)
    before, after = (one.encode() for one in changed)
    assert not before or files[DATA].count(before) == 1
    if before:
        (directory / DATA).write_bytes(files[DATA].replace(before, after))
    return directory


def csvw_of(directory: Path) -> CSVW:
    return CSVW(str(directory / DATA), md_url=str(directory / f"{DATA}-metadata.json"), validate=True)


def faults(directory: Path) -> list[tuple[Any, ...]]:
    """Return what frictionless finds: row, field, kind, and what it says."""
    report = validate(str(directory / "datapackage.json"))
    return [tuple(one) for one in report.flatten(["rowNumber", "fieldName", "type", "message"])]


def read_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content.decode())))


def test_a_package_is_valid_to_csvw_and_to_frictionless(tmp_path: Path) -> None:
    directory = laid_out(package(), tmp_path)
    assert csvw_of(directory).is_valid
    assert faults(directory) == []


def test_csvw_reads_every_cell_back(tmp_path: Path) -> None:
    group = csvw_of(laid_out(package(), tmp_path)).tablegroup
    data, *codes = group.tables
    assert [one.url.string for one in codes] == ["codes-province.csv", "codes-sex.csv"]
    for found, row in zip(data.iterdicts(), table_of(WHOLE).rows(), strict=True):
        assert (found["province"], found["sex"]) == row.codes
        assert found["persons"] == row.persons
        assert (found["contributions_sum"], found["months_sum"]) == row.sums
        means = (found["contributions_mean"], found["months_mean"])
        assert tuple(None if one is None else float(one) for one in means) == row.means


def test_a_wrong_code_is_found_with_its_row_and_field(tmp_path: Path) -> None:
    directory = laid_out(package(), tmp_path, ("01,F,", "0X,F,"))
    with pytest.raises(ValueError, match=r"data\.csv:6 Key `0X` not found in table codes-province\.csv"):
        assert csvw_of(directory).is_valid
    [(row, field, kind, said)] = faults(directory)
    assert (row, field, kind) == (6, None, "foreign-key")
    assert 'for "province": values "0X" not found in the lookup table "codes-province"' in said


def test_a_count_below_the_threshold_is_found_with_its_row_and_field(tmp_path: Path) -> None:
    directory = laid_out(package(), tmp_path, ("01,F,1793,", "01,F,9,"))
    with (
        warnings.catch_warnings(action="ignore"),  # It warns of the same to itself, and goes on.
        pytest.raises(ValueError, match=r"data\.csv:6:3 persons: value must be >= 10"),
    ):
        assert csvw_of(directory).is_valid
    [(row, field, kind, said)] = faults(directory)
    assert (row, field, kind) == (6, "persons", "constraint-error")
    assert 'constraint "minimum" is "10"' in said


def test_the_least_count_is_that_of_the_release() -> None:
    parameters = replace(about_of(WHOLE).manifest.parameters, threshold=25)
    files = unpacked(table_of(WHOLE), about_of(WHOLE, manifest_of(parameters=parameters)), "csv")
    metadata = json.loads(files["data.csv-metadata.json"])
    [persons] = [one for one in metadata["tables"][0]["tableSchema"]["columns"] if one["name"] == "persons"]
    assert persons["datatype"] == {"base": "integer", "minimum": 25}


def test_tables_of_codes_tell_names_and_what_each_lies_in() -> None:
    rows = {row["code"]: row for row in read_rows(package()["codes-province.csv"])}
    assert list(rows) == ["_T", "01", "02", "31", "79", "_U"]
    assert rows["79"] == {
        "code": "79",
        "name_vi": "Thành phố Hồ Chí Minh",
        "name_en": "Ho Chi Minh City",
        "in_region": "south",
        "vi_region": "Miền Nam",
        "en_region": "The south",
    }
    assert rows["_T"]["in_region"] == ""


def test_a_filtered_table_has_all_codes_of_its_level(tmp_path: Path) -> None:
    plan = asked("province", filters=(Filter("province", "region", ("south",)),))
    directory = laid_out(unpacked(table_of(plan), about_of(plan), "csv"), tmp_path)
    assert csvw_of(directory).is_valid
    assert [row["province"] for row in read_rows((directory / DATA).read_bytes())] == ["_T", "79"]
    assert len(read_rows((directory / "codes-province.csv").read_bytes())) == 6


def test_metadata_tell_release_question_and_method() -> None:
    _, described = json.loads(package()["data.csv-metadata.json"])["notes"]
    assert described["release"]["code"] == "2026-q3.1"
    assert described["question"]["hash"] == WHOLE.hash
    assert described["method"] == {
        "name": "cell-key",
        "counts": {"D": 5, "V": 3, "js": 2},
        "sums": {"D": 5, "V": 2, "share": 0.1},
        "threshold": 10,
        "dominance_percent": 15,
        "digits": 4,
    }


HOSTILE: Final = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "＋1", "'=1", '"\n=1,2')


def test_nothing_that_a_spreadsheet_obeys_begins_a_cell(tmp_path: Path) -> None:
    codes = ("-5", "+5", "5")
    registry = Registry(
        release="2026-q3.1",
        dimensions=(Dimension(name="depth", levels=(Level("depth", leaves(codes)),)),),
        measures=(),
    )
    plan = planned(registry, (("depth", "depth"),))
    words = replace(
        DIMENSIONS[0],
        name="depth",
        categories={
            ("depth", code): Label(*pair)
            for code, pair in zip(codes, zip(HOSTILE, HOSTILE[::-1], strict=True), strict=False)
        },
    )
    files = unpacked(table_of(plan, registry), about_of(plan, manifest_of(registry, (words,), ())), "csv")
    directory = laid_out(files, tmp_path)
    assert csvw_of(directory).is_valid
    assert faults(directory) == []
    for name in (DATA, "codes-depth.csv"):
        for row in read_rows(files[name]):
            for cell in row.values():
                assert cell.lstrip()[:1] not in set("=+-@＝＋－＠\t\r"), cell
    assert [fused(row["depth"]) for row in read_rows(files[DATA])] == ["_T", "-5", "+5", "5"]


@pytest.mark.parametrize("text", [*HOSTILE, "", " ", "Hà Nội", "a=b", "''", "-"])
def test_what_is_defused_is_found_again(text: str) -> None:
    found = defused(text)
    assert fused(found) == plain(text)
    assert found.lstrip()[:1] not in set("=+-@＝＋－＠")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("number", "text"),
    [(1043, "1043"), (1043.0, "1043"), (0.5, "0.5"), (1e22, "1" + "0" * 22), (1e-7, "0.0000001"), (0, "0")],
)
def test_numbers_have_neither_exponents_nor_points_without_need(number: float, text: str) -> None:
    assert number_text(number) == text
