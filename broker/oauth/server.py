"""The authorization server: Authlib's, told what FAPI 2.0 demands and given its stores explicitly."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

from authlib.integrations.flask_oauth2 import (  # type: ignore[import-untyped]
    AuthorizationServer as FlaskAuthorizationServer,
)
from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import InvalidRequestError  # type: ignore[import-untyped]
from flask import Request, Response

from broker.clock import Clock
from broker.errors import BrokerError
from broker.oauth.bound_tokens import TokenIssuer
from broker.oauth.client_authentication import PrivateKeyJwt
from broker.oauth.client_credentials import BoundClientCredentials
from broker.oauth.form_request import FormRequest
from broker.oauth.registration import PRIVATE_KEY_JWT, ClientRegistration, ClientStore
from broker.oauth.token_errors import GrantTypeUnsupported, ServerFailed, TemporarilyUnavailable

_log: Final = logging.getLogger(__name__)


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]
    """Issues access tokens; more is added with register_grant and register_endpoint."""

    def __init__(
        self,
        *,
        token_issuer: TokenIssuer,
        clients: ClientStore,
        scopes_offered: frozenset[str],
        clock: Clock,
    ) -> None:
        super().__init__()
        self.token_issuer = token_issuer
        self.scopes_offered = scopes_offered
        self._clients = clients
        self._clock = clock
        self.register_client_auth_method(PRIVATE_KEY_JWT, PrivateKeyJwt(token_issuer.issuer))
        self.register_grant(BoundClientCredentials)

    def token_response(self, request: Request) -> Response:
        """Answer one request to the token endpoint (RFC 6749, 3.2): 200 and a token, or an error of 5.2.

        Never raises: what is not a fault of the request is 503 or 500 in the same form.
        """
        try:
            oauth2_request = FormRequest(request, self.token_issuer.token_endpoint, self._clock())
            grant = self.get_token_grant(oauth2_request)
            grant.validate_token_request()
            return self.handle_response(*grant.create_token_response())
        except OAuth2Error as error:
            return self.handle_response(*error())
        except BrokerError as fault:
            _log.warning("no token was issued: %s", fault.kind)
            return self.handle_response(*TemporarilyUnavailable()())
        except Exception as fault:
            # The exception's text could hold what the client sent: only its kind is written down.
            place = traceback.extract_tb(fault.__traceback__)[-1]
            kind = type(fault).__name__
            _log.error("token endpoint failed: %s in %s", kind, place.name)
            return self.handle_response(*ServerFailed()())

    def query_client(self, client_id: str) -> ClientRegistration | None:
        """Return the registration of a client. Raises StoreUnavailable."""
        return self._clients.find_registration(client_id)

    def get_token_grant(self, request: FormRequest) -> Any:
        """Return the grant that a request names. Raises InvalidRequestError, GrantTypeUnsupported."""
        if not request.payload.grant_type:
            raise InvalidRequestError("grant_type is missing")
        for grant_class, _ in self._token_grants:
            if grant_class.check_token_endpoint(request):
                return grant_class(request, self)
        raise GrantTypeUnsupported

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Send nothing: who may hear of an authentication is wired, not subscribed."""

    def handle_response(
        self, status: int, body: Mapping[str, Any], headers: Sequence[tuple[str, str]]
    ) -> Response:
        """Return the response that Authlib described."""
        return Response(json.dumps(body), status=status, headers=list(headers))
