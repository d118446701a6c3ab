"""Grants: what citizens have given to clients, and the codes and refresh tokens that stand for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from broker.oauth.authorization_request import Grant, IssuedCode

Revoker: TypeAlias = Literal["client", "data_subject", "representative", "code_replay", "operator", "broker"]
"""Who ended a grant; "broker" where time or a rule ended the last consent under it."""


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

    def revoke_grant(self, grant_id: str, revoked_by: Revoker, at: datetime) -> bool:
        """Revoke a grant, and with it all its tokens, at once; False if it was revoked before."""
        ...

    def revoke_for_replay(self, code_hash: bytes, at: datetime) -> None:
        """Revoke the grant of a code that was tried after its use (RFC 6749, 4.1.2); else do nothing."""
        ...

    def revoke_access_token(self, token_hash: bytes, client_id: str, at: datetime) -> None:
        """Revoke one access token of this client, if there is one."""
        ...

    def revoke_refresh_token(self, token_hash: bytes, client_id: str, at: datetime) -> bool:
        """Revoke a refresh token of this client and its grant (RFC 7009, 2.1); False if there is none."""
        ...


def claims_of(grant: Grant) -> Mapping[str, Any]:
    """Return what a token says of the citizen's sign-in (RFC 9068, 2.2.1)."""
    return {"acr": f"level-{grant.level}", "auth_time": int(grant.authenticated_at.timestamp())}
