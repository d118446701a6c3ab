"""Jobs of statistical exports as the resource server needs them, and the durable cap on tables.

Whoever asks locks the row of the release's period: of questions at the same instant, from any number of
servers, one after the other is held against all tables that are out or promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from broker.oauth.statistics_secrets import ExportKeySeal, open_piece
from broker.statistics.export_job import ExportJob
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.plan import TablePlan
from broker.statistics.plan_parse import kept_plan
from broker.statistics.reasons import Reason, StatisticsRefused
from broker.statistics.release_cap import may_release
from broker.storage.faults import store_answers
from broker.storage.statistics_names import name_of_result
from broker.storage.statistics_rows import (
    CHUNK_BYTES,
    COUNTED_STATES,
    TAKEN_STATES,
    UNDER_WAY,
    give_back,
    job_of,
    jobs_with_tables,
    lock_period,
)
from broker.storage.tables import (
    statistics_chunks,
    statistics_jobs,
    statistics_periods,
    statistics_releases,
    statistics_tables,
)

_j: Final = statistics_jobs.c
_t: Final = statistics_tables.c
_c: Final = statistics_chunks.c
_r: Final = statistics_releases.c


class PostgresJobs:
    """Keeps jobs; a `broker.actions.statistics_doors.JobStore`. All methods raise StoreUnavailable."""

    def __init__(self, engine: Engine, key_encryption_key: bytes) -> None:
        self._engine = engine
        self._keys = ExportKeySeal(key_encryption_key)

    def admit(self, job: ExportJob, release: ReleaseManifest, plan: TablePlan) -> bool:
        """Keep a waiting job if its table may be answered; return whether the table is a new one.

        Tables of all releases of the period count. A crash before the commit leaves neither job nor place
        taken, one after it both. Raises StatisticsRefused: of `may_release`, what the auditor said of this
        very table, or release_closed where the release was superseded meanwhile.
        """
        if (job.plan, job.plan_hash, job.state) != (plan.canonical(), plan.hash, "waiting"):
            raise ValueError("a job waits when it is admitted, and is of its plan")
        once = insert(statistics_periods).values(period=release.period).on_conflict_do_nothing()
        with store_answers(), self._engine.begin() as connection:
            connection.execute(once)
            lock_period(connection, release.period)
            is_new = _judged(connection, release, plan)
            if is_new:
                connection.execute(_reserved(job, release))
            connection.execute(statistics_jobs.insert().values(**_values(job)))
        return is_new

    def find_job(self, job_id: str, client_id: str) -> ExportJob | None:
        """Return a client's own job; another client's is none."""
        with store_answers(), self._engine.connect() as connection:
            return _find(connection, job_id, client_id)

    def cancel(self, job_id: str, client_id: str, now: datetime) -> ExportJob | None:
        """Cancel a client's own job that has not ended, and return how it stands now.

        A worker that has it in hand learns of it when it renews its lease; what it made is thrown away.
        """
        statement = jobs_with_tables().where(_j.job_id == UUID(job_id), _j.client_id == client_id)
        cancelled = (
            statistics_jobs.update()
            .where(_j.job_id == UUID(job_id), _j.state.in_(UNDER_WAY))
            .values(state="cancelled", finished_at=now, lease_token=None, leased_until=None)
        )
        with store_answers(), self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            lock_period(connection, row.period)
            if connection.execute(cancelled).rowcount:
                give_back(connection, row.plan_hash)
            return _find(connection, job_id, client_id)

    def read_result(self, job_id: str, client_id: str, start: int, end: int, now: datetime) -> bytes | None:
        """Return bytes start <= n < end of a result, or None where there is none (any more).

        Raises ExportSecretUnreadable where what is kept was changed or is under another key.
        """
        wanted = select(_j.key_encrypted, _j.bytes_count).where(
            _j.job_id == UUID(job_id),
            _j.client_id == client_id,
            _j.state == "done",
            _j.expires_at > now,
            _j.key_encrypted.is_not(None),
        )
        first, last = start // CHUNK_BYTES, max(start, end - 1) // CHUNK_BYTES
        pieces = (
            select(_c.number, _c.sealed)
            .where(_c.job_id == UUID(job_id), _c.number.between(first, last))
            .order_by(_c.number)
        )
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None or not 0 <= start <= end <= row.bytes_count:
                return None
            sealed = connection.execute(pieces).all() if start < end else []
        name = name_of_result(job_id)
        key = self._keys.open(name, bytes(row.key_encrypted))
        content = b"".join(open_piece(key, name, one.number, bytes(one.sealed)) for one in sealed)
        content = content[start - first * CHUNK_BYTES : end - first * CHUNK_BYTES]
        # A piece that the cleaning took away in between: there is no result any more.
        return content if len(content) == end - start else None

    def count_tables(self, release: str) -> int:
        """Return how many distinct tables are taken that count against a release: all of its period.

        release: its code, which begins with the period.
        """
        period = release.rpartition(".")[0]
        counted = select(func.count()).where(_t.period == period, _t.state.in_(COUNTED_STATES))
        with store_answers(), self._engine.connect() as connection:
            return int(connection.execute(counted).scalar_one())

    def backlog(self, now: datetime) -> Mapping[str, int]:
        """Return how many jobs wait or run, and since when the oldest one does, in seconds."""
        waiting = select(func.count(), func.min(_j.requested_at)).where(_j.state.in_(UNDER_WAY))
        with store_answers(), self._engine.connect() as connection:
            count, oldest = connection.execute(waiting).one()
        seconds = 0 if oldest is None else max(0, int((now - oldest).total_seconds()))
        return {"exports_waiting": count, "exports_oldest_seconds": seconds}


def _find(connection: Connection, job_id: str, client_id: str) -> ExportJob | None:
    statement = jobs_with_tables().where(_j.job_id == UUID(job_id), _j.client_id == client_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else job_of(row)


def _judged(connection: Connection, release: ReleaseManifest, plan: TablePlan) -> bool:
    """Return whether a table is a new one, held against all that are taken; the period is locked."""
    closed = select(_r.release).where(_r.release == release.release, _r.state == "superseded")
    if connection.execute(closed).first() is not None:
        # It was open when it was looked up; whoever closes it locks the period too.
        raise StatisticsRefused("release_closed", "the catalogue lists those that are open")
    refused = select(_t.reason).where(_t.plan_hash == plan.hash, _t.state == "refused")
    reason = connection.execute(refused).scalar_one_or_none()
    if reason is not None:
        raise StatisticsRefused(cast(Reason, reason), "this very table was asked for before")
    taken = select(_t.plan).where(_t.period == release.period, _t.state.in_(TAKEN_STATES))
    plans = [kept_plan(text) for text in connection.execute(taken).scalars()]
    own = [one for one in plans if one.release == release.release]
    others = [one for one in plans if one.release != release.release]
    said_no = select(func.count()).where(_t.period == release.period, _t.state == "refused")
    refused_count = int(connection.execute(said_no).scalar_one())
    return may_release(release.registry, plan, own, others, refused_count).is_new


def _reserved(job: ExportJob, release: ReleaseManifest) -> Any:
    """Return the statement that takes a place for a table, or takes one again that was given back."""
    statement = insert(statistics_tables).values(
        plan_hash=job.plan_hash,
        period=release.period,
        release=job.release,
        plan=job.plan,
        state="reserved",
        asked_at=job.requested_at,
    )
    again = {"state": "reserved", "asked_at": job.requested_at}
    return statement.on_conflict_do_update(
        index_elements=[_t.plan_hash], set_=again, where=_t.state == "returned"
    )


def _values(job: ExportJob) -> dict[str, Any]:
    return {
        "job_id": UUID(job.job_id),
        "reference": UUID(job.reference),
        "client_id": job.client_id,
        "recipient": job.recipient,
        "agreement": job.agreement,
        "agreement_revision": job.agreement_revision,
        "acting_person": job.acting_person,
        "plan_hash": job.plan_hash,
        "format": job.format,
        "recipient_key": None if job.recipient_key is None else dict(job.recipient_key),
        "state": "waiting",
        "requested_at": job.requested_at,
    }
