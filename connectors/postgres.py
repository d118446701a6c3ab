"""Prepared statements on PostgreSQL at the price of a system call, with deadlines that hold.

Two statements of a release are hot: the look-up in the source and the one that records. They run here, over
libpq's asynchronous functions (`psycopg.pq`, the documented low-level interface of psycopg 3): each thread
of each process owns one connection, each statement is prepared once per connection, and every wait is a
`poll` with the rest of the deadline, so that a frozen server cannot hold a thread. Everything else in the
broker uses SQLAlchemy. Each statement is its own transaction.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import TypeAlias

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import make_url

from connectors.postgres_wire import (
    DatabaseError,
    DatabaseRefused,
    DatabaseTooSlow,
    DatabaseUnavailable,
    WireConnection,
)

__all__ = [
    "DEFAULT_SESSION_SETTINGS",
    "DatabaseError",
    "DatabaseRefused",
    "DatabaseTooSlow",
    "DatabaseUnavailable",
    "PreparedConnections",
    "PreparedStatement",
    "Row",
    "conninfo_of_url",
]

Row: TypeAlias = tuple[bytes | None, ...]
"""One row of a result: each column in PostgreSQL's text format, None for NULL."""

DEFAULT_SESSION_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
        "statement_timeout": "5000",
        "DateStyle": "ISO",
        "TimeZone": "UTC",
        "idle_in_transaction_session_timeout": "5000",
    }
)
"""Server settings of every connection (`-c name=value` at its start); the caller's settings come on top."""

STATEMENTS_PER_CONNECTION = 256
"""A connection that holds this many forgets them all before the next: a bound on the server's memory."""

