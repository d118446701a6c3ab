"""Issued access tokens and used one-time values in PostgreSQL; of a token only its hash is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, text

from broker.oauth.issuing import IssueVerdict, TokenIssue
from broker.storage.faults import store_answers
from broker.storage.tables import access_tokens, used_assertions, used_proofs

KEEP_PROOFS: Final = timedelta(minutes=15)
"""How long used proofs are kept: far longer than any proof is accepted (60 s by default, 300 s at most)."""

# One statement, one transaction. A second request with the same assertion waits on the first one's unique
# index entry and then finds the conflict; the proof is burned only when the assertion was fresh. On disk
# after a crash: all of it or nothing, and no token has left in either case before the commit.
_ISSUE: Final = text("""
WITH client AS MATERIALIZED (
  SELECT client_id FROM clients
  WHERE client_id = :client_id AND status = 'active' AND expires_at > :issued_at
), assertion AS (
  INSERT INTO used_assertions (assertion_hash, expires_at)
  SELECT :assertion_hash, :assertion_expires_at FROM client
  ON CONFLICT DO NOTHING RETURNING 1
), proof AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT :proof_issued_at_seconds, :proof_hash FROM assertion
  ON CONFLICT DO NOTHING RETURNING 1
), token AS (
  INSERT INTO access_tokens (token_hash, client_id, scope, issued_at, expires_at)
  SELECT :token_hash, :client_id, :scope, :issued_at, :expires_at FROM proof
  RETURNING 1
)
SELECT CASE
  WHEN EXISTS (SELECT FROM token) THEN 'issued'
  WHEN NOT EXISTS (SELECT FROM client) THEN 'client_not_active'
  WHEN NOT EXISTS (SELECT FROM assertion) THEN 'assertion_replayed'
  ELSE 'proof_replayed'
END
""")


class PostgresTokens:
    """Implements `broker.oauth.issuing.TokenStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def issue_token(self, issue: TokenIssue) -> IssueVerdict:
        """Burn assertion and proof and store the token's hash, all or nothing. Raises StoreUnavailable."""
        parameters = {name: getattr(issue, name) for name in TokenIssue.__dataclass_fields__}
        with store_answers(), self._engine.connect() as connection:
            verdict: IssueVerdict = connection.execute(_ISSUE, parameters).scalar_one()
            return verdict

    def delete_expired(self, now: datetime) -> Mapping[str, int]:
        """Delete what can no longer matter; return the rows deleted by table. Raises StoreUnavailable."""
        oldest_proof = int((now - KEEP_PROOFS).timestamp())
        statements = {
            "access_tokens": access_tokens.delete().where(access_tokens.c.expires_at < now),
            "used_assertions": used_assertions.delete().where(used_assertions.c.expires_at < now),
            "used_proofs": used_proofs.delete().where(used_proofs.c.issued_at_seconds < oldest_proof),
        }
        with store_answers(), self._engine.connect() as connection:
            return {table: connection.execute(statement).rowcount for table, statement in statements.items()}
