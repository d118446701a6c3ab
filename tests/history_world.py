"""Entries of evidence made up for tests of the history: any number, about anybody, in any month."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import EvidenceRow
from tests.release_world import World

_ENTRY = text(
    "INSERT INTO evidence_entries (reference, kind, entry) VALUES (CAST(:reference AS uuid), :kind, :entry)"
)
_OPENING = text(
    "INSERT INTO evidence_openings (reference, key_year, person_link)"
    " VALUES (CAST(:reference AS uuid), :year, :link)"
)


def reference_at(at: datetime, number: int) -> str:
    """Return a UUIDv7 of an instant (RFC 9562, 5.7); number tells those of one millisecond apart."""
    value = int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | number
    return str(UUID(int=value))


@dataclass(frozen=True)
class Told:
    """One entry to be made up. ref: keyed hash of whom it is about."""

    reference: str
    at: datetime
    ref: bytes
    recipient: str
    result: str = "released"
    reason: str = ""
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        return "release" if self.result in ("released", "answered_without_data") else "refusal"

    def content(self) -> bytes:
        circumstances = {
            "reference": self.reference,
            "request_id": self.reference,
            "at": self.at,
            "client": f"{self.recipient}-client",
            "recipient": self.recipient,
            "acting_person": None,
            "encounter": None,
            "action": "verify_entitlement",
            "purpose": "check_entitlement",
            "legal_basis": "L1",
            "agreement": "hospital_entitlement_check",
            "agreement_revision": "0" * 64,
            **dict(self.changes),
        }
        released = (("valid_to", "value"), ("hi_card", "masked_keep_last"))
        outcome = Outcome(
            kind=self.kind,  # type: ignore[arg-type]
            result=self.result,  # type: ignore[arg-type]
            reason=self.reason,
            released=released if self.result == "released" else (),
        )
        return entry_bytes(Circumstances(**circumstances), outcome)


def keep(world: World, told: Iterable[Told]) -> None:
    """Put entries into the log as if they had happened."""
    told = list(told)
    rows = [{"reference": one.reference, "kind": one.kind, "entry": one.content()} for one in told]
    links = [world.openings.seal(_row(one)) for one in told]
    sealed = [
        {"reference": one.reference, "year": opening.key_year, "link": opening.person_link}
        for one, opening in zip(told, links, strict=True)
    ]
    with world.owner.begin() as connection:
        connection.execute(_ENTRY, rows)
        connection.execute(_OPENING, sealed)


def _row(told: Told) -> EvidenceRow:
    kind: Literal["release", "refusal"] = "release" if told.kind == "release" else "refusal"
    return EvidenceRow(told.reference, kind, told.content(), key_year(told.at), told.ref, None, None)
