"""The evidence entry of what happens to a key: which, for what, and what was done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_instant,
    is_key_id,
    is_keyed_hash,
    is_reference,
    one_of,
    or_null,
    shaped_bytes,
)

KEY_SCHEMA_VERSION: Final = 1
KeyPurpose: TypeAlias = Literal[
    "access_token",
    "receipt",
    "id_token",
    "introspection",
    "security_event",
    "consent_receipt",
    "log",
    "witness",
    "timestamp",
    "extract",
    "key_encryption",
    "pseudonym",
    "evidence",
]
"""The purposes of the broker's signing keys, and those of keys that lie elsewhere. evidence: a year's."""
KeyActor: TypeAlias = Literal["operator", "broker"]
KeyEvent: TypeAlias = Literal["created", "activated", "retired", "revoked", "rewrapped", "destroyed"]

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "actor": one_of(get_args(KeyActor)),
    "at": is_instant,
    "effective_at": is_instant,
    "event": one_of(get_args(KeyEvent)),
    "kid": is_key_id,
    "purpose": one_of(get_args(KeyPurpose)),
    "reference": is_reference,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """What happened to a key.

    kid: its public id; of the keys of evidence their calendar year. effective_at: from when on it counts,
    later than `at` where a successor is announced before it signs. Both aware UTC. acting_person: keyed hash
    in hex, None where the broker did it by itself.
    """

    reference: str
    at: datetime
    purpose: KeyPurpose
    kid: str
    event: KeyEvent
    effective_at: datetime
    actor: KeyActor
    acting_person: str | None = None


def key_entry_bytes(change: KeyChange) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    return shaped_bytes(
        "key_event",
        KEY_SCHEMA_VERSION,
        _SHAPE,
        {
            "acting_person": change.acting_person,
            "actor": change.actor,
            "at": instant_text(change.at),
            "effective_at": instant_text(change.effective_at),
            "event": change.event,
            "kid": change.kid,
            "purpose": change.purpose,
            "reference": change.reference,
        },
    )


def check_key_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "key_event", KEY_SCHEMA_VERSION, _SHAPE)
