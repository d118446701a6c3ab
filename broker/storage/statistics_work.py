"""Jobs of statistical exports as workers need them: taken by one at a time, ended exactly once.

A job that a worker has in hand has a token and an instant until when nobody else takes it; so has its period,
in which therefore one table is made at a time, and held against all that were released before. A worker that
was killed lets both lapse, and another one takes the job up; the token says which of the two may end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, func, or_

from broker.evidence.recording import EvidenceRow
from broker.statistics.export_answer import AUDITORS, ExportAnswer, JobFault
from broker.statistics.export_job import ExportJob
from broker.statistics.reasons import Reason
from broker.storage.acts import record_evidence
from broker.storage.faults import store_answers
from broker.storage.openings import SealedOpening
from broker.storage.statistics_kept import KeptTables
from broker.storage.statistics_rows import (
    KEPT,
    UNDER_WAY,
    give_back,
    job_of,
    jobs_with_tables,
    lock_period,
)
from broker.storage.tables import statistics_jobs, statistics_periods, statistics_tables

LEASE: Final = timedelta(seconds=120)
"""How long a worker has a job for itself: more than any round of its other jobs takes."""
TRIES: Final = 3
AGAIN_AFTER: Final = timedelta(seconds=30)
Held: TypeAlias = Literal["held", "cancelled", "lost"]
_j: Final = statistics_jobs.c
_t: Final = statistics_tables.c
_p: Final = statistics_periods.c


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenJob:
    """A job that one worker alone may end. try_count: this try included.

    refused: what the auditor said of its table meanwhile, "" for nothing.
    """

    job: ExportJob
    period: str
    token: str
    try_count: int
    refused: str


class PostgresWork:
    """Gives jobs to workers and takes their ends. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine, kept: KeptTables) -> None:
        self._engine = engine
        self._kept = kept

    def take(self, now: datetime) -> TakenJob | None:
        """Take the job that has waited longest of those in whose period nothing is under way.

        One that was begun as often as a job is tried, and never ended, failed: it may be what kills workers.
        """
        while True:
            with store_answers(), self._engine.begin() as connection:
                row = connection.execute(_due(now)).one_or_none()
                if row is None:
                    return None
                if row.try_count < TRIES:
                    return _taken(connection, row, now)
                _end(connection, row.job_id, state="failed", reason="worker_lost", finished_at=now)
                give_back(connection, row.plan_hash)

    def renew(self, taken: TakenJob, percent: int, now: datetime) -> Held:
        """Keep a job for longer and tell how far it is; say whether it is still this worker's.

        "cancelled": the asker does not want it any more, and its period is free. "lost": another worker has
        it, or had it.
        """
        with store_answers(), self._engine.begin() as connection:
            if not _holds(connection, taken, until=now + LEASE):
                return "lost"
            renewed = _own(taken).values(
                leased_until=now + LEASE, percent=func.greatest(_j.percent, min(max(percent, 0), 99))
            )
            if connection.execute(renewed).rowcount:
                return "held"
            _free(connection, taken)
            return "cancelled"

    def finish(self, taken: TakenJob, answer: ExportAnswer, row: EvidenceRow, now: datetime) -> bool:
        """End a job with its result; False, and nothing is changed, if it is no longer this worker's.

        In one transaction: the table is released, its aggregates sealed, the result kept, evidence written.
        A crash before the commit leaves the job to be taken again, one after it leaves nothing to be done.
        """
        result = answer.result()
        key, key_encrypted = self._kept.new_result_key(taken.job.job_id)
        changed: dict[str, Any] = {name: getattr(result, name) for name in result.__dataclass_fields__}
        with store_answers(), self._engine.begin() as connection:
            if not self._ended(
                connection, taken, state="done", percent=100, finished_at=now, expires_at=now + KEPT,
                key_encrypted=key_encrypted, **changed,
            ):  # fmt: skip
                return False
            self._kept.keep_table(connection, taken.job, answer, now)
            self._kept.keep_result(connection, taken.job.job_id, key, answer.content)
            record_evidence(connection, row, SealedOpening(row.year, None, None))
        return True

    def refuse(self, taken: TakenJob, reason: Reason, row: EvidenceRow, now: datetime) -> bool:
        """End a job that the heart refused, with evidence; what the auditor says of a table stands.

        False, and nothing is changed, if it is no longer this worker's.
        """
        with store_answers(), self._engine.begin() as connection:
            if not self._ended(connection, taken, state="refused", reason=reason, finished_at=now):
                return False
            if reason in AUDITORS:
                connection.execute(
                    statistics_tables.update()
                    .where(_t.plan_hash == taken.job.plan_hash, _t.state == "reserved")
                    .values(state="refused", reason=reason)
                )
            give_back(connection, taken.job.plan_hash)
            record_evidence(connection, row, SealedOpening(row.year, None, None))
        return True

    def fail(self, taken: TakenJob, reason: JobFault, now: datetime) -> bool:
        """Let a job that failed be tried again a little later, or end it for good after the last try.

        False, and nothing is changed, if it is no longer this worker's.
        """
        with store_answers(), self._engine.begin() as connection:
            if taken.try_count < TRIES:
                again = now + AGAIN_AFTER * taken.try_count
                return self._ended(connection, taken, state="waiting", leased_until=again)
            if not self._ended(connection, taken, state="failed", reason=reason, finished_at=now):
                return False
            give_back(connection, taken.job.plan_hash)
        return True

    def hand_back(self, taken: TakenJob) -> bool:
        """Let another worker take a job at once, without counting this try: this one is told to stop."""
        with store_answers(), self._engine.begin() as connection:
            return self._ended(connection, taken, state="waiting", try_count=taken.try_count - 1)

    def _ended(self, connection: Connection, taken: TakenJob, **values: Any) -> bool:
        """Take a job out of this worker's hand, if it is in it, and free its period."""
        if not _holds(connection, taken):
            return False
        is_own = connection.execute(_own(taken).values({"lease_token": None, "leased_until": None, **values}))
        _free(connection, taken)
        return is_own.rowcount == 1


