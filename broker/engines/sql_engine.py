"""Counts a release that was loaded into databases: one, or several with disjoint persons as shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from broker.engines.database import Question, database_engine
from broker.engines.loaded import mark_of, rows_name
from broker.engines.logical import LogicalPlan, logical_plan
from broker.engines.margins import Counted, cells_with_margins, check_persons
from broker.engines.statement import (
    APART,
    CELL,
    largest_label,
    mart_table,
    several_label,
    statement_of,
    sum_label,
)
from broker.engines.waiting import told_while
from broker.statistics.cells import CellTable, merged
from broker.statistics.frozen import FrozenRelease
from broker.statistics.grouped import TOP, Integers
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import StatisticsRefused


class SqlEngine:
    """An engine (`broker.actions.statistics_doors.Engine`) over SQLAlchemy.

    urls: of the shards, in the order in which they were loaded; one URL holds everybody.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._engines = [database_engine(url) for url in urls]

    def count(self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]) -> CellTable:
        """Return the partial aggregates of a plan's cells and all its margins. See `Engine`."""
        wanted = logical_plan(release.manifest.registry, plan)
        statement = statement_of(wanted, mart_table(rows_name(plan.release), wanted), lists_largest=False)
        labels = list(statement.selected_columns.keys())
        shards = len(self._engines)
        questions = [Question(engine) for engine in self._engines]
        ended: list[int] = []
        on_share(0.0)

        def count_shard(shard: int) -> CellTable:
            mark = mark_of(release.manifest, shard, shards)
            rows = questions[shard].rows(release, mark, statement)
            table = cells_with_margins(wanted, [_read(wanted, labels, rows)])
            ended.append(shard)
            return table

        def count_all() -> list[CellTable]:
            with ThreadPoolExecutor(max_workers=shards, thread_name_prefix="shard") as pool:
                return list(pool.map(count_shard, range(shards)))

        def stop() -> None:
            for question in questions:
                question.stop()

        tables = told_while(count_all, lambda: on_share(len(ended) / shards), stop)
        table = tables[0] if shards == 1 else merged(tables)
        check_persons(wanted, table, release.manifest.persons_count)
        on_share(1.0)
        return table


def _read(plan: LogicalPlan, labels: Sequence[str], rows: Sequence[Sequence[Any]]) -> Counted:
    """Return an answer's rows as arrays. Raises StatisticsRefused where something is no whole number."""
    try:
        values = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(len(rows), len(labels))
    except (TypeError, ValueError, OverflowError):
        raise StatisticsRefused("cells_malformed", "an engine left something of a cell out") from None
    column = {label: values[:, at] for at, label in enumerate(labels)}
    measures = range(len(plan.measures))

    def columns(*names: str) -> Integers:
        return np.stack([column[name] for name in names], axis=1) if names else values[:, :0]

    largest = [columns(*(largest_label(at, rank) for rank in range(1, TOP + 1))) for at in measures]
    return Counted(
        cells=column[CELL],
        several=columns(*(several_label(at) for at in range(len(plan.several)))),
        persons=column["persons"],
        keys=column["keys"],
        apart=column[APART],
        sums=columns(*(sum_label(at) for at in measures)),
        largest=np.stack(largest, axis=1) if largest else np.zeros((len(rows), 0, TOP), dtype=np.int64),
    )
