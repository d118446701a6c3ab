"""What the register of organisations, clients and staff says: plain values, without SQL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the register says of a client and its organisation; the record station has the last word."""

    client_id: str
    organisation_id: str
    organisation_kind: str
    facility_code: str | None
    agreement_ids: tuple[str, ...]
