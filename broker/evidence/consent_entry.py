"""The evidence entry of a citizen's decision: one closed schema, no free text, never a field's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.evidence.canonical import ENTRY_BYTES_MAX, Json, trusted_bytes
from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_hash,
    is_id,
    is_instant,
    is_pairs_of_codes,
    number_within,
    one_of,
    or_empty,
)

CONSENT_SCHEMA_VERSION: Final = 1
# Words of broker.consent.record, which is a neighbour; a test holds the two lists against each other.
CONSENT_EVENTS: Final = frozenset(
    {
        "amended",
        "cancelled",
        "confirmed",
        "cosigned",
        "expired",
        "extended",
        "given",
        "inapplicable",
        "invalidated",
        "partially_given",
        "paused",
        "refresh_due",
        "refused",
        "request_expired",
        "requested",
        "resumed",
        "superseded",
        "viewed",
        "withdrawn",
    }
)
CONSENT_STATES: Final = frozenset(
    {
        "active",
        "cancelled",
        "expired",
        "inapplicable",
        "invalidated",
        "paused",
        "pending_cosign",
        "refresh_due",
        "refused",
        "request_expired",
        "requested",
        "superseded",
        "withdrawn",
    }
)
CONSENT_ACTORS: Final = frozenset({"broker", "client", "data_subject", "operator", "representative"})

_SHAPE: Final[Shape] = {
    "actor": one_of(CONSENT_ACTORS),
    "agreement": is_code,
    "agreement_revision": is_hash,
    "at": is_instant,
    "client": is_id,
    "consent": is_code,
    "consent_version": number_within(1, 2**31 - 1),
    "data_subject_commit": is_hash,
    "event": one_of(CONSENT_EVENTS),
    "fields": is_pairs_of_codes,
    "notice_hash": or_empty(is_hash),
    "purpose": is_code,
    "recipient": is_id,
    "record_hash": is_hash,
    "reference": is_code,
    "state": one_of(CONSENT_STATES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCircumstances:
    """What happened to which consent, and who did it.

    event, state, actor: closed words of broker.consent. fields: (field, form) pairs that are given after it.
    record_hash: SHA-256 hex of the consent at this version. notice_hash: of what was shown, "" without.
    data_subject_commit: hex. at: aware UTC.
    """

    reference: str
    at: datetime
    event: str
    actor: str
    consent: str
    consent_version: int
    state: str
    client: str
    recipient: str
    purpose: str
    agreement: str
    agreement_revision: str
    fields: tuple[tuple[str, str], ...]
    record_hash: str
    notice_hash: str
    data_subject_commit: str


def consent_entry_object(circumstances: ConsentCircumstances) -> Mapping[str, Json]:
    """Return the entry's closed set of members, each always present."""
    return {
        "actor": circumstances.actor,
        "agreement": circumstances.agreement,
        "agreement_revision": circumstances.agreement_revision,
        "at": instant_text(circumstances.at),
        "client": circumstances.client,
        "consent": circumstances.consent,
        "consent_version": circumstances.consent_version,
        "data_subject_commit": circumstances.data_subject_commit,
        "event": circumstances.event,
        "fields": circumstances.fields,
        "kind": "consent",
        "notice_hash": circumstances.notice_hash,
        "purpose": circumstances.purpose,
        "recipient": circumstances.recipient,
        "record_hash": circumstances.record_hash,
        "reference": circumstances.reference,
        "schema": CONSENT_SCHEMA_VERSION,
        "state": circumstances.state,
    }


def consent_entry_bytes(circumstances: ConsentCircumstances) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError when it would be longer than the log takes."""
    content = trusted_bytes(consent_entry_object(circumstances))
    if len(content) > ENTRY_BYTES_MAX:
        raise ValueError("the entry is too long for the log")
    return content


def check_consent_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "consent", CONSENT_SCHEMA_VERSION, _SHAPE)
