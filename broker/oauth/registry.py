"""What the register of organisations, clients and staff says: plain values, without SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FACILITY_CODE: Final = re.compile(r"[0-9A-Z]{5,13}")
"""Shape of a health facility's code, such as 79001. Which of them exist is in no source of ours."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the register says of a client and its organisation; the record station has the last word."""

    client_id: str
    organisation_id: str
    organisation_kind: str
    facility_code: str | None
    agreement_ids: tuple[str, ...]
