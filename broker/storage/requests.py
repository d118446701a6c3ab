"""Pushed authorization requests in PostgreSQL, and the one statement of a citizen's decision."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from broker.oauth.authorization_request import Grant, IssuedCode, PushedParameters, PushedRequest
from broker.storage.faults import store_answers
from broker.storage.tables import pushed_requests

_OPEN: Final = text("""
UPDATE pushed_requests
SET opened_at = coalesce(opened_at, :at),
    expires_at = CASE WHEN opened_at IS NULL THEN :decide_until ELSE expires_at END
WHERE request_ref = :request_ref AND client_id = :client_id AND decided_at IS NULL AND expires_at > :at
RETURNING request_ref, client_id, parameters, pushed_at, expires_at
""")
_FIND: Final = text("""
SELECT request_ref, client_id, parameters, pushed_at, expires_at FROM pushed_requests
WHERE request_ref = :request_ref AND opened_at IS NOT NULL AND decided_at IS NULL AND expires_at > :at
""")
_DECIDE: Final = """
UPDATE pushed_requests SET decided_at = :at
WHERE request_ref = :request_ref AND opened_at IS NOT NULL AND decided_at IS NULL AND expires_at > :at
RETURNING 1
"""
# The second of two decisions waits for the first one's row and then finds it decided: one grant, one code.
_APPROVE_SQL: Final = """
WITH decided AS (%s), granted AS (
  INSERT INTO grants (grant_id, client_id, citizen_id, subject, scope, authorization_details, level,
    authenticated_at, granted_at, expires_at)
  SELECT :grant_id, :client_id, CAST(:citizen_id AS uuid), :subject, :scope, :details, :level,
    :authenticated_at, :at, :grant_expires_at FROM decided
  RETURNING grant_id
), coded AS (
  INSERT INTO authorization_codes (code_hash, grant_id, client_id, redirect_uri, code_challenge, dpop_jkt,
    nonce, issued_at, expires_at)
  SELECT :code_hash, grant_id, :client_id, :redirect_uri, :code_challenge, :dpop_jkt, :nonce, :at,
    :code_expires_at FROM granted
  RETURNING 1
)
SELECT EXISTS (SELECT FROM coded)
"""
_APPROVE: Final = text(_APPROVE_SQL % _DECIDE).bindparams(bindparam("details", type_=JSONB))
_REFUSE: Final = text(_DECIDE)


class PostgresRequests:
    """Implements `broker.oauth.authorization_request.RequestStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def push_request(self, request: PushedRequest) -> None:
        """Keep a pushed request. Raises StoreUnavailable."""
        values = {
            "request_ref": request.request_ref,
            "client_id": request.client_id,
            "parameters": request.parameters.as_document(),
            "pushed_at": request.pushed_at,
            "expires_at": request.expires_at,
        }
        with store_answers(), self._engine.connect() as connection:
            connection.execute(pushed_requests.insert().values(values))

    def open_request(
        self, request_ref: bytes, client_id: str, at: datetime, decide_until: datetime
    ) -> PushedRequest | None:
        """Return a request that may be opened, and let it wait for its decision. Raises StoreUnavailable."""
        parameters = {
            "request_ref": request_ref,
            "client_id": client_id,
            "at": at,
            "decide_until": decide_until,
        }
        with store_answers(), self._engine.connect() as connection:
            return _request(connection.execute(_OPEN, parameters).one_or_none())

    def find_request(self, request_ref: bytes, at: datetime) -> PushedRequest | None:
        """Return a request that was opened and waits for its decision. Raises StoreUnavailable."""
        with store_answers(), self._engine.connect() as connection:
            return _request(connection.execute(_FIND, {"request_ref": request_ref, "at": at}).one_or_none())

    def approve_request(self, request_ref: bytes, grant: Grant, code: IssuedCode) -> bool:
        """Mark a request as decided and keep grant and code, all or nothing. Raises StoreUnavailable."""
        with store_answers(), self._engine.connect() as connection:
            return approve_in(connection, request_ref, grant, code)

    def refuse_request(self, request_ref: bytes, at: datetime) -> bool:
        """Mark a request as decided; False if it waits no longer. Raises StoreUnavailable."""
        with store_answers(), self._engine.connect() as connection:
            return refuse_in(connection, request_ref, at)


def approve_in(connection: Connection, request_ref: bytes, grant: Grant, code: IssuedCode) -> bool:
    """Mark a request as decided and keep grant and code, on a connection whose transaction may hold more."""
    parameters = {
        **grant_values(grant),
        "request_ref": request_ref,
        "at": grant.granted_at,
        "details": [dict(detail) for detail in grant.details],
        "grant_expires_at": grant.expires_at,
        "code_hash": code.code_hash,
        "redirect_uri": code.redirect_uri,
        "code_challenge": code.code_challenge,
        "dpop_jkt": code.dpop_jkt,
        "nonce": code.nonce,
        "code_expires_at": code.expires_at,
    }
    return bool(connection.execute(_APPROVE, parameters).scalar_one())


def refuse_in(connection: Connection, request_ref: bytes, at: datetime) -> bool:
    """Mark a request as decided, on a connection whose transaction may hold more."""
    decided = connection.execute(_REFUSE, {"request_ref": request_ref, "at": at})
    return decided.one_or_none() is not None


def grant_values(grant: Grant) -> dict[str, Any]:
    """Return a grant as the columns of its table."""
    return {
        "grant_id": grant.grant_id,
        "client_id": grant.client_id,
        "citizen_id": grant.citizen_id,
        "subject": grant.subject,
        "scope": grant.scope,
        "authorization_details": [dict(detail) for detail in grant.details],
        "level": grant.level,
        "authenticated_at": grant.authenticated_at,
        "granted_at": grant.granted_at,
        "expires_at": grant.expires_at,
    }


def _request(row: Any) -> PushedRequest | None:
    if row is None:
        return None
    document = row.parameters if isinstance(row.parameters, dict) else json.loads(row.parameters)
    return PushedRequest(
        request_ref=bytes(row.request_ref),
        client_id=row.client_id,
        parameters=PushedParameters.of(document),
        pushed_at=row.pushed_at,
        expires_at=row.expires_at,
    )
