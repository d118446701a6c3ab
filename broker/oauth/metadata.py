"""Authorization server metadata (RFC 8414): only what is built, so that nobody relies on more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.jose_keys import ALGORITHMS
from broker.oauth.registration import PRIVATE_KEY_JWT

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 (a path)
JWKS_PATH: Final = "/oauth/jwks"
WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"


def authorization_server_metadata(issuer: str, scopes: Iterable[str]) -> dict[str, Any]:
    """Return the metadata document (RFC 8414, 2; RFC 9449, 5.1).

    issuer: URL without trailing slash, query or fragment. response_types_supported is empty while there is no
    authorization endpoint: section 2 requires the member, section 3.2 wants empty ones left out, and a false
    entry would mislead.
    """
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "scopes_supported": sorted(scopes),
        "response_types_supported": [],
        "grant_types_supported": [CLIENT_CREDENTIALS],
        "token_endpoint_auth_methods_supported": [PRIVATE_KEY_JWT],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }


def well_known_path(issuer: str) -> str:
    """Return the path of the metadata: an issuer's own path follows the well-known part (RFC 8414, 3.1)."""
    return WELL_KNOWN + urlsplit(issuer).path.rstrip("/")
