"""The evidence entry of a statistical export: which tables left, in which format, what was suppressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_hash,
    is_instant,
    is_keyed_hash,
    is_reference,
    number_within,
    or_null,
    shaped_bytes,
)

EXPORT_SCHEMA_VERSION: Final = 1
CELLS_MAX: Final = 10**9

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "agreement": is_code,
    "agreement_revision": is_hash,
    "at": is_instant,
    "cell_count": number_within(0, CELLS_MAX),
    "format": is_code,
    "recipient": is_code,
    "reference": is_reference,
    "release": is_code,
    "suppressed_permille": number_within(0, 1000),
    "tables_hash": is_hash,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What left as statistics, about nobody individually.

    release: id of the statistical release. tables_hash: SHA-256 hex of the bytes that left. format: its
    code. cell_count: of all tables; suppressed_permille: how many of a thousand are not shown.
    acting_person: keyed hash in hex, or None. at: aware UTC.
    """

    reference: str
    at: datetime
    release: str
    recipient: str
    agreement: str
    agreement_revision: str
    tables_hash: str
    format: str
    cell_count: int
    suppressed_permille: int
    acting_person: str | None = None


def export_entry_bytes(export: Export) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    return shaped_bytes(
        "export",
        EXPORT_SCHEMA_VERSION,
        _SHAPE,
        {
            "acting_person": export.acting_person,
            "agreement": export.agreement,
            "agreement_revision": export.agreement_revision,
            "at": instant_text(export.at),
            "cell_count": export.cell_count,
            "format": export.format,
            "recipient": export.recipient,
            "reference": export.reference,
            "release": export.release,
            "suppressed_permille": export.suppressed_permille,
            "tables_hash": export.tables_hash,
        },
    )


def check_export_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "export", EXPORT_SCHEMA_VERSION, _SHAPE)
