"""What the sequencer and its stores tell one another: the head of a shard, and what was given positions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson

from broker.evidence.canonical import ENTRY_BYTES_MAX
from broker.evidence.checkpoint import Checkpoint, shard_of
from broker.evidence.kinds import checked_instant
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.shapes import is_instant

MERGE_DELAY_SECONDS = 120
"""An entry that is older and stands in no signed tree is an alarm."""
STOP_SECONDS = 900
"""Where one is older than this, the log stands still: nothing leaves any more but what must go on."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """What a shard signed last. note: the signed checkpoint as bytes. signed_at: aware UTC."""

    checkpoint: Checkpoint
    note: bytes
    signed_at: datetime

    @property
    def year(self) -> int:
        """The calendar year of the shard."""
        return shard_of(self.checkpoint.origin)[1]


@dataclass(frozen=True, slots=True)
class Strange:
    """An entry that is none of its kind; it is put into the log as it is, for everybody to see."""

    reference: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Placed:
    """One round of giving positions. count: entries that got one. has_more: whether others may wait.

    complete_at: all that was recorded before has a position; None where that is not known (has_more).
    """

    count: int
    has_more: bool
    strange: tuple[Strange, ...] = ()
    complete_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What stands in no signed tree yet. oldest_at: when the oldest of it was recorded, None for nothing."""

    count: int
    oldest_at: datetime | None

    def age_seconds(self, now: datetime) -> float:
        """Return for how long the oldest waits; 0 where nothing does."""
        return 0.0 if self.oldest_at is None else max(0.0, (now - self.oldest_at).total_seconds())


def year_of(content: bytes) -> tuple[int, Reason | None]:
    """Return the year (UTC) of an entry's own instant, and what is wrong with the entry otherwise, or None.

    Raises EvidenceInvalid where there is no place for it in any log: entry_too_long, or nothing tells when
    it was (entry_not_canonical, entry_schema).
    """
    try:
        return int(checked_instant(content)[:4]), None
    except EvidenceInvalid as broken:
        if len(content) > ENTRY_BYTES_MAX:
            raise
        at = _instant_of(content)
        if at is None:
            raise
        return int(at[:4]), broken.reason


def _instant_of(content: bytes) -> str | None:
    try:
        entry = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    at = entry.get("at") if isinstance(entry, dict) else None
    return at if isinstance(at, str) and is_instant(at) else None
