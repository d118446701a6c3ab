"""What the recording statement is given and what it says: values between the verbs and the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Final, Literal, TypeAlias

from policies.model import Decision


def _unbounded() -> float:
    return inf


@dataclass(frozen=True, slots=True)
class AccessContext:
    """One authenticated request, established before any verb runs.

    token_hash, proof_hash: 32 bytes. proof_issued_at_seconds: Unix time in the DPoP proof; both None where a
    client certificate binds the token. at: aware UTC. source_address: IP address of the caller as text, ""
    when it is not known. authorization_details: what the token was narrowed to (RFC 9396), empty for nothing.
    reference: evidence reference (UUIDv7 text) under which this request will stand; request_id: for logs.
    left_seconds: how long this request may still take, whatever it waits on.
    """

    client_id: str
    scopes: frozenset[str]
    token_hash: bytes
    proof_hash: bytes | None
    proof_issued_at_seconds: int | None
    at: datetime
    reference: str
    request_id: str
    left_seconds: Callable[[], float] = _unbounded
    source_address: str = ""
    authorization_details: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class CounterStep:
    """One counter to be raised within its limit.

    window_start_seconds: Unix time at which the hour or day began; of a consent's frequency, at which its
    period ends, so that it is kept until then. limit_name: for the refusal's reason.
    """

    counter_ref: bytes
    window_start_seconds: int
    window_seconds: int
    add_count: int
    limit_count: int
    limit_name: str


RowKind: TypeAlias = Literal[
    "release",
    "refusal",
    "consent",
    "policy_change",
    "key_event",
    "administration",
    "export",
    "log_read",
    "erasure",
]


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One entry and what opens its commitments.

    entry: RFC 8785 bytes. year: calendar year (UTC) of its instant (`broker.evidence.person_keys.key_year`).
    data_subject_ref: keyed hash, or None when nobody was found.
    """

    reference: str
    kind: RowKind
    entry: bytes
    year: int
    data_subject_ref: bytes | None
    data_subject_salt: bytes | None
    payload_salt: bytes | None


@dataclass(frozen=True, slots=True)
class ConsentBasis:
    """The consent on which a release rests: it must still be active, and at this very version."""

    consent_id: str
    version: int


@dataclass(frozen=True, slots=True)
class OwnSession:
    """The sign-in on which a person's look at the own record rests: a session of it must still live."""

    citizen_id: str
    authenticated_at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """Everything that the one recording statement judges and writes.

    staff_ref, staff_name_key: who acts (keyed hash of organisation and id) and the name as given
    (`policies.names.name_key`); None when nobody acts and the agreement does not ask for it. consent: None
    for a release that rests on none. own_session: of a person who looks at the own record; client and token
    are not judged then. With either of the two there is one row. in_emergency: recorded although the log
    stands; the rows say so themselves.
    """

    context: AccessContext
    decision: Decision
    staff_ref: bytes | None
    staff_name_key: str | None
    steps: tuple[CounterStep, ...]
    rows: Sequence[EvidenceRow]
    consent: ConsentBasis | None = None
    own_session: OwnSession | None = None
    in_emergency: bool = False


CONSENT_FREQUENCY: Final = "consent_frequency"
"""Name of the counter of a consent's own frequency; a full one is no matter of the agreement."""

Verdict: TypeAlias = Literal[
    "recorded",
    "client_not_active",
    "token_not_active",
    "source_address_refused",
    "agreement_not_active",
    "acting_person_unknown",
    "acting_person_mismatch",
    "proof_replayed",
    "limit_reached",
    "clock_skewed",
    "consent_not_active",
    "consent_changed",
    "frequency_exceeded",
    "session_not_active",
    "log_stopped",
]
"""What the recording statement says: recorded, or the first thing that is no longer so."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict; for limit_reached the names of the limits, for consent_not_active the consent's state."""

    verdict: Verdict
    limits_reached: tuple[str, ...] = ()
    consent_state: str = ""

    @property
    def reason(self) -> str:
        """The verdict as a reason of a refusal: not_active_ and the state where a consent is not active."""
        return f"not_active_{self.consent_state}" if self.consent_state else self.verdict
