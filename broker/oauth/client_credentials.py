"""The client credentials grant (RFC 6749, 4.4): a client asks for a token to act for itself."""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant  # type: ignore[import-untyped]

from broker.oauth.authorization_details import DetailReader, scopes_of
from broker.oauth.bound_tokens import MACHINE_SUBJECT_PREFIX, TokenTerms, granted_scope
from broker.oauth.scopes import MACHINE_SCOPES
from broker.oauth.served_grant import ServedGrant

CLIENT_CREDENTIALS: Final = "client_credentials"


class BoundClientCredentials(ServedGrant, ClientCredentialsGrant):  # type: ignore[misc]
    """Authlib's grant, with tokens bound to their sender only.

    `server` must offer `token_issuer` and `details`.
    """

    def validate_token_request(self) -> None:
        """Authenticate, check grant, target, details and scope, in this order. Raises OAuth2Error."""
        client = self.authenticated_client()
        self.issuer.check_target(self.request)
        reader: DetailReader = self.server.details
        text = self.request.form.get("authorization_details")
        self._details = reader.read(text, client, self.request.at, personal=False)
        self.validate_requested_scope()

    def validate_requested_scope(self) -> None:
        """Leave the scope to grant in request.scope. Raises InvalidScopeError."""
        asked = self.request.payload.scope
        needed = sorted(scopes_of(self._details) - set((asked or "").split(" ")))
        scope = " ".join([*([asked] if asked is not None else []), *needed]) or None
        self.request.scope = granted_scope(scope, self.client.scopes, MACHINE_SCOPES)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return status, body and headers. Authlib's own method writes the token to its debug log."""
        return 200, self.generate_token(scope=self.request.scope), self.TOKEN_RESPONSE_HEADER

    def generate_token(self, scope: str, **_: Any) -> dict[str, Any]:
        """Return the token response; the token's hash is stored before it is returned."""
        subject = MACHINE_SUBJECT_PREFIX + self.client.client_id
        terms = TokenTerms(subject=subject, scope=scope, details=self._details)
        return self.issuer.issue(self.request, self.client, terms)
