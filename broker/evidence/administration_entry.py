"""The evidence entry of an act of administration: which act, on what, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_instant,
    is_keyed_hash,
    is_reference,
    one_of,
    or_null,
    shaped_bytes,
)

ADMINISTRATION_SCHEMA_VERSION: Final = 1
AdministrationActor: TypeAlias = Literal["operator", "client", "broker"]
TargetKind: TypeAlias = Literal["client", "staff", "citizen", "consent", "complaint", "notice", "log"]
ACTS: Final[Mapping[str, TargetKind]] = {
    "client_registered": "client",
    "client_extended": "client",
    "client_keys_exchanged": "client",
    "client_suspended": "client",
    "client_resumed": "client",
    "staff_registered": "staff",
    "staff_revoked": "staff",
    "citizen_created": "citizen",
    "citizen_renewed": "citizen",
    "citizen_suspended": "citizen",
    "citizen_resumed": "citizen",
    "consent_invalidated": "consent",
    "complaint_acknowledged": "complaint",
    "complaint_answered": "complaint",
    "notice_retried": "notice",
    "log_created": "log",
    "log_recovered": "log",
    "log_closed": "log",
    "emergency_begun": "log",
    "emergency_ended": "log",
}
"""Every act, and the kind of thing it is done to. In an emergency releases go on without new checkpoints."""

_SHAPE: Final[Shape] = {
    "act": one_of(ACTS),
    "acting_person": or_null(is_keyed_hash),
    "actor": one_of(get_args(AdministrationActor)),
    "at": is_instant,
    "reference": is_reference,
    "target": is_code,
    "target_kind": one_of(get_args(TargetKind)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What was done to what.

    act: a word of ACTS, which gives the kind of the target. target: the broker's own id of it (of a staff
    member the keyed hash). acting_person: keyed hash in hex, or None. at: aware UTC.
    """

    reference: str
    at: datetime
    act: str
    target: str
    actor: AdministrationActor
    acting_person: str | None = None


def administration_entry_bytes(done: Administration) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    return shaped_bytes(
        "administration",
        ADMINISTRATION_SCHEMA_VERSION,
        _SHAPE,
        {
            "act": done.act,
            "acting_person": done.acting_person,
            "actor": done.actor,
            "at": instant_text(done.at),
            "reference": done.reference,
            "target": done.target,
            "target_kind": ACTS.get(done.act),
        },
    )


def check_administration_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "administration", ADMINISTRATION_SCHEMA_VERSION, _SHAPE)
    if entry["target_kind"] != ACTS[str(entry["act"])]:
        raise ValueError("target_kind does not fit the act")
