"""Loads a synthetic population: COPY on PostgreSQL, INSERT on every other dialect; all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Boolean, Column, Date, DateTime, Engine, String, Table, create_engine, insert, select
from sqlalchemy.engine import make_url

from connectors.national_insurance.schema import create_schema, metadata
from connectors.national_insurance.synthetic import Manifest, Part, generate
from connectors.postgres import conninfo_of_url

_TABLES = metadata.sorted_tables
_INSERT_ROWS = 1000


class TablesNotEmpty(Exception):
    """The database already holds rows, and nobody said that they may be replaced."""


def load_population(
    url: str,
    manifest: Manifest,
    *,
    replace: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Manifest:
    """Generate the population that a manifest names, write it in one transaction, and return the manifest.

    url: SQLAlchemy URL of the owner of the tables, which are created where absent. replace: empty them
    first. on_progress is told how many persons are written so far. Raises TablesNotEmpty.
    """
    engine = create_engine(url, hide_parameters=True)
    try:
        create_schema(engine)
        if not replace:
            _check_empty(engine)
        parts = _watched(generate(manifest), on_progress)
        if make_url(url).get_backend_name() == "postgresql":
            _copy(conninfo_of_url(url), parts)
        else:
            _insert(engine, parts)
    finally:
        engine.dispose()
    return manifest


def _check_empty(engine: Engine) -> None:
    with engine.connect() as connection:
        for table in _TABLES:
            if connection.execute(select(table).limit(1)).first() is not None:
                raise TablesNotEmpty(
                    f"the table {table.name} already holds rows; --replace empties all tables"
                )


def _watched(parts: Iterator[Part], on_progress: Callable[[int], None]) -> Iterator[Part]:
    persons = 0
    for part in parts:
        yield part
        if part.table == "person":
            persons += part.rows
            on_progress(persons)


def _copy(conninfo: str, parts: Iterator[Part]) -> None:
    """Stream the parts into PostgreSQL; keys and indexes come last, then the statistics.

    The tables are emptied in the same transaction, which lets COPY write rows that are already frozen. A
    failure leaves what was there before.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
            names = sql.SQL(", ").join(sql.Identifier(table.name) for table in _TABLES)
            cursor.execute(sql.SQL("TRUNCATE {}").format(names))
            for statement in _unindexing():
                cursor.execute(statement)
            for part in parts:
                with cursor.copy(_copy_statement(metadata.tables[part.table])) as copy:
                    copy.write(part.text)
            for statement in _indexing():
                cursor.execute(statement)
        for table in _TABLES:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.name)))


def _copy_statement(table: Table) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT text, FREEZE)").format(
        sql.Identifier(table.name), columns
    )


def _unindexing() -> Iterator[sql.Composed]:
    for table in _TABLES:
        name, key = sql.Identifier(table.name), sql.Identifier(f"pk_{table.name}")
        yield sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(name, key)
        for index in table.indexes:
            yield sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(str(index.name)))


def _indexing() -> Iterator[sql.Composed]:
    for table in _TABLES:
        name, key = sql.Identifier(table.name), sql.Identifier(f"pk_{table.name}")
        members = _names(table.primary_key.columns)
        yield sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(name, key, members)
        for index in table.indexes:
            members = _names(index.columns)
            yield sql.SQL("CREATE INDEX {} ON {} ({})").format(sql.Identifier(str(index.name)), name, members)


def _names(columns: Iterable[Column[Any]]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def _insert(engine: Engine, parts: Iterator[Part]) -> None:
    """Write the parts with INSERT, whatever the dialect."""
    with engine.begin() as connection:
        for table in _TABLES:
            connection.execute(table.delete())
        for part in parts:
            table = metadata.tables[part.table]
            rows = list(rows_of_text(table, part.text))
            for start in range(0, len(rows), _INSERT_ROWS):
                connection.execute(insert(table), rows[start : start + _INSERT_ROWS])


def rows_of_text(table: Table, text: bytes) -> Iterator[dict[str, object]]:
    """Read rows back from COPY's text format as values of the columns' types."""
    readers = [(column.name, _reader(column.type)) for column in table.columns]
    for line in text.decode().splitlines():
        cells = line.split("\t")
        yield {
            name: None if cell == "\\N" else read(cell)
            for (name, read), cell in zip(readers, cells, strict=True)
        }


def _reader(kind: object) -> Callable[[str], object]:
    if isinstance(kind, String):
        return str
    if isinstance(kind, Date):
        return date.fromisoformat
    if isinstance(kind, DateTime):
        return datetime.fromisoformat
    if isinstance(kind, Boolean):
        return lambda cell: cell == "t"
    return int
