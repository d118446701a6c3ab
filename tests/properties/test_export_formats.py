"""Whatever the table, its codes and its words: each format, read back by its library, tells just the same."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pysdmx.io import get_datasets
from pysdmx.io.xml.doc_validation import validate_doc

from broker.cli.statistics_package import read_cells
from broker.exports.about import TableAbout, indicators_of, told_of
from broker.exports.package import FORMATS, packed
from broker.exports.sdmx_names import component_id, sdmx_code
from broker.exports.texts import fused, plain
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout
from broker.statistics.output import HIDDEN, OutputTable
from broker.statistics.plan import Filter, planned
from broker.statistics.registry import Dimension, Level, Registry
from tests.packages_world import about_of, asked, leaves, manifest_of, table_of, unpacked

Told: TypeAlias = dict[tuple[str, ...], tuple[float | None, ...]]
NAMES: Final = ("indicator", "province", "time_period")
"""Two of them are names that SDMX has for something else."""
texts = st.text(max_size=12) | st.sampled_from(
    [
        "=1+1",
        "@SUM(A1)",
        "+84",
        "-",
        "'",
        "''=1",
        "a\tb\r\n",
        "\x00\ud800\ue000",
        "<b>&amp;",
        '",;',
        "NaN",
        "Nữ",
    ]
)
labels = st.builds(Label, texts, texts)
codes_of = st.lists(
    st.from_regex(r"\A[A-Za-z0-9_+.-]{1,6}\Z").filter(lambda code: code != "_T"),
    min_size=1,
    max_size=3,
    unique=True,
)


@dataclass(frozen=True)
class Case:
    """A table with what it is about."""

    table: OutputTable
    about: TableAbout

    def told(self) -> Told:
        """Return what the table tells: codes → persons, then the sum and the mean of each measure."""
        found = indicators_of(self.about)
        return {row.codes: tuple(told_of(row, one) for one in found) for row in self.table.rows()}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = sorted(draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=2)))
    dimensions, words = [], []
    for name in names:
        codes = draw(codes_of)
        # The first two lie together, under a code that the finer level has too.
        coarse = ((codes[0], tuple(codes[:2])), *((code, (code,)) for code in codes[2:]))
        dimensions.append(
            Dimension(name=name, levels=(Level("fine", leaves(codes)), Level("coarse", coarse)))
        )
        told = {(level, code): draw(labels) for level in ("fine", "coarse") for code in codes}
        words.append(
            DimensionAbout(
                name=name, label=draw(labels), fields=(), levels={"fine": draw(labels)}, categories=told
            )
        )
    measures = ("months", "pay")[: draw(st.integers(0, 2))]
    registry = Registry(release="2026-q3.1", dimensions=tuple(dimensions), measures=measures)
    said = tuple(MeasureAbout(name=one, unit="VND", label=draw(labels), fields=()) for one in measures)
    plan = planned(registry, tuple((name, "fine") for name in names), (), measures)
    about = about_of(plan, manifest_of(registry, tuple(words), said))
    return Case(draw(tables(registry, plan.hash, measures)), about)


@st.composite
def tables(draw: st.DrawFn, registry: Registry, question: str, measures: tuple[str, ...]) -> OutputTable:
    dimensions = tuple((one.name, one.leaves) for one in registry.dimensions)
    shape = tuple(len(codes) + 1 for _, codes in dimensions)
    size = math.prod(shape)
    counts = st.just(HIDDEN) | st.integers(10, 98_000_000)
    # Sums are told to a few digits, so that they are floats without a loss.
    sums = st.just(HIDDEN) | st.builds(lambda n, e: n * 10**e, st.integers(0, 999_999), st.integers(0, 12))
    persons = np.array(draw(st.lists(counts, min_size=size, max_size=size)), dtype=np.int64).reshape(shape)
    numbers = draw(st.lists(sums, min_size=size * len(measures), max_size=size * len(measures)))
    totals = np.array(numbers, dtype=np.int64).reshape((len(measures), *shape))
    return OutputTable(question, dimensions, measures, persons, np.where(persons == HIDDEN, HIDDEN, totals))


def number(value: Any) -> float | None:
    return None if value in ("", None) or pd.isna(value) else float(value)


def from_csv(case: Case) -> Told:
    content = unpacked(case.table, case.about, "csv")["data.csv"].decode()
    _, *rows = csv.reader(StringIO(content))
    width = len(case.table.dimensions)
    return {tuple(map(fused, row[:width])): tuple(map(number, row[width:])) for row in rows}


def from_parquet(case: Case) -> Told:
    found = parquet.read_table(BytesIO(unpacked(case.table, case.about, "parquet")["data.parquet"]))
    width = len(case.table.dimensions)
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return {row[:width]: row[width:] for row in rows}


def from_xlsx(case: Case) -> Told:
    book = openpyxl.load_workbook(BytesIO(unpacked(case.table, case.about, "xlsx")["data.xlsx"]))
    width = len(case.table.dimensions)
    _, *rows = book.worksheets[0].iter_rows(values_only=True)
    assert not [cell for sheet in book for row in sheet for cell in row if cell.data_type == "f"]
    return {tuple(map(str, row[:width])): tuple(map(number, row[width:])) for row in rows}


def from_sdmx(case: Case) -> Told:
    files = unpacked(case.table, case.about, "sdmx-csv")
    with TemporaryDirectory() as directory:
        for name in ("data.csv", "structure.xml"):
            Path(directory, name).write_bytes(files[name])
        [found] = get_datasets(Path(directory, "data.csv"), Path(directory, "structure.xml"))
    back = {sdmx_code(code): code for _, codes in case.table.dimensions for code in codes}
    columns = [component_id(name) for name, _ in case.table.dimensions]
    told: dict[tuple[str, ...], tuple[float | None, ...]] = {}
    for row in found.data.to_dict("records"):
        value = number(row["OBS_VALUE"])
        assert (row["OBS_STATUS"], row["CONF_STATUS"]) == (("Q", "C") if value is None else ("A", "F"))
        codes = tuple(back.get(row[name], row[name]) for name in columns)
        told[codes] = (*told.get(codes, ()), value)
    return told


def near(values: tuple[float | None, ...], wanted: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Return wanted means where those that were found are as good as them."""
    return tuple(
        b if at % 2 == 0 and a is not None and b is not None and math.isclose(a, b, rel_tol=2e-15) else a
        for at, (a, b) in enumerate(zip(values, wanted, strict=True))
    )


