"""From the parts of a spool to the files of a release: one for each month and province, sorted by person.

DuckDB sorts within its memory limit and spills beside the spool; pyarrow writes groups of a fixed number of
rows. The same rows give the same bytes, however the parts were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from broker.engines.durable_files import hash_of_file, private_directory, settle
from broker.engines.mart import PERSON, dimension_column
from broker.engines.release_spool import SCHEMA
from broker.statistics.manifest import ReleaseFile
from broker.statistics.registry import Registry
from broker.statistics.release_layout import rows_path

GROUP_ROWS: Final = 122_880
_PERIOD, _PROVINCE, _SECTOR = map(dimension_column, ("period", "province", "sector"))
_PARTS: Final = "parts"
_SELECT: Final = ", ".join(SCHEMA.names)


def open_duckdb(scratch: Path, memory_mb: int) -> Any:
    """Return a connection bounded in memory that spills below `scratch` and loads nothing from outside."""
    private_directory(scratch)
    config = {
        "threads": "1",
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return duckdb.connect(":memory:", config=config)


def write_files(
    target: Path,
    parts: Sequence[str],
    registry: Registry,
    scratch: Path,
    memory_mb: int,
    on_file: Callable[[int], None],
) -> tuple[ReleaseFile, ...]:
    """Write all rows of parts below an empty directory, month by month, and return its files.

    on_file: told how many months and provinces are done. Raises OSError.
    """
    months, provinces = (registry.dimension(name).leaves for name in ("period", "province"))
    files: list[ReleaseFile] = []
    with closing(open_duckdb(scratch, memory_mb)) as database:
        database.read_parquet(list(parts), hive_partitioning=False).create_view(_PARTS)
        for number, month in enumerate(months):
            for province, rows in groupby(_sorted(database, number), key=_province):
                path = rows_path(month, provinces[province])
                count = _write_file(target / path, rows)
                files.append(_described(target, path, count, month, provinces[province]))
                on_file(number * len(provinces) + province + 1)
            on_file((number + 1) * len(provinces))
    return tuple(files)


def count_persons(database: Any, paths: Sequence[str]) -> int:
    """Return how many distinct persons files have."""
    statement = f"SELECT count(DISTINCT {PERSON}) FROM read_parquet(?, hive_partitioning = false)"  # noqa: S608
    return int(database.execute(statement, [list(paths)]).fetchone()[0])


def _sorted(database: Any, month: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a month by province, person and sector; no batch is of two provinces."""
    rows = database.sql(
        f"SELECT {_SELECT} FROM {_PARTS} WHERE {_PERIOD} = {month}"  # noqa: S608 - our own names
        f" ORDER BY {_PROVINCE}, {PERSON}, {_SECTOR}"
    ).to_arrow_reader(GROUP_ROWS)
    for batch in rows:
        provinces = batch.column(_PROVINCE).to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(provinces)) + 1).tolist(), len(provinces)]
        for first, end in pairwise(bounds):
            if end > first:
                yield batch.slice(first, end - first)


def _province(batch: pa.RecordBatch) -> int:
    return int(batch.column(_PROVINCE)[0].as_py())


def _write_file(path: Path, rows: Iterable[pa.RecordBatch]) -> int:
    """Write one file and return how many rows it has."""
    private_directory(path.parent)
    new = path.with_name(f".{path.name}.new")
    with closing(_Groups(new)) as groups:
        for batch in rows:
            groups.add(batch)
    settle(new, path)
    return groups.rows


class _Groups:
    """Writes row groups of a fixed number of rows, however the rows come. rows: written once it is closed."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=3)
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        if sum(one.num_rows for one in self._waiting) >= GROUP_ROWS:
            table = pa.Table.from_batches(self._waiting).cast(SCHEMA)
            whole = table.num_rows - table.num_rows % GROUP_ROWS
            self._write(table.slice(0, whole))
            self._waiting = list(table.slice(whole).to_batches())

    def close(self) -> None:
        if self._waiting:
            self._write(pa.Table.from_batches(self._waiting).cast(SCHEMA))
        self._writer.close()

    def _write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self.rows += table.num_rows


def _described(target: Path, path: str, rows: int, month: str, province: str) -> ReleaseFile:
    return ReleaseFile(
        path=path,
        sha256=hash_of_file(target / path),
        bytes_count=(target / path).stat().st_size,
        rows_count=rows,
        period=month,
        province=province,
    )
