"""Deletes what can no longer matter: expired tokens, codes, requests, sessions, results, one-time values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select

from broker.storage.faults import store_answers
from broker.storage.tables import (
    access_tokens,
    authorization_codes,
    citizen_sessions,
    pushed_requests,
    refresh_tokens,
    sign_in_challenges,
    statistics_chunks,
    statistics_jobs,
    used_assertions,
    used_proofs,
)

KEEP_PROOFS: Final = timedelta(minutes=15)
"""How long used proofs are kept: far longer than any proof is accepted (60 s by default, 300 s at most)."""
KEEP_CODES: Final = timedelta(days=1)
"""How long a code is known after its end, so that whoever tries it again ends the grant (RFC 6749, 4.1.2)."""
KEEP_JOBS: Final = timedelta(days=90)
"""How long a job of a statistical export is known after its end; evidence of it stays."""


def delete_expired(engine: Engine, now: datetime) -> Mapping[str, int]:
    """Delete what can no longer matter; return the rows deleted by table. Raises StoreUnavailable."""
    oldest_proof = int((now - KEEP_PROOFS).timestamp())
    oldest_code = now - KEEP_CODES
    over = select(statistics_jobs.c.job_id).where(statistics_jobs.c.expires_at < now)
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
        statistics_chunks.name: statistics_chunks.delete().where(statistics_chunks.c.job_id.in_(over)),
        statistics_jobs.name: statistics_jobs.delete().where(statistics_jobs.c.finished_at < now - KEEP_JOBS),
    }
    # Whoever has a copy of the pieces has nothing to open them with.
    shredded = (
        statistics_jobs.update()
        .where(statistics_jobs.c.expires_at < now, statistics_jobs.c.key_encrypted.is_not(None))
        .values(key_encrypted=None)
    )
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with store_answers(), autocommit.connect() as connection:
        connection.execute(shredded)
        return {table: connection.execute(statement).rowcount for table, statement in statements.items()}
