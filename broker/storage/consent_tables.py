"""Tables of consents: requests, consents, events, receipts, notices to recipients, sign-in by others."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from broker.storage.columns import instant, metadata

consent_requests = Table(
    "consent_requests",
    metadata,
    # Chosen by the client for the inbox (idempotent), by the broker for a redirect.
    Column("request_id", Uuid, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    # Keyed hash of the personal id asked about, whether or not such a person has an account: a client
    # cannot tell the two apart.
    Column("citizen_ref", LargeBinary, nullable=False, index=True),
    Column("channel", Text, nullable=False),
    # SHA-256 of what was asked: the same id with other words is a conflict.
    Column("request_hash", LargeBinary, nullable=False),
    # SHA-256 of the auth_req_id (CIBA), if the client waits for a token.
    Column("auth_request_hash", LargeBinary, nullable=True, unique=True),
    # Terms per purpose, as checked; opens as consents when the citizen has an account.
    Column("items", JSONB, nullable=False),
    Column("scope", Text, nullable=False),
    instant("requested_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    instant("viewed_at", nullable=True),
    instant("decided_at", nullable=True),
    instant("cancelled_at", nullable=True),
    # CIBA: when the token was last asked for, and when it was handed out.
    instant("polled_at", nullable=True),
    instant("redeemed_at", nullable=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=True),
    CheckConstraint("channel IN ('redirect', 'inbox', 'ciba_poll')", name="channel"),
)

consents = Table(
    "consents",
    metadata,
    Column("consent_id", Uuid, primary_key=True),
    Column("request_id", Uuid, ForeignKey("consent_requests.request_id"), nullable=False, index=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("organisation_id", Text, ForeignKey("organisations.organisation_id"), nullable=False),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("agreement_id", Text, nullable=False),
    # As last changed. What time alone does (expiry, a due confirmation) is computed when it is read.
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=True, index=True),
    instant("valid_from_at", nullable=True),
    instant("valid_to_at", nullable=True),
    instant("refresh_due_at", nullable=True),
    # When a request ends undecided; NULL for what a release before revision 0005 has written.
    instant("request_expires_at", nullable=True),
    instant("state_since_at"),
    # The whole record (broker.consent.record.Consent) as JSON.
    Column("record", JSONB, nullable=False),
    Index("ix_consents_citizen_id", "citizen_id", "state_since_at"),
    Index("ix_consents_client_id", "client_id", "citizen_id"),
    # Of those that live, by what comes next: the worker looks every half minute.
    Index(
        "ix_consents_undecided",
        "request_expires_at",
        postgresql_where="state IN ('requested', 'pending_cosign')",
    ),
    Index(
        "ix_consents_ending", "valid_to_at", postgresql_where="state IN ('active', 'paused', 'refresh_due')"
    ),
    Index(
        "ix_consents_confirming",
        "refresh_due_at",
        postgresql_where="state = 'active' AND refresh_due_at IS NOT NULL",
    ),
    Index("ix_consents_unconfirmed", "state_since_at", postgresql_where="state = 'refresh_due'"),
    Index(
        "ix_consents_agreement",
        "agreement_id",
        postgresql_where="state IN ('requested', 'pending_cosign', 'active', 'paused', 'refresh_due')",
    ),
    CheckConstraint(
        "state IN ('requested', 'pending_cosign', 'active', 'paused', 'refresh_due', 'refused', "
        "'request_expired', 'cancelled', 'withdrawn', 'expired', 'inapplicable', 'invalidated', "
        "'superseded')",
        name="state",
    ),
)

consent_events = Table(
    "consent_events",
    metadata,
    Column("consent_id", Uuid, ForeignKey("consents.consent_id"), primary_key=True),
    # Number of the event of this consent, from 1: two writers cannot both be the next.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    # RFC 8785 bytes, each with the hash of the one before it.
    Column("entry", LargeBinary, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
    instant("recorded_at"),
)

consent_receipts = Table(
    "consent_receipts",
    metadata,
    Column("receipt_id", Uuid, primary_key=True),
    Column("consent_id", Uuid, ForeignKey("consents.consent_id"), nullable=False, index=True),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    Column("event_type", Text, nullable=False),
    # Compact JWS over the receipt.
    Column("receipt", Text, nullable=False),
    instant("issued_at"),
)

outbox_messages = Table(
    "outbox_messages",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("consent_id", Uuid, ForeignKey("consents.consent_id"), nullable=True, index=True),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    instant("queued_at"),
    # NULL: nothing to push. The client polls, or it is delivered, or dead.
    Column("next_try_at", DateTime(timezone=True), nullable=True),
    Column("try_count", Integer, nullable=False, server_default="0"),
    # Why the last try failed: a fixed word.
    Column("last_fault", Text, nullable=False, server_default=""),
    instant("delivered_at", nullable=True),
    instant("acknowledged_at", nullable=True),
    instant("dead_at", nullable=True),
    # The recipient's own word that what it kept is deleted.
    instant("deletion_attested_at", nullable=True),
    Index("ix_outbox_messages_due", "client_id", "next_try_at", postgresql_where="next_try_at IS NOT NULL"),
    Index("ix_outbox_messages_dead", "dead_at", postgresql_where="dead_at IS NOT NULL"),
    Index(
        "ix_outbox_messages_waiting",
        "client_id",
        "queued_at",
        postgresql_where="delivered_at IS NULL AND next_try_at IS NULL AND dead_at IS NULL",
    ),
)

citizen_identities = Table(
    "citizen_identities",
    metadata,
    # How an identity provider knows a citizen: SHA-256 of issuer and its sub. The token is never kept.
    Column("identity_ref", LargeBinary, primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    instant("linked_at"),
)

citizen_passkeys = Table(
    "citizen_passkeys",
    metadata,
    Column("credential_id", LargeBinary, primary_key=True),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    instant("registered_at"),
    instant("last_used_at", nullable=True),
)

sign_in_challenges = Table(
    "sign_in_challenges",
    metadata,
    # One use each: SHA-256 of the state (OpenID Connect) or of the challenge (passkey).
    Column("challenge_ref", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    # What must fit when the answer comes: nonce, code verifier, issuer, citizen, where to go on.
    Column("expected", JSONB, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

complaints = Table(
    "complaints",
    metadata,
    Column("complaint_id", Uuid, primary_key=True),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    # Evidence reference that the complaint is about.
    Column("reference", Uuid, nullable=True),
    # The citizen's own words, encrypted (AES-GCM).
    Column("text_encrypted", LargeBinary, nullable=False),
    Column("status", Text, nullable=False, server_default="received"),
    instant("received_at"),
    # Decree 356/2025 art. 5: acknowledged within two working days.
    instant("acknowledge_by"),
    instant("acknowledged_at", nullable=True),
    instant("answered_at", nullable=True),
    # The agency's answer, encrypted like the text.
    Column("answer_encrypted", LargeBinary, nullable=True),
    CheckConstraint("status IN ('received', 'acknowledged', 'answered')", name="status"),
)
