"""Issued tokens and used one-time values in PostgreSQL; of a token only its hash is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from broker.errors import StoreUnavailable
from broker.oauth.issuing import BurnVerdict, IssueVerdict, OneTimeValues, RefreshIssue, TokenIssue
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement

# One statement, one transaction. A second request with the same assertion waits on the first one's unique
# index entry and then finds the conflict; the proof is burned only when the assertion was fresh. On disk
# after a crash: all of it or nothing, and no token has left in either case before the commit.
_BURNED: Final = """
WITH client AS MATERIALIZED (
  SELECT client_id FROM clients
  WHERE client_id = $1::text AND status = 'active' AND expires_at > $2::timestamptz
), assertion AS (
  INSERT INTO used_assertions (assertion_hash, expires_at)
  SELECT $3::bytea, $4::timestamptz FROM client WHERE $3::bytea IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
), fresh AS (
  SELECT FROM client WHERE $3::bytea IS NULL OR EXISTS (SELECT FROM assertion)
), proof AS (
  INSERT INTO used_proofs (issued_at_seconds, proof_hash)
  SELECT $5::bigint, $6::bytea FROM fresh WHERE $6::bytea IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
), burned AS (
  SELECT FROM fresh WHERE $6::bytea IS NULL OR EXISTS (SELECT FROM proof)
)"""
_FAULT: Final = """
  WHEN NOT EXISTS (SELECT FROM client) THEN 'client_not_active'
  WHEN NOT EXISTS (SELECT FROM fresh) THEN 'assertion_replayed'
  WHEN NOT EXISTS (SELECT FROM burned) THEN 'proof_replayed'"""
_ISSUED: Final = """, token AS (
  INSERT INTO access_tokens (token_hash, client_id, grant_id, scope, issued_at, expires_at)
  SELECT $7::bytea, $1::text, $8::text, $9::text, $2::timestamptz, $10::timestamptz FROM {basis}
  RETURNING 1
){more}
SELECT CASE
  WHEN EXISTS (SELECT FROM token) THEN 'issued'{fault}
  ELSE 'credential_not_alive'
