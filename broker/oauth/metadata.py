"""Metadata of the authorization server (RFC 8414, OpenID Connect Discovery): only what is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.client_metadata_schema import CIBA, REFRESH_TOKEN
from broker.oauth.detail_types import SCOPE_OF
from broker.oauth.endpoints import (
    AUTHORIZATION_PATH,
    BACKCHANNEL_PATH,
    GRANTS_PATH,
    INTROSPECTION_PATH,
    JWKS_PATH,
    PUSHED_REQUEST_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
    Addresses,
)
from broker.oauth.jose_keys import ALGORITHMS
from broker.oauth.pushed_requests import AUTHORIZATION_CODE, LEVELS
from broker.oauth.registration import PRIVATE_KEY_JWT
from broker.oauth.stored_keys import Purpose

WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
WELL_KNOWN_OPENID: Final = "/.well-known/openid-configuration"


def authorization_server_metadata(
    addresses: Addresses, scopes: Iterable[str], tls_methods: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the metadata document (RFC 8414, 2, and each specification named below) but `signing_metadata`.

    tls_methods: the client authentication methods by certificate that are on (RFC 8705); none without an
    mtls_url.
    """
    issuer = addresses.issuer
    methods = [PRIVATE_KEY_JWT, *tls_methods]
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZATION_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "scopes_supported": sorted(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, CIBA],
        "code_challenge_methods_supported": ["S256"],
        # RFC 9207, 3: an answer without iss is not ours.
        "authorization_response_iss_parameter_supported": True,
        # RFC 9126, 5.
        "pushed_authorization_request_endpoint": issuer + PUSHED_REQUEST_PATH,
        "require_pushed_authorization_requests": True,
        # RFC 9396, 10.
        "authorization_details_types_supported": sorted(SCOPE_OF),
        # RFC 9449, 5.1.
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        # OAuth Grant Management, draft 3, 7.1.
        "grant_management_endpoint": issuer + GRANTS_PATH,
        "grant_management_actions_supported": ["create", "query", "revoke"],
        "grant_management_action_required": False,
        # OpenID Connect CIBA, 4.
        "backchannel_authentication_endpoint": issuer + BACKCHANNEL_PATH,
        "backchannel_token_delivery_modes_supported": ["poll"],
        "backchannel_user_code_parameter_supported": False,
        **_authentication(addresses, methods),
        **_openid(),
    }
    if addresses.mtls_url:
        document["tls_client_certificate_bound_access_tokens"] = True
        document["mtls_endpoint_aliases"] = {
            "token_endpoint": addresses.mtls_url + TOKEN_PATH,
            "pushed_authorization_request_endpoint": addresses.mtls_url + PUSHED_REQUEST_PATH,
            "introspection_endpoint": addresses.mtls_url + INTROSPECTION_PATH,
            "revocation_endpoint": addresses.mtls_url + REVOCATION_PATH,
            "backchannel_authentication_endpoint": addresses.mtls_url + BACKCHANNEL_PATH,
            # Not an endpoint at which clients authenticate, but their tokens may be bound to a certificate.
            "grant_management_endpoint": addresses.mtls_url + GRANTS_PATH,
        }
    return document


def _authentication(addresses: Addresses, methods: list[str]) -> dict[str, Any]:
    """How clients authenticate: alike at every endpoint (FAPI 2.0, 5.3.2.1-6)."""
    members: dict[str, Any] = {
        "introspection_endpoint": addresses.issuer + INTROSPECTION_PATH,
        "revocation_endpoint": addresses.issuer + REVOCATION_PATH,
    }
    for endpoint in ("token", "introspection", "revocation"):
        members[f"{endpoint}_endpoint_auth_methods_supported"] = list(methods)
        members[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return members


def _openid() -> dict[str, Any]:
    """OpenID Connect Discovery, 3: an ID token holds a pairwise pseudonym and nothing of a record."""
    return {
        "subject_types_supported": ["pairwise"],
        "acr_values_supported": sorted(LEVELS),
        "claims_supported": ["sub", "acr", "auth_time"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": ["vi", "en"],
    }


def signing_metadata(algorithms: Callable[[Purpose], Sequence[str]]) -> dict[str, Any]:
    """Return what the broker itself signs with, by its living keys (Discovery, 3; RFC 9701, 7).

    algorithms: of a purpose. The operator chooses them by rotating, for all clients alike.
    """
    return {
        "id_token_signing_alg_values_supported": list(algorithms("id_token")),
        "introspection_signing_alg_values_supported": list(algorithms("introspection")),
    }


def well_known_path(issuer: str) -> str:
    """Return the path of the metadata: an issuer's own path follows the well-known part (RFC 8414, 3.1)."""
    return WELL_KNOWN + urlsplit(issuer).path.rstrip("/")


def openid_configuration_path(issuer: str) -> str:
    """Return the path of the discovery document: it follows the issuer's own path (Discovery, 4)."""
    return urlsplit(issuer).path.rstrip("/") + WELL_KNOWN_OPENID
