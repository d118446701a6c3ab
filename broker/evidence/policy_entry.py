"""The evidence entry of a change of policy: which agreement, from which revision and registers to which."""

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
    is_hash,
    is_instant,
    is_keyed_hash,
    is_reference,
    one_of,
    or_empty,
    or_null,
    shaped_bytes,
)

POLICY_SCHEMA_VERSION: Final = 1
PolicyEvent: TypeAlias = Literal["published", "registers_changed", "suspended", "resumed"]
PolicyActor: TypeAlias = Literal["operator", "broker"]

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "actor": one_of(get_args(PolicyActor)),
    "agreement": is_code,
    "at": is_instant,
    "event": one_of(get_args(PolicyEvent)),
    "new_registers": or_empty(is_hash),
    "new_revision": is_hash,
    "old_registers": or_empty(is_hash),
    "old_revision": or_empty(is_hash),
    "reference": is_reference,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What happened to an agreement.

    old_revision, new_revision: SHA-256 hex of the revisions; old_revision "" where there was none. They
    differ where a revision is published, and nowhere else. old_registers, new_registers: SHA-256 hex of the
    registers that it was and is read with, "" where none are kept; the same where it is suspended or resumed.
    acting_person: keyed hash in hex, None where the broker did it by itself. at: aware UTC.
    """

    reference: str
    at: datetime
    agreement: str
    event: PolicyEvent
    old_revision: str
    new_revision: str
    actor: PolicyActor
    old_registers: str = ""
    new_registers: str = ""
    acting_person: str | None = None


def policy_entry_bytes(change: PolicyChange) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    content = shaped_bytes(
        "policy_change",
        POLICY_SCHEMA_VERSION,
        _SHAPE,
        {
            "acting_person": change.acting_person,
            "actor": change.actor,
            "agreement": change.agreement,
            "at": instant_text(change.at),
            "event": change.event,
            "new_registers": change.new_registers,
            "new_revision": change.new_revision,
            "old_registers": change.old_registers,
            "old_revision": change.old_revision,
            "reference": change.reference,
        },
    )
    _check_what_changed(
        change.event,
        is_other_revision=change.old_revision != change.new_revision,
        are_other_registers=change.old_registers != change.new_registers,
    )
    return content


def check_policy_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "policy_change", POLICY_SCHEMA_VERSION, _SHAPE)
    _check_what_changed(
        str(entry["event"]),
        is_other_revision=entry["old_revision"] != entry["new_revision"],
        are_other_registers=entry["old_registers"] != entry["new_registers"],
    )


def _check_what_changed(event: str, *, is_other_revision: bool, are_other_registers: bool) -> None:
    if (event == "published") != is_other_revision:
        raise ValueError("old_revision does not fit the event")
    if event != "published" and (event == "registers_changed") != are_other_registers:
        raise ValueError("old_registers does not fit the event")