END
"""
# The second of two redemptions waits for the first one's row and then finds the code used up.
_CODE: Final = """, code AS (
  UPDATE authorization_codes SET consumed_at = $2::timestamptz FROM burned
  WHERE code_hash = $13::bytea AND client_id = $1::text AND grant_id = $8::text
    AND consumed_at IS NULL AND expires_at > $2::timestamptz
  RETURNING grant_id
), basis AS (
  SELECT g.grant_id FROM grants g JOIN code USING (grant_id)
  WHERE g.revoked_at IS NULL AND g.expires_at > $2::timestamptz
)"""
_REFRESH_ISSUED: Final = """, refresh AS (
  INSERT INTO refresh_tokens (token_hash, grant_id, client_id, scope, issued_at, expires_at)
  SELECT $11::bytea, $8::text, $1::text, $9::text, $2::timestamptz, $12::timestamptz FROM basis
  WHERE $11::bytea IS NOT NULL
)"""
_BACKCHANNEL: Final = """, request AS (
  UPDATE consent_requests SET redeemed_at = $2::timestamptz FROM burned
  WHERE auth_request_hash = $13::bytea AND client_id = $1::text AND grant_id = $8::text
    AND redeemed_at IS NULL
  RETURNING grant_id
), basis AS (
  SELECT g.grant_id FROM grants g JOIN request USING (grant_id)
  WHERE g.revoked_at IS NULL AND g.expires_at > $2::timestamptz
)"""
_REFRESH: Final = """, basis AS (
  SELECT g.grant_id FROM refresh_tokens r JOIN grants g USING (grant_id) CROSS JOIN burned
  WHERE r.token_hash = $11::bytea AND r.client_id = $1::text AND r.grant_id = $8::text
    AND r.revoked_at IS NULL AND r.expires_at > $2::timestamptz
    AND g.revoked_at IS NULL AND g.expires_at > $2::timestamptz
)"""
_BINARY: Final = frozenset({2, 5, 6, 10, 12})


def _issuing(name: str, more: str, basis: str, beside: str = "") -> PreparedStatement:
    """Return the statement that issues an access token on the strength of a basis. Constant text."""
    issued = _ISSUED.format(basis=basis, more=beside, fault=_FAULT)
    return PreparedStatement(name, _BURNED + more + issued, _BINARY)


_ISSUE: Final = _issuing("issue_token", "", "burned")
_REDEEM: Final = _issuing("redeem_code", _CODE, "basis", _REFRESH_ISSUED)
_REDEEM_REQUEST: Final = _issuing("redeem_request", _BACKCHANNEL, "basis", _REFRESH_ISSUED)
_REFRESHED: Final = _issuing("issue_refreshed", _REFRESH, "basis")
_BURN: Final = PreparedStatement(
    "burn_one_time_values", _BURNED + "\nSELECT CASE" + _FAULT + "\n  ELSE 'burned'\nEND", _BINARY
)


class PostgresTokens:
    """Implements `broker.oauth.issuing.TokenStore`. deadline_seconds: for one statement."""

    def __init__(self, connections: PreparedConnections, deadline_seconds: float) -> None:
        self._connections = connections
        self._deadline_seconds = deadline_seconds

    def issue_token(self, issue: TokenIssue) -> IssueVerdict:
        """Burn the one-time values and store the token's hash, all or nothing. Raises StoreUnavailable."""
        return self._say(_ISSUE, _issue(issue))  # type: ignore[return-value]

    def redeem_code(self, issue: TokenIssue, code_hash: bytes, refresh: RefreshIssue | None) -> IssueVerdict:
        """Likewise, and use up an authorization code, and store a refresh token. Raises StoreUnavailable."""
        return self._say(_REDEEM, [*_issue(issue), *_refresh(refresh), code_hash])  # type: ignore[return-value]

    def redeem_request(
        self, issue: TokenIssue, auth_request_hash: bytes, refresh: RefreshIssue | None
    ) -> IssueVerdict:
        """Likewise, and use up a backchannel request with a living grant. Raises StoreUnavailable."""
        parameters = [*_issue(issue), *_refresh(refresh), auth_request_hash]
        return self._say(_REDEEM_REQUEST, parameters)  # type: ignore[return-value]

    def issue_refreshed(self, issue: TokenIssue, refresh_hash: bytes) -> IssueVerdict:
        """Likewise, on the strength of a refresh token, which stays. Raises StoreUnavailable."""
        return self._say(_REFRESHED, [*_issue(issue), refresh_hash])  # type: ignore[return-value]

    def burn(self, client_id: str, once: OneTimeValues, at: datetime) -> BurnVerdict:
        """Burn the one-time values of a request that buys no token. Raises StoreUnavailable."""
        return self._say(_BURN, _once(client_id, at, once))  # type: ignore[return-value]

    def _say(self, statement: PreparedStatement, parameters: Sequence[bytes | None]) -> str:
        try:
            rows = self._connections.execute(statement, parameters, self._deadline_seconds)
        except DatabaseError as fault:
            raise StoreUnavailable(f"the store does not answer: {type(fault).__name__}") from fault
        return (rows[0][0] or b"").decode()


def _instant(at: datetime) -> bytes:
    return at.isoformat().encode()


def _once(client_id: str, at: datetime, once: OneTimeValues) -> list[bytes | None]:
    expires_at, issued_at = once.assertion_expires_at, once.proof_issued_at_seconds
    return [
        client_id.encode(),
        _instant(at),
        once.assertion_hash,
        None if expires_at is None else _instant(expires_at),
        None if issued_at is None else b"%d" % issued_at,
        once.proof_hash,
    ]


def _issue(issue: TokenIssue) -> list[bytes | None]:
    return [
        *_once(issue.client_id, issue.issued_at, issue.once),
        issue.token_hash,
        None if issue.grant_id is None else issue.grant_id.encode(),
        issue.scope.encode(),
        _instant(issue.expires_at),
    ]


def _refresh(refresh: RefreshIssue | None) -> list[bytes | None]:
    return [None, None] if refresh is None else [refresh.token_hash, _instant(refresh.expires_at)]
