"""What the askers' and the workers' side of statistical exports have in common: rows, locks, reservations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, exists, select

from broker.statistics.export_job import ExportJob, ExportResult
from broker.storage.tables import statistics_jobs, statistics_periods, statistics_tables

CHUNK_BYTES: Final = 1024 * 1024
KEPT: Final = timedelta(days=7)
"""How long a result may be downloaded; then it is deleted, and readable no more even before."""
TAKEN_STATES: Final = ("reserved", "released")
"""Of a table that is out or promised: what a new one is held against."""
COUNTED_STATES: Final = (*TAKEN_STATES, "refused")
"""Of a table that counts against the limit. What the auditor refused counts: his word was an answer."""
UNDER_WAY: Final = ("waiting", "running")
_j: Final = statistics_jobs.c
_t: Final = statistics_tables.c


def jobs_with_tables() -> Select[Any]:
    """Return the statement that gives rows for `job_of`; further columns may be added to it."""
    own = [column for column in statistics_jobs.columns if column.name != "key_encrypted"]
    joined = statistics_jobs.join(statistics_tables, _j.plan_hash == _t.plan_hash)
    return select(*own, _t.release, _t.plan, _t.period).select_from(joined)


def job_of(row: Any) -> ExportJob:
    """Return the job in a row of `jobs_with_tables`."""
    result = None
    if row.state == "done":
        result = ExportResult(
            media_type=row.media_type,
            file_name=row.file_name,
            bytes_count=row.bytes_count,
            content_hash=row.content_hash,
            table_hash=row.table_hash,
            cell_count=row.cell_count,
            suppressed_permille=row.suppressed_permille,
        )
    return ExportJob(
        job_id=str(row.job_id),
        reference=str(row.reference),
        client_id=row.client_id,
        recipient=row.recipient,
        agreement=row.agreement,
        agreement_revision=row.agreement_revision,
        acting_person=row.acting_person,
        release=row.release,
        plan=row.plan,
        plan_hash=row.plan_hash,
        format=row.format,
        recipient_key=row.recipient_key,
        state=row.state,
        percent=row.percent,
        reason=row.reason,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        result=result,
    )


def lock_period(connection: Connection, period: str) -> UUID | None:
    """Wait until nobody else asks or ends anything in a period; return whose worker has it in hand, if any.

    Taken before any row of a job or table, by everybody: so no two wait for each other. A row lock of an
    ordinary row, which a distributed PostgreSQL has too; it ends with the transaction.
    """
    row = statistics_periods.c
    statement = select(row.busy_token).where(row.period == period).with_for_update()
    found: UUID | None = connection.execute(statement).scalar_one()
    return found


def give_back(connection: Connection, plan_hash: str) -> None:
    """Give a table's place back that is reserved and that no job asks for any more.

    The period is locked, and the job that ended is no longer under way.
    """
    asked = exists().where(_j.plan_hash == plan_hash, _j.state.in_(UNDER_WAY))
    connection.execute(
        statistics_tables.update()
        .where(_t.plan_hash == plan_hash, _t.state == "reserved", ~asked)
        .values(state="returned")
    )
