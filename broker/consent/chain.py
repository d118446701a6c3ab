"""The events of a consent as a chain: each entry carries the hash of the one before it.

So no event can be changed, taken out or put in without every later one speaking against it. That the end was
cut off a chain does not show by itself: the evidence log has every version, and others keep copies of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from broker.consent.codec import canonical_json, instant_text
from broker.consent.record import ConsentEvent
from broker.consent.writing import ChainedEvent
from broker.errors import BrokerError

SCHEMA_VERSION: Final = 1
_MEMBERS: Final = frozenset(
    {"actor", "at", "consent", "details", "number", "previous_hash", "schema", "type", "version"}
)


class ConsentChainBroken(BrokerError):
    """The events of a consent are not as they were written. number: of the first that does not fit."""

    kind = "consent_chain_broken"

    def __init__(self, number: int) -> None:
        super().__init__(f"event {number} does not fit")
        self.number = number


def chained(events: Sequence[ConsentEvent], event_count: int, last_hash: bytes) -> tuple[ChainedEvent, ...]:
    """Return events as they are kept, after event_count others whose last has the hash last_hash.

    event_count: 0 before the first, and last_hash then b"". Raises ValueError when the two disagree.
    """
    if (event_count == 0) is not (last_hash == b""):
        raise ValueError("only the first event has none before it")
    entries = []
    for number, event in enumerate(events, start=event_count + 1):
        entry = event_bytes(event, number, last_hash)
        last_hash = hashlib.sha256(entry).digest()
        entries.append(
            ChainedEvent(
                consent_id=event.consent_id,
                number=number,
                type=event.type,
                entry=entry,
                entry_hash=last_hash,
                at=event.at,
            )
        )
    return tuple(entries)


def event_bytes(event: ConsentEvent, number: int, previous_hash: bytes) -> bytes:
    """Return an event's RFC 8785 bytes. previous_hash: SHA-256 of the entry before it, b"" for the first."""
    return canonical_json(
        {
            "actor": {"kind": event.actor.kind, "reference": event.actor.reference},
            "at": instant_text(event.at),
            "consent": event.consent_id,
            "details": dict(event.details),
            "number": number,
            "previous_hash": previous_hash.hex(),
            "schema": SCHEMA_VERSION,
            "type": event.type,
            "version": event.version,
        }
    )


def verify_chain(entries: Iterable[ChainedEvent]) -> None:
    """Check all events of one consent, from the first, in order.

    Raises ConsentChainBroken with the number of the first event that was changed, taken out, put in, moved
    or taken from another consent.
    """
    previous_hash, consent_id, version = b"", "", 0
    for number, entry in enumerate(entries, start=1):
        told = _told(entry, number)
        consent_id = consent_id or entry.consent_id
        fits = (
            entry.number == number == told["number"]
            and entry.consent_id == consent_id == told["consent"]
            and entry.type == told["type"]
            and instant_text(entry.at) == told["at"]
            and told["previous_hash"] == previous_hash.hex()
            and told["version"] in (version, version + 1)
            and hmac.compare_digest(hashlib.sha256(entry.entry).digest(), entry.entry_hash)
        )
        if not fits:
            raise ConsentChainBroken(number)
        previous_hash, version = entry.entry_hash, told["version"]


def _told(entry: ChainedEvent, number: int) -> dict[str, Any]:
    try:
        told = orjson.loads(entry.entry)
    except orjson.JSONDecodeError:
        raise ConsentChainBroken(number) from None
    if not isinstance(told, dict) or told.keys() != _MEMBERS or canonical_json(told) != entry.entry:
        raise ConsentChainBroken(number)
    return told
