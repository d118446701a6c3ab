"""The doors of statistical exports: releases, engines, jobs; Protocols beside their consumers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from broker.statistics.cells import CellTable
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.plan import TablePlan

JobState: TypeAlias = Literal["waiting", "running", "done", "refused", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class FrozenRelease:
    """A release that answers. directory: where its files lie. is_open: new tables may be asked for.

    secret_table: 32 bytes that key the noise; perturbation: table name (`table_csv.table_name`) → CSV.
    """

    manifest: ReleaseManifest
    directory: str
    is_open: bool
    secret_table: bytes
    perturbation: Mapping[str, str]

    def __repr__(self) -> str:
        return f"FrozenRelease({self.manifest.release})"


class ReleaseShelf(Protocol):
    """All releases. Methods raise StoreUnavailable."""

    def find_release(self, release: str) -> FrozenRelease | None:
        """Return a frozen release."""
        ...

    def iterate_manifests(self) -> Sequence[tuple[ReleaseManifest, bool]]:
        """Return all frozen releases, newest first, and whether each is open."""
        ...


class Engine(Protocol):
    """Counts a release: a program of its own that has the files or the same rows."""

    def count(self, release: FrozenRelease, plan: TablePlan, on_share: Callable[[float], None]) -> CellTable:
        """Return the partial aggregates of a plan's cells and all its margins.

        on_share: told from 0 to 1 how much is done; whatever it raises ends the counting. Raises
        SourceUnavailable where the engine is away, StatisticsRefused("cells_malformed").
        """
        ...


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


class JobStore(Protocol):
    """Jobs as the resource server needs them. Methods raise StoreUnavailable."""

    def admit(self, job: ExportJob, release: ReleaseManifest, plan: TablePlan) -> bool:
        """Keep a job, in one transaction with the release's cap; return whether its table is a new one.

        Questions to one release come one after the other. A job that asks what the same client has in hand
        or ready, in the same format and for the same key, is kept all the same. Raises StatisticsRefused as
        `release_cap.may_release` does, also where the auditor has refused this very table before.
        """
        ...

    def find_job(self, job_id: str, client_id: str) -> ExportJob | None:
        """Return a client's own job; another client's is none."""
        ...

    def cancel(self, job_id: str, client_id: str, now: datetime) -> ExportJob | None:
        """Cancel a client's own job that has not ended, and return how it stands now."""
        ...

    def read_result(self, job_id: str, client_id: str, start: int, end: int, now: datetime) -> bytes | None:
        """Return bytes start <= n < end of a result, or None where there is none (any more)."""
        ...

    def count_tables(self, release: str) -> int:
        """Return how many distinct tables of a release are taken."""
        ...
