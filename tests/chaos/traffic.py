"""Hospitals that ask without pause while things are broken, and keep every answer's reference."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from http.client import HTTPException
from types import TracebackType
from typing import Any

from broker.cli.caller import Answer, Caller, TokenRefused
from tests.doors import post, wait_until
from tests.release_world import SCOPE, World

STAFF = 60
DOCUMENTS = 120
PROBLEM_MEMBERS = frozenset({"type", "title", "status", "instance", "request_id"})
OUTAGE_MEMBERS = {"source-outage": frozenset({"gateway_code", "receipt"})}
"""A check that the source did not answer is certified; there is no field of the record in that."""


class Traffic:
    """So many callers, each a thread with a hospital, a token and a connection of its own.

    acknowledged: references of all answers with data. statuses: of all answers. broken: requests without an
    answer: what became of them their sender cannot know. pause_seconds: after each request.
    fresh_connections: one for each request, so that every worker has its share of every caller.
    """

    def __init__(
        self,
        world: World,
        issuer: str,
        callers: int,
        pause_seconds: float = 0.0,
        *,
        fresh_connections: bool = False,
    ) -> None:
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.problems: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.leaks: list[str] = []
        self.answered_at: list[tuple[float, int]] = []
        self._pause_seconds = pause_seconds
        self._fresh_connections = fresh_connections
        self._stop = threading.Event()
        hospitals = [world.register_hospital(staff=STAFF) for _ in range(callers)]
        self._callers = [
            Caller(issuer, one.client_id, one.key, SCOPE, timeout_seconds=20.0) for one in hospitals
        ]
        documents = [[world.document(hospital=one) for _ in range(DOCUMENTS)] for one in hospitals]
        self._threads = [
            threading.Thread(target=self._ask, args=pair)
            for pair in zip(self._callers, documents, strict=True)
        ]

    def _ask(self, caller: Caller, documents: list[dict[str, Any]]) -> None:
        for document in itertools.cycle(documents):
            if self._stop.is_set():
                return
            try:
                self._take(post(caller, document))
            except TokenRefused as refused:
                self.broken[f"no token: {refused.status}"] += 1
                time.sleep(0.05)
            except (OSError, HTTPException) as fault:
                self.broken[type(fault).__name__] += 1
                time.sleep(0.05)
            if self._fresh_connections:
                caller.close()
            if self._pause_seconds:
                time.sleep(self._pause_seconds)

    def _take(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        self.answered_at.append((time.monotonic(), answer.status))
        document = answer.json()
        if answer.status == 200:
            self.acknowledged.append(document["evidence_reference"])
            return
        problem = str(document.get("type", "")).rpartition("/")[2]
        self.problems[problem] += 1
        if answer.status == 503:
            strange = document.keys() - PROBLEM_MEMBERS - OUTAGE_MEMBERS.get(problem, frozenset())
            if strange or not document.get("request_id"):
                self.leaks.append(f"503 with {sorted(strange)}, request_id {document.get('request_id')!r}")

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        for caller in self._callers:
            caller.close()

    def go_on(self, count: int, seconds: float = 120.0) -> None:
        """Wait until so many more were acknowledged."""
        before = len(self.acknowledged)
        wait_until(
            lambda: len(self.acknowledged) >= before + count, f"{count} more are acknowledged", seconds
        )

    def refused(self, count: int, status: int = 503, seconds: float = 120.0) -> None:
        """Wait until so many more were answered with a status."""
        before = self.statuses[status]
        wait_until(lambda: self.statuses[status] >= before + count, f"{count} more {status}", seconds)

    @property
    def refusals(self) -> int:
        """How many requests got an answer, but no data, or no token to ask with."""
        tokens = sum(count for what, count in self.broken.items() if what.startswith("no token"))
        return tokens + sum(count for status, count in self.statuses.items() if status != 200)

    def first_200_after(self, instant: float) -> float | None:
        """Return how many seconds after an instant (monotonic) the first data came again."""
        return next((at - instant for at, status in self.answered_at if at > instant and status == 200), None)
