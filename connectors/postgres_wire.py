"""One libpq connection in non-blocking mode: open, prepare, run, each until an instant of monotonic time.

Used by `connectors.postgres` alone. Nothing here logs, and no exception carries a value: libpq's own messages
may quote the data of a statement, so they are dropped at this border and the SQLSTATE is kept.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Sequence
from time import monotonic

import psycopg
from psycopg import pq
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PollingStatus
from psycopg.pq.abc import PGconn, PGresult

CANCEL_SECONDS = 0.05
"""How long past the deadline a thread may spend on asking the server to stop its statement."""

_GOOD = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""The server ends this session: shutdown, crash of a neighbour, starting up, idle timeouts."""
_TOO_SLOW = frozenset({"57014", "55P03"})
"""The statement or lock timeout passed on the server."""


class DatabaseError(Exception):
    """A statement gave no usable answer. Never carries SQL, parameters or rows."""


class DatabaseTooSlow(DatabaseError):
    """The deadline passed first. Whether the statement takes effect is unknown."""


class DatabaseUnavailable(DatabaseError):
    """The server cannot be reached, or the connection broke. A statement under way may have taken effect."""


class DatabaseRefused(DatabaseError):
    """The server refused the statement, which has had no effect.

    sqlstate: five characters (PostgreSQL, appendix A). constraint: name of the violated constraint, if any.
    """

    def __init__(self, sqlstate: str, constraint: str | None = None) -> None:
        super().__init__(f"SQLSTATE {sqlstate}")
        self.sqlstate = sqlstate
        self.constraint = constraint


class WireConnection:
    """A connection that belongs to one process, and at any moment to the thread that holds `lock`.

    plans: prepared statements by name, in the shape that the owner chooses (statement, name, formats).
    """

    __slots__ = ("__weakref__", "_pgconn", "_poller", "lock", "plans", "process")

    def __init__(self, conninfo: bytes, connect_until: float, until: float) -> None:
        """Open the connection before the instant connect_until; passing `until` as well means too slow."""
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.plans: dict[str, tuple[object, bytes, list[int] | None]] = {}
        self._pgconn = _opened(conninfo, connect_until, until)
        self._pgconn.nonblocking = 1
        self._poller = select.poll()
        self._poller.register(self._pgconn.socket, select.POLLIN)

    @property
    def is_open(self) -> bool:
        """Whether this side has not closed the connection."""
        return self._pgconn.status == ConnStatus.OK

    def is_alive(self) -> bool:
        """Return whether an idle connection still stands: a server that went away has left word or closed."""
        with self.lock, contextlib.suppress(psycopg.Error, OSError, ValueError):
            while self._poller.poll(0):
                self._pgconn.consume_input()
                self._pgconn.is_busy()
            return self._pgconn.status == ConnStatus.OK
        return False

    def prepare(self, name: bytes, sql: bytes, until: float) -> None:
        """Prepare a statement; the types of its parameters are those that the server infers."""
        try:
            self._pgconn.send_prepare(name, sql)
        except psycopg.Error:
            raise DatabaseUnavailable("the connection broke") from None
        self._result(until)

    def forget_statements(self, until: float) -> None:
        """Drop all prepared statements of this connection, here and on the server."""
        self.plans.clear()
        try:
            self._pgconn.send_query(b"DEALLOCATE ALL")
        except psycopg.Error:
            raise DatabaseUnavailable("the connection broke") from None
        self._result(until)

    def run(
        self, name: bytes, parameters: Sequence[bytes | None], formats: list[int] | None, until: float
    ) -> list[tuple[bytes | None, ...]]:
        """Execute a prepared statement and return its rows in text format."""
        try:
            self._pgconn.send_query_prepared(name, parameters, formats)
        except psycopg.Error:
            raise DatabaseUnavailable("the connection broke") from None
        result = self._result(until)
        if result is None:
            return []
        value, columns = result.get_value, range(result.nfields)
        return [tuple([value(row, column) for column in columns]) for row in range(result.ntuples)]

    def _result(self, until: float) -> PGresult | None:
        """Wait for the one result of the statement under way and the server's readiness for the next."""
        pgconn = self._pgconn
        answer: PGresult | None = None
        try:
            if pgconn.flush():
                self._send_rest(until)
            while True:
                while pgconn.is_busy():
                    if not self._poller.poll(_milliseconds(until)):
                        raise self._abandoned()
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    break
                answer = result
        except psycopg.Error:
            raise DatabaseUnavailable("the connection broke") from None
        if answer is not None and answer.status not in _GOOD:
            raise _refusal(answer)
        return answer

    def _send_rest(self, until: float) -> None:
        """Push out a statement that did not fit into the socket's buffer, reading meanwhile."""
        poller = select.poll()
        poller.register(self._pgconn.socket, select.POLLIN | select.POLLOUT)
        while True:
            if not poller.poll(_milliseconds(until)):
                raise self._abandoned()
            self._pgconn.consume_input()
            if not self._pgconn.flush():
                return

    def _abandoned(self) -> DatabaseTooSlow:
        """Ask the server to stop, for a moment at most, and return what to raise."""
        until = monotonic() + CANCEL_SECONDS
        with contextlib.suppress(psycopg.Error, OSError, ValueError):
            cancel = self._pgconn.cancel_conn()
            cancel.start()
            while (status := cancel.poll()) in (PollingStatus.READING, PollingStatus.WRITING):
                if not _ready(cancel.socket, status, until):
                    break
            cancel.finish()
        return DatabaseTooSlow("the deadline passed")

    def close(self) -> None:
        """Close the connection, unless it came here through a fork; may be said twice."""
        if self.process == os.getpid():
            self._pgconn.finish()


