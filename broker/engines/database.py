"""One database that counts: PostgreSQL or Spark (or whatever else SQLAlchemy knows), asked and stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, Select, create_engine, func, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.expression import CompoundSelect

from broker.engines.loaded import LoadMark, mark_table, rows_table
from broker.statistics.frozen import FrozenRelease
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable

Statement: TypeAlias = Select[Any] | CompoundSelect[Any]

POSTGRESQL: Final = "postgresql"
SPARK: Final = "hive"
CONNECT_SECONDS: Final = 10
_LOOK_SECONDS: Final = 0.1
NOT_LOADED: Final = "the engine has not the rows of this release"
_MISSING: Final = ("42P01", "TABLE_OR_VIEW_NOT_FOUND")
"""PostgreSQL's state, and Spark's word, where a table is not there."""
_TOO_LARGE: Final = ("22003", "ARITHMETIC_OVERFLOW", "CAST_OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE")


def database_engine(url: str, *, is_writing: bool = False) -> Engine:
    """Return SQLAlchemy's engine of a URL. is_writing: loads; all else could not write if it would.

    Raises SourceUnavailable where no driver for it is installed.
    """
    arguments: dict[str, str | int] = {}
    if url.startswith(POSTGRESQL):
        arguments["connect_timeout"] = CONNECT_SECONDS
        if not is_writing:
            arguments["options"] = "-c default_transaction_read_only=on"
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    except (NoSuchModuleError, ArgumentError, ImportError):
        raise SourceUnavailable("there is no driver for the engine's URL") from None


@contextmanager
def database_faults() -> Iterator[None]:
    """Turn whatever a driver raises into what engines raise: without its words, in which values may stand."""
    try:
        yield
    except (StatisticsRefused, SourceUnavailable):
        raise
    except Exception as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if _says(cause, _MISSING):
            raise SourceUnavailable(NOT_LOADED) from None
        if _says(cause, _TOO_LARGE):
            raise StatisticsRefused("cells_malformed", "a sum is too large to be exact") from None
        raise SourceUnavailable(f"the engine failed: {type(cause).__name__}") from None


def _says(cause: BaseException | None, words: Sequence[str]) -> bool:
    """Return whether a driver's error is of this kind. words: a state of SQL, then words of messages."""
    state, *others = words
    return getattr(cause, "sqlstate", None) == state or any(word in str(cause) for word in others)


class Question:
    """One statement on one database. `rows` runs in one thread, `stop` is called by another one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._connection: Any = None

    def rows(self, release: FrozenRelease, mark: LoadMark, statement: Statement) -> Sequence[Sequence[Any]]:
        """Return the answer to a statement, where the database has the rows that the mark names.

        Raises SourceUnavailable, StatisticsRefused("cells_malformed").
        """
        with database_faults(), self._engine.connect() as connection:
            self._connection = connection.connection.driver_connection
            try:
                self._check_mark(connection, release, mark)
                return self._answer(connection, statement)
            finally:
                self._connection = None

    def stop(self) -> None:
        """Make the statement end soon, as far as the database lets itself be told."""
        self._stopped.set()
        cancel = getattr(self._connection, "cancel_safe", None)
        if cancel is not None:
            with suppress(Exception):
                cancel(timeout=CONNECT_SECONDS)

    def _check_mark(self, connection: Connection, release: FrozenRelease, mark: LoadMark) -> None:
        table = mark_table(release.manifest.release)
        found = [tuple(row) for row in self._answer(connection, select(table))]
        if found != [(mark.fingerprint, mark.shard, mark.shards)]:
            raise SourceUnavailable(NOT_LOADED)
        if self._engine.dialect.name == SPARK:
            # Its rows are files that lie open: others may have come to lie beside them.
            rows = select(func.count()).select_from(rows_table(release.manifest.registry))
            if self._answer(connection, rows)[0][0] != release.manifest.rows_count:
                raise StatisticsRefused("cells_malformed", "the engine has other rows than the release")

    def _answer(self, connection: Connection, statement: Statement) -> Sequence[Sequence[Any]]:
        if self._engine.dialect.name == SPARK:
            return self._spark_answer(statement)
        if self._stopped.is_set():
            raise SourceUnavailable("the count was ended")
        return connection.execute(statement).all()

    def _spark_answer(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """Run a statement beside this thread: Thrift's connection is blocked by one that is waited for."""
        from TCLIService.ttypes import TOperationState

        running = (
            TOperationState.INITIALIZED_STATE, TOperationState.PENDING_STATE, TOperationState.RUNNING_STATE
        )  # fmt: skip
        text = str(statement.compile(dialect=self._engine.dialect))
        cursor = self._connection.cursor(arraysize=10_000)
        try:
            cursor.execute(text, async_=True)
            while (state := cursor.poll().operationState) in running:
                if self._stopped.is_set():
                    cursor.cancel()
                    raise SourceUnavailable("the count was ended")
                sleep(_LOOK_SECONDS)
            if state != TOperationState.FINISHED_STATE:
                raise RuntimeError(str(cursor.poll().errorMessage))
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows
        finally:
            with suppress(Exception):
                cursor.close()
