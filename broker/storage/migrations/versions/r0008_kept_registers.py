"""The registers that agreements were read with are kept by hash, and from when on each was in force.

Revision 0008, after 0007. Expands only: code of revision 0007 runs on it unchanged. What that code publishes
meanwhile has no registers on record; the next `broker prepare` of this code puts them there, from then on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_registers",
        sa.Column("registers_hash", sa.Text(), nullable=False),
        sa.Column("documents", JSONB(), nullable=False),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("registers_hash", name=op.f("pk_policy_registers")),
    )
    op.create_table(
        "agreement_registers",
        sa.Column("revision_hash", sa.Text(), nullable=False),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("registers_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["revision_hash"],
            ["agreement_revisions.revision_hash"],
            name=op.f("fk_agreement_registers_revision_hash"),
        ),
        sa.ForeignKeyConstraint(
            ["registers_hash"],
            ["policy_registers.registers_hash"],
            name=op.f("fk_agreement_registers_registers_hash"),
        ),
        sa.PrimaryKeyConstraint("revision_hash", "published_at", name=op.f("pk_agreement_registers")),
    )


def downgrade() -> None:
    op.drop_table("agreement_registers")
    op.drop_table("policy_registers")
