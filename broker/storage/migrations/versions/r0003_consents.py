"""Consents: requests, consents, events, receipts, notices to recipients.

Revision 0003, after 0002. Expands only: code of revision 0002 runs on it unchanged.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sign_in_challenges",
        sa.Column("challenge_ref", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expected", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("challenge_ref", name=op.f("pk_sign_in_challenges")),
    )
    op.create_index(
        op.f("ix_sign_in_challenges_expires_at"), "sign_in_challenges", ["expires_at"], unique=False
    )
    op.create_table(
        "consent_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("citizen_ref", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("auth_request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("items", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("viewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grant_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "channel IN ('redirect', 'inbox', 'ciba_poll')", name=op.f("ck_consent_requests_channel")
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_consent_requests_client_id")
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name=op.f("fk_consent_requests_grant_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_consent_requests")),
        sa.UniqueConstraint("auth_request_hash", name=op.f("uq_consent_requests_auth_request_hash")),
    )
    op.create_index(
        op.f("ix_consent_requests_citizen_ref"), "consent_requests", ["citizen_ref"], unique=False
    )
    op.create_index(op.f("ix_consent_requests_client_id"), "consent_requests", ["client_id"], unique=False)
    op.create_index(op.f("ix_consent_requests_expires_at"), "consent_requests", ["expires_at"], unique=False)
    op.create_table(
        "consents",
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=True),
        sa.Column("valid_from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_to_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refresh_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state_since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'pending_cosign', 'active', 'paused', 'refresh_due', 'refused', "
            "'request_expired', 'cancelled', 'withdrawn', 'expired', 'inapplicable', 'invalidated', "
            "'superseded')",
            name=op.f("ck_consents_state"),
        ),
        sa.ForeignKeyConstraint(["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_consents_citizen_id")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_consents_client_id")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name=op.f("fk_consents_grant_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.organisation_id"], name=op.f("fk_consents_organisation_id")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["consent_requests.request_id"], name=op.f("fk_consents_request_id")
        ),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_citizen_id", "consents", ["citizen_id", "state_since_at"], unique=False)
    op.create_index("ix_consents_client_id", "consents", ["client_id", "citizen_id"], unique=False)
    op.create_index(op.f("ix_consents_grant_id"), "consents", ["grant_id"], unique=False)
    op.create_index(op.f("ix_consents_request_id"), "consents", ["request_id"], unique=False)
    op.create_table(
        "consent_events",
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("entry_hash", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_consent_events_consent_id")
        ),
        sa.PrimaryKeyConstraint("consent_id", "number", name=op.f("pk_consent_events")),
    )
    op.create_table(
        "consent_receipts",
        sa.Column("receipt_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["citizen_id"], ["citizens.citizen_id"], name=op.f("fk_consent_receipts_citizen_id")
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_consent_receipts_consent_id")
        ),
        sa.PrimaryKeyConstraint("receipt_id", name=op.f("pk_consent_receipts")),
    )
    op.create_index(op.f("ix_consent_receipts_citizen_id"), "consent_receipts", ["citizen_id"], unique=False)
    op.create_index(op.f("ix_consent_receipts_consent_id"), "consent_receipts", ["consent_id"], unique=False)
    op.create_table(
        "outbox_messages",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=Text()), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("try_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_fault", sa.Text(), server_default="", nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deletion_attested_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_outbox_messages_client_id")
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_outbox_messages_consent_id")
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_outbox_messages")),
    )
    op.create_index(op.f("ix_outbox_messages_consent_id"), "outbox_messages", ["consent_id"], unique=False)
    op.create_index(
        "ix_outbox_messages_due",
        "outbox_messages",
        ["client_id", "next_try_at"],
        unique=False,
        postgresql_where="next_try_at IS NOT NULL",
    )
    op.create_index(
        "ix_outbox_messages_dead",
        "outbox_messages",
        ["dead_at"],
        unique=False,
        postgresql_where="dead_at IS NOT NULL",
    )
    op.create_index(
        "ix_outbox_messages_waiting",
        "outbox_messages",
        ["client_id", "queued_at"],
        unique=False,
        postgresql_where="delivered_at IS NULL AND next_try_at IS NULL AND dead_at IS NULL",
    )
    op.drop_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", type_="check")
    op.create_check_constraint(
        op.f("ck_signing_keys_purpose"),
        "signing_keys",
        "purpose IN ('access_token', 'receipt', 'id_token', 'introspection', 'security_event', "
        "'consent_receipt')",
    )


def downgrade() -> None:
    op.execute("DELETE FROM signing_keys WHERE purpose IN ('security_event', 'consent_receipt')")
    op.drop_constraint(op.f("ck_signing_keys_purpose"), "signing_keys", type_="check")
    op.create_check_constraint(
        op.f("ck_signing_keys_purpose"),
        "signing_keys",
        "purpose IN ('access_token', 'receipt', 'id_token', 'introspection')",
    )
    op.drop_index(
        "ix_outbox_messages_dead", table_name="outbox_messages", postgresql_where="dead_at IS NOT NULL"
    )
    op.drop_index(
        "ix_outbox_messages_waiting",
        table_name="outbox_messages",
        postgresql_where="delivered_at IS NULL AND next_try_at IS NULL AND dead_at IS NULL",
    )
    op.drop_index(
        "ix_outbox_messages_due", table_name="outbox_messages", postgresql_where="next_try_at IS NOT NULL"
    )
    op.drop_index(op.f("ix_outbox_messages_consent_id"), table_name="outbox_messages")
    op.drop_table("outbox_messages")
    op.drop_index(op.f("ix_consent_receipts_consent_id"), table_name="consent_receipts")
    op.drop_index(op.f("ix_consent_receipts_citizen_id"), table_name="consent_receipts")
    op.drop_table("consent_receipts")
    op.drop_table("consent_events")
    op.drop_index(op.f("ix_consents_request_id"), table_name="consents")
    op.drop_index(op.f("ix_consents_grant_id"), table_name="consents")
    op.drop_index("ix_consents_client_id", table_name="consents")
    op.drop_index("ix_consents_citizen_id", table_name="consents")
    op.drop_table("consents")
    op.drop_index(op.f("ix_consent_requests_expires_at"), table_name="consent_requests")
    op.drop_index(op.f("ix_consent_requests_client_id"), table_name="consent_requests")
    op.drop_index(op.f("ix_consent_requests_citizen_ref"), table_name="consent_requests")
    op.drop_table("consent_requests")
    op.drop_index(op.f("ix_sign_in_challenges_expires_at"), table_name="sign_in_challenges")
    op.drop_table("sign_in_challenges")
