"""Counts a release on its Parquet files, with DuckDB in this process: no server, no network, no extension.

Provinces come one after the other: a person is in one of them, and the memory that is needed is that of a
few provinces, not of the country.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy.dialects import postgresql

from broker.engines.checked_files import CheckedFiles, batches_of, files_of
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
from broker.statistics.cells import CellTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.grouped import TOP, Integers
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable

MEMORY_MB: Final = 1024
CHECKED_SHARE: Final = 0.1
"""What of a count is done when its files are found to be the release's."""
_VIEW: Final = "mart"


class DuckDBEngine:
    """An engine (`broker.actions.statistics_doors.Engine`) embedded in this process.

    memory_mb: what DuckDB may use before it writes to disk. threads: 0 for one for each processor.
    temporary: where what does not fit into memory is written, in a directory for each count.
    """

    def __init__(
        self, *, memory_mb: int = MEMORY_MB, threads: int = 0, temporary: Path | None = None
    ) -> None:
        self._memory_mb, self._threads, self._temporary = memory_mb, threads, temporary
        self._checked = CheckedFiles()

    def count(self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]) -> CellTable:
        """Return the partial aggregates of a plan's cells and all its margins. See `Engine`."""
        registry = release.manifest.registry
        wanted = logical_plan(registry, plan)
        files = files_of(registry, wanted, release.manifest.files)
        on_share(0.0)
        paths = self._checked.check(release, files, lambda share: on_share(share * CHECKED_SHARE))
        batches, counted, done = batches_of(files), [], 0
        statement = statement_of(wanted, mart_table(_VIEW, wanted), lists_largest=True)
        # DuckDB speaks PostgreSQL's SQL; all values are whole numbers within the text.
        text = str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        total = sum(one.rows_count for one in files) or 1
        with faults(), self._opened(sorted(paths.values())) as connection:
            for batch in batches:
                rows = sum(one.rows_count for one in batch)
                shares = (done / total, rows / total)
                view = connection.read_parquet([paths[one.path] for one in batch], hive_partitioning=False)
                view.create_view(_VIEW, replace=True)
                counted.append(_read(wanted, _answer(connection, text, shares, on_share)))
                done += rows
        table = cells_with_margins(wanted, counted)
        check_persons(wanted, table, release.manifest.persons_count)
        on_share(1.0)
        return table

    @contextmanager
    def _opened(self, paths: Sequence[str]) -> Iterator[Any]:
        """Yield a database in memory that reads these files and nothing else."""
        import duckdb

        with tempfile.TemporaryDirectory(prefix="engine-", dir=self._temporary) as directory:
            settings: dict[str, str | int | bool] = {
                "memory_limit": f"{self._memory_mb}MB",
                "temp_directory": directory,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
            }
            if self._threads:
                settings["threads"] = self._threads
            with duckdb.connect(":memory:", config=settings) as connection:
                connection.execute("SET allowed_paths = ?", [list(paths)])
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                yield connection


def _answer(
    connection: Any, text: str, shares: tuple[float, float], on_share: Callable[[float], None]
) -> Any:
    """Return the answer to one batch in Arrow. shares: what was done before, and what this is of all."""

    def tell(within: float) -> None:
        on_share(CHECKED_SHARE + (1 - CHECKED_SHARE) * (shares[0] + shares[1] * within))

    def tell_progress() -> None:
        tell(max(0.0, min(connection.query_progress(), 100.0)) / 100)

    answer = told_while(lambda: connection.sql(text).to_arrow_table(), tell_progress, connection.interrupt)
    tell(1.0)
    return answer


def _read(plan: LogicalPlan, answer: Any) -> Counted:
    """Return an answer in Arrow's columns as arrays."""
    measures = range(len(plan.measures))
    sums = [_column(answer, sum_label(at)) for at in measures]
    largest = [_lists(answer, largest_label(at)) for at in measures]
    several = [_column(answer, several_label(at)) for at in range(len(plan.several))]
    rows = answer.num_rows
    return Counted(
        cells=_column(answer, CELL),
        several=np.stack(several, axis=1) if several else np.zeros((rows, 0), dtype=np.int64),
        persons=_column(answer, "persons"),
        keys=_column(answer, "keys"),
        apart=_column(answer, APART),
        sums=np.stack(sums, axis=1) if sums else np.zeros((rows, 0), dtype=np.int64),
        largest=np.stack(largest, axis=1) if largest else np.zeros((rows, 0, TOP), dtype=np.int64),
    )


def _column(answer: Any, name: str) -> Integers:
    column = answer.column(name)
    if column.null_count:
        raise StatisticsRefused("cells_malformed", "an engine left something of a cell out")
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _lists(answer: Any, name: str) -> Integers:
    """Return lists of at most three values, filled up with zeros: (rows, 3)."""
    column = answer.column(name).combine_chunks()
    lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False), dtype=np.int64)
    filled = np.zeros((len(lengths), TOP), dtype=np.int64)
    filled[np.arange(TOP)[None, :] < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return filled


@contextmanager
def faults() -> Iterator[None]:
    """Turn what DuckDB raises into what engines raise: without its words, in which values may stand."""
    import duckdb

    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise StatisticsRefused("cells_malformed", "a sum is too large to be exact") from None
    except duckdb.OutOfMemoryException:
        raise SourceUnavailable("the engine has not memory enough for this table") from None
    except duckdb.Error as error:
        raise SourceUnavailable(f"the engine failed: {type(error).__name__}") from None
