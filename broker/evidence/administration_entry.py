"""The evidence entry of an act of administration: which act, on what, what it gave, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_hash,
    is_id,
    is_instant,
    is_keyed_hash,
    is_reference,
    one_of,
    or_empty,
    or_null,
    shaped_bytes,
)

ADMINISTRATION_SCHEMA_VERSION: Final = 1
AdministrationActor: TypeAlias = Literal["operator", "client", "broker"]
TargetKind: TypeAlias = Literal[
    "organisation",
    "client",
    "staff",
    "citizen",
    "consent",
    "complaint",
    "notice",
    "log",
    "entry",
    "statistics",
]
Given: TypeAlias = Literal["organisation", "kind", "scope", "agreement", "grant_type", "until", "manifest"]
ABOUT_A_PERSON: Final = frozenset({"citizen", "consent", "complaint"})
"""Kinds of things that are one citizen's: the entry commits to whose. A notice is, mostly."""
ACTS: Final[Mapping[str, TargetKind]] = {
    "organisation_registered": "organisation",
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
    "complaint_read": "complaint",
    "complaint_acknowledged": "complaint",
    "complaint_answered": "complaint",
    "notice_retried": "notice",
    "log_created": "log",
    "log_recovered": "log",
    "log_closed": "log",
    "emergency_begun": "log",
    "emergency_ended": "log",
    "disclosure_extended": "entry",
    "statistics_frozen": "statistics",
    "statistics_superseded": "statistics",
}
"""Every act, and the kind of thing it is done to. In an emergency releases go on without new checkpoints.

Statistics: a release that tables are counted from. One that is frozen is given the hash of its manifest.
"""

_is_given: Final = one_of(get_args(Given))


def _are_given(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and _is_given(pair[0]) and is_id(pair[1])
        for pair in value
    )


_SHAPE: Final[Shape] = {
    "act": one_of(ACTS),
    "acting_person": or_null(is_keyed_hash),
    "actor": one_of(get_args(AdministrationActor)),
    "at": is_instant,
    "client": or_empty(is_id),
    "data_subject_commit": or_null(is_hash),
    "given": _are_given,
    "reference": is_reference,
    "target": or_empty(is_id),
    "target_kind": one_of(get_args(TargetKind)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What was done to what.

    act: a word of ACTS, which gives the kind of the target. target: the broker's own id of it; of a staff
    member the keyed hash; "" for a citizen, whom the commitment alone names. given: what it has from now on,
    (what, which). client: through which it was done, "" on the broker's own machine. data_subject_commit:
    hex, None where it is no one citizen's matter. acting_person: keyed hash in hex, or None. at: aware UTC.
    """

    reference: str
    at: datetime
    act: str
    target: str
    actor: AdministrationActor
    given: tuple[tuple[Given, str], ...] = ()
    client: str = ""
    data_subject_commit: str | None = None
    acting_person: str | None = None


def administration_entry_bytes(done: Administration) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    members: dict[str, Json] = {
        "act": done.act,
        "acting_person": done.acting_person,
        "actor": done.actor,
        "at": instant_text(done.at),
        "client": done.client,
        "data_subject_commit": done.data_subject_commit,
        "given": done.given,
        "reference": done.reference,
        "target": done.target,
        "target_kind": ACTS.get(done.act),
    }
    content = shaped_bytes("administration", ADMINISTRATION_SCHEMA_VERSION, _SHAPE, members)
    _check_fit(members)
    return content


def check_administration_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "administration", ADMINISTRATION_SCHEMA_VERSION, _SHAPE)
    _check_fit(entry)


def _check_fit(entry: Mapping[str, object]) -> None:
    kind = ACTS[str(entry["act"])]
    if entry["target_kind"] != kind:
        raise ValueError("target_kind does not fit the act")
    if (entry["target"] == "") != (kind == "citizen"):
        raise ValueError("target does not fit the act")
    is_about_a_person = entry["data_subject_commit"] is not None
    if is_about_a_person and kind not in (*ABOUT_A_PERSON, "notice"):
        raise ValueError("data_subject_commit does not fit the act")
    if not is_about_a_person and kind in ABOUT_A_PERSON:
        raise ValueError("data_subject_commit does not fit the act")
    if (entry["client"] != "") != (entry["actor"] == "client"):
        raise ValueError("client does not fit the actor")
