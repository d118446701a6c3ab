"""Puts a frozen release into databases that count: copied into PostgreSQL, looked at in place by Spark."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.schema import CreateTable

from broker.engines.checked_files import CheckedFiles
from broker.engines.database import POSTGRESQL, SPARK, database_engine, database_faults
from broker.engines.loaded import LoadMark, mark_of, mark_table, rows_table
from broker.statistics.frozen import FrozenRelease
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable

_SUFFIX: Final = ".parquet"


def load_release(release: FrozenRelease, urls: Sequence[str], on_share: Callable[[float], None]) -> int:
    """Put a release into each database, cut by person where there are several; return how many were filled.

    One that has it already stays as it is. on_share: told from 0 to 1. Raises SourceUnavailable (also where
    the database has something else under the release's name), StatisticsRefused("cells_malformed") where
    files are not those of the manifest.
    """
    files = release.manifest.files
    paths = CheckedFiles().check(release, files, lambda share: on_share(share * 0.1))
    filled = 0
    for shard, url in enumerate(urls):

        def tell(share: float, shard: int = shard) -> None:
            on_share(0.1 + 0.9 * (shard + share) / len(urls))

        engine = database_engine(url, is_writing=True)
        if engine.dialect.name not in (POSTGRESQL, SPARK):
            raise SourceUnavailable("releases are loaded into PostgreSQL and Spark alone")
        mark = mark_of(release.manifest, shard, len(urls))
        with database_faults(), engine.begin() as connection:
            if not _has_it(connection, release, mark):
                fill = _copy if engine.dialect.name == POSTGRESQL else _point_at
                fill(connection, release, mark, list(paths.values()), tell)
                filled += 1
        tell(1.0)
    return filled


def _has_it(connection: Connection, release: FrozenRelease, mark: LoadMark) -> bool:
    """Return whether the rows are there. Raises SourceUnavailable where others are."""
    table = mark_table(release.manifest.release)
    if connection.dialect.name == SPARK:
        # What PyHive asks to find a table, Spark answers otherwise than Hive.
        is_there = bool(connection.exec_driver_sql(f"SHOW TABLES LIKE '{table.name}'").all())
    else:
        is_there = inspect(connection).has_table(table.name)
    if not is_there:
        return False
    found = [tuple(row) for row in connection.execute(select(table))]
    if found != [(mark.fingerprint, mark.shard, mark.shards)]:
        raise SourceUnavailable("the engine has other rows under the name of this release")
    return True


def _copy(
    connection: Connection,
    release: FrozenRelease,
    mark: LoadMark,
    paths: Sequence[str],
    tell: Callable[[float], None],
) -> None:
    """Copy rows into PostgreSQL, all in one transaction: a load that ends early leaves nothing."""
    rows, marks = rows_table(release.manifest.registry), mark_table(release.manifest.release)
    rows.create(connection)
    marks.create(connection)
    raw: Any = connection.connection.driver_connection
    with (
        raw.cursor() as cursor,
        cursor.copy(_copy_statement(rows.name, [one.name for one in rows.c])) as copy,
    ):
        for number, path in enumerate(paths, start=1):
            copy.write(_lines(path, [one.name for one in rows.c], mark))
            tell(number / len(paths))
    connection.execute(
        insert(marks).values(fingerprint=mark.fingerprint, shard=mark.shard, shards=mark.shards)
    )
    connection.execute(text(f"ANALYZE {rows.name}"))


def _copy_statement(name: str, columns: Sequence[str]) -> Any:
    from psycopg import sql

    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def _lines(path: str, columns: Sequence[str], mark: LoadMark) -> bytes:
    """Return the rows of a file that are of a shard, as lines of CSV."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(columns), partitioning=None).select(list(columns))
    if mark.shards > 1:
        table = table.filter(pa.array(table.column("person").to_numpy() % mark.shards == mark.shard))
    written = io.BytesIO()
    csv.write_csv(table, written, csv.WriteOptions(include_header=False))
    return written.getvalue()


def _point_at(
    connection: Connection,
    release: FrozenRelease,
    mark: LoadMark,
    paths: Sequence[str],
    tell: Callable[[float], None],
) -> None:
    """Make tables of Spark that read the release's files where they lie, seen so by all its machines."""
    if mark.shards > 1:
        raise SourceUnavailable("Spark divides the work itself: it is one engine, not one shard of several")
    home = Path(release.directory).resolve()
    if {str(one.resolve()) for one in home.rglob(f"*{_SUFFIX}")} != set(paths):
        raise StatisticsRefused("cells_malformed", "files lie in the release that its manifest does not name")
    if not all(letter.isalnum() or letter in "/._-=" for letter in str(home)):
        raise SourceUnavailable("the path of the release has letters that Spark might read otherwise")
    rows = rows_table(release.manifest.registry)
    columns = str(CreateTable(rows).compile(dialect=connection.dialect)).replace(" NOT NULL", "").strip()
    options = f"(recursiveFileLookup 'true', pathGlobFilter '*{_SUFFIX}')"
    connection.exec_driver_sql(f"{columns} USING PARQUET OPTIONS {options} LOCATION 'file://{home}'")
    tell(0.5)
    marks = mark_table(release.manifest.release).name
    connection.exec_driver_sql(
        f"CREATE TABLE {marks} USING PARQUET AS "
        f"SELECT '{mark.fingerprint}' AS fingerprint, {mark.shard} AS shard, {mark.shards} AS shards"
    )
