"""The authorization server's endpoints: metadata, published keys, and what clients and browsers ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from broker.api.public_documents import PublicDocument
from broker.clock import Clock
from broker.errors import BrokerError
from broker.oauth.authorization import AuthorizationRefused, Authorizations
from broker.oauth.endpoints import (
    AUTHORIZATION_PATH,
    BACKCHANNEL_PATH,
    INTROSPECTION_PATH,
    JWKS_PATH,
    PUSHED_REQUEST_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)
from broker.oauth.metadata import openid_configuration_path, signing_metadata, well_known_path
from broker.oauth.server import AuthorizationServer
from broker.oauth.stored_keys import Purpose

PARAMETERS_BYTES_MAX: Final = 8192


class PublishedKeys(Protocol):
    """Gives the public keys; `broker.keys.KeyRing` is one."""

    refresh_seconds: int

    def published_jwks(self) -> Mapping[str, Any]:
        """Return the JWK set (RFC 7517, 5)."""
        ...

    def signing_algorithms(self, purpose: Purpose) -> Sequence[str]:
        """Return the algorithms that signatures for a purpose have now or will have next."""
        ...


class DecisionPage(Protocol):
    """The page on which a citizen decides; `consent_ui` has it."""

    def address(self, request_ref: bytes) -> str:
        """Return the path to which the browser goes on."""
        ...

    def fault(self, reason: str, vietnamese: bool) -> str:
        """Return the page for a browser that cannot be sent back to a client. reason: a fixed word."""
        ...


def oauth_blueprint(
    server: AuthorizationServer, keys: PublishedKeys, metadata: Mapping[str, Any]
) -> Blueprint:
    """Return the routes that clients' programs use.

    metadata: the document of RFC 8414, served with what the keys sign with; its issuer decides the path.
    Errors speak RFC 6749, 5.2.
    """
    blueprint = Blueprint("oauth", __name__)

    def authorization_server_metadata() -> Response:
        """Metadata of the authorization server (RFC 8414, OpenID Connect Discovery). Public.

        May be kept as long as keys: an algorithm stands there before it signs.
        """
        document = {**metadata, **signing_metadata(keys.signing_algorithms)}
        return PublicDocument.of(document, keys.refresh_seconds).answer()

    def jwks() -> Response:
        """Public keys of tokens and receipts (RFC 7517). Public.

        May be kept for as long as a new key waits before it signs, so a cached copy is never too old.
        """
        return PublicDocument.of(keys.published_jwks(), keys.refresh_seconds).answer()

    def token() -> Response:
        """Token endpoint (RFC 6749, 3.2): an authenticated client in, a bound access token out."""
        return server.token_response(request)

    def pushed_request() -> Response:
        """Pushed authorization requests (RFC 9126): an authenticated client in, a request_uri out."""
        return server.pushed_response(request)

    def backchannel() -> Response:
        """Backchannel authentication (CIBA, 7): an authenticated client in, an auth_req_id out."""
        return server.backchannel_response(request)

    def introspection() -> Response:
        """Introspection (RFC 7662, RFC 9701): an authenticated client in, what its token is worth out."""
        return server.introspection_response(request)

    def revocation() -> Response:
        """Revocation (RFC 7009): an authenticated client in, its token is good for nothing."""
        return server.revocation_response(request)

    issuer = str(metadata["issuer"])
    public = authorization_server_metadata
    blueprint.add_url_rule(well_known_path(issuer), "metadata", public, methods=["GET"])
    blueprint.add_url_rule(openid_configuration_path(issuer), "openid_configuration", public, methods=["GET"])
    blueprint.add_url_rule(JWKS_PATH, "jwks", jwks, methods=["GET"])
    blueprint.add_url_rule(TOKEN_PATH, "token", token, methods=["POST"])
    blueprint.add_url_rule(PUSHED_REQUEST_PATH, "pushed_request", pushed_request, methods=["POST"])
    blueprint.add_url_rule(BACKCHANNEL_PATH, "backchannel", backchannel, methods=["POST"])
    blueprint.add_url_rule(INTROSPECTION_PATH, "introspection", introspection, methods=["POST"])
    blueprint.add_url_rule(REVOCATION_PATH, "revocation", revocation, methods=["POST"])
    return blueprint


def authorization_blueprint(authorizations: Authorizations, page: DecisionPage, clock: Clock) -> Blueprint:
    """Return the route to which clients send browsers (RFC 6749, 3.1). It sends no CORS header."""
    blueprint = Blueprint("authorization", __name__)

    def authorize() -> Response:
        """Authorization endpoint: a browser with a request_uri in, on to the page of the decision."""
        parameters = _browser_parameters()
        try:
            found = authorizations.begin(parameters, clock())
        except AuthorizationRefused as refused:
            return _page(page, refused.reason, 400)
        except BrokerError:
            return _page(page, "temporarily_unavailable", 503)
        # 303, so that the browser turns a POST into a GET (FAPI 2.0, 5.3.2.2-11).
        return _guarded(Response("", 303, {"Location": page.address(found.request_ref)}))

    blueprint.add_url_rule(AUTHORIZATION_PATH, "authorize", authorize, methods=["GET", "POST"])
    return blueprint


def _browser_parameters() -> Mapping[str, list[str]]:
    """Return the parameters of a browser's request: of the query, or of the form of a POST."""
    if len(request.query_string) > PARAMETERS_BYTES_MAX:
        return {}
    request.max_content_length = PARAMETERS_BYTES_MAX
    try:
        values = request.form if request.method == "POST" else request.args
    except HTTPException:
        return {}  # too large: a page for people, like any other fault here
    return {name: values.getlist(name) for name in values}


def _page(page: DecisionPage, reason: str, status: int) -> Response:
    vietnamese = not request.headers.get("Accept-Language", "").strip().lower().startswith("en")
    response = Response(page.fault(reason, vietnamese), status, mimetype="text/html")
    return _guarded(response)


def _guarded(response: Response) -> Response:
    """Forbid framing, scripts, caching and leaking of the address (RFC 9700, 4.16)."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
