"""Where the endpoints are: their paths, and the addresses by which clients reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 (a path)
PUSHED_REQUEST_PATH: Final = "/oauth/par"
AUTHORIZATION_PATH: Final = "/oauth/authorize"
INTROSPECTION_PATH: Final = "/oauth/introspect"
REVOCATION_PATH: Final = "/oauth/revoke"
BACKCHANNEL_PATH: Final = "/oauth/bc-authorize"
GRANTS_PATH: Final = "/oauth/grants"
JWKS_PATH: Final = "/oauth/jwks"
BACK_CHANNEL: Final = (
    TOKEN_PATH,
    PUSHED_REQUEST_PATH,
    INTROSPECTION_PATH,
    REVOCATION_PATH,
    BACKCHANNEL_PATH,
)
"""Endpoints at which clients authenticate."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Public URLs of this broker. mtls_url: of the host that asks for certificates, "" without one."""

    issuer: str
    mtls_url: str = ""

    def of(self, path: str) -> tuple[str, ...]:
        """Return the URLs by which clients may address a path."""
        return (self.issuer + path, self.mtls_url + path) if self.mtls_url else (self.issuer + path,)
