"""The evidence entry of a change of policy: which agreement, from which revision to which, by whom."""

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
PolicyEvent: TypeAlias = Literal["published", "suspended", "resumed"]
PolicyActor: TypeAlias = Literal["operator", "broker"]

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "actor": one_of(get_args(PolicyActor)),
    "agreement": is_code,
    "at": is_instant,
    "event": one_of(get_args(PolicyEvent)),
    "new_revision": is_hash,
    "old_revision": or_empty(is_hash),
    "reference": is_reference,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What happened to an agreement.

    old_revision, new_revision: SHA-256 hex of the revisions; old_revision "" where there was none; both the
    same where it is suspended or resumed. acting_person: keyed hash in hex, or None. at: aware UTC.
    """

    reference: str
    at: datetime
    agreement: str
    event: PolicyEvent
    old_revision: str
    new_revision: str
    actor: PolicyActor
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
            "new_revision": change.new_revision,
            "old_revision": change.old_revision,
            "reference": change.reference,
        },
    )
    _check_revisions(change.event, change.old_revision, change.new_revision)
    return content


def check_policy_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "policy_change", POLICY_SCHEMA_VERSION, _SHAPE)
    _check_revisions(entry["event"], entry["old_revision"], entry["new_revision"])


def _check_revisions(event: object, old: object, new: object) -> None:
    if (event == "published") == (old == new):
        raise ValueError("old_revision does not fit the event")
