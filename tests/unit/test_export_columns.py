"""Packages of Parquet and of XLSX, read back by pyarrow, DuckDB and openpyxl."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import duckdb
import openpyxl
import pyarrow as pa
from pyarrow import parquet

from broker.exports.about import TableAbout
from broker.exports.method_note import method_note
from broker.exports.xlsx import workbook
from broker.statistics.manifest import Label
from broker.statistics.plan import Filter, planned
from broker.statistics.registry import Dimension, Level, Registry
from tests.packages_world import (
    DIMENSIONS,
    FROZEN_AT,
    WHOLE,
    about_of,
    asked,
    leaves,
    manifest_of,
    table_of,
    unpacked,
)


@cache
def columns() -> Any:
    content = unpacked(table_of(WHOLE), about_of(WHOLE), "parquet")["data.parquet"]
    return parquet.read_table(BytesIO(content))


@cache
def book() -> Any:
    content = unpacked(table_of(WHOLE), about_of(WHOLE), "xlsx")["data.xlsx"]
    return openpyxl.load_workbook(BytesIO(content))


def test_columns_of_parquet_have_the_types_of_what_they_hold() -> None:
    codes = pa.dictionary(pa.int32(), pa.string())
    assert [(one.name, one.type, one.nullable) for one in columns().schema] == [
        ("province", codes, False),
        ("sex", codes, False),
        ("persons", pa.int64(), True),
        ("contributions_sum", pa.int64(), True),
        ("contributions_mean", pa.float64(), True),
        ("months_sum", pa.int64(), True),
        ("months_mean", pa.float64(), True),
    ]


def test_another_program_reads_the_same_from_parquet(tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    file.write_bytes(unpacked(table_of(WHOLE), about_of(WHOLE), "parquet")["data.parquet"])
    with duckdb.connect() as program:
        found = program.execute("SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
    wanted = []
    for row in table_of(WHOLE).rows():
        pairs = zip(row.sums, row.means, strict=True)
        wanted.append((*row.codes, row.persons, *(one for pair in pairs for one in pair)))
    assert found == wanted


def test_the_schema_of_parquet_says_what_all_of_it_is() -> None:
    said = json.loads(columns().schema.metadata[b"statistical_table"])
    assert said["release"] == {
        "code": "2026-q3.1",
        "period": "2026-q3",
        "supersedes": "",
        "as_of": "2026-09-30T17:00:00+00:00",
        "frozen_at": "2026-10-05T07:30:12+00:00",
    }
    assert said["question"]["hash"] == WHOLE.hash
    assert said["question"]["plan"] == json.loads(WHOLE.canonical())
    assert said["method"]["counts"] == {"D": 5, "V": 3, "js": 2}
    assert said["method"]["sums"] == {"D": 5, "V": 2, "share": 0.1}
    [province, _] = said["dimensions"]
    assert province["categories"]["79"] == {"vi": "Thành phố Hồ Chí Minh", "en": "Ho Chi Minh City"}
    field = columns().schema.field("contributions_sum")
    assert field.metadata == {
        b"label_vi": "Tiền đóng, tổng".encode(),
        b"label_en": b"Contributions, sum",
        b"unit": b"VND",
    }


def test_the_dictionary_of_parquet_has_the_codes_of_the_table_in_order() -> None:
    plan = asked("province", filters=(Filter("province", "region", ("north",)),))
    content = unpacked(table_of(plan), about_of(plan), "parquet")["data.parquet"]
    column = parquet.read_table(BytesIO(content)).column("province").chunk(0)
    assert column.dictionary.to_pylist() == ["_T", "01", "02", "31"]


def test_a_workbook_has_data_notes_and_codes() -> None:
    assert book().sheetnames == ["Dữ liệu – Data", "Ghi chú – Notes", "Mã – Codes"]
    data, notes, codes = book().worksheets
    head, *rows = data.iter_rows(values_only=True)
    assert head[:4] == ("province", "sex", "persons", "contributions_sum")
    first = next(table_of(WHOLE).rows())
    assert rows[0][:4] == (*first.codes, first.persons, first.sums[0])
    assert data.freeze_panes == "C2"
    assert data.auto_filter.ref == "A1:G19"
    lines = [row[0] or "" for row in notes.iter_rows(values_only=True)]
    wanted = [
        method_note(table_of(WHOLE), about_of(WHOLE), one).replace("\u00a0", " ") for one in ("vi", "en")
    ]
    assert "\n".join(lines) == "\n".join(wanted)
    found = list(codes.iter_rows(values_only=True))
    assert ("province", "province", "79", "Thành phố Hồ Chí Minh", "Ho Chi Minh City", "south") in found
    assert ("province", "region", "south", "Miền Nam", "The south", None) in found
    assert ("persons", None, None, "Số người", "Persons", None) in found


def test_numbers_in_a_workbook_are_numbers_and_codes_are_text() -> None:
    _, row, *_ = book().worksheets[0].iter_rows(min_row=4)
    assert [cell.data_type for cell in row[:4]] == ["s", "s", "n", "n"]
    assert row[0].value == "01"


def hostile_about() -> TableAbout:
    codes = ("-5", "+5", "5")
    registry = Registry(
        release="2026-q3.1",
        dimensions=(Dimension(name="depth", levels=(Level("depth", leaves(codes)),)),),
        measures=(),
    )
    said = [Label("=1+1", "@SUM(A1)"), Label("+1", "-1"), Label(" =HYPERLINK(1)", "\t=1")]
    words = replace(
        DIMENSIONS[0],
        name="depth",
        label=Label("=cmd|' /C calc'!A0", "＝1"),
        categories={("depth", code): label for code, label in zip(codes, said, strict=True)},
    )
    plan = planned(registry, (("depth", "depth"),))
    about = about_of(plan, manifest_of(registry, (words,), ()))
    return replace(about, title=Label("=1", "=1"), owner_name=Label("=1", "=1"))


def test_nothing_in_a_workbook_is_a_formula() -> None:
    about = hostile_about()
    table = table_of(about.plan, about.manifest.registry)
    content = workbook(table, about)
    obeyed = set("=+-@＝")
    marked = 0
    for sheet in openpyxl.load_workbook(BytesIO(content)):
        for cell in (cell for row in sheet.iter_rows() for cell in row if cell.value is not None):
            assert cell.data_type != "f"
            if isinstance(cell.value, str) and cell.value.lstrip()[:1] in obeyed:
                # Without it a spreadsheet would take the text for a formula once somebody edits the cell.
                assert cell.quotePrefix, cell.value
                marked += 1
    assert marked > 10
    with ZipFile(BytesIO(content)) as archive:
        for name in archive.namelist():
            assert b"<f>" not in archive.read(name), name


def test_a_workbook_tells_no_instant_but_that_of_its_release() -> None:
    first, again = (workbook(table_of(WHOLE), about_of(WHOLE)) for _ in range(2))
    assert first == again
    properties = book().properties
    assert properties.modified == properties.created == FROZEN_AT.replace(tzinfo=None)
    assert properties.creator == "Cơ quan bảo hiểm xã hội"
    with ZipFile(BytesIO(first)) as archive:
        assert {one.date_time for one in archive.infolist()} == {FROZEN_AT.timetuple()[:6]}


def test_a_question_longer_than_a_cell_is_told_whole() -> None:
    codes = [f"a-category-of-a-long-name-{n:05d}" for n in range(1500)]
    registry = Registry(
        release="2026-q3.1",
        dimensions=(
            Dimension(name="place", levels=(Level("place", leaves(codes)),)),
            Dimension(name="sex", levels=(Level("sex", leaves(("F", "M"))),)),
        ),
        measures=(),
    )
    plan = planned(registry, (("sex", "sex"),), (Filter("place", "place", tuple(codes[1:])),))
    assert len(plan.canonical()) > 32_767
    about = about_of(plan, manifest_of(registry, (), ()))
    found = openpyxl.load_workbook(BytesIO(workbook(table_of(plan, registry), about)))
    lines = [str(row[0] or "") for row in found.worksheets[1].iter_rows(values_only=True)]
    assert plan.canonical() in "".join(lines)