def _opened(conninfo: bytes, connect_until: float, until: float) -> PGconn:
    """Open a connection without ever blocking past connect_until (looking up a host name excepted)."""
    try:
        pgconn = pq.PGconn.connect_start(conninfo)
        status = PollingStatus.WRITING
        while pgconn.status != ConnStatus.BAD and status in (PollingStatus.READING, PollingStatus.WRITING):
            if not _ready(pgconn.socket, status, connect_until):
                pgconn.finish()
                if monotonic() >= until:
                    raise DatabaseTooSlow("the deadline passed while connecting")
                raise DatabaseUnavailable("the server did not answer the connection request")
            status = PollingStatus(pgconn.connect_poll())
    except psycopg.Error:
        raise DatabaseUnavailable("the server did not accept the connection") from None
    if pgconn.status != ConnStatus.OK or status != PollingStatus.OK:
        pgconn.finish()
        raise DatabaseUnavailable("the server did not accept the connection")
    return pgconn


def _refusal(result: PGresult) -> DatabaseError:
    """Turn the server's error into a fact, without its message."""
    sqlstate = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    constraint = result.error_field(DiagnosticField.CONSTRAINT_NAME)
    if not sqlstate or sqlstate in _GONE or sqlstate.startswith(("08", "53", "58", "XX")):
        return DatabaseUnavailable(f"the server ended the session ({sqlstate or 'no answer'})")
    if sqlstate in _TOO_SLOW:
        return DatabaseTooSlow("the server's own timeout passed")
    return DatabaseRefused(sqlstate, constraint.decode() if constraint else None)


def _ready(descriptor: int, status: int, until: float) -> bool:
    """Wait until a socket can be read or written, as libpq wishes; False when the instant passed first."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if status == PollingStatus.READING else select.POLLOUT)
    return bool(poller.poll(_milliseconds(until)))


def _milliseconds(until: float) -> float:
    """Return what is left until an instant, for `poll`: rounded up by poll itself, never negative."""
    return max(0.0, (until - monotonic()) * 1000.0)
