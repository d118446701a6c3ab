"""Statistical exports: tables that were answered, with their sealed aggregates; jobs; sealed results.

Revision 0013, after 0012. Expands only: code of the revision before knows no exports.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statistics_periods",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("busy_token", sa.Uuid(), nullable=True),
        sa.Column("busy_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_statistics_periods")),
    )
    _create_tables()
    _create_jobs()
    op.create_table(
        "statistics_chunks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["statistics_jobs.job_id"],
            name=op.f("fk_statistics_chunks_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_statistics_chunks")),
    )


def downgrade() -> None:
    op.drop_table("statistics_chunks")
    op.drop_table("statistics_jobs")
    op.drop_table("statistics_tables")
    op.drop_table("statistics_periods")


def _create_tables() -> None:
    op.create_table(
        "statistics_tables",
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("cells_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("table_hash", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('reserved', 'released', 'refused', 'returned')",
            name=op.f("ck_statistics_tables_state"),
        ),
        sa.CheckConstraint(
            "(state = 'released') = (cells_sealed IS NOT NULL AND key_encrypted IS NOT NULL"
            " AND table_hash IS NOT NULL AND released_at IS NOT NULL)",
            name=op.f("ck_statistics_tables_released"),
        ),
        sa.ForeignKeyConstraint(
            ["period"], ["statistics_periods.period"], name=op.f("fk_statistics_tables_period")
        ),
        sa.PrimaryKeyConstraint("plan_hash", name=op.f("pk_statistics_tables")),
    )
    op.create_index(op.f("ix_statistics_tables_period"), "statistics_tables", ["period"])


def _create_jobs() -> None:
    op.create_table(
        "statistics_jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Text(), nullable=False),
        sa.Column("agreement_revision", sa.Text(), nullable=False),
        sa.Column("acting_person", sa.Text(), nullable=True),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("recipient_key", JSONB(none_as_null=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("percent", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("try_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("bytes_count", sa.BigInteger(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("table_hash", sa.Text(), nullable=True),
        sa.Column("cell_count", sa.Integer(), nullable=True),
        sa.Column("suppressed_permille", sa.SmallInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'refused', 'failed', 'cancelled')",
            name=op.f("ck_statistics_jobs_state"),
        ),
        sa.CheckConstraint("percent BETWEEN 0 AND 100", name=op.f("ck_statistics_jobs_percent")),
        sa.CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)", name=op.f("ck_statistics_jobs_lease")
        ),
        sa.CheckConstraint(
            "(state IN ('waiting', 'running')) = (finished_at IS NULL)",
            name=op.f("ck_statistics_jobs_finished"),
        ),
        sa.CheckConstraint(
            "(state = 'done') = (expires_at IS NOT NULL)", name=op.f("ck_statistics_jobs_result")
        ),
        sa.ForeignKeyConstraint(
            ["plan_hash"], ["statistics_tables.plan_hash"], name=op.f("fk_statistics_jobs_plan_hash")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_statistics_jobs")),
    )
    op.create_index(op.f("ix_statistics_jobs_plan_hash"), "statistics_jobs", ["plan_hash"])
    for column, where in (
        ("requested_at", "state IN ('waiting', 'running')"),
        ("expires_at", "key_encrypted IS NOT NULL"),
        ("finished_at", "finished_at IS NOT NULL"),
    ):
        op.create_index(
            f"ix_statistics_jobs_{column}", "statistics_jobs", [column], postgresql_where=sa.text(where)
        )
