"""The chains of events of all consents, page by page, with what the consents' own rows say of their ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, func, select

from broker.consent.writing import ChainedEvent
from broker.storage.faults import store_answers
from broker.storage.tables import consent_events, consents

PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChain:
    """All events of one consent, oldest first, and the version and state in its row."""

    consent_id: str
    version: int
    state: str
    events: tuple[ChainedEvent, ...]


class PostgresChains:
    """Reads chains. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self) -> int:
        """Return how many consents there are."""
        with store_answers(), self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(consents)).scalar_one()

    def find_chain(self, consent_id: str) -> KeptChain | None:
        """Return the chain of one consent, or None."""
        return next(iter(self._page(consents.c.consent_id == UUID(consent_id))), None)

    def every_chain(self) -> Iterator[KeptChain]:
        """Yield the chains of all consents, by id; one that begins meanwhile may be left out."""
        after = UUID(int=0)
        while page := self._page(consents.c.consent_id > after):
            yield from page
            after = UUID(page[-1].consent_id)

    def _page(self, condition: Any) -> list[KeptChain]:
        rows = select(consents.c.consent_id, consents.c.version, consents.c.state).where(condition)
        rows = rows.order_by(consents.c.consent_id).limit(PAGE)
        # One snapshot for rows and events: a change that commits in between is seen in both or in neither.
        engine = self._engine.execution_options(isolation_level="REPEATABLE READ")
        with store_answers(), engine.connect() as connection:
            found = connection.execute(rows).all()
            events = (
                select(consent_events)
                .where(consent_events.c.consent_id.in_([row.consent_id for row in found]))
                .order_by(consent_events.c.consent_id, consent_events.c.number)
            )
            chains: defaultdict[UUID, list[ChainedEvent]] = defaultdict(list)
            for row in connection.execute(events):
                chains[row.consent_id].append(_event(row))
        return [
            KeptChain(
                consent_id=str(row.consent_id),
                version=row.version,
                state=row.state,
                events=tuple(chains[row.consent_id]),
            )
            for row in found
        ]


def _event(row: Any) -> ChainedEvent:
    return ChainedEvent(
        consent_id=str(row.consent_id),
        number=row.number,
        type=row.type,
        entry=bytes(row.entry),
        entry_hash=bytes(row.entry_hash),
        at=row.recorded_at,
    )
