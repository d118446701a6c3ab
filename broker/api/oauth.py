"""The authorization server's endpoints: metadata, published keys, tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from flask import Blueprint, Response, request

from broker.oauth.metadata import JWKS_PATH, TOKEN_PATH, well_known_path
from broker.oauth.server import AuthorizationServer

METADATA_SECONDS: Final = 300


class PublishedKeys(Protocol):
    """Gives the public keys; `broker.keys.KeyRing` is one."""

    refresh_seconds: int

    def published_jwks(self) -> Mapping[str, Any]:
        """Return the JWK set (RFC 7517, 5)."""
        ...


def oauth_blueprint(
    server: AuthorizationServer, keys: PublishedKeys, metadata: Mapping[str, Any]
) -> Blueprint:
    """Return the routes of the authorization server.

    metadata: the document of RFC 8414, served as it is; its issuer decides the path. Errors of the token
    endpoint speak RFC 6749, 5.2.
    """
    blueprint = Blueprint("oauth", __name__)
    document = _cacheable(metadata)

    def authorization_server_metadata() -> Response:
        """Metadata of the authorization server (RFC 8414). Public."""
        return _answer(document, METADATA_SECONDS)

    def jwks() -> Response:
        """Public keys of access tokens and receipts (RFC 7517). Public.

        May be kept for as long as a new key waits before it signs, so a cached copy is never too old.
        """
        return _answer(_cacheable(keys.published_jwks()), keys.refresh_seconds)

    def token() -> Response:
        """Token endpoint (RFC 6749, 3.2): private_key_jwt and a DPoP proof in, a bound access token out."""
        return server.token_response(request)

    path = well_known_path(str(metadata["issuer"]))
    blueprint.add_url_rule(path, "metadata", authorization_server_metadata, methods=["GET"])
    blueprint.add_url_rule(JWKS_PATH, "jwks", jwks, methods=["GET"])
    blueprint.add_url_rule(TOKEN_PATH, "token", token, methods=["POST"])
    return blueprint


def _cacheable(document: Mapping[str, Any]) -> tuple[bytes, str]:
    body = json.dumps(document, separators=(",", ":")).encode()
    return body, hashlib.sha256(body).hexdigest()[:32]


def _answer(document: tuple[bytes, str], max_age_seconds: int) -> Response:
    body, tag = document
    response = Response(body, mimetype="application/json")
    response.cache_control.public = True
    response.cache_control.max_age = max_age_seconds
    response.set_etag(tag)
    return response.make_conditional(request)  # type: ignore[return-value]
