"""Gets time stamps (RFC 3161) for what the log has published, while the log goes on.

One authority is asked about the newest checkpoint of each shard, at most once in so many seconds; what was
published in between is stamped with the next one, whose tree begins with it. Nothing that the authority says
is believed: a token is kept only once it is verified over the very bytes that were published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Condition, Thread
from typing import Final, Protocol

from broker.clock import Clock, countdown
from broker.errors import BrokerError
from broker.evidence.checkpoint import Checkpoint, parse_checkpoint
from broker.evidence.reasons import REASONS, EvidenceInvalid
from broker.evidence.sequencing import LogHead
from broker.evidence.signed_note import parse_note
from broker.timestamp_tokens import StampTrust, fresh_token, new_request
from connectors.base import AuthorityUnreachable

EVERY_SECONDS: Final = 60.0
ASKING_SECONDS: Final = 5.0

Tell = Callable[[Mapping[str, object]], None]


class AuthorityDoor(Protocol):
    """The way to an authority; `connectors.timestamps` implements it over HTTPS."""

    def stamp(self, query: bytes, seconds: float) -> bytes:
        """Post a request; return the answer. seconds: what it may take. Raises AuthorityUnreachable."""
        ...


class StampStore(Protocol):
    """Where the stamped checkpoints of a shard lie; `broker.storage.log_timestamps` implements it."""

    def note(self, tree_size: int) -> bytes | None:
        """Return the checkpoint of a size that was to be stamped, or None. Raises StoreUnavailable."""
        ...

    def token(self, tree_size: int) -> bytes | None:
        """Return the token over it, or None. Raises StoreUnavailable."""
        ...

    def keep(self, tree_size: int, note: bytes, token: bytes) -> None:
        """Keep a checkpoint with its token, for ever. Raises StoreUnavailable."""
        ...


class Stamping:
    """Implements `broker.actions.log_doors.Follower`: a thread that asks while the log goes on.

    stores: gives the store of a shard, by its origin. tell: called with a line, as members, when time stamps
    cease to come, or come again.
    """

    def __init__(
        self,
        door: AuthorityDoor,
        trust: StampTrust,
        stores: Callable[[str], StampStore],
        tell: Tell,
        clock: Clock,
        *,
        every_seconds: float = EVERY_SECONDS,
        asking_seconds: float = ASKING_SECONDS,
    ) -> None:
        self._door = door
        self._trust = trust
        self._stores = stores
        self._tell = tell
        self._clock = clock
        self._every_seconds = every_seconds
        self._asking_seconds = asking_seconds
        self._due: dict[str, LogHead] = {}
        self._is_over = False
        self._changed = Condition()
        self._said: dict[str, str] = {}
        self._thread = Thread(target=self._run, name="stamping", daemon=True)
        self._thread.start()

    def published(self, head: LogHead) -> None:
        """Take note of a published head; it takes the place of an older one that still waits."""
        with self._changed:
            self._due[head.checkpoint.origin] = head
            self._changed.notify()

    def close(self) -> None:
        """Ask once about what waits, then end; what is missing then comes when the log is started again."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join(4 * self._asking_seconds)

    def _run(self) -> None:
        left = countdown(0)
        while True:
            with self._changed:
                while not self._is_over and not (self._due and not left()):
                    self._changed.wait(left() if self._due else None)
                due, self._due, is_over = self._due, {}, self._is_over
            has_asked = False
            for origin, head in due.items():
                has_asked = self._is_asked(origin, head) or has_asked
            if is_over:
                return
            if has_asked:
                left = countdown(self._every_seconds)

    def _is_asked(self, origin: str, head: LogHead) -> bool:
        """Get one checkpoint stamped, or have it asked about again; return whether somebody was asked."""
        store, size = self._stores(origin), head.checkpoint.tree_size
        try:
            if store.token(size) is not None:
                return False
            # What an earlier process wrote there before it ended is what the token must be over.
            content = store.note(size) or head.note
            if not _is_of(content, head.checkpoint):
                self._say(origin, "other bytes lie in the place of the stamped checkpoint")
                return False
            store.keep(size, content, self._stamped(content))
        except BrokerError as fault:
            self._again(origin, head, f"it cannot be kept: {fault.kind}")
        except AuthorityUnreachable:
            self._again(origin, head, "the authority does not answer in time")
        except EvidenceInvalid as broken:
            self._again(origin, head, REASONS[broken.reason])
        else:
            self._say(origin, "")
        return True

    def _stamped(self, content: bytes) -> bytes:
        """Return a verified token over bytes. Raises AuthorityUnreachable, EvidenceInvalid (timestamp_…)."""
        request = new_request(content)
        token = self._door.stamp(request.query, self._asking_seconds)
        fresh_token(token, content, self._trust, request, self._clock())
        return token

    def _again(self, origin: str, head: LogHead, why: str) -> None:
        with self._changed:
            self._due.setdefault(origin, head)
        self._say(origin, why)

    def _say(self, origin: str, why: str) -> None:
        """Tell when the way in which time stamps come changes, not at every one."""
        if self._said.get(origin, "") == why:
            return
        self._said[origin] = why
        event = {"event": "no time stamp", "origin": origin, "reason": why}
        self._tell(event if why else {"event": "time stamps come again", "origin": origin})


def _is_of(content: bytes, checkpoint: Checkpoint) -> bool:
    try:
        return parse_checkpoint(parse_note(content).text) == checkpoint
    except EvidenceInvalid:
        return False
