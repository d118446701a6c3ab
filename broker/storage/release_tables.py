"""The table of releases that statistics are counted from. What lies in their files it does not know."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from broker.storage.columns import instant, metadata

statistics_releases = Table(
    "statistics_releases",
    metadata,
    # Such as 2026-q3.1: period and revision.
    Column("release", Text, primary_key=True),
    Column("period", Text, nullable=False),
    Column("revision", SmallInteger, nullable=False),
    # The release before of the same period, NULL for the first one.
    Column("supersedes", Text, nullable=True),
    # creating: its files are being made. frozen: new tables may be asked for. superseded: no more new ones.
    Column("state", Text, nullable=False, server_default="creating"),
    # SHA-256 in hex of the bytes of manifest.json, which has the hash of every file.
    Column("manifest_hash", Text, nullable=True),
    # 32 bytes each, sealed under the key-encryption key: who is which number, and the noise of tables.
    Column("person_secret_encrypted", LargeBinary, nullable=False),
    Column("table_secret_encrypted", LargeBinary, nullable=False),
    instant("created_at", now=True),
    instant("frozen_at", nullable=True),
    CheckConstraint("state IN ('creating', 'frozen', 'superseded')", name="state"),
    CheckConstraint(
        "(state = 'creating') = (manifest_hash IS NULL) AND (state = 'creating') = (frozen_at IS NULL)",
        name="frozen_whole",
    ),
    CheckConstraint("(revision = 1) = (supersedes IS NULL)", name="supersedes"),
    UniqueConstraint("period", "revision"),
    # Of a period one release is being made at most, and one takes new tables.
    Index(
        "ix_statistics_releases_one_creating", "period", unique=True, postgresql_where="state = 'creating'"
    ),
    Index("ix_statistics_releases_one_frozen", "period", unique=True, postgresql_where="state = 'frozen'"),
)
