"""What opens commitments is sealed under a key for each person and year: its table and that of the keys.

Revision 0007, after 0006. Expands only: code of the revision before goes on writing evidence_annex, in the
clear. `broker evidence seal` moves its rows, in batches and beside a running server, because it needs keys
that no migration has and would hold a lock for the better part of an hour over ten million rows. The next
release drops evidence_annex. Going back to 0006 loses what opens the entries recorded since: dump both
tables first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evidence_openings",
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("key_year", sa.SmallInteger(), nullable=False),
        sa.Column("person_link", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_salts", sa.LargeBinary(), nullable=True),
    )
    op.create_index(
        "ix_evidence_openings_reference",
        "evidence_openings",
        ["reference"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_index(
        "ix_evidence_openings_person_link",
        "evidence_openings",
        ["person_link"],
        unique=False,
        postgresql_where="person_link IS NOT NULL",
    )
    op.create_table(
        "evidence_keys",
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("key_year", sa.SmallInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key_name", name=op.f("pk_evidence_keys")),
    )
    op.create_index(op.f("ix_evidence_keys_path"), "evidence_keys", ["path"], unique=False)


def downgrade() -> None:
    op.drop_table("evidence_keys")
    op.drop_table("evidence_openings")
