"""The code flow: citizens and their sessions, pushed requests, grants, codes and refresh tokens.

Revision 0002, after 0001. Expands only: code of revision 0001 runs on it unchanged.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "citizens",
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("personal_id_ref", sa.LargeBinary(), nullable=False),
        sa.Column("personal_id_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("totp_secret_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_citizens_status")),
        sa.PrimaryKeyConstraint("citizen_id", name=op.f("pk_citizens")),
        sa.UniqueConstraint("personal_id_ref", name=op.f("uq_citizens_personal_id_ref")),
    )
    op.create_table(
        "citizen_sessions",
        sa.Column("session_ref", sa.LargeBinary(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("level IN (1, 2)", name=op.f("ck_citizen_sessions_level")),
        sa.ForeignKeyConstraint(
            ["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_citizen_sessions_citizen_id")
        ),
        sa.PrimaryKeyConstraint("session_ref", name=op.f("pk_citizen_sessions")),
    )
    op.create_index(op.f("ix_citizen_sessions_citizen_id"), "citizen_sessions", ["citizen_id"], unique=False)
    op.create_index(op.f("ix_citizen_sessions_expires_at"), "citizen_sessions", ["expires_at"], unique=False)
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("authorization_details", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "revoked_by IN ('client', 'data_subject', 'code_replay', 'operator')",
            name=op.f("ck_grants_revoked_by"),
        ),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name=op.f("ck_grants_revoked")),
        sa.CheckConstraint("level IN (1, 2)", name=op.f("ck_grants_level")),
        sa.ForeignKeyConstraint(["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_grants_citizen_id")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_grants_client_id")),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_citizen_id"), "grants", ["citizen_id"], unique=False)
    op.create_index(op.f("ix_grants_client_id"), "grants", ["client_id"], unique=False)
    op.create_table(
        "pushed_requests",
        sa.Column("request_ref", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_pushed_requests_client_id")
        ),
        sa.PrimaryKeyConstraint("request_ref", name=op.f("pk_pushed_requests")),
    )
    op.create_index(op.f("ix_pushed_requests_client_id"), "pushed_requests", ["client_id"], unique=False)
    op.create_index(op.f("ix_pushed_requests_expires_at"), "pushed_requests", ["expires_at"], unique=False)
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.Text(), nullable=False),
        sa.Column("dpop_jkt", sa.Text(), nullable=True),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_authorization_codes_client_id")
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_authorization_codes_grant_id")
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index(
        op.f("ix_authorization_codes_expires_at"), "authorization_codes", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_authorization_codes_grant_id"), "authorization_codes", ["grant_id"], unique=False
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_refresh_tokens_client_id")
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name=op.f("fk_refresh_tokens_grant_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_grant_id"), "refresh_tokens", ["grant_id"], unique=False)
    op.add_column("access_tokens", sa.Column("grant_id", sa.Text(), nullable=True))
    op.create_index(
        "ix_access_tokens_grant_id",
        "access_tokens",
        ["grant_id"],
        unique=False,
        postgresql_where="grant_id IS NOT NULL",
    )
    op.create_foreign_key(
        op.f("fk_access_tokens_grant_id"), "access_tokens", "grants", ["grant_id"], ["grant_id"]
    )
    op.add_column(
        "clients",
        sa.Column("source_networks", sa.ARRAY(postgresql.CIDR()), server_default="{}", nullable=False),
    )
    op.drop_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", type_="check")
    op.create_check_constraint(
        op.f("ck_signing_keys_purpose"),
        "signing_keys",
        "purpose IN ('access_token', 'receipt', 'id_token', 'introspection')",
    )


def downgrade() -> None:
    op.execute("DELETE FROM signing_keys WHERE purpose NOT IN ('access_token', 'receipt')")
    op.drop_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", type_="check")
    op.create_check_constraint(
        op.f("ck_signing_keys_purpose"), "signing_keys", "purpose IN ('access_token', 'receipt')"
    )
    op.drop_column("clients", "source_networks")
    op.drop_constraint(op.f("fk_access_tokens_grant_id"), "access_tokens", type_="foreignkey")
    op.drop_index(
        "ix_access_tokens_grant_id", table_name="access_tokens", postgresql_where="grant_id IS NOT NULL"
    )
    op.drop_column("access_tokens", "grant_id")
    op.drop_index(op.f("ix_refresh_tokens_grant_id"), table_name="refresh_tokens")
    op.drop_index(op.f("ix_refresh_tokens_expires_at"), table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index(op.f("ix_authorization_codes_grant_id"), table_name="authorization_codes")
    op.drop_index(op.f("ix_authorization_codes_expires_at"), table_name="authorization_codes")
    op.drop_table("authorization_codes")
    op.drop_index(op.f("ix_pushed_requests_expires_at"), table_name="pushed_requests")
    op.drop_index(op.f("ix_pushed_requests_client_id"), table_name="pushed_requests")
    op.drop_table("pushed_requests")
    op.drop_index(op.f("ix_grants_client_id"), table_name="grants")
    op.drop_index(op.f("ix_grants_citizen_id"), table_name="grants")
    op.drop_table("grants")
    op.drop_index(op.f("ix_citizen_sessions_expires_at"), table_name="citizen_sessions")
    op.drop_index(op.f("ix_citizen_sessions_citizen_id"), table_name="citizen_sessions")
    op.drop_table("citizen_sessions")
    op.drop_table("citizens")
