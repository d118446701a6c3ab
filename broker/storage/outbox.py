"""Notices to recipients in PostgreSQL: queued by others' transactions, taken by workers, read by recipients.

next_try_at is NULL while there is nothing to push: the client polls, or has it, or the notice is dead. A
notice that is being pushed has it in the future, until when no other worker takes it: one whose worker
was killed comes up again by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Engine, Select, case, cast, func, literal, null, select, text

from broker.consent.writing import QueuedNotice
from broker.storage.acts import Acts, acting_in
from broker.storage.faults import store_answers
from broker.storage.tables import clients, consents, outbox_messages

LEASE: Final = timedelta(seconds=60)
"""How long a worker has a notice for itself: many times what one push may take."""
_o: Final = outbox_messages.c
# A few of each client, the longest due first: one that is slow cannot keep the others waiting.
_TAKE: Final = text("""
WITH picked AS MATERIALIZED (
  SELECT due.message_id, c.client_metadata->>'events_uri' AS events_uri
  FROM clients c CROSS JOIN LATERAL (
    SELECT o.message_id, o.next_try_at FROM outbox_messages o
    WHERE o.client_id = c.client_id AND o.next_try_at <= :now
    ORDER BY o.next_try_at LIMIT :per_client FOR UPDATE SKIP LOCKED
  ) due
  WHERE c.client_metadata->>'events_uri' IS NOT NULL
  ORDER BY due.next_try_at LIMIT :most
)
UPDATE outbox_messages o SET next_try_at = :leased_until, try_count = o.try_count + 1
FROM picked p WHERE o.message_id = p.message_id
RETURNING o.message_id, o.client_id, o.consent_id, o.kind, o.payload, o.queued_at, p.events_uri, o.try_count
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenNotice:
    """A notice that one worker alone may push until leased_until. try_count: this try included."""

    notice: QueuedNotice
    events_uri: str
    try_count: int
    leased_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldState:
    """How far a notice has come. Instants aware, None: not yet.

    dead_at: given up, an operator's matter. obey_by: RFC 3339, None where there is nothing to obey.
    """

    message_id: str
    client_id: str
    consent_id: str
    kind: str
    queued_at: datetime
    try_count: int
    last_fault: str
    told_at: datetime | None
    acknowledged_at: datetime | None
    deletion_attested_at: datetime | None
    dead_at: datetime | None
    obey_by: str | None


_STATE: Final = (
    _o.message_id,
    _o.client_id,
    _o.consent_id,
    _o.kind,
    _o.queued_at,
    _o.try_count,
    _o.last_fault,
    _o.delivered_at.label("told_at"),
    _o.acknowledged_at,
    _o.deletion_attested_at,
    _o.dead_at,
    _o.payload["obey_by"].astext.label("obey_by"),
)


def outbox_values(notice: QueuedNotice) -> dict[str, Any]:
    """Return the values of a row of outbox_messages, for an INSERT in somebody else's transaction.

    The client's registration at that moment says whether it is pushed to, at once, or polls.
    """
    return {
        "message_id": UUID(notice.message_id),
        "client_id": notice.client_id,
        "consent_id": UUID(notice.consent_id),
        "kind": notice.kind,
        "payload": dict(notice.payload),
        "queued_at": notice.queued_at,
        "next_try_at": _due(notice.queued_at)
        .where(clients.c.client_id == notice.client_id)
        .scalar_subquery(),
    }


def _due(at: datetime) -> Select[Any]:
    """Return `at` for clients that are pushed to, NULL for those that poll."""
    uri = clients.c.client_metadata["events_uri"].astext
    return select(case((uri.is_not(None), literal(at, _o.next_try_at.type)), else_=null()))


