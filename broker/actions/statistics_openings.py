"""What an agreement opens of statistics, and what lies ready of a job: between the verb and its face."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.errors import ExportNotReady
from broker.statistics.export_job import ExportJob, ExportResult
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.narrowing import Opened
from policies.model import Agreement

WAITING_SECONDS: Final = 2
"""After how many seconds it makes sense to look at a job again."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client may have tables of. fields: of the catalogue, that may leave as aggregates."""

    agreement: Agreement
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class OpenRelease:
    """A release as the catalogue tells it. part: what of it is open under the agreement.

    is_strict_enough: whether it keeps the protection that the agreement asks for. tables_taken: of the cap.
    """

    manifest: ReleaseManifest
    part: Opened
    is_open: bool
    is_strict_enough: bool
    tables_taken: int


def ready_result(job: ExportJob, now: datetime) -> ExportResult:
    """Return what lies ready of a job. Raises ExportNotReady."""
    if job.state in ("waiting", "running"):
        raise ExportNotReady(job.state, WAITING_SECONDS)
    if job.state != "done":
        raise ExportNotReady(job.state)
    if job.result is None or job.expires_at is None or job.expires_at <= now:
        raise ExportNotReady("expired")
    return job.result
