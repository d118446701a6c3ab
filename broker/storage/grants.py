"""Grants, codes and refresh tokens in PostgreSQL; of every secret only the SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, select, text

from broker.oauth.authorization_request import Grant, IssuedCode
from broker.oauth.grants import Revoker
from broker.storage.faults import store_answers
from broker.storage.tables import access_tokens, authorization_codes, grants, refresh_tokens

_GRANT: Final = [column for column in grants.c if column.name != "revoked_by"]
_CODE: Final = [
    authorization_codes.c[name]
    for name in (
        "code_hash",
        "redirect_uri",
        "code_challenge",
        "dpop_jkt",
        "nonce",
        "issued_at",
        "expires_at",
        "consumed_at",
    )
]
_REPLAYED: Final = text("""
UPDATE grants SET revoked_at = :at, revoked_by = 'code_replay'
WHERE revoked_at IS NULL AND grant_id = (
  SELECT grant_id FROM authorization_codes WHERE code_hash = :code_hash AND consumed_at IS NOT NULL)
""")
# A grant ends with its refresh token: nothing else could renew what the client gave back.
_REFRESH_REVOKED: Final = text("""
WITH revoked AS (
  UPDATE refresh_tokens SET revoked_at = coalesce(revoked_at, :at)
  WHERE token_hash = :token_hash AND client_id = :client_id RETURNING grant_id
), ended AS (
  UPDATE grants SET revoked_at = :at, revoked_by = 'client'
  WHERE revoked_at IS NULL AND grant_id IN (SELECT grant_id FROM revoked)
)
SELECT EXISTS (SELECT FROM revoked)
""")


class PostgresGrants:
    """Implements `broker.oauth.grants.GrantStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def find_code(self, code_hash: bytes) -> tuple[IssuedCode, Grant] | None:
        """Return a code, used and expired ones included, with its grant. Raises StoreUnavailable."""
        statement = (
            select(*_CODE, *_GRANT)
            .join_from(authorization_codes, grants, authorization_codes.c.grant_id == grants.c.grant_id)
            .where(authorization_codes.c.code_hash == code_hash)
        )
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        code = dict(zip([column.name for column in _CODE], row[: len(_CODE)], strict=True))
        return IssuedCode(**{**code, "code_hash": bytes(code["code_hash"])}), _grant(row[len(_CODE) :])

    def find_refreshable(self, token_hash: bytes, client_id: str, at: datetime) -> Grant | None:
        """Return the living grant of a living refresh token of this client. Raises StoreUnavailable."""
        statement = (
            select(*_GRANT)
            .join_from(refresh_tokens, grants, refresh_tokens.c.grant_id == grants.c.grant_id)
            .where(refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.client_id == client_id)
            .where(refresh_tokens.c.revoked_at.is_(None), refresh_tokens.c.expires_at > at)
            .where(grants.c.revoked_at.is_(None), grants.c.expires_at > at)
        )
        return self._one(statement)

    def find_grant(self, grant_id: str) -> Grant | None:
        """Return a grant, revoked and expired ones included. Raises StoreUnavailable."""
        return self._one(select(*_GRANT).where(grants.c.grant_id == grant_id))

    def revoke_grant(self, grant_id: str, revoked_by: Revoker, at: datetime) -> bool:
        """Revoke a grant: no token of it is good at the next request. Raises StoreUnavailable."""
        statement = (
            grants.update()
            .where(grants.c.grant_id == grant_id, grants.c.revoked_at.is_(None))
            .values(revoked_at=at, revoked_by=revoked_by)
        )
        with store_answers(), self._engine.connect() as connection:
            return connection.execute(statement).rowcount == 1

    def revoke_for_replay(self, code_hash: bytes, at: datetime) -> None:
        """Revoke the grant of a code that was used already; else do nothing. Raises StoreUnavailable."""
        with store_answers(), self._engine.connect() as connection:
            connection.execute(_REPLAYED, {"code_hash": code_hash, "at": at})

    def revoke_access_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one access token of this client, if there is one. Raises StoreUnavailable."""
        statement = (
            access_tokens.update()
            .where(access_tokens.c.token_hash == token_hash, access_tokens.c.client_id == client_id)
            .where(access_tokens.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        with store_answers(), self._engine.connect() as connection:
            connection.execute(statement)

    def revoke_refresh_token(self, token_hash: bytes, client_id: str, at: datetime) -> bool:
        """Revoke a refresh token of this client and its grant; False without one. Raises StoreUnavailable."""
        parameters = {"token_hash": token_hash, "client_id": client_id, "at": at}
        with store_answers(), self._engine.connect() as connection:
            return bool(connection.execute(_REFRESH_REVOKED, parameters).scalar_one())

    def _one(self, statement: Any) -> Grant | None:
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _grant(row)


def _grant(row: Sequence[Any]) -> Grant:
    values = dict(zip([column.name for column in _GRANT], row, strict=True))
    details = tuple(values.pop("authorization_details"))
    return Grant(**{**values, "citizen_id": str(values["citizen_id"]), "details": details})
