"""Grants, codes and refresh tokens in PostgreSQL; of every secret only the SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, Table, select

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
        """Revoke a grant alone: no token of it is good at the next request. Raises StoreUnavailable.

        What lives under it is ended by `broker.actions.end_grant`.
        """
        with store_answers(), self._engine.connect() as connection:
            return revoke_in(connection, grant_id, revoked_by, at)

    def find_of_used_code(self, code_hash: bytes) -> str | None:
        """Return the id of the grant of a code that was used, or None. Raises StoreUnavailable."""
        found = select(authorization_codes.c.grant_id).where(
            authorization_codes.c.code_hash == code_hash, authorization_codes.c.consumed_at.is_not(None)
        )
        return self._id(found)

    def find_of_refresh_token(self, token_hash: bytes, client_id: str) -> str | None:
        """Return the id of the grant of a refresh token of this client, or None. Raises StoreUnavailable."""
        found = select(refresh_tokens.c.grant_id).where(
            refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.client_id == client_id
        )
        return self._id(found)

    def revoke_access_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one access token of this client, if there is one. Raises StoreUnavailable."""
        self._revoke(access_tokens, token_hash, client_id, at)

    def revoke_refresh_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one refresh token of this client, if there is one. Raises StoreUnavailable."""
        self._revoke(refresh_tokens, token_hash, client_id, at)

    def _revoke(self, table: Table, token_hash: bytes, client_id: str, at: datetime) -> None:
        statement = (
            table.update()
            .where(table.c.token_hash == token_hash, table.c.client_id == client_id)
            .where(table.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        with store_answers(), self._engine.connect() as connection:
            connection.execute(statement)

    def _id(self, statement: Select[Any]) -> str | None:
        with store_answers(), self._engine.connect() as connection:
            found: str | None = connection.execute(statement).scalar_one_or_none()
            return found

    def _one(self, statement: Any) -> Grant | None:
        with store_answers(), self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _grant(row)


def revoke_in(connection: Connection, grant_id: str, revoked_by: Revoker, at: datetime) -> bool:
    """Revoke a grant, on a connection whose transaction may hold more; False if it has ended before."""
    revoked = connection.execute(
        grants.update()
        .where(grants.c.grant_id == grant_id, grants.c.revoked_at.is_(None))
        .values(revoked_at=at, revoked_by=revoked_by)
    )
    return revoked.rowcount == 1


def _grant(row: Sequence[Any]) -> Grant:
    values = dict(zip([column.name for column in _GRANT], row, strict=True))
    details = tuple(values.pop("authorization_details"))
    return Grant(**{**values, "citizen_id": str(values["citizen_id"]), "details": details})