READERS: Final = {"csv": from_csv, "parquet": from_parquet, "xlsx": from_xlsx, "sdmx-csv": from_sdmx}


@pytest.mark.parametrize("format_code", FORMATS)
@settings(max_examples=15)
@given(case=cases())
def test_what_is_read_back_is_what_is_told(format_code: str, case: Case) -> None:
    found, wanted = READERS[format_code](case), case.told()
    if format_code == "xlsx":
        # A spreadsheet has 15 or 16 digits of a number: counts and sums have fewer, a mean has more.
        found = {codes: near(values, wanted[codes]) for codes, values in found.items()}
    assert found == wanted


@settings(max_examples=15)
@given(cases())
def test_the_structure_is_valid_whatever_the_words(case: Case) -> None:
    validate_doc(unpacked(case.table, case.about, "sdmx-csv")["structure.xml"].decode())


@settings(max_examples=15)
@given(cases(), st.sampled_from(sorted(FORMATS)))
def test_words_are_the_same_bytes_each_time(case: Case, format_code: str) -> None:
    assert packed(case.table, case.about, format_code) == packed(case.table, case.about, format_code)


@settings(max_examples=15)
@given(cases())
def test_words_in_a_spreadsheet_are_read_back_on_one_line(case: Case) -> None:
    book = openpyxl.load_workbook(BytesIO(unpacked(case.table, case.about, "xlsx")["data.xlsx"]))
    _, *rows = book.worksheets[2].iter_rows(values_only=True)
    found = {(row[0], row[1], row[2]): (row[3] or "", row[4] or "") for row in rows}
    for dimension in case.about.manifest.dimensions:
        for (level, code), label in dimension.categories.items():
            if (dimension.name, level, code) in found:
                assert found[dimension.name, level, code] == (plain(label.vi), plain(label.en))


@pytest.mark.parametrize("format_code", FORMATS)
def test_the_command_for_people_reads_every_package(format_code: str, tmp_path: Path) -> None:
    plan = asked("age", "province", measures=("contributions",), filters=(Filter("sex", "sex", ("F",)),))
    case = Case(table_of(plan), about_of(plan))
    file = tmp_path / "package.zip"
    file.write_bytes(packed(case.table, case.about, format_code).content)
    found = read_cells(file, ("age", "province"), ("contributions",))
    assert dict(found) == {codes: values[:2] for codes, values in case.told().items()}
