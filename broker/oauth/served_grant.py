"""What every grant at the token endpoint begins with: its client, and the parts that the server offers."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import UnauthorizedClientError  # type: ignore[import-untyped]

from broker.oauth.bound_tokens import TokenIssuer
from broker.oauth.grants import GrantStore
from broker.oauth.id_tokens import IdTokens
from broker.oauth.registration import AUTHENTICATION_METHODS, ClientRegistration


class ServedGrant:
    """Stands before one of Authlib's grants among the bases of a class."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS
    GRANT_TYPE: str
    server: Any
    authenticate_token_endpoint_client: Any

    def authenticated_client(self) -> ClientRegistration:
        """Return the client, authenticated and registered for this grant type. Raises OAuth2Error."""
        client: ClientRegistration = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("the client is not registered for this grant type")
        return client

    @property
    def issuer(self) -> TokenIssuer:
        """Issues the access token."""
        issuer: TokenIssuer = self.server.token_issuer
        return issuer

    @property
    def grants(self) -> GrantStore:
        """Keeps what citizens have given."""
        grants: GrantStore = self.server.grants
        return grants

    @property
    def id_tokens(self) -> IdTokens:
        """Issues the ID token."""
        id_tokens: IdTokens = self.server.id_tokens
        return id_tokens
