"""The client credentials grant (RFC 6749, 4.4): a client asks for a token to act for itself."""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749 import UnauthorizedClientError  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant  # type: ignore[import-untyped]

from broker.oauth.bound_tokens import MACHINE_SUBJECT_PREFIX, TokenIssuer, granted_scope
from broker.oauth.registration import PRIVATE_KEY_JWT

CLIENT_CREDENTIALS: Final = "client_credentials"


class BoundClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]
    """Authlib's grant, with private_key_jwt only and tokens bound to the proof's key only.

    `server` must offer `token_issuer` and `scopes_offered`.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = [PRIVATE_KEY_JWT]  # noqa: RUF012 (Authlib's)

    def validate_token_request(self) -> None:
        """Authenticate, check grant, target, scope and proof, in this order. Raises OAuth2Error."""
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("the client is not registered for this grant type")
        self._issuer.check_target(self.request)
        self.validate_requested_scope()
        self._issuer.check_proof(self.request)

    def validate_requested_scope(self) -> None:
        """Leave the scope to grant in request.scope. Raises InvalidScopeError."""
        requested = self.request.payload.scope
        self.request.scope = granted_scope(requested, self.client.scopes, self.server.scopes_offered)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return status, body and headers. Authlib's own method writes the token to its debug log."""
        return 200, self.generate_token(scope=self.request.scope), self.TOKEN_RESPONSE_HEADER

    def generate_token(self, scope: str, **_: Any) -> dict[str, Any]:
        """Return the token response; the token's hash is stored before it is returned."""
        subject = MACHINE_SUBJECT_PREFIX + self.client.client_id
        return self._issuer.issue(self.request, self.client, subject, scope)

    @property
    def _issuer(self) -> TokenIssuer:
        issuer: TokenIssuer = self.server.token_issuer
        return issuer
