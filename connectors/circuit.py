"""Protection from a source that fails or drags: a circuit breaker and a bulkhead, pure and thread-safe.

Both live in one process; the clock is passed in (any monotonic seconds).
"""

from __future__ import annotations

import math
from threading import Condition, Lock

CLOSED = "closed"
OPEN = "open"
HALF_OPEN = "half_open"


class CircuitBreaker:
    """Stops asking after consecutive failures, and lets one request at a time try whether it is over.

    failures_to_open: consecutive failures that open it. open_seconds: how long it then refuses before the
    first probe. probe_seconds: after this long without an outcome another request may probe.
    """

    def __init__(
        self, failures_to_open: int = 5, open_seconds: float = 5.0, probe_seconds: float = 5.0
    ) -> None:
        self._failures_to_open = failures_to_open
        self._open_seconds = open_seconds
        self._probe_seconds = probe_seconds
        self._failures = 0
        self._refuse_until: float | None = None
        self._lock = Lock()

    def state(self, now: float) -> str:
        """Return closed, open or half_open at an instant."""
        refuse_until = self._refuse_until
        if refuse_until is None:
            return CLOSED
        return OPEN if now < refuse_until else HALF_OPEN

    def retry_after(self, now: float) -> int | None:
        """Return None if a request may go ahead, or the whole seconds (at least 1) until asking makes sense.

        Where the circuit is half open, the caller who is told None is the probe.
        """
        refuse_until = self._refuse_until
        if refuse_until is None:
            return None
        with self._lock:
            refuse_until = self._refuse_until
            if refuse_until is None:
                return None
            if now < refuse_until:
                return max(1, math.ceil(refuse_until - now))
            self._refuse_until = now + self._probe_seconds
            return None

    def succeeded(self) -> None:
        """Say that the source answered: the count starts again, and an open circuit closes."""
        if self._failures or self._refuse_until is not None:
            with self._lock:
                self._failures = 0
                self._refuse_until = None

    def failed(self, now: float) -> None:
        """Say that the source did not answer; the probe's failure opens the circuit again."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._refuse_until = now + self._open_seconds


class Bulkhead:
    """Bounds how many requests of this process wait on the source at the same time; more are turned away.

    A source that answers as it should frees a place within a millisecond or two, so whoever finds none waits
    for a moment. Where the one who has been in longest has been in for longer than that moment, the source
    drags: then nobody waits, because threads that wait here would be missing everywhere else.
    """

    def __init__(self, places: int, patience_seconds: float = 0.0) -> None:
        self._places = places
        self._patience_seconds = patience_seconds
        self._inside: list[float] = []
        self._waiting = 0
        self._changed = Condition(Lock())

    def enter(self, now: float) -> bool:
        """Take a place, or return False. Whoever got True calls `leave` once with the same now.

        now: any monotonic seconds, the same clock for all.
        """
        with self._changed:
            if len(self._inside) >= self._places and not self._gets_free(now):
                return False
            self._inside.append(now)
            return True

    def _gets_free(self, now: float) -> bool:
        left_seconds = self._inside[0] + self._patience_seconds - now
        if left_seconds <= 0:
            return False
        self._waiting += 1
        free = self._changed.wait_for(lambda: len(self._inside) < self._places, left_seconds)
        self._waiting -= 1
        return free

    def leave(self, entered_at: float) -> None:
        """Give the place back that was taken at this instant."""
        with self._changed:
            self._inside.remove(entered_at)
            if self._waiting:
                self._changed.notify()
