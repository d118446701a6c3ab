"""Is an access token still good? Asked in the database, where its proof is burned in the same statement."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from broker.errors import StoreUnavailable
from broker.oauth.protector import VerifiedToken
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement

AccessVerdict: TypeAlias = Literal["alive", "not_alive", "source_address_refused", "proof_replayed"]

# The same three conditions as in the recording statement of a release, for resources that release nothing.
_ALIVE: Final = """
  SELECT c.source_networks = '{}' OR coalesce($3::inet <<= ANY (c.source_networks), false) AS source_fits
  FROM access_tokens t
    JOIN clients c ON c.client_id = t.client_id
    LEFT JOIN grants g ON g.grant_id = t.grant_id
  WHERE t.token_hash = $1::bytea AND t.client_id = $2::text
    AND t.revoked_at IS NULL AND t.expires_at > now()
    AND c.status = 'active' AND c.expires_at > now()
    AND (t.grant_id IS NULL OR g.revoked_at IS NULL AND g.expires_at > now())
"""
_JUDGE_SQL: Final = """
WITH alive AS MATERIALIZED (%s), fitting AS (SELECT FROM alive WHERE source_fits), burned AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT $4::bigint, $5::bytea FROM fitting WHERE $5::bytea IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT CASE
  WHEN NOT EXISTS (SELECT FROM alive) THEN 'not_alive'
  WHEN NOT EXISTS (SELECT FROM fitting) THEN 'source_address_refused'
  WHEN $5::bytea IS NULL OR EXISTS (SELECT FROM burned) THEN 'alive'
  ELSE 'proof_replayed'
END
"""
_JUDGE: Final = PreparedStatement("judge_access", _JUDGE_SQL % _ALIVE, frozenset({0, 4}))
_IS_ALIVE: Final = PreparedStatement(
    "is_access_token_alive",
    """
SELECT FROM access_tokens t
    JOIN clients c ON c.client_id = t.client_id
    LEFT JOIN grants g ON g.grant_id = t.grant_id
  WHERE t.token_hash = $1::bytea AND t.revoked_at IS NULL AND t.expires_at > now()
    AND c.status = 'active' AND c.expires_at > now()
    AND (t.grant_id IS NULL OR g.revoked_at IS NULL AND g.expires_at > now())
""",
    frozenset({0}),
    repeatable=True,
)


class PostgresAccess:
    """Judges access tokens. deadline_seconds: for one statement."""

    def __init__(self, connections: PreparedConnections, deadline_seconds: float) -> None:
        self._connections = connections
        self._deadline_seconds = deadline_seconds

    def judge(self, token: VerifiedToken, source_address: str) -> AccessVerdict:
        """Say whether a verified token is alive for a caller, and burn its proof if so.

        source_address: as text, "" when it is not known. Raises StoreUnavailable.
        """
        issued_at = token.proof_issued_at_seconds
        parameters = [
            token.token_hash,
            token.client_id.encode(),
            source_address.encode() or None,
            None if issued_at is None else b"%d" % issued_at,
            token.proof_hash,
        ]
        try:
            rows = self._connections.execute(_JUDGE, parameters, self._deadline_seconds)
        except DatabaseError as fault:
            raise StoreUnavailable(f"the store does not answer: {type(fault).__name__}") from fault
        return (rows[0][0] or b"").decode()  # type: ignore[return-value]

    def is_alive(self, token_hash: bytes) -> bool:
        """Return whether the access token of this SHA-256 is alive. Raises StoreUnavailable."""
        try:
            return bool(self._connections.execute(_IS_ALIVE, [token_hash], self._deadline_seconds))
        except DatabaseError as fault:
            raise StoreUnavailable(f"the store does not answer: {type(fault).__name__}") from fault
