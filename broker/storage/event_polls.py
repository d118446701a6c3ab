"""Notices as recipients fetch and acknowledge them (RFC 8936): each client its own, nobody else's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, func, select

from broker.consent.writing import QueuedNotice
from broker.storage.faults import store_answers
from broker.storage.outbox import notice_of
from broker.storage.tables import outbox_messages

_o: Final = outbox_messages.c
_NOTICE: Final = (_o.message_id, _o.client_id, _o.consent_id, _o.kind, _o.payload, _o.queued_at)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a recipient has attested of a notice; instants aware. deletion_attested_at: None while not."""

    message_id: str
    acknowledged_at: datetime
    deletion_attested_at: datetime | None


class PostgresEventPolls:
    """Implements `broker.api.events.EventStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def settle(
        self, client_id: str, received: Collection[str], refused: Mapping[str, str], at: datetime
    ) -> None:
        """Take notices off a client's list: received ones, and refused ones (message id → fixed words).

        What is not on the list is passed over (RFC 8936, 2.4). Raises StoreUnavailable.
        """
        statement = outbox_messages.update().where(*_on_list(client_id))
        with store_answers(), self._engine.begin() as connection:
            if received:
                has_it = statement.where(_o.message_id.in_(list(map(UUID, received))))
                connection.execute(has_it.values(delivered_at=at, last_fault=""))
            for message_id, fault in refused.items():
                connection.execute(
                    statement.where(_o.message_id == UUID(message_id)).values(dead_at=at, last_fault=fault)
                )

    def find_list(self, client_id: str, most: int) -> tuple[Sequence[QueuedNotice], bool]:
        """Return the oldest notices on a client's list, and whether there are more.

        Raises StoreUnavailable.
        """
        statement = (
            select(*_NOTICE).where(*_on_list(client_id)).order_by(_o.queued_at, _o.message_id).limit(most + 1)
        )
        with store_answers(), self._engine.connect() as connection:
            rows = [row._asdict() for row in connection.execute(statement)]
        return [notice_of(row) for row in rows[:most]], len(rows) > most

    def acknowledge(
        self, client_id: str, message_id: str, *, deletion_attested: bool, at: datetime
    ) -> Acknowledgement | None:
        """Note that a client has done what a notice of its own tells; None if there is no such notice.

        Said again it keeps the first instants; deletion may be attested later. Whoever has done it was told,
        however that came about: it is not pushed any more. Raises StoreUnavailable.
        """
        attested_at: Any = _o.deletion_attested_at
        if deletion_attested:
            attested_at = func.coalesce(attested_at, at)
        statement = (
            outbox_messages.update()
            .where(_o.message_id == UUID(message_id), _o.client_id == client_id)
            .values(
                acknowledged_at=func.coalesce(_o.acknowledged_at, at),
                delivered_at=func.coalesce(_o.delivered_at, at),
                deletion_attested_at=attested_at,
                next_try_at=None,
                dead_at=None,
                last_fault="",
            )
            .returning(_o.acknowledged_at, _o.deletion_attested_at)
        )
        with store_answers(), self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Acknowledgement(message_id, *row)


def _on_list(client_id: str) -> tuple[Any, ...]:
    """Whose a notice is, and that nobody has it yet, pushes it or has given it up."""
    waits = (_o.delivered_at.is_(None), _o.next_try_at.is_(None), _o.dead_at.is_(None))
    return (_o.client_id == client_id, *waits)
