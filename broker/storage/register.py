"""Facts about clients and staff for early refusal, cached for a bounded time.

What is cached can only refuse or go on to the recording statement, which judges again in the database. What
is not registered is never cached, so that a new staff member can work at once.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from broker.clock import Clock
from broker.oauth.registry import ClientFacts, StaffFacts

_KEPT_MAX: Final = 50_000
_Key = TypeVar("_Key", str, bytes)
_Fact = TypeVar("_Fact", ClientFacts, StaffFacts)


class CachedRegister:
    """Keeps what find_client and find_staff found for kept_seconds."""

    def __init__(
        self,
        find_client: Callable[[str], ClientFacts | None],
        find_staff: Callable[[bytes], StaffFacts | None],
        clock: Clock,
        kept_seconds: float,
    ) -> None:
        self._read_client = find_client
        self._read_staff = find_staff
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._clients: dict[str, tuple[float, ClientFacts]] = {}
        self._staff: dict[bytes, tuple[float, StaffFacts]] = {}
        self._lock = Lock()

    def find_client(self, client_id: str) -> ClientFacts | None:
        """Return a registered client, active or not. Raises StoreUnavailable."""
        return self._find(self._clients, client_id, self._read_client)

    def find_staff(self, staff_ref: bytes) -> StaffFacts | None:
        """Return a staff member who is not revoked. Raises StoreUnavailable."""
        return self._find(self._staff, staff_ref, self._read_staff)

    def _find(
        self,
        kept: dict[_Key, tuple[float, _Fact]],
        key: _Key,
        read: Callable[[_Key], _Fact | None],
    ) -> _Fact | None:
        now = self._clock().timestamp()
        known = kept.get(key)
        if known is not None and known[0] > now:
            return known[1]
        fact = read(key)
        with self._lock:
            if fact is None:
                kept.pop(key, None)
                return None
            if len(kept) >= _KEPT_MAX:
                kept.clear()
            kept[key] = (now + self._kept_seconds, fact)
        return fact
