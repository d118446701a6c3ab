"""First tables: organisations, clients, staff, agreements, keys, tokens, replay stores, limits, evidence.

Revision 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agreement_revisions",
        sa.Column("revision_hash", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("revision_hash", name=op.f("pk_agreement_revisions")),
        sa.UniqueConstraint("agreement_id", "revision", name=op.f("uq_agreement_revisions_agreement_id")),
    )
    op.create_table(
        "evidence_annex",
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("data_subject_ref", sa.LargeBinary(), nullable=True),
        sa.Column("data_subject_salt", sa.LargeBinary(), nullable=True),
        sa.Column("payload_salt", sa.LargeBinary(), nullable=True),
    )
    op.create_index(
        op.f("ix_evidence_annex_data_subject_ref"), "evidence_annex", ["data_subject_ref"], unique=False
    )
    op.create_index(
        "ix_evidence_annex_reference", "evidence_annex", ["reference"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "evidence_entries",
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_evidence_entries")),
    )
    op.create_table(
        "organisations",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name_vi", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("facility_code", sa.Text(), nullable=True),
        sa.Column("contact_officer", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_organisations")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(), nullable=False),
        sa.Column("private_key_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signs_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('access_token', 'receipt')", name=op.f("ck_signing_keys_purpose")),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "usage_counters",
        sa.Column("window_start_seconds", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("counter_ref", sa.LargeBinary(), nullable=False),
        sa.Column("used_count", sa.Integer(), nullable=False),
        sa.Column("limit_count", sa.Integer(), nullable=False),
        sa.CheckConstraint("used_count <= limit_count", name=op.f("ck_usage_counters_within_limit")),
        sa.PrimaryKeyConstraint("window_start_seconds", "counter_ref", name=op.f("pk_usage_counters")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "used_assertions",
        sa.Column("assertion_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("assertion_hash", name=op.f("pk_used_assertions")),
    )
    op.create_index(op.f("ix_used_assertions_expires_at"), "used_assertions", ["expires_at"], unique=False)
    op.create_table(
        "used_proofs",
        sa.Column("issued_at_seconds", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("proof_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("issued_at_seconds", "proof_hash", name=op.f("pk_used_proofs")),
    )
    op.create_table(
        "agreements",
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("revision_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=False),
        sa.Column("review_date", sa.Date(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_agreements_status")),
        sa.ForeignKeyConstraint(
            ["revision_hash"], ["agreement_revisions.revision_hash"], name=op.f("fk_agreements_revision_hash")
        ),
        sa.PrimaryKeyConstraint("agreement_id", name=op.f("pk_agreements")),
    )
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("agreement_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("client_metadata", postgresql.JSONB(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_clients_status")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.organisation_id"], name=op.f("fk_clients_organisation_id")
        ),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_clients")),
    )
    op.create_table(
        "facility_staff",
        sa.Column("staff_ref", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("assignment_reference", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'revoked')", name=op.f("ck_facility_staff_status")),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.organisation_id"],
            name=op.f("fk_facility_staff_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("staff_ref", name=op.f("pk_facility_staff")),
    )
    op.create_index(
        op.f("ix_facility_staff_organisation_id"), "facility_staff", ["organisation_id"], unique=False
    )
    op.create_table(
        "access_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_access_tokens_client_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_access_tokens")),
    )
    op.create_index(op.f("ix_access_tokens_client_id"), "access_tokens", ["client_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_access_tokens_client_id"), table_name="access_tokens")
    op.drop_table("access_tokens")
    op.drop_index(op.f("ix_facility_staff_organisation_id"), table_name="facility_staff")
    op.drop_table("facility_staff")
    op.drop_table("clients")
    op.drop_table("agreements")
    op.drop_table("used_proofs")
    op.drop_index(op.f("ix_used_assertions_expires_at"), table_name="used_assertions")
    op.drop_table("used_assertions")
    op.drop_table("usage_counters")
    op.drop_table("signing_keys")
    op.drop_table("organisations")
    op.drop_table("evidence_entries")
    op.drop_index(op.f("ix_evidence_annex_data_subject_ref"), table_name="evidence_annex")
    op.drop_index("ix_evidence_annex_reference", table_name="evidence_annex", postgresql_using="brin")
    op.drop_table("evidence_annex")
    op.drop_table("agreement_revisions")
