"""Who may have ended a grant: time and a representative too. What is due is found by indexes.

Revision 0005, after 0004. Expands only: code of revision 0004 runs on it unchanged. What that code writes
meanwhile has no request_expires_at; such a request ends all the same, only its end is not written down.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_grants_revoked_by"), "grants", type_="check")
    op.create_check_constraint(
        op.f("ck_grants_revoked_by"),
        "grants",
        "revoked_by IN ('client', 'data_subject', 'representative', 'code_replay', 'operator', 'broker')",
    )
    op.add_column("consents", sa.Column("request_expires_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE consents SET request_expires_at = CAST(record->>'request_expires_at' AS timestamptz)")
    op.create_index(
        "ix_consents_undecided",
        "consents",
        ["request_expires_at"],
        unique=False,
        postgresql_where="state IN ('requested', 'pending_cosign')",
    )
    op.create_index(
        "ix_consents_ending",
        "consents",
        ["valid_to_at"],
        unique=False,
        postgresql_where="state IN ('active', 'paused', 'refresh_due')",
    )
    op.create_index(
        "ix_consents_confirming",
        "consents",
        ["refresh_due_at"],
        unique=False,
        postgresql_where="state = 'active' AND refresh_due_at IS NOT NULL",
    )
    op.create_index(
        "ix_consents_unconfirmed",
        "consents",
        ["state_since_at"],
        unique=False,
        postgresql_where="state = 'refresh_due'",
    )
    op.create_index(
        "ix_consents_agreement",
        "consents",
        ["agreement_id"],
        unique=False,
        postgresql_where="state IN ('requested', 'pending_cosign', 'active', 'paused', 'refresh_due')",
    )


def downgrade() -> None:
    for name in ("agreement", "unconfirmed", "confirming", "ending", "undecided"):
        op.drop_index(f"ix_consents_{name}", table_name="consents")
    op.drop_column("consents", "request_expires_at")
    op.execute(
        "UPDATE grants SET revoked_by = 'data_subject' WHERE revoked_by IN ('representative', 'broker')"
    )
    op.drop_constraint(op.f("ck_grants_revoked_by"), "grants", type_="check")
    op.create_check_constraint(
        op.f("ck_grants_revoked_by"),
        "grants",
        "revoked_by IN ('client', 'data_subject', 'code_replay', 'operator')",
    )
