"""Connections to the broker's own PostgreSQL: an engine, and prepared statements for the hot path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from sqlalchemy import Engine, create_engine, event

from connectors.postgres import PreparedConnections, conninfo_of_url

_Result = TypeVar("_Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose every wait ends, also where the server is frozen and would never answer.

    wait_seconds: for one exchange with the server. A connection that waited for so long is closed: what it
    asked for may still happen, so nothing may be taken for undone.
    """

    wait_seconds: float = 10.0

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """Run one exchange. Raises OperationalError when the server did not answer in time."""
        bound = self.wait_seconds if timeout is None else min(timeout, self.wait_seconds)
        try:
            return super().wait(gen, interval, bound)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server did not answer in time") from None


@dataclass(frozen=True, slots=True)
class Store:
    """The two ways into the broker's own database; both as the application role.

    engine: for everything; prepared: for the statements of the release path.
    """

    engine: Engine
    prepared: PreparedConnections

    def close(self) -> None:
        """Close all connections of this process."""
        self.prepared.close()
        self.engine.dispose()


def open_store(
    database_url: str, *, deadline_seconds: float, pool_size: int = 4, idle_seconds: float = 0.0
) -> Store:
    """Return the store behind a SQLAlchemy URL; connects lazily, so that forks stay safe.

    deadline_seconds: of a hot statement, kept here and by the server; the engine's statements get as
    long, kept here. idle_seconds: after which the server ends a transaction of the engine that asks for
    nothing, because its process may never ask again; 0: as the server has it.
    """
    timeout_ms = max(1, int(deadline_seconds * 1000))
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=2,
        pool_timeout=deadline_seconds,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 2,
            "application_name": "broker",
            "options": f"-c statement_timeout={timeout_ms} -c synchronous_commit=on"
            + (f" -c idle_in_transaction_session_timeout={int(idle_seconds * 1000)}" if idle_seconds else ""),
        },
    )

    class Bounded(BoundedConnection):
        wait_seconds = deadline_seconds

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> psycopg.Connection[Any]:
        return Bounded.connect(*arguments, **parameters)

    prepared = PreparedConnections(
        conninfo_of_url(database_url),
        session_settings={
            "application_name": "broker-release",
            "statement_timeout": str(timeout_ms),
            "synchronous_commit": "on",
        },
    )
    return Store(engine, prepared)
