"""A worker process of tests: the worker's own loop and job, on a release whose files lie in a directory.

python -m tests.exports_worker_process DATABASE_URL DIRECTORY
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.app import new_reference
from broker.cli.standing import json_line, stopped_by_signals
from broker.cli.statistics_worker import Bounds, ExportsJob
from broker.cli.worker import Job, Worker
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseManifest
from broker.storage.session import open_store
from broker.storage.statistics_kept import KeptTables
from broker.storage.statistics_work import PostgresWork
from tests.exports_child import ScriptedDoors
from tests.oauth_world import KEY_ENCRYPTION_KEY


@dataclass(frozen=True)
class OneRelease:
    """A shelf with one release on it."""

    release: FrozenRelease

    def find_release(self, release: str) -> FrozenRelease | None:
        return self.release if release == self.release.manifest.release else None

    def iterate_manifests(self) -> Sequence[tuple[ReleaseManifest, bool]]:
        return [(self.release.manifest, True)]


def main() -> None:
    database_url, directory = sys.argv[1], Path(sys.argv[2])
    release, cells, script = pickle.loads((directory / "given").read_bytes())  # noqa: S301 - a test's own
    store = open_store(database_url, deadline_seconds=60.0)
    kept = KeptTables(store.engine, KEY_ENCRYPTION_KEY)
    job = ExportsJob(
        PostgresWork(store.engine, kept),
        OneRelease(release),
        kept,
        Bounds(seconds=600.0, memory_mb=2048),
        lambda _job: ScriptedDoors(script, directory, cells),
        lambda: datetime.now(UTC),
        new_reference,
    )
    standing = Job("statistics", 0.1, job.run, lambda counts: job.is_busy or bool(counts), job.end)
    worker = Worker([standing], json_line, dict)
    with stopped_by_signals(worker.stop):
        worker.run()
    store.close()


if __name__ == "__main__":
    main()
