"""Both sides of the store of statistical exports, and jobs that go from one to the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from broker.actions.statistics_doors import JobStore
from broker.statistics.export_job import ExportJob
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.plan import TablePlan
from broker.storage.statistics_jobs import PostgresJobs
from broker.storage.statistics_kept import KeptTables
from broker.storage.statistics_work import PostgresWork, TakenJob
from tests.exports_world import answer_of, counted, evidence_row, job_of_plan
from tests.oauth_world import KEY_ENCRYPTION_KEY


class Shelf:
    """Both sides of the store, on an engine whose statements have all the time that they want."""

    def __init__(self, engine: Engine, key: bytes = KEY_ENCRYPTION_KEY) -> None:
        self.engine = engine
        self.jobs = PostgresJobs(engine, key)
        self.door: JobStore = self.jobs
        self.kept = KeptTables(engine, key)
        self.work = PostgresWork(engine, self.kept)

    def ask(self, release: ReleaseManifest, plan: TablePlan, **changed: Any) -> ExportJob:
        job = job_of_plan(plan, **changed)
        self.jobs.admit(job, release, plan)
        return job

    def taken(self, now: datetime | None = None) -> TakenJob:
        found = self.work.take(now or datetime.now(UTC))
        assert found is not None
        return found

    def answered(
        self, release: ReleaseManifest, plan: TablePlan, content: bytes = b"a package", **changed: Any
    ) -> ExportJob:
        """Ask for a table and answer it."""
        job = self.ask(release, plan, **changed)
        taken, now = self.taken(), datetime.now(UTC)
        assert taken.job.job_id == job.job_id
        is_new = plan.hash not in [one.plan.hash for one in self.kept.tables_of(plan.release)]
        answer = answer_of(plan, content, counted(release, plan) if is_new else None)
        assert self.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
        found = self.jobs.find_job(job.job_id, job.client_id)
        assert found is not None
        return found

    def states(self) -> dict[str, str]:
        """Return the state of every table, by the first letters of its plan's hash."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT plan_hash, state FROM statistics_tables")).all()
        return {row.plan_hash[:8]: row.state for row in rows}
