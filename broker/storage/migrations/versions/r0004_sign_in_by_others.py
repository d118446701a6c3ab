"""Sign-in through identity providers and passkeys, what sessions tell of themselves; complaints.

Revision 0004, after 0003. Expands only: code of revision 0003 runs on it unchanged.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "citizen_identities",
        sa.Column("identity_ref", sa.LargeBinary(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_citizen_identities_citizen_id")
        ),
        sa.PrimaryKeyConstraint("identity_ref", name=op.f("pk_citizen_identities")),
    )
    op.create_index(
        op.f("ix_citizen_identities_citizen_id"), "citizen_identities", ["citizen_id"], unique=False
    )
    op.create_table(
        "citizen_passkeys",
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_citizen_passkeys_citizen_id")
        ),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_citizen_passkeys")),
    )
    op.create_index(op.f("ix_citizen_passkeys_citizen_id"), "citizen_passkeys", ["citizen_id"], unique=False)
    op.create_table(
        "complaints",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Uuid(), nullable=True),
        sa.Column("text_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), server_default="received", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledge_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer_encrypted", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "status IN ('received', 'acknowledged', 'answered')", name=op.f("ck_complaints_status")
        ),
        sa.ForeignKeyConstraint(
            ["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_complaints_citizen_id")
        ),
        sa.PrimaryKeyConstraint("complaint_id", name=op.f("pk_complaints")),
    )
    op.create_index(op.f("ix_complaints_citizen_id"), "complaints", ["citizen_id"], unique=False)
    op.add_column(
        "citizen_sessions", sa.Column("method", sa.Text(), server_default="password", nullable=False)
    )
    op.add_column("citizen_sessions", sa.Column("browser", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "citizen_sessions",
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
    )
    op.alter_column("citizens", "password_hash", existing_type=sa.TEXT(), nullable=True)
    op.create_check_constraint(
        op.f("ck_citizen_sessions_method"),
        "citizen_sessions",
        "method IN ('password', 'one_time_code', 'identity_provider', 'passkey')",
    )


def downgrade() -> None:
    op.execute("UPDATE citizens SET password_hash = '' WHERE password_hash IS NULL")
    op.alter_column("citizens", "password_hash", existing_type=sa.TEXT(), nullable=False)
    op.drop_column("citizen_sessions", "last_seen_at")
    op.drop_column("citizen_sessions", "browser")
    op.drop_column("citizen_sessions", "method")
    op.drop_index(op.f("ix_complaints_citizen_id"), table_name="complaints")
    op.drop_table("complaints")
    op.drop_index(op.f("ix_citizen_passkeys_citizen_id"), table_name="citizen_passkeys")
    op.drop_table("citizen_passkeys")
    op.drop_index(op.f("ix_citizen_identities_citizen_id"), table_name="citizen_identities")
    op.drop_table("citizen_identities")