class PostgresOutbox:
    """The workers' and the operators' side; `broker.storage.event_polls` is the recipients'."""

    def __init__(self, engine: Engine, acts: Acts | None = None) -> None:
        """acts: of whoever lets dead notices be tried again; None for all others."""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._transactions, self._acts = engine, acts

    def take_batch(self, now: datetime, *, most: int, per_client: int) -> Sequence[TakenNotice]:
        """Take due notices for one worker: at most so many, and of each client. Raises StoreUnavailable."""
        leased_until = now + LEASE
        given = {"now": now, "most": most, "per_client": per_client, "leased_until": leased_until}
        with store_answers(), self._engine.connect() as connection:
            rows = connection.execute(_TAKE, given).all()
        return [
            TakenNotice(
                notice=notice_of(row._asdict()),
                events_uri=row.events_uri,
                try_count=row.try_count,
                leased_until=leased_until,
            )
            for row in rows
        ]

    def mark_delivered(self, taken: TakenNotice, at: datetime) -> None:
        """Note that a recipient has a notice, whoever else may try it now. Raises StoreUnavailable."""
        statement = (
            outbox_messages.update()
            .where(_o.message_id == UUID(taken.notice.message_id), _o.delivered_at.is_(None))
            .values(delivered_at=at, next_try_at=None, dead_at=None, last_fault="")
        )
        with store_answers(), self._engine.connect() as connection:
            connection.execute(statement)

    def mark_failed(
        self, taken: TakenNotice, fault: str, *, next_try_at: datetime | None, at: datetime
    ) -> bool:
        """Note that a try failed. fault: fixed words. next_try_at: None when it is dead.

        Return False, and change nothing, if the notice is no longer this worker's. Raises StoreUnavailable.
        """
        statement = (
            outbox_messages.update()
            .where(_o.message_id == UUID(taken.notice.message_id), _o.next_try_at == taken.leased_until)
            .values(next_try_at=next_try_at, last_fault=fault, dead_at=at if next_try_at is None else None)
        )
        with store_answers(), self._engine.connect() as connection:
            return connection.execute(statement).rowcount == 1

    def list_dead(self, most: int) -> Sequence[ToldState]:
        """Return notices that were given up, the oldest first. Raises StoreUnavailable."""
        return self._states(select(*_STATE).where(_o.dead_at.is_not(None)).limit(most))

    def list_unacknowledged(self, until: datetime, most: int) -> Sequence[ToldState]:
        """Return notices of withdrawals that must be obeyed by then and are not acknowledged.

        The oldest first, so what is longest past. Raises StoreUnavailable.
        """
        obey_by = cast(_o.payload["obey_by"].astext, DateTime(timezone=True))
        unobeyed = select(*_STATE).where(
            _o.kind == "consent_withdrawn", _o.acknowledged_at.is_(None), obey_by <= until
        )
        return self._states(unobeyed.limit(most))

    def list_of_consent(self, consent_id: str) -> Sequence[ToldState]:
        """Return how far the notices of a consent have come, the oldest first. Raises StoreUnavailable."""
        return self._states(select(*_STATE).where(_o.consent_id == UUID(consent_id)))

    def retry_dead(self, at: datetime, *, message_id: str | None = None) -> int:
        """Try dead notices again from now on, with as many tries as new ones; return how many.

        message_id: only this one. Each leaves an entry in the same transaction. Raises StoreUnavailable.
        """
        acts = acting_in(self._acts)
        due = _due(at).where(clients.c.client_id == _o.client_id).correlate(outbox_messages).scalar_subquery()
        statement = outbox_messages.update().where(_o.dead_at.is_not(None))
        if message_id is not None:
            statement = statement.where(_o.message_id == UUID(message_id))
        of = select(consents.c.citizen_id).where(consents.c.consent_id == _o.consent_id)
        whose = of.correlate(outbox_messages).scalar_subquery()
        statement = statement.values(next_try_at=due, try_count=0, dead_at=None)
        with store_answers(), self._transactions.begin() as connection:
            retried = connection.execute(statement.returning(_o.message_id, whose)).all()
            for number, citizen_id in retried:
                acts.administration(
                    connection, "notice_retried", str(number), citizen_id=str(citizen_id or "")
                )
        return len(retried)

    def backlog(self, now: datetime) -> Mapping[str, int]:
        """Return how many notices wait to be pushed, for how long at most, and are dead.

        Raises StoreUnavailable.
        """
        waiting = select(func.count(), func.min(_o.queued_at)).where(_o.next_try_at.is_not(None))
        dead = select(func.count()).where(_o.dead_at.is_not(None))
        with store_answers(), self._engine.connect() as connection:
            count, oldest = connection.execute(waiting).one()
            dead_count = connection.execute(dead).scalar_one()
        seconds = 0 if oldest is None else max(0, int((now - oldest).total_seconds()))
        return {"waiting": count, "oldest_seconds": seconds, "dead": dead_count}

    def _states(self, statement: Select[Any]) -> Sequence[ToldState]:
        ordered = statement.order_by(_o.queued_at, _o.message_id)
        with store_answers(), self._engine.connect() as connection:
            rows = [row._asdict() for row in connection.execute(ordered)]
        return [
            ToldState(**{**row, "message_id": str(row["message_id"]), "consent_id": str(row["consent_id"])})
            for row in rows
        ]


def notice_of(row: Mapping[str, Any]) -> QueuedNotice:
    """Return a notice from the columns of its row; further columns are left alone."""
    return QueuedNotice(
        message_id=str(row["message_id"]),
        client_id=row["client_id"],
        consent_id=str(row["consent_id"]),
        kind=row["kind"],
        payload=row["payload"],
        queued_at=row["queued_at"],
    )
