"""A store that does not answer is one kind of error, whatever the driver calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from broker.errors import LogStopped, StoreUnavailable

_NOT_NOW = frozenset({"25006", "25P03"})
"""read_only_sql_transaction (a standby, or made read-only), idle_in_transaction_session_timeout."""
_NOT_PREPARED = frozenset({"42501", "42P01", "42703"})
"""insufficient_privilege, undefined_table, undefined_column."""

_NO_ANSWER = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


@contextmanager
def store_answers() -> Iterator[None]:
    """Turn "no connection", "too slow", "server gone", "disk full" and "read-only" into StoreUnavailable.

    Defects are let through.
    """
    try:
        yield
    except _NO_ANSWER as fault:
        raise StoreUnavailable(f"the store does not answer: {type(fault).__name__}") from None
    except (exc.InternalError, psycopg.InternalError) as fault:
        if _sqlstate(fault) not in _NOT_NOW:
            raise
        raise StoreUnavailable("the store takes no writes now") from None


@contextmanager
def log_answers() -> Iterator[None]:
    """Do the same, and turn a table or privilege of the log that is missing into LogStopped."""
    try:
        with store_answers():
            yield
    except (exc.ProgrammingError, psycopg.ProgrammingError) as fault:
        if _sqlstate(fault) not in _NOT_PREPARED:
            raise
        raise LogStopped(
            "a table or a privilege of the log is missing: broker prepare makes them, in both databases, and "
            "the role must be allowed to EXECUTE pg_control_system(), or BROKER_LOG_EPOCH be set"
        ) from None


def _sqlstate(fault: Exception) -> str | None:
    """Return the SQLSTATE of the driver's own error, or of the one that SQLAlchemy wraps around it."""
    return getattr(getattr(fault, "orig", fault), "sqlstate", None)