def _due(now: datetime) -> Any:
    """Return the statement that finds and locks a job and its period; whoever waits for nobody, locks both.

    A period that another worker took just now is looked at again once its row is locked, and left out.
    """
    statement = jobs_with_tables().add_columns(_t.reason.label("table_reason"), _t.state.label("table_state"))
    return (
        statement.join(statistics_periods, _p.period == _t.period)
        .where(
            _j.state.in_(UNDER_WAY),
            or_(_j.leased_until.is_(None), _j.leased_until <= now),
            or_(_p.busy_until.is_(None), _p.busy_until <= now),
        )
        .order_by(_j.requested_at, _j.job_id)
        .limit(1)
        .with_for_update(of=[statistics_jobs, statistics_periods], skip_locked=True)
    )


def _taken(connection: Connection, row: Any, now: datetime) -> TakenJob:
    token, until = uuid4(), now + LEASE
    _end(
        connection, row.job_id, state="running", lease_token=token, leased_until=until,
        try_count=row.try_count + 1,
    )  # fmt: skip
    connection.execute(
        statistics_periods.update().where(_p.period == row.period).values(busy_token=token, busy_until=until)
    )
    return TakenJob(
        job=job_of(row),
        period=row.period,
        token=str(token),
        try_count=row.try_count + 1,
        refused=row.table_reason if row.table_state == "refused" else "",
    )


def _end(connection: Connection, job_id: UUID, **values: Any) -> None:
    changed = {"lease_token": None, "leased_until": None, **values}
    connection.execute(statistics_jobs.update().where(_j.job_id == job_id).values(changed))


def _own(taken: TakenJob) -> Any:
    return statistics_jobs.update().where(
        _j.job_id == UUID(taken.job.job_id), _j.lease_token == UUID(taken.token)
    )


def _holds(connection: Connection, taken: TakenJob, until: datetime | None = None) -> bool:
    """Lock the period and return whether this worker has it in hand. until: how long from now on."""
    if lock_period(connection, taken.period) != UUID(taken.token):
        return False
    if until is not None:
        connection.execute(_period(taken).values(busy_until=until))
    return True


def _free(connection: Connection, taken: TakenJob) -> None:
    connection.execute(_period(taken).values(busy_token=None, busy_until=None))


def _period(taken: TakenJob) -> Any:
    return statistics_periods.update().where(_p.period == taken.period)
