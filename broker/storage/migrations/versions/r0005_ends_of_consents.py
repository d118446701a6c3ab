"""Who may have ended a grant: time and a representative too.

Revision 0005, after 0004. Expands only: code of revision 0004 runs on it unchanged.
"""

from __future__ import annotations

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


def downgrade() -> None:
    op.execute(
        "UPDATE grants SET revoked_by = 'data_subject' WHERE revoked_by IN ('representative', 'broker')"
    )
    op.drop_constraint(op.f("ck_grants_revoked_by"), "grants", type_="check")
    op.create_check_constraint(
        op.f("ck_grants_revoked_by"),
        "grants",
        "revoked_by IN ('client', 'data_subject', 'code_replay', 'operator')",
    )
