"""The raw GROUP BY: what a protected table needs of a release, in one statement of DuckDB and no more.

Of every cell and of every margin n, the sum of record keys, and of each measure the sum and the three
largest totals of one person. Nothing is checked, perturbed, hidden, looked at or packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column
from broker.statistics.cells import CellTable, cell_table
from broker.statistics.grouped import TOP, TOTAL
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import layout_of
from broker.statistics.registry import Registry
from broker.statistics.views import Layout

THREADS: Final = 2
MEMORY_MB: Final = 900
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class RawQuery:
    """A plan as SQL. whole: with all margins, as exports need them. finest: the table's inner cells alone."""

    plan: TablePlan
    whole: str
    finest: str


def connected(directory: Path) -> duckdb.DuckDBPyConnection:
    """Return a database without a file, within bounds, that may spill to a directory."""
    settings = {
        "threads": THREADS,
        "memory_limit": f"{MEMORY_MB}MB",
        "temp_directory": str(directory / "spilled"),
    }
    connection = duckdb.connect(config=settings)
    connection.execute("SET enable_progress_bar = false")
    return connection


def raw_query(registry: Registry, plan: TablePlan, directory: Path) -> RawQuery:
    """Return the statements of a plan over the files of a release."""
    layout = layout_of(registry, plan)
    several = [name for name in layout.axes if name in layout.several]
    once = [name for name in layout.axes if name not in layout.several]
    units = f"units AS MATERIALIZED ({_units(plan, layout, directory)})"
    parts = []
    for shown in product((True, False), repeat=len(several)):
        kept = [name for name, is_kept in zip(several, shown, strict=True) if is_kept]
        by = [*kept, *([f"CUBE ({', '.join(once)})"] if once else [])]
        parts.append(_cells(plan, "units" if all(shown) else _collapsed(plan, [*kept, *once]), by))
    return RawQuery(
        plan,
        f"WITH {units} {' UNION ALL BY NAME '.join(parts)}",
        f"WITH {units} {_cells(plan, 'units', list(layout.axes))}",
    )


def _units(plan: TablePlan, layout: Layout, directory: Path) -> str:
    """Return persons in finest cells of the table: one row for each, with totals."""
    where = [
        f"{dimension_column(name)} IN ({', '.join(map(str, np.flatnonzero(kept)))})"
        for name, kept in layout.kept.items()
        if not kept.all()
    ]
    cut = ", ".join(f"{_placed(layout, name)} AS {name}" for name in layout.axes)
    sums = "".join(f", sum({measure_column(one)}) AS {one}" for one in plan.measures)
    return (
        f"SELECT {PERSON}, any_value({RECORD_KEY}) AS {RECORD_KEY}, {cut}{sums} "  # noqa: S608
        f"FROM read_parquet('{directory}/**/*.parquet', hive_partitioning = false) "
        f"WHERE {' AND '.join(where) or 'true'} GROUP BY {PERSON}, {', '.join(layout.axes)}"
    )


def _placed(layout: Layout, name: str) -> str:
    column, places = dimension_column(name), layout.places[name]
    if np.array_equal(places, np.arange(1, len(places) + 1)):
        return column
    return f"[{', '.join(str(place - 1) for place in places)}][{column} + 1]"


def _collapsed(plan: TablePlan, axes: list[str]) -> str:
    sums = "".join(f", sum({one}) AS {one}" for one in plan.measures)
    by = ", ".join([PERSON, *axes])
    return f"(SELECT {by}, any_value({RECORD_KEY}) AS {RECORD_KEY}{sums} FROM units GROUP BY {by})"  # noqa: S608


def _cells(plan: TablePlan, source: str, by: list[str]) -> str:
    names = [name.removeprefix("CUBE (").removesuffix(")") for name in by]
    tops = "".join(
        f", sum({one})::BIGINT AS sum_{one}, max({one}, {TOP}) AS tops_{one}" for one in plan.measures
    )
    head = f"{', '.join(names)}, " if names else ""
    grouped = f" GROUP BY {', '.join(by)}" if by else ""
    return f"SELECT {head}count(*) AS persons, sum({RECORD_KEY})::BIGINT AS keys{tops} FROM {source}{grouped}"  # noqa: S608


def fetched(connection: duckdb.DuckDBPyConnection, statement: str) -> Columns:
    """Return the answer's columns."""
    return dict(connection.execute(statement).fetchnumpy())


def as_cells(plan: TablePlan, columns: Columns) -> CellTable:
    """Return a whole raw answer as the partial aggregates of its plan."""
    axes = [name for name, _ in plan.cut]
    count = len(columns["persons"])
    codes = np.full((count, len(axes)), TOTAL, dtype=np.int64)
    for at, name in enumerate(axes):
        codes[:, at] = np.ma.filled(np.ma.asarray(columns[name], dtype=np.int64), TOTAL)
    sums = np.zeros((count, len(plan.measures)), dtype=np.int64)
    largest = np.zeros((count, len(plan.measures), TOP), dtype=np.int64)
    for at, measure in enumerate(plan.measures):
        sums[:, at] = columns[f"sum_{measure}"]
        for row, tops in enumerate(columns[f"tops_{measure}"]):
            largest[row, at, : len(tops)] = tops
    return cell_table(axes, plan.measures, codes, columns["persons"], columns["keys"], sums, largest)
