"""Tables of statistical exports: which tables a period's releases have answered, jobs, and their results."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from broker.storage.columns import instant, metadata

statistics_periods = Table(
    "statistics_periods",
    metadata,
    # One row for all releases of a period, the first one and those that supersede it: whoever asks for a
    # table, and whoever answers, locks it, so that they come one after the other.
    Column("period", Text, primary_key=True),
    # Of the worker that answers a job of this period now; nobody else does until then.
    Column("busy_token", Uuid, nullable=True),
    instant("busy_until", nullable=True),
)

statistics_tables = Table(
    "statistics_tables",
    metadata,
    # SHA-256 (hex) of the plan, in which the release stands: a table's identity within all releases.
    Column("plan_hash", Text, primary_key=True),
    Column("period", Text, ForeignKey("statistics_periods.period"), nullable=False, index=True),
    Column("release", Text, nullable=False),
    # Canonical JSON, byte for byte what is hashed.
    Column("plan", Text, nullable=False),
    # Reserved, released and refused tables count against the limit. A refused one is the auditor's word,
    # which stands and tells something; a returned one was asked for and never made.
    Column("state", Text, nullable=False),
    # Code of the auditor's refusal, else "".
    Column("reason", Text, nullable=False, server_default=""),
    # AES-256-GCM: the key under the key-encryption key, the true aggregates under that key. For the auditor
    # of later tables, and for the same question asked again; they leave nowhere else.
    Column("key_encrypted", LargeBinary, nullable=True),
    Column("cells_sealed", LargeBinary, nullable=True),
    # Of the protected table as it left.
    Column("table_hash", Text, nullable=True),
    instant("asked_at"),
    instant("released_at", nullable=True),
    CheckConstraint("state IN ('reserved', 'released', 'refused', 'returned')", name="state"),
    CheckConstraint(
        "(state = 'released') = (cells_sealed IS NOT NULL AND key_encrypted IS NOT NULL"
        " AND table_hash IS NOT NULL AND released_at IS NOT NULL)",
        name="released",
    ),
)

statistics_jobs = Table(
    "statistics_jobs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    # Of the evidence of the question.
    Column("reference", Uuid, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("agreement", Text, nullable=False),
    Column("agreement_revision", Text, nullable=False),
    Column("acting_person", Text, nullable=True),
    Column("plan_hash", Text, ForeignKey("statistics_tables.plan_hash"), nullable=False, index=True),
    Column("format", Text, nullable=False),
    # Public JWK that the result is encrypted to; NULL: it is not.
    Column("recipient_key", JSONB(none_as_null=True), nullable=True),
    Column("state", Text, nullable=False),
    Column("percent", SmallInteger, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    instant("requested_at"),
    instant("finished_at", nullable=True),
    # Whose it is and until when: of a waiting job, from when on it may be taken.
    Column("lease_token", Uuid, nullable=True),
    instant("leased_until", nullable=True),
    Column("try_count", SmallInteger, nullable=False, server_default="0"),
    # What follows is of the result. Nothing of it is readable after expires_at.
    instant("expires_at", nullable=True),
    Column("key_encrypted", LargeBinary, nullable=True),
    Column("media_type", Text, nullable=True),
    Column("file_name", Text, nullable=True),
    Column("bytes_count", BigInteger, nullable=True),
    Column("content_hash", Text, nullable=True),
    Column("table_hash", Text, nullable=True),
    Column("cell_count", Integer, nullable=True),
    Column("suppressed_permille", SmallInteger, nullable=True),
    CheckConstraint(
        "state IN ('waiting', 'running', 'done', 'refused', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint("percent BETWEEN 0 AND 100", name="percent"),
    CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease"),
    CheckConstraint("(state IN ('waiting', 'running')) = (finished_at IS NULL)", name="finished"),
    CheckConstraint("(state = 'done') = (expires_at IS NOT NULL)", name="result"),
    Index(
        "ix_statistics_jobs_requested_at",
        "requested_at",
        postgresql_where="state IN ('waiting', 'running')",
    ),
    Index("ix_statistics_jobs_expires_at", "expires_at", postgresql_where="key_encrypted IS NOT NULL"),
    Index("ix_statistics_jobs_finished_at", "finished_at", postgresql_where="finished_at IS NOT NULL"),
)

statistics_chunks = Table(
    "statistics_chunks",
    metadata,
    Column("job_id", Uuid, ForeignKey("statistics_jobs.job_id", ondelete="CASCADE"), primary_key=True),
    # From 0, in order: each but the last one of exactly 1 MiB before it was sealed.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)
