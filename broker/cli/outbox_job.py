"""The worker's job of telling recipients: take notices, sign them, push them side by side, note outcomes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from broker.clock import Clock, countdown
from broker.consent.delivery import next_try_at
from broker.consent.security_events import event_claims
from broker.storage.outbox import LEASE, PostgresOutbox, TakenNotice
from connectors.notify import Pushed

BATCH: Final = 16
PER_CLIENT: Final = 4
"""Of one batch: recipients that are slow leave room for the others."""


class Pusher(Protocol):
    """Sends tokens; `connectors.notify.EventPusher` is one."""

    def push(self, events_uri: str, token: str) -> Pushed:
        """Send one token; never raises."""
        ...


class OutboxJob:
    """One round after the other; many workers on many machines may run it at once.

    sign: claims → Security Event Token. share: from 0 to 1 at random, of a wait.
    """

    def __init__(
        self,
        outbox: PostgresOutbox,
        sign: Callable[[Mapping[str, Any]], str],
        pusher: Pusher,
        issuer: str,
        clock: Clock,
        share: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._sign = sign
        self._pusher = pusher
        self._issuer = issuer
        self._clock = clock
        self._share = share

    def run(self) -> Mapping[str, int]:
        """Push one batch; return how many were taken, delivered, failed, and given up for dead.

        If this process ends in the middle, what was taken is due again when its lease is over: a recipient
        may then get it twice, under the same jti. Raises StoreUnavailable, SigningKeyUnavailable.
        """
        taken = self._outbox.take_batch(self._clock(), most=BATCH, per_client=PER_CLIENT)
        counts = Counter({"taken": len(taken)})
        if taken:
            left_seconds = countdown(LEASE.total_seconds() / 2)
            with ThreadPoolExecutor(len(taken)) as pool:
                counts.update(pool.map(lambda one: self._tell(one, left_seconds), taken))
        return dict(counts)

    def _tell(self, taken: TakenNotice, left_seconds: Callable[[], float]) -> str:
        token = self._sign(event_claims(taken.notice, self._issuer))
        if not left_seconds():
            # This process stood still for so long that another worker may have the notice by now.
            return "late"
        pushed = self._pusher.push(taken.events_uri, token)
        at = self._clock()
        if pushed.outcome == "delivered":
            self._outbox.mark_delivered(taken, at)
            return "delivered"
        again = None if pushed.outcome == "refused" else next_try_at(taken.try_count, at, self._share())
        if not self._outbox.mark_failed(taken, pushed.fault, next_try_at=again, at=at):
            return "late"
        return "dead" if again is None else "failed"
