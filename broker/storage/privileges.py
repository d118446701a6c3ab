"""What the application role and the sequencer's may do, table by table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

APPLICATION_GRANTS: Final[Mapping[str, str]] = {
    "organisations": "SELECT, INSERT, UPDATE",
    "clients": "SELECT, INSERT, UPDATE",
    "facility_staff": "SELECT, INSERT, UPDATE",
    "agreement_revisions": "SELECT, INSERT",
    "policy_registers": "SELECT, INSERT",
    "agreement_registers": "SELECT, INSERT",
    "agreements": "SELECT, INSERT, UPDATE",
    "signing_keys": "SELECT, INSERT, UPDATE, DELETE",
    "access_tokens": "SELECT, INSERT, UPDATE, DELETE",
    "citizens": "SELECT, INSERT, UPDATE",
    "citizen_sessions": "SELECT, INSERT, UPDATE, DELETE",
    "pushed_requests": "SELECT, INSERT, UPDATE, DELETE",
    "grants": "SELECT, INSERT, UPDATE",
    "authorization_codes": "SELECT, INSERT, UPDATE, DELETE",
    "refresh_tokens": "SELECT, INSERT, UPDATE, DELETE",
    "consent_requests": "SELECT, INSERT, UPDATE",
    "consents": "SELECT, INSERT, UPDATE",
    "consent_events": "SELECT, INSERT",
    "consent_receipts": "SELECT, INSERT",
    "outbox_messages": "SELECT, INSERT, UPDATE",
    "citizen_identities": "SELECT, INSERT, UPDATE, DELETE",
    "citizen_passkeys": "SELECT, INSERT, UPDATE, DELETE",
    "sign_in_challenges": "SELECT, INSERT, DELETE",
    "complaints": "SELECT, INSERT, UPDATE",
    "used_assertions": "SELECT, INSERT, DELETE",
    "used_proofs": "SELECT, INSERT, DELETE",
    "usage_counters": "SELECT, INSERT, UPDATE, DELETE",
    # When and by which transaction an entry was recorded only the database itself says.
    "evidence_entries": "SELECT, INSERT (reference, kind, entry)",
    "evidence_openings": "SELECT, INSERT",
    "evidence_keys": "SELECT, INSERT (key_name, key_year, path, key_encrypted)",
    "log_positions": "SELECT",
    "log_horizon": "SELECT",
    "log_published": "SELECT",
    "disclosure_extensions": "SELECT",
    "hidden_read_quarters": "SELECT, INSERT",
    # How a release stands moves on; its secrets and what it is of never change.
    "statistics_releases": "SELECT, INSERT, UPDATE (state, manifest_hash, frozen_at)",
    "statistics_periods": "SELECT, INSERT, UPDATE (busy_token, busy_until)",
    # A table that was answered stays, and which one it was: else its place could be given away again.
    "statistics_tables": "SELECT, INSERT, UPDATE (state, reason, key_encrypted, cells_sealed, table_hash,"
    " asked_at, released_at)",
    "statistics_jobs": "SELECT, INSERT, UPDATE, DELETE",
    "statistics_chunks": "SELECT, INSERT, DELETE",
}
"""What the application role may do, table by table; anything absent is refused by PostgreSQL."""

SEQUENCER_GRANTS: Final[Mapping[str, str]] = {
    "evidence_entries": "SELECT",
    "log_positions": "SELECT, INSERT",
    "log_horizon": "SELECT, INSERT, UPDATE",
    "log_published": "SELECT, INSERT, UPDATE",
    "signing_keys": "SELECT",
}
"""What the role that orders entries into the log may do; it sees nobody's data and no salt."""
