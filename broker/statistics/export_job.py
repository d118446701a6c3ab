"""One question for a table on its way, and what lies ready of it: values between verbs, store and faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

JobState: TypeAlias = Literal["waiting", "running", "done", "refused", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What lies ready. content_hash: SHA-256 hex of the bytes as they are downloaded; also their ETag.

    table_hash: of the table that is within (`OutputTable.hash`).
    """

    media_type: str
    file_name: str
    bytes_count: int
    content_hash: str
    table_hash: str
    cell_count: int
    suppressed_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """One question of one client on its way. Instants aware UTC.

    job_id, reference: UUIDv7 texts, the second one of the evidence of the question. plan: canonical JSON.
    recipient_key: public JWK to encrypt to, or None. percent: 0 to 100. reason: a closed code where refused
    or failed, else "". expires_at: when the result is deleted, None until it is there.
    """

    job_id: str
    reference: str
    client_id: str
    recipient: str
    agreement: str
    agreement_revision: str
    acting_person: str | None
    release: str
    plan: str
    plan_hash: str
    format: str
    recipient_key: Mapping[str, Any] | None
    state: JobState
    percent: int
    reason: str
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    result: ExportResult | None
