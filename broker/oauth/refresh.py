"""The refresh grant (RFC 6749, 6): a refresh token stays as it is, bound to its client and its grant.

It is not rotated (FAPI 2.0, 5.3.2.1-9) and not bound to the DPoP key, because the client authenticates: a
client may move to a new key.
"""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant  # type: ignore[import-untyped]

from broker.oauth.authorization_details import scopes_of
from broker.oauth.bound_tokens import Details, TokenTerms, granted_scope
from broker.oauth.detail_types import SCOPE_OF
from broker.oauth.granted import secret_hash
from broker.oauth.grants import claims_of
from broker.oauth.narrowing import narrowed
from broker.oauth.scopes import SCOPES
from broker.oauth.served_grant import ServedGrant

_TOKEN_CHARACTERS_MAX: Final = 128


class BoundRefresh(ServedGrant, RefreshTokenGrant):  # type: ignore[misc]
    """Authlib's grant, told where tokens are kept. `server` must offer `token_issuer` and `grants`."""

    def validate_token_request(self) -> None:
        """Authenticate, find the token of this client, narrow scope and details. Raises OAuth2Error."""
        client = self.authenticated_client()
        token = self.request.form.get("refresh_token")
        if token is None:
            raise InvalidRequestError("refresh_token is missing")
        if len(token) > _TOKEN_CHARACTERS_MAX:
            raise InvalidGrantError("the refresh token is unknown")
        self._hash = secret_hash(token)
        found = self.grants.find_refreshable(self._hash, client.client_id, self.request.at)
        if found is None:
            raise InvalidGrantError("the refresh token is unknown, expired or revoked")
        self._grant = found
        self.issuer.check_target(self.request)
        self._details: Details = narrowed(self.request.form.get("authorization_details"), found.details)
        self._scope = self._narrowed_scope()

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return status, body and headers: no new refresh token."""
        issuer, grant = self.issuer, self._grant
        terms = TokenTerms(
            subject=grant.subject,
            scope=self._scope,
            details=self._details if scopes_of(self._details) <= set(self._scope.split(" ")) else (),
            grant_id=grant.grant_id,
            expires_at=grant.expires_at,
            extra=claims_of(grant),
        )
        body = issuer.issue(
            self.request,
            self.request.client,
            terms,
            lambda issue: issuer.store.issue_refreshed(issue, self._hash),
        )
        return 200, body, self.TOKEN_RESPONSE_HEADER

    def _narrowed_scope(self) -> str:
        """Return the scope asked for, within the one granted (RFC 6749, 6); a door never without details."""
        asked = self.request.form.get("scope")
        if asked is None:
            return self._grant.scope
        scope = granted_scope(asked, frozenset(self._grant.scope.split(" ")), SCOPES)
        if set(scope.split(" ")) & set(SCOPE_OF.values()) - scopes_of(self._details):
            raise InvalidScopeError("this scope needs its authorization_details")
        return scope