_TRANSPORT: Mapping[str, str] = MappingProxyType(
    {
        "application_name": "broker",
        "client_encoding": "UTF8",
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
)
_PREPARE_AGAIN = frozenset({"26000", "0A000"})
"""The statement is unknown (a pooler gave another session) or its plan is stale: nothing was executed."""
_CONNECT_AGAIN = frozenset({"25006"})
"""A write on a read-only server: after a failover the next connection may find the writable one."""


@dataclass(frozen=True, slots=True)
class PreparedStatement:
    """One statement with parameters $1, $2 ... under a name that is unique per `PreparedConnections`.

    binary_parameters: positions, counted from 0, whose bytes are sent in binary format (bytea); all other
    parameters are sent in text format. The SQL is constant text of the program, never built from input.
    repeatable: the statement only reads, so it may be run again when an idle connection turns out to be
    dead; for any other statement the connection is looked at first.
    """

    name: str
    sql: str
    binary_parameters: frozenset[int] = frozenset()
    repeatable: bool = False


class PreparedConnections:
    """One lazily opened connection per process and thread, on which prepared statements run.

    conninfo: libpq connection string (see `conninfo_of_url`). session_settings: server settings on top of
    `DEFAULT_SESSION_SETTINGS`. connect_timeout_seconds: bound on opening a connection, within the deadline
    of the statement that needs it. Safe to build before a fork: a child opens connections of its own. The
    connection of a thread that ends is closed with it.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        session_settings: Mapping[str, str] = DEFAULT_SESSION_SETTINGS,
        connect_timeout_seconds: float = 2.0,
    ) -> None:
        self._conninfo = _with_settings(conninfo, {**DEFAULT_SESSION_SETTINGS, **session_settings})
        self._connect_timeout_seconds = connect_timeout_seconds
        self._here = threading.local()
        self._open: weakref.WeakSet[WireConnection] = weakref.WeakSet()
        self._open_lock = threading.Lock()
        self._closed = False

    def execute(
        self, statement: PreparedStatement, parameters: Sequence[bytes | None], deadline_seconds: float
    ) -> list[Row]:
        """Run one statement as its own transaction and return its rows.

        parameters: one entry per $n in text format (or binary, see `PreparedStatement`); None is NULL.
        deadline_seconds: bound on the whole call, opening and preparing included.
        Raises DatabaseTooSlow after the deadline (whether the statement took effect is then unknown),
        DatabaseUnavailable when the server is away (the same, if it went away while working), and
        DatabaseRefused with the SQLSTATE when the server says no (it then had no effect).
        """
        until = monotonic() + deadline_seconds
        connection = self._connection(until, looked_at=not statement.repeatable)
        try:
            return self._run(connection, statement, parameters, until)
        except DatabaseUnavailable:
            if not statement.repeatable:
                raise
        except DatabaseRefused as refusal:
            if refusal.sqlstate not in _PREPARE_AGAIN:
                raise
        connection.close()
        return self._run(self._connection(until, looked_at=True), statement, parameters, until)

    def _run(
        self,
        connection: WireConnection,
        statement: PreparedStatement,
        parameters: Sequence[bytes | None],
        until: float,
    ) -> list[Row]:
        """Prepare where needed and run; the connection does not survive anything but a clean refusal."""
        with connection.lock:
            try:
                plan = connection.plans.get(statement.name)
                if plan is None or plan[0] is not statement:
                    plan = _prepared(connection, statement, len(parameters), until)
                return connection.run(plan[1], parameters, plan[2], until)
            except DatabaseRefused as refusal:
                if refusal.sqlstate in _CONNECT_AGAIN:
                    connection.close()
                raise
            except BaseException:
                connection.close()
                raise

    def _connection(self, until: float, *, looked_at: bool) -> WireConnection:
        """Return this thread's connection of this process, opening one where there is none.

        looked_at: whether an idle connection is first asked whether it still stands.
        """
        connection: WireConnection | None = getattr(self._here, "connection", None)
        if (
            connection is not None
            and connection.process == os.getpid()
            and (connection.is_alive() if looked_at else connection.is_open)
        ):
            return connection
        if self._closed:
            raise DatabaseUnavailable("these connections were closed")
        if connection is not None and connection.process == os.getpid():
            connection.close()
        opened = WireConnection(
            self._conninfo, min(until, monotonic() + self._connect_timeout_seconds), until
        )
        self._here.connection = opened
        with self._open_lock:
            self._open.add(opened)
        return opened

    def close(self) -> None:
        """Close the connections of all threads of this process (after the statement each is running)."""
        self._closed = True
        with self._open_lock:
            connections = [connection for connection in self._open if connection.process == os.getpid()]
        for connection in connections:
            with connection.lock:
                connection.close()


def _prepared(
    connection: WireConnection, statement: PreparedStatement, parameter_count: int, until: float
) -> tuple[object, bytes, list[int] | None]:
    """Prepare a statement on a connection, or recognise it as prepared there already; return its plan."""
    known = connection.plans.get(statement.name)
    if known is not None and known[0] != statement:
        raise ValueError(f"two statements are named {statement.name}")
    name = statement.name.encode()
    if known is None:
        if len(connection.plans) >= STATEMENTS_PER_CONNECTION:
            connection.forget_statements(until)
        connection.prepare(name, statement.sql.encode(), until)
    formats = [int(position in statement.binary_parameters) for position in range(parameter_count)]
    plan = (statement, name, formats if statement.binary_parameters else None)
    connection.plans[statement.name] = plan
    return plan


def conninfo_of_url(url: str) -> str:
    """Return the libpq connection string of a SQLAlchemy URL (`postgresql+psycopg://...?host=/socket/dir`).

    Raises ValueError when the URL is not one of PostgreSQL or holds a parameter that libpq does not know.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("not a PostgreSQL URL")
    parsed = parsed.set(drivername="postgresql+psycopg")
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    try:
        return make_conninfo(**arguments)
    except Exception as error:
        raise ValueError(f"libpq does not accept this URL: {type(error).__name__}") from None


def _with_settings(conninfo: str, settings: Mapping[str, str]) -> bytes:
    """Add transport parameters (where unset) and server settings (as `options`) to a connection string."""
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    chosen = dict(settings)
    name = chosen.pop("application_name", None)
    if name is not None:
        given["application_name"] = name
    options = [given.pop("options", "")]
    options += [f"-c {key}={_escaped(value)}" for key, value in chosen.items()]
    given.pop("connect_timeout", None)
    return make_conninfo("", **{**_TRANSPORT, **given}, options=" ".join(options).strip()).encode()


def _escaped(value: str) -> str:
    """Escape a value for libpq's `options` (backslash before white space and backslash)."""
    return "".join(f"\\{letter}" if letter.isspace() or letter == "\\" else letter for letter in value)
