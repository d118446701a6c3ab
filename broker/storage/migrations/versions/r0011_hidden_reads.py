"""How long an agreement keeps looks out of a person's own history, extensions of that, and the public figure.

Revision 0011, after 0009. Expands only: code of the revision before publishes agreements that hide nothing,
because it does not know the word, and shows what it always showed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agreement_revisions", sa.Column("hidden_days", sa.Integer(), nullable=True))
    op.add_column("agreement_revisions", sa.Column("hidden_days_maximum", sa.Integer(), nullable=True))
    op.create_table(
        "disclosure_extensions",
        sa.Column("evidence_reference", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("hidden_until", sa.Date(), nullable=False),
        sa.Column("legal_ground", sa.Text(), nullable=False),
        sa.Column("extended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("evidence_reference", name=op.f("pk_disclosure_extensions")),
    )
    op.create_index("ix_disclosure_extensions_reference", "disclosure_extensions", ["reference"])
    op.create_table(
        "hidden_read_quarters",
        sa.Column("quarter", sa.Date(), nullable=False),
        sa.Column("counts", JSONB(), nullable=False),
        sa.Column("extension_counts", JSONB(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("quarter", name=op.f("pk_hidden_read_quarters")),
    )


def downgrade() -> None:
    op.drop_table("hidden_read_quarters")
    op.drop_table("disclosure_extensions")
    op.drop_column("agreement_revisions", "hidden_days_maximum")
    op.drop_column("agreement_revisions", "hidden_days")
