"""What one citizen's (or client's) action writes, all of it in one transaction or nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from broker.consent.record import ActorKind, Consent, EventType, Terms

Channel: TypeAlias = Literal["redirect", "inbox", "ciba_poll"]
RequestStatus: TypeAlias = Literal["pending", "decided", "expired", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEvent:
    """One event as it is kept. number: of the consent's events, from 1. entry_hash: over entry (32 bytes)."""

    consent_id: str
    number: int
    type: EventType
    entry: bytes
    entry_hash: bytes
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConsent:
    """A consent as it lies in the store, and where its chain of events ends (b"" and 0 before the first)."""

    consent: Consent
    event_count: int
    last_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedReceipt:
    """A receipt about to be kept: compact JWS."""

    receipt_id: str
    consent_id: str
    citizen_id: str
    event_type: EventType
    receipt: str
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedNotice:
    """A notice to a recipient, about to be queued. payload: what the security event tells."""

    message_id: str
    client_id: str
    consent_id: str
    kind: str
    payload: dict[str, Any]
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedCount:
    """Where a consent counted its releases, and where the one that takes its place goes on counting.

    Keys of counters (16 bytes), and the Unix times under which they stand.
    """

    from_ref: bytes
    from_seconds: int
    to_ref: bytes
    to_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWriting:
    """One new version of one consent.

    expected_version: what must be there now, 0 for nothing. grant_ended_by: who ends the grant with it, None
    where it goes on. counts: of the consent whose place it takes, before it in the same transaction.
    """

    consent: Consent
    expected_version: int
    events: tuple[ChainedEvent, ...]
    grant_ended_by: ActorKind | None
    receipt: IssuedReceipt | None
    notices: tuple[QueuedNotice, ...]
    counts: tuple[CarriedCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStep:
    """What the decision on one consent does to the request for it. is_last: nothing else of it waits.

    grant_before: the grant of the request as it was read; grant_id: from now on. None for no grant.
    """

    request_id: str
    consent_id: str
    at: datetime
    is_last: bool
    grant_before: str | None
    grant_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOpening:
    """A request about to be kept. citizen_ref: keyed hash of the personal id, whoever that is.

    request_hash: SHA-256 of what was asked. auth_request_hash: SHA-256 of the auth_req_id, None without one.
    """

    request_id: str
    client_id: str
    citizen_ref: bytes
    channel: Channel
    request_hash: bytes
    auth_request_hash: bytes | None
    items: tuple[Terms, ...]
    scope: str
    requested_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRequest:
    """A request as it lies in the store. grant_id: from the first consent on that was given on it."""

    opening: RequestOpening
    viewed_at: datetime | None
    decided_at: datetime | None
    cancelled_at: datetime | None
    polled_at: datetime | None
    redeemed_at: datetime | None
    grant_id: str | None

    def status(self, at: datetime) -> RequestStatus:
        """Return what the client may be told; the same for a person without account as for a silent one.

        Where time has ended the rest of a request of which something was given, it is decided.
        """
        if self.cancelled_at is not None:
            return "cancelled"
        if self.decided_at is not None:
            return "decided"
        if at < self.opening.expires_at:
            return "pending"
        return "expired" if self.grant_id is None else "decided"
