"""The last signed checkpoint of each shard, in a small store of its own, and the lease of the sequencer.

The store is another PostgreSQL database, best on another server with backups of its own. Heads change by
compare-and-swap alone, and the store itself refuses to let a tree become smaller: whoever comes back from an
older state of anything is stopped here. The same tree may be signed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    create_engine,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from broker.errors import LogStopped, StoreUnavailable
from broker.evidence.checkpoint import Checkpoint
from broker.evidence.sequencing import LogHead
from broker.storage.columns import instant
from broker.storage.faults import log_answers, store_answers
from broker.storage.migrate import SEQUENCER_ROLE
from broker.storage.session import BoundedConnection
from connectors.postgres import conninfo_of_url

log_heads = Table(
    "log_heads",
    MetaData(),
    Column("origin", Text, primary_key=True),
    Column("tree_size", BigInteger, nullable=False),
    Column("root_hash", LargeBinary, nullable=False),
    # The checkpoint with the log's signature, as it is published.
    Column("note", LargeBinary, nullable=False),
    instant("signed_at"),
)
_h: Final = log_heads.c
_GUARD: Final = (
    """CREATE OR REPLACE FUNCTION keep_heads() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      -- The same tree may be signed anew, with another key; never another tree of the same size.
      IF TG_OP <> 'UPDATE' OR NEW.origin <> OLD.origin OR NEW.tree_size < OLD.tree_size
         OR (NEW.tree_size = OLD.tree_size AND NEW.root_hash <> OLD.root_hash) THEN
        RAISE EXCEPTION 'a head only ever grows' USING ERRCODE = 'integrity_constraint_violation';
      END IF;
      RETURN NEW;
    END $$""",
    """CREATE OR REPLACE TRIGGER keep_heads BEFORE UPDATE OR DELETE ON log_heads
    FOR EACH ROW EXECUTE FUNCTION keep_heads()""",
)


def create_head_store(owner_url: str) -> None:
    """Make the table of heads with its guard, and let the sequencer use it; leave what is there.

    owner_url: SQLAlchemy URL of the owner of that database. Raises StoreUnavailable.
    """
    engine = create_engine(owner_url)
    try:
        with store_answers(), engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(7304611903)"))
            log_heads.create(connection, checkfirst=True)
            for statement in _GUARD:
                connection.execute(text(statement))
            connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {SEQUENCER_ROLE}"))
            connection.execute(text(f"GRANT SELECT, INSERT, UPDATE ON log_heads TO {SEQUENCER_ROLE}"))
    finally:
        engine.dispose()


class PostgresLogHeads:
    """Implements `broker.actions.log_doors.Heads`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, host: str) -> Sequence[LogHead]:
        """Return the heads of a host's shards, the oldest year first. Raises StoreUnavailable."""
        of_host = _h.origin.startswith(f"audit.{host}/", autoescape=True)
        with log_answers(), self._engine.connect() as connection:
            rows = connection.execute(log_heads.select().where(of_host).order_by(_h.origin)).all()
        return [_head(row) for row in rows]

    def create(self, head: LogHead) -> bool:
        """Write the head of a shard that has none; return False if there is one. Raises StoreUnavailable."""
        statement = insert(log_heads).values(**_values(head)).on_conflict_do_nothing().returning(_h.origin)
        with log_answers(), self._engine.begin() as connection:
            return connection.execute(statement).first() is not None

    def swap(self, before: LogHead, after: LogHead) -> bool:
        """Put one head in the place of another; return False, and change nothing, if that is no longer it.

        Raises LogStopped where the store refuses the other one, StoreUnavailable; it may then have happened
        nevertheless.
        """
        old = before.checkpoint
        statement = (
            log_heads.update()
            .where(_h.origin == old.origin, _h.tree_size == old.tree_size, _h.root_hash == old.root_hash)
            .values(**_values(after))
        )
        try:
            with log_answers(), self._engine.begin() as connection:
                return connection.execute(statement).rowcount == 1
        except IntegrityError:
            raise LogStopped(
                f"the head store does not take what follows on {old.tree_size} entries of {old.origin}: "
                "where its rules are of an earlier release, broker prepare brings them up to date"
            ) from None


class PostgresLease:
    """One sequencer at a time for a host: a lock that lives as long as its connection to the head store.

    It spares work and noise; what keeps two from signing is the swap. Implements
    `broker.actions.log_doors.Lease`.
    """

    def __init__(self, head_url: str, host: str, wait_seconds: float = 10.0) -> None:
        self._conninfo = conninfo_of_url(head_url)
        self._key = int.from_bytes(
            hashlib.sha256(f"sequencer {host}".encode()).digest()[:8], "big", signed=True
        )
        self._wait_seconds = wait_seconds
        self._held: psycopg.Connection[Any] | None = None

    def hold(self) -> bool:
        """Return whether this process has the lease, after asking for it. Raises StoreUnavailable."""
        try:
            if self._held is None:
                return self._ask()
            self._held.execute("SELECT 1")
        except psycopg.OperationalError as fault:
            self.give_up()
            raise StoreUnavailable(f"the head store does not answer: {type(fault).__name__}") from None
        return True

    def give_up(self) -> None:
        """Let another process have it, at once where the store answers."""
        held, self._held = self._held, None
        if held is None:
            return
        with suppress(psycopg.Error):
            # A server notices an ended connection a moment later only.
            held.execute("SELECT pg_advisory_unlock(%s)", (self._key,))
        held.close()

    def _ask(self) -> bool:
        class Bounded(BoundedConnection):
            wait_seconds = self._wait_seconds

        connection = Bounded.connect(
            self._conninfo, autocommit=True, connect_timeout=5, application_name="broker-lease"
        )
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
        if row is None or not row[0]:
            connection.close()
            return False
        self._held = connection
        return True


def _values(head: LogHead) -> dict[str, Any]:
    return {
        "origin": head.checkpoint.origin,
        "tree_size": head.checkpoint.tree_size,
        "root_hash": head.checkpoint.root_hash,
        "note": head.note,
        "signed_at": head.signed_at,
    }


def _head(row: Row[Any]) -> LogHead:
    checkpoint = Checkpoint(row.origin, row.tree_size, bytes(row.root_hash))
    signed_at: datetime = row.signed_at
    return LogHead(checkpoint, bytes(row.note), signed_at)
