"""Releases that statistics are counted from: how each stands, the hash of its manifest, and its secrets.

Revision 0012, after 0011. Expands only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statistics_releases",
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="creating", nullable=False),
        sa.Column("manifest_hash", sa.Text(), nullable=True),
        sa.Column("person_secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("table_secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('creating', 'frozen', 'superseded')", name=op.f("ck_statistics_releases_state")
        ),
        sa.CheckConstraint(
            "(state = 'creating') = (manifest_hash IS NULL) AND (state = 'creating') = (frozen_at IS NULL)",
            name=op.f("ck_statistics_releases_frozen_whole"),
        ),
        sa.CheckConstraint(
            "(revision = 1) = (supersedes IS NULL)", name=op.f("ck_statistics_releases_supersedes")
        ),
        sa.PrimaryKeyConstraint("release", name=op.f("pk_statistics_releases")),
        sa.UniqueConstraint("period", "revision", name=op.f("uq_statistics_releases_period")),
    )
    for state in ("creating", "frozen"):
        op.create_index(
            f"ix_statistics_releases_one_{state}",
            "statistics_releases",
            ["period"],
            unique=True,
            postgresql_where=sa.text(f"state = '{state}'"),
        )


def downgrade() -> None:
    op.drop_table("statistics_releases")
