"""Connections to the broker's own PostgreSQL: an engine, and prepared statements for the hot path."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, create_engine

from connectors.postgres import PreparedConnections, conninfo_of_url


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


def open_store(database_url: str, *, deadline_seconds: float, pool_size: int = 4) -> Store:
    """Return the store behind a SQLAlchemy URL; connects lazily, so that forks stay safe.

    deadline_seconds: statement timeout on the server's side as well.
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
            # Waiting a little longer than the hot statements: token issue and commands go this way.
            "options": f"-c statement_timeout={timeout_ms * 4} -c synchronous_commit=on",
        },
    )
    prepared = PreparedConnections(
        conninfo_of_url(database_url),
        session_settings={
            "application_name": "broker-release",
            "statement_timeout": str(timeout_ms),
            "synchronous_commit": "on",
        },
    )
    return Store(engine, prepared)
