"""Facts about clients for early refusal, cached for a bounded time.

What is cached can only refuse or go on to the recording statement, which judges again in the database. What
is not registered is never cached, so that a new client can work at once.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

from broker.clock import Clock
from broker.oauth.registry import ClientFacts

_KEPT_MAX: Final = 50_000


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
