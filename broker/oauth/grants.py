"""Grants: what citizens have given to clients, and the codes and refresh tokens that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from broker.oauth.authorization_request import Grant, IssuedCode
from broker.oauth.grant_ends import GrantEnd

Revoker: TypeAlias = Literal["client", "data_subject", "representative", "code_replay", "operator", "broker"]
"""Who ended a grant; "broker" where time or a rule ended the last consent under it."""


class GrantEnder(Protocol):
    """Ends grants; `broker.actions.end_grant.EndGrant` is one."""

    def end(self, grant_id: str, ended_by: GrantEnd, at: datetime) -> None:
        """End a grant, all its tokens and the consents under it, at once.

        Raises GrantNotFound (unknown, or it has ended), ConsentMoved, StoreUnavailable.
        """
        ...


class GrantStore(Protocol):
    """Where grants are kept; `broker.storage.grants` implements it. All raise StoreUnavailable."""

    def find_code(self, code_hash: bytes) -> tuple[IssuedCode, Grant] | None:
        """Return a code, used and expired ones included, with its grant."""
        ...

    def find_refreshable(self, token_hash: bytes, client_id: str, at: datetime) -> Grant | None:
        """Return the living grant of a living refresh token of this client."""
        ...

    def find_grant(self, grant_id: str) -> Grant | None:
        """Return a grant, revoked and expired ones included."""
        ...

    def find_of_used_code(self, code_hash: bytes) -> str | None:
        """Return the id of the grant of a code that was used (RFC 6749, 4.1.2), or None."""
        ...

    def find_of_refresh_token(self, token_hash: bytes, client_id: str) -> str | None:
        """Return the id of the grant of a refresh token of this client, dead ones included, or None."""
        ...

    def revoke_access_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one access token of this client, if there is one."""
        ...

    def revoke_refresh_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one refresh token of this client, if there is one."""
        ...


def claims_of(grant: Grant) -> Mapping[str, Any]:
    """Return what a token says of the citizen's sign-in (RFC 9068, 2.2.1)."""
    return {"acr": f"level-{grant.level}", "auth_time": int(grant.authenticated_at.timestamp())}
