"""The authorization server: Authlib's, told what FAPI 2.0 demands and given its stores explicitly."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from authlib.integrations.flask_oauth2 import (  # type: ignore[import-untyped]
    AuthorizationServer as FlaskAuthorizationServer,
)
from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import InvalidRequestError  # type: ignore[import-untyped]
from flask import Request, Response

from broker.clock import Clock
from broker.errors import BrokerError
from broker.oauth.authorization_code import BoundAuthorizationCode
from broker.oauth.authorization_details import DetailReader
from broker.oauth.backchannel import BackchannelEndpoint, BackchannelGrant, BackchannelRequests
from broker.oauth.bound_tokens import TokenIssuer, one_time_values, refuse_verdict
from broker.oauth.caller_facts import CallerReader
from broker.oauth.client_authentication import PrivateKeyJwt
from broker.oauth.client_credentials import BoundClientCredentials
from broker.oauth.endpoints import (
    BACKCHANNEL_PATH,
    INTROSPECTION_PATH,
    PUSHED_REQUEST_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
    Addresses,
)
from broker.oauth.form_request import FormRequest
from broker.oauth.grants import GrantEnder, GrantStore
from broker.oauth.id_tokens import IdTokens
from broker.oauth.introspection import IntrospectionEndpoint
from broker.oauth.pushed_requests import PushedRequestEndpoint
from broker.oauth.refresh import BoundRefresh
from broker.oauth.registration import (
    AUTHENTICATION_METHODS,
    PRIVATE_KEY_JWT,
    ClientRegistration,
    ClientStore,
    PublishedClientKeys,
)
from broker.oauth.revocation import RevocationEndpoint
from broker.oauth.token_errors import GrantTypeUnsupported, ServerFailed, TemporarilyUnavailable

_log: Final = logging.getLogger(__name__)
Headers = Sequence[tuple[str, str]]
Answer = tuple[int, Mapping[str, Any] | str, Headers]
NO_STORE: Final[Headers] = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("Pragma", "no-cache"),
)


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]
    """Answers the requests of clients; what the grants need is an attribute of it.

    tls_methods: client authentication by certificate, method name → callable as Authlib wants it.
    """

    def __init__(
        self,
        *,
        addresses: Addresses,
        token_issuer: TokenIssuer,
        clients: ClientStore,
        grants: GrantStore,
        grant_ender: GrantEnder,
        id_tokens: IdTokens,
        details: DetailReader,
        pushed_requests: PushedRequestEndpoint,
        introspection: IntrospectionEndpoint,
        revocation: RevocationEndpoint,
        backchannel: BackchannelRequests,
        backchannel_endpoint: BackchannelEndpoint,
        callers: CallerReader,
        clock: Clock,
        published_keys: PublishedClientKeys | None = None,
        tls_methods: Mapping[str, Callable[..., ClientRegistration | None]] | None = None,
    ) -> None:
        super().__init__()
        self.token_issuer = token_issuer
        self.grants = grants
        self.grant_ender = grant_ender
        self.id_tokens = id_tokens
        self.details = details
        self._addresses = addresses
        self._pushed_requests = pushed_requests
        self.backchannel = backchannel
        self._backchannel_endpoint = backchannel_endpoint
        self._introspection = introspection
        self._revocation = revocation
        self._clients = clients
        self._callers = callers
        self._clock = clock
        methods = {PRIVATE_KEY_JWT: PrivateKeyJwt(token_issuer.issuer, published_keys), **(tls_methods or {})}
        for name in AUTHENTICATION_METHODS:
            self.register_client_auth_method(name, methods.get(name, _not_offered))
        for grant in (BoundClientCredentials, BoundAuthorizationCode, BoundRefresh, BackchannelGrant):
            self.register_grant(grant)

    def token_response(self, request: Request) -> Response:
        """Answer a request to the token endpoint (RFC 6749, 3.2): 200 and a token, or an error of 5.2."""
        return self.answer(request, TOKEN_PATH, self._token)

    def pushed_response(self, request: Request) -> Response:
        """Answer a pushed authorization request (RFC 9126): 201 and a request_uri, or an error."""
        return self.answer(request, PUSHED_REQUEST_PATH, self._pushed)

    def introspection_response(self, request: Request) -> Response:
        """Answer what a token is worth (RFC 7662): 200 with JSON or a JWT (RFC 9701), or an error."""
        return self.answer(request, INTROSPECTION_PATH, self._introspected)

    def revocation_response(self, request: Request) -> Response:
        """Answer a token given back (RFC 7009): 200 with nothing, or an error."""
        return self.answer(request, REVOCATION_PATH, self._revoked)

    def backchannel_response(self, request: Request) -> Response:
        """Answer a backchannel authentication request (CIBA, 7): 200 and an auth_req_id, or an error."""
        return self.answer(request, BACKCHANNEL_PATH, self._backchannel)

    def answer(self, request: Request, path: str, respond: Callable[[FormRequest], Answer]) -> Response:
        """Answer one request of a client to the endpoint at a path.

        Never raises: what is not a fault of the request is 503 or 500 in the form of RFC 6749, 5.2.
        """
        try:
            caller = self._callers.read(request.environ)
            form = FormRequest(request, self._addresses.of(path), self._clock(), caller)
            status, body, headers = respond(form)
            return self.handle_response(status, body, [*headers, *self._nonce(form)])
        except OAuth2Error as error:
            return self.handle_response(*error())
        except BrokerError as fault:
            _log.warning("an OAuth endpoint cannot answer: %s", fault.kind)
            return self.handle_response(*TemporarilyUnavailable()())
        except Exception as fault:
            # The exception's text could hold what the client sent: only its kind is written down.
            place = traceback.extract_tb(fault.__traceback__)[-1]
            kind = type(fault).__name__
            _log.error("an OAuth endpoint failed: %s in %s", kind, place.name)
            return self.handle_response(*ServerFailed()())

    def authenticated_client(self, request: FormRequest) -> ClientRegistration:
        """Return the client that a request proves to come from. Raises InvalidClientError."""
        client: ClientRegistration = self.authenticate_client(request, AUTHENTICATION_METHODS)
        request.client = client
        return client

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

    def handle_response(self, status: int, body: Mapping[str, Any] | str, headers: Headers) -> Response:
        """Return the response that Authlib described; a text goes out as it is."""
        content = body if isinstance(body, str) else json.dumps(body)
        return Response(content, status=status, headers=list(headers))

    def _token(self, request: FormRequest) -> Answer:
        grant = self.get_token_grant(request)
        grant.validate_token_request()
        answer: Answer = grant.create_token_response()
        return answer

    def _pushed(self, request: FormRequest) -> Answer:
        client = self.authenticated_client(request)
        return *self._pushed_requests.respond(request, client), NO_STORE

    def _introspected(self, request: FormRequest) -> Answer:
        status, body, media_type = self._introspection.respond(request, self._fresh_client(request))
        return status, body, (("Content-Type", media_type), *NO_STORE[1:])

    def _revoked(self, request: FormRequest) -> Answer:
        self._revocation.respond(request, self._fresh_client(request))
        return 200, "", (("Content-Type", "text/plain; charset=utf-8"), *NO_STORE[1:])

    def _fresh_client(self, request: FormRequest) -> ClientRegistration:
        """Return the authenticated client of a request that buys no token; its assertion is burned."""
        client = self.authenticated_client(request)
        store = self.token_issuer.store
        verdict = store.burn(client.client_id, one_time_values(request), request.at)
        if verdict != "burned":
            refuse_verdict(verdict)
        return client

    def _backchannel(self, request: FormRequest) -> Answer:
        client = self.authenticated_client(request)
        return 200, self._backchannel_endpoint.respond(request, client), NO_STORE

    def _nonce(self, request: FormRequest) -> Headers:
        """Give a nonce for the next proof to whoever used one (RFC 9449, 8.2)."""
        nonces = self.token_issuer.sender.proofs.nonces
        if nonces is None or request.proof is None:
            return ()
        return (("DPoP-Nonce", nonces.fresh(request.at.timestamp())),)


def _not_offered(query_client: Any, request: FormRequest) -> None:
    """Authenticate nobody: a method that the operator has not turned on."""
