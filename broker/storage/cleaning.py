"""Deletes what can no longer matter: expired tokens, codes, requests, sessions, and used one-time values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from broker.storage.faults import store_answers
from broker.storage.tables import (
    access_tokens,
    authorization_codes,
    citizen_sessions,
    pushed_requests,
    refresh_tokens,
    sign_in_challenges,
    used_assertions,
    used_proofs,
)

KEEP_PROOFS: Final = timedelta(minutes=15)
"""How long used proofs are kept: far longer than any proof is accepted (60 s by default, 300 s at most)."""
KEEP_CODES: Final = timedelta(days=1)
"""How long a code is known after its end, so that whoever tries it again ends the grant (RFC 6749, 4.1.2)."""


def delete_expired(engine: Engine, now: datetime) -> Mapping[str, int]:
    """Delete what can no longer matter; return the rows deleted by table. Raises StoreUnavailable."""
    oldest_proof = int((now - KEEP_PROOFS).timestamp())
    oldest_code = now - KEEP_CODES
    statements = {
        access_tokens.name: access_tokens.delete().where(access_tokens.c.expires_at < now),
        used_assertions.name: used_assertions.delete().where(used_assertions.c.expires_at < now),
        used_proofs.name: used_proofs.delete().where(used_proofs.c.issued_at_seconds < oldest_proof),
        authorization_codes.name: authorization_codes.delete().where(
            authorization_codes.c.expires_at < oldest_code
        ),
        refresh_tokens.name: refresh_tokens.delete().where(refresh_tokens.c.expires_at < now),
        pushed_requests.name: pushed_requests.delete().where(pushed_requests.c.expires_at < oldest_code),
        citizen_sessions.name: citizen_sessions.delete().where(citizen_sessions.c.expires_at < now),
        sign_in_challenges.name: sign_in_challenges.delete().where(sign_in_challenges.c.expires_at < now),
    }
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with store_answers(), autocommit.connect() as connection:
        return {table: connection.execute(statement).rowcount for table, statement in statements.items()}
