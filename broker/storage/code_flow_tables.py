"""Tables of the code flow: citizens and their sessions, pushed requests, grants, codes, refresh tokens."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from broker.storage.columns import instant, metadata

citizens = Table(
    "citizens",
    metadata,
    Column("citizen_id", Uuid, primary_key=True),
    # Keyed hash of the 12-digit personal id: finds the account. The id itself only encrypted.
    Column("personal_id_ref", LargeBinary, nullable=False, unique=True),
    Column("personal_id_encrypted", LargeBinary, nullable=False),
    # argon2id in its own notation (PHC string), parameters included; NULL: no sign-in by password.
    Column("password_hash", Text, nullable=True),
    Column("totp_secret_encrypted", LargeBinary, nullable=True),
    # Time step of the last one-time code accepted: none is good twice (RFC 6238, 5.2).
    Column("totp_last_step", BigInteger, nullable=True),
    Column("status", Text, nullable=False, server_default="active"),
    instant("registered_at", now=True),
    CheckConstraint("status IN ('active', 'suspended')", name="status"),
)

citizen_sessions = Table(
    "citizen_sessions",
    metadata,
    # SHA-256 of the cookie's value.
    Column("session_ref", LargeBinary, primary_key=True),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    # 1: password; 2: password and one-time code.
    Column("level", Integer, nullable=False),
    instant("authenticated_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("method", Text, nullable=False, server_default="password"),
    # Which kind of browser, of a closed list, so that the citizen can tell sessions apart.
    Column("browser", Text, nullable=False, server_default=""),
    instant("last_seen_at", now=True),
    CheckConstraint("level IN (1, 2)", name="level"),
    CheckConstraint("method IN ('password', 'one_time_code', 'identity_provider', 'passkey')", name="method"),
)

pushed_requests = Table(
    "pushed_requests",
    metadata,
    # SHA-256 of the request_uri.
    Column("request_ref", LargeBinary, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    # The checked parameters, as the authorization endpoint will use them.
    Column("parameters", JSONB, nullable=False),
    instant("pushed_at"),
    # Until when it may be opened first; once opened, until when it may be decided.
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    instant("opened_at", nullable=True),
    instant("decided_at", nullable=True),
)

grants = Table(
    "grants",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    Column("citizen_id", Uuid, ForeignKey("citizens.citizen_id"), nullable=False, index=True),
    # The "sub" that this client's organisation knows the person by: pairwise.
    Column("subject", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("authorization_details", JSONB, nullable=False),
    Column("level", Integer, nullable=False),
    instant("authenticated_at"),
    instant("granted_at"),
    instant("expires_at"),
    instant("revoked_at", nullable=True),
    Column("revoked_by", Text, nullable=True),
    CheckConstraint("level IN (1, 2)", name="level"),
    CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
    CheckConstraint(
        "revoked_by IN ('client', 'data_subject', 'representative', 'code_replay', 'operator', 'broker')",
        name="revoked_by",
    ),
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=False, index=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("dpop_jkt", Text, nullable=True),
    Column("nonce", Text, nullable=True),
    instant("issued_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    # Kept after its use, so that a second one is known for what it is (RFC 6749, 4.1.2).
    instant("consumed_at", nullable=True),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=False, index=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("scope", Text, nullable=False),
    instant("issued_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    instant("revoked_at", nullable=True),
)
