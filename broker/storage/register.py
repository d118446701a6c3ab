"""Facts about clients for early refusal, cached for a bounded time.

What is cached can only refuse or go on to the recording statement, which judges again in the database. What
is not registered is never cached, so that a new client can work at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Lock
from typing import Final

from broker.clock import Clock
from broker.errors import StoreUnavailable
from broker.oauth.registry import ClientFacts
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement

_KEPT_MAX: Final = 50_000


_FACTS: Final = PreparedStatement(
    "client_facts",
    """
SELECT o.organisation_id, o.kind, o.facility_code, array_to_json(c.agreement_ids)
FROM clients c JOIN organisations o USING (organisation_id) WHERE c.client_id = $1::text
""",
    repeatable=True,
)


class PreparedRegister:
    """Reads the register on the connections of the release path, whose waits all end.

    deadline_seconds: for one look, connecting included.
    """

    def __init__(self, connections: PreparedConnections, deadline_seconds: float) -> None:
        self._connections = connections
        self._deadline_seconds = deadline_seconds

    def find_client(self, client_id: str) -> ClientFacts | None:
        """Return what the verbs need to know of a client, active or not. Raises StoreUnavailable."""
        try:
            rows = self._connections.execute(_FACTS, (client_id.encode(),), self._deadline_seconds)
        except DatabaseError as fault:
            raise StoreUnavailable(f"the register does not answer: {type(fault).__name__}") from fault
        if not rows:
            return None
        organisation_id, kind, facility_code, agreement_ids = (
            None if value is None else value.decode() for value in rows[0]
        )
        return ClientFacts(
            client_id=client_id,
            organisation_id=organisation_id or "",
            organisation_kind=kind or "",
            facility_code=facility_code,
            agreement_ids=tuple(json.loads(agreement_ids or "[]")),
        )


class CachedRegister:
    """Keeps what find_client found for kept_seconds."""

    def __init__(
        self, find_client: Callable[[str], ClientFacts | None], clock: Clock, kept_seconds: float
    ) -> None:
        self._read = find_client
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._kept: dict[str, tuple[float, ClientFacts]] = {}
        self._lock = Lock()

    def find_client(self, client_id: str) -> ClientFacts | None:
        """Return a registered client, active or not. Raises StoreUnavailable."""
        now = self._clock().timestamp()
        known = self._kept.get(client_id)
        if known is not None and known[0] > now:
            return known[1]
        facts = self._read(client_id)
        with self._lock:
            if facts is None:
                self._kept.pop(client_id, None)
                return None
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            self._kept[client_id] = (now + self._kept_seconds, facts)
        return facts
