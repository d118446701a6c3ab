"""The broker's own tables (PostgreSQL). The migrations are the truth; a test holds the two together.

Roles: `broker_owner` owns everything and runs migrations; `broker_app` and `broker_sequencer` may do what the
grants in `privileges` say and nothing more. On evidence the first may only INSERT and SELECT, the second only
SELECT; positions in the log are the second's alone.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import CIDR, JSONB

from broker.storage.code_flow_tables import (
    authorization_codes,
    citizen_sessions,
    citizens,
    grants,
    pushed_requests,
    refresh_tokens,
)
from broker.storage.columns import instant, metadata
from broker.storage.consent_tables import (
    citizen_identities,
    citizen_passkeys,
    complaints,
    consent_events,
    consent_receipts,
    consent_requests,
    consents,
    outbox_messages,
    sign_in_challenges,
)
from broker.storage.evidence_tables import (
    evidence_entries,
    evidence_keys,
    evidence_openings,
)
from broker.storage.hidden_tables import disclosure_extensions, hidden_read_quarters
from broker.storage.log_tables import log_horizon, log_positions, log_published
from broker.storage.release_tables import statistics_releases
from broker.storage.statistics_tables import (
    statistics_chunks,
    statistics_jobs,
    statistics_periods,
    statistics_tables,
)

__all__ = [
    "access_tokens",
    "agreement_registers",
    "agreement_revisions",
    "agreements",
    "authorization_codes",
    "citizen_identities",
    "citizen_passkeys",
    "citizen_sessions",
    "citizens",
    "clients",
    "complaints",
    "consent_events",
    "consent_receipts",
    "consent_requests",
    "consents",
    "disclosure_extensions",
    "evidence_entries",
    "evidence_keys",
    "evidence_openings",
    "facility_staff",
    "grants",
    "hidden_read_quarters",
    "log_horizon",
    "log_positions",
    "log_published",
    "metadata",
    "organisations",
    "outbox_messages",
    "policy_registers",
    "pushed_requests",
    "refresh_tokens",
    "sign_in_challenges",
    "signing_keys",
    "statistics_chunks",
    "statistics_jobs",
    "statistics_periods",
    "statistics_releases",
    "statistics_tables",
    "usage_counters",
    "used_assertions",
    "used_proofs",
]

organisations = Table(
    "organisations",
    metadata,
    Column("organisation_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name_vi", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    # Five characters (province 2 + 3) today; a 13-digit number is coming: text, never a number.
    Column("facility_code", Text, nullable=True),
    Column("contact_officer", Text, nullable=False, server_default=""),
    instant("registered_at", now=True),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("organisation_id", Text, ForeignKey("organisations.organisation_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="active"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("agreement_ids", ARRAY(Text), nullable=False),
    # Networks that its requests may come from; none given: from anywhere.
    Column("source_networks", ARRAY(CIDR), nullable=False, server_default="{}"),
    # RFC 7591 client metadata, jwks included (public keys only). Not called "metadata": SQLAlchemy's word.
    Column("client_metadata", JSONB, nullable=False),
    instant("expires_at"),
    instant("registered_at", now=True),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
)

facility_staff = Table(
    "facility_staff",
    metadata,
    # Keyed hash of organisation and 12-digit personal id; the id itself is not kept.
    Column("staff_ref", LargeBinary, primary_key=True),
    Column("organisation_id", Text, ForeignKey("organisations.organisation_id"), nullable=False, index=True),
    Column("full_name", Text, nullable=False),
    # `policies.names.name_key` of the name: what the recording statement compares.
    Column("name_key", Text, nullable=False),
    # Nobody works without a written assignment of tasks.
    Column("assignment_reference", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="active"),
    instant("registered_at", now=True),
    CheckConstraint("status IN ('active', 'revoked')", name="status"),
)

agreement_revisions = Table(
    "agreement_revisions",
    metadata,
    # Kept for ever, by hash: past decisions can be replayed.
    Column("revision_hash", Text, primary_key=True),
    Column("agreement_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("text", Text, nullable=False),
    instant("published_at", now=True),
    # For how many days each look stays out of the person's own history, and the most with every extension;
    # NULL: nothing is hidden.
    Column("hidden_days", Integer, nullable=True),
    Column("hidden_days_maximum", Integer, nullable=True),
    # One number never names two texts, whoever publishes at the same moment.
    UniqueConstraint("agreement_id", "revision"),
)

policy_registers = Table(
    "policy_registers",
    metadata,
    # Field catalogue, legal bases, purposes, kinds of recipients, prohibitions: file name → text. Kept for
    # ever, by hash: an agreement's text alone does not say what was decided.
    Column("registers_hash", Text, primary_key=True),
    Column("documents", JSONB, nullable=False),
    instant("published_at", now=True),
)

agreement_registers = Table(
    "agreement_registers",
    metadata,
    # From when on which revision was read with which registers: they change without a new revision too.
    Column("revision_hash", Text, ForeignKey("agreement_revisions.revision_hash"), primary_key=True),
    instant("published_at", now=True, primary_key=True),
    Column("registers_hash", Text, ForeignKey("policy_registers.registers_hash"), nullable=False),
)

agreements = Table(
    "agreements",
    metadata,
    Column("agreement_id", Text, primary_key=True),
    Column("revision_hash", Text, ForeignKey("agreement_revisions.revision_hash"), nullable=False),
    Column("status", Text, nullable=False, server_default="active"),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, nullable=False),
    Column("review_date", Date, nullable=False),
    instant("changed_at", now=True),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("public_jwk", JSONB, nullable=False),
    # AES-256-GCM under the key-encryption key; nonce first; kid and purpose are the associated data.
    Column("private_key_encrypted", LargeBinary, nullable=False),
    instant("created_at", now=True),
    instant("signs_until", nullable=True),
    instant("published_until", nullable=True),
    CheckConstraint(
        "purpose IN ('access_token', 'receipt', 'id_token', 'introspection', 'security_event', "
        "'consent_receipt', 'log')",
        name="purpose",
    ),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    # SHA-256 of the whole token; the token itself is not kept (RFC 9700, 4.10).
    Column("token_hash", LargeBinary, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    # NULL: the client acts for itself.
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=True),
    Column("scope", Text, nullable=False),
    instant("issued_at"),
    instant("expires_at"),
    instant("revoked_at", nullable=True),
    Index("ix_access_tokens_grant_id", "grant_id", postgresql_where="grant_id IS NOT NULL"),
)

used_assertions = Table(
    "used_assertions",
    metadata,
    # SHA-256 of client_id and jti of a client assertion; kept until it has expired (RFC 7523, 3).
    Column("assertion_hash", LargeBinary, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

used_proofs = Table(
    "used_proofs",
    metadata,
    # A replayed proof carries the same iat, so (iat, hash of key thumbprint and jti) finds it, and the
    # index grows at its right edge only (RFC 9449, 11.1).
    Column("issued_at_seconds", BigInteger, primary_key=True, autoincrement=False),
    Column("proof_hash", LargeBinary, primary_key=True),
)

usage_counters = Table(
    "usage_counters",
    metadata,
    # Instant at which the window (hour, or day of Viet Nam) begins, in Unix seconds; of a consent's own
    # frequency the instant at which its period ends. Two days after it the row is swept away.
    Column("window_start_seconds", BigInteger, primary_key=True, autoincrement=False),
    Column("counter_ref", LargeBinary, primary_key=True),
    Column("used_count", Integer, nullable=False),
    # The bound under which the row was counted, so that one statement can compare and add.
    Column("limit_count", Integer, nullable=False),
    # A full counter undoes the whole release that would overrun it.
    CheckConstraint("used_count <= limit_count", name="within_limit"),
    # Room on each page keeps the updates on it (heap-only tuples).
    postgresql_with={"fillfactor": "50"},
)
