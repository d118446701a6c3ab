"""The evidence entry of a statistical export: a question, its table or refusal, and each download of it.

Of a job there is one entry when it is asked, one when it ends, and one for each download; a question that is
refused at the door has one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from broker.evidence.person_keys import key_year
from broker.evidence.recording import EvidenceRow
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_hash,
    is_id,
    is_instant,
    is_keyed_hash,
    is_reference,
    number_within,
    one_of,
    or_null,
    shaped_bytes,
)

EXPORT_SCHEMA_VERSION: Final = 2
"""Version 1 had one entry for what left and none for what was asked; nothing ever wrote it."""
CELLS_MAX: Final = 10**9
ExportStep: TypeAlias = Literal["requested", "released", "refused", "downloaded"]
"""A question is admitted; its table lies ready; nothing leaves; somebody fetches it, whole or in part."""
_QUESTION: Final = ("job", "release", "plan_hash", "format")
_TABLE: Final = ("content_hash", "table_hash", "cell_count", "suppressed_permille")

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "agreement": is_code,
    "agreement_revision": is_hash,
    "at": is_instant,
    "cell_count": or_null(number_within(0, CELLS_MAX)),
    "client": is_id,
    "content_hash": or_null(is_hash),
    "format": or_null(is_code),
    "job": or_null(is_reference),
    "plan_hash": or_null(is_hash),
    "reason": or_null(is_code),
    "recipient": is_id,
    "reference": is_reference,
    "release": or_null(is_code),
    "step": one_of(get_args(ExportStep)),
    "suppressed_permille": or_null(number_within(0, 1000)),
    "table_hash": or_null(is_hash),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One step of an export, about nobody individually.

    job: its UUID, the same in all its entries. release: of the data, such as 2026-q3.1. plan_hash: of the
    question (`TablePlan.hash`). format: code of the package. These four are None only where a question is
    refused before they are known. content_hash: SHA-256 hex of the bytes as they are downloaded. table_hash:
    of the table within. cell_count: margins too; suppressed_permille: how many of a thousand cells are not
    shown; the four of released and downloaded alone. reason: closed code of a refusal alone. acting_person:
    keyed hash in hex, or None. at: aware UTC.
    """

    reference: str
    at: datetime
    step: ExportStep
    client: str
    recipient: str
    agreement: str
    agreement_revision: str
    job: str | None = None
    release: str | None = None
    plan_hash: str | None = None
    format: str | None = None
    content_hash: str | None = None
    table_hash: str | None = None
    cell_count: int | None = None
    suppressed_permille: int | None = None
    reason: str | None = None
    acting_person: str | None = None


def export_entry_bytes(export: Export) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    members: dict[str, Json] = {
        "acting_person": export.acting_person,
        "agreement": export.agreement,
        "agreement_revision": export.agreement_revision,
        "at": instant_text(export.at),
        "cell_count": export.cell_count,
        "client": export.client,
        "content_hash": export.content_hash,
        "format": export.format,
        "job": export.job,
        "plan_hash": export.plan_hash,
        "reason": export.reason,
        "recipient": export.recipient,
        "reference": export.reference,
        "release": export.release,
        "step": export.step,
        "suppressed_permille": export.suppressed_permille,
        "table_hash": export.table_hash,
    }
    content = shaped_bytes("export", EXPORT_SCHEMA_VERSION, _SHAPE, members)
    _check_step(members)
    return content


def export_row(export: Export) -> EvidenceRow:
    """Return the row of an entry: it is about nobody, and commits to nothing. Raises ValueError."""
    return EvidenceRow(
        reference=export.reference,
        kind="export",
        entry=export_entry_bytes(export),
        year=key_year(export.at),
        data_subject_ref=None,
        data_subject_salt=None,
        payload_salt=None,
    )


def check_export_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "export", EXPORT_SCHEMA_VERSION, _SHAPE)
    _check_step(entry)


def _check_step(entry: Mapping[str, object]) -> None:
    step = entry["step"]
    asked = [entry[name] is not None for name in _QUESTION]
    told = [entry[name] is not None for name in _TABLE]
    if not all(asked) and (step != "refused" or entry["job"] is not None):
        raise ValueError("step does not fit: a job has a release, a plan and a format")
    if entry["plan_hash"] is not None and entry["release"] is None:
        raise ValueError("step does not fit: a plan is of a release")
    if not (all(told) if step in ("released", "downloaded") else not any(told)):
        raise ValueError("step does not fit: what is released has a table, and nothing else has")
    if (entry["reason"] is not None) != (step == "refused"):
        raise ValueError("step does not fit: a refusal has a reason, and nothing else has")
