"""P9: nothing that only the engine knows is in any package, in whatever form."""

from __future__ import annotations

import csv
import re
from functools import cache
from io import BytesIO, StringIO
from typing import Any, Final
from zipfile import ZipFile, is_zipfile

import numpy as np
import pytest
from pyarrow import parquet

from broker.exports.about import TableAbout
from broker.exports.package import FORMATS, packed
from broker.statistics.aggregate import aggregated
from broker.statistics.axes import Grid, on_grid
from broker.statistics.output import HIDDEN
from broker.statistics.plan import planned
from broker.statistics.plan_layout import axes_of
from broker.statistics.protect import Protected, protected
from broker.statistics.registry import Dimension, Level, Registry
from tests.packages_world import about_of, leaves, manifest_of
from tests.statistics_world import AGE, PROVINCE, SECRET_TABLE, WAGE, method, population

REGISTRY: Final = Registry(
    release="2026-q3.1",
    dimensions=tuple(
        Dimension(name=one.name, levels=(Level(one.name, leaves(one.categories)),)) for one in (PROVINCE, AGE)
    ),
    measures=(WAGE,),
)
PLAN: Final = planned(REGISTRY, tuple((one.name, one.name) for one in (PROVINCE, AGE)), (), (WAGE,))
TOLD_BY_CHANCE: Final = 5
"""Digits from which on a number that is found is no accident."""


@cache
def grid() -> Grid:
    """The true aggregates of a table with many small cells, and with one person who dominates others."""
    people, wages = population(20_000), population(20_000).wages.copy()
    wages[0] = 10**11
    order = [{"province": 0, "age": 2}[name] for name, _ in PLAN.cut]
    cells = aggregated(
        [name for name, _ in PLAN.cut],
        [WAGE],
        people.codes[:, order],
        people.persons,
        wages[:, None],
        people.keys,
    )
    return on_grid(cells, axes_of(REGISTRY, PLAN))


@cache
def made() -> Protected:
    return protected(grid(), method(), PLAN.hash)


def about() -> TableAbout:
    return about_of(PLAN, manifest_of(REGISTRY, (), ()))


def opened(content: bytes) -> dict[str, bytes]:
    """Return every file of a package, those of a workbook in it too."""
    found: dict[str, bytes] = {}
    with ZipFile(BytesIO(content)) as archive:
        for name in archive.namelist():
            found[name] = archive.read(name)
            if is_zipfile(BytesIO(found[name])):
                found |= {f"{name}/{inner}": one for inner, one in opened(found[name]).items()}
    return found


def numbers_in(files: dict[str, bytes]) -> set[int]:
    """Return every whole number of at least five digits that stands in any file, as text or as a value."""
    found: set[int] = set()
    for name, content in files.items():
        if name.endswith(".parquet"):
            table: Any = parquet.read_table(BytesIO(content))
            values = [value for column in table.columns for value in column.to_pylist()]
            found |= {value for value in values if isinstance(value, int)}
        text = content.decode("utf-8", errors="ignore")
        found |= {int(one) for one in re.findall(r"(?<![0-9A-Za-z.])[0-9]{5,18}(?![0-9A-Za-z.])", text)}
    return found


def secrets() -> set[int]:
    """Return true sums, largest totals, keys of cells and persons: numbers of five digits and more."""
    arrays = (grid().sums, grid().largest, grid().keys, population(20_000).keys)
    return {int(one) for array in arrays for one in np.unique(array) if one >= 10**TOLD_BY_CHANCE}


@pytest.mark.parametrize("format_code", FORMATS)
def test_no_true_number_and_no_key_is_in_a_package(format_code: str) -> None:
    table = made().table
    found = numbers_in(opened(packed(table, about(), format_code).content))
    told = {int(one) for one in np.unique(table.sums) if one != HIDDEN}
    assert told & found, "what is told is found, so what is not told would be"
    assert len(secrets()) > 10_000
    assert (found - told) & secrets() == set()


@pytest.mark.parametrize("format_code", FORMATS)
def test_no_secret_is_in_a_package_as_bytes(format_code: str) -> None:
    files = b"".join(opened(packed(made().table, about(), format_code).content).values())
    for secret in (SECRET_TABLE, SECRET_TABLE.hex().encode(), grid().keys.astype("<i8").tobytes()[:64]):
        assert secret not in files


def test_hidden_cells_look_alike_whatever_the_reason() -> None:
    notes, table = made().notes, made().table
    content = opened(packed(table, about(), "csv").content)["data.csv"].decode()
    _, *rows = csv.reader(StringIO(content))
    reasons = notes.sums[0].reshape(-1).tolist()
    shown = {(reason, row[-2] != "", row[-1] != "") for reason, row in zip(reasons, rows, strict=True)}
    assert {reason for reason, *_ in shown} >= {"F", "A", "O"}
    assert {(total, mean) for reason, total, mean in shown if reason != "F"} == {(False, False)}


def test_hidden_cells_of_sdmx_have_one_status_for_all_reasons() -> None:
    rows = opened(packed(made().table, about(), "sdmx-csv").content)["data.csv"].decode().splitlines()[1:]
    statuses = {tuple(row.split(",")[7:9]) for row in rows}
    assert statuses == {("A", "F"), ("Q", "C")}
    for row in rows:
        *_, value, status, _ = row.split(",")[:9]
        assert (value == "") is (status == "Q")
