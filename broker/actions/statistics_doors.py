"""The doors of statistical exports: releases, engines, jobs; Protocols beside their consumers.

The values that go through them are the heart's (`broker.statistics.frozen`, `export_job`): storage and
engines make them, and see no verb.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from broker.statistics.cells import CellTable
from broker.statistics.export_job import ExportJob, ExportResult, JobState
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.plan import TablePlan

__all__ = [
    "Engine",
    "ExportJob",
    "ExportResult",
    "FrozenRelease",
    "JobState",
    "JobStore",
    "ReleaseShelf",
]


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
        """Return how many distinct tables count against a release: its own, and of all of its period."""
        ...
