"""Entries tell the transaction that entered them, and have positions in a log.

Revision 0006, after 0005. Expands only: code of revision 0005 runs on it unchanged. The default is the same
for all rows that there are (the migrating transaction's number), so the table is not written anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OLD_PURPOSES = "'access_token', 'receipt', 'id_token', 'introspection', 'security_event', 'consent_receipt'"


def upgrade() -> None:
    op.add_column(
        "evidence_entries",
        sa.Column(
            "entered_transaction",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_evidence_entries_entered_transaction",
        "evidence_entries",
        ["entered_transaction"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.create_table(
        "log_positions",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "leaf_index", name=op.f("pk_log_positions")),
        sa.UniqueConstraint("reference", name=op.f("uq_log_positions_reference")),
    )
    op.create_table(
        "log_horizon",
        sa.Column("only_row", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("entered_transaction", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.CheckConstraint("only_row", name=op.f("ck_log_horizon_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_log_horizon")),
    )
    _allow_purposes(f"{OLD_PURPOSES}, 'log'")


def downgrade() -> None:
    op.execute("DELETE FROM signing_keys WHERE purpose = 'log'")
    _allow_purposes(OLD_PURPOSES)
    op.drop_table("log_horizon")
    op.drop_table("log_positions")
    op.drop_index("ix_evidence_entries_entered_transaction", table_name="evidence_entries")
    op.drop_column("evidence_entries", "entered_transaction")


def _allow_purposes(purposes: str) -> None:
    op.drop_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", type_="check")
    op.create_check_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", f"purpose IN ({purposes})")
