"""Errors of the OAuth endpoints as RFC 6749, section 5.2 wants them. No text is built from input."""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import InvalidClientError  # type: ignore[import-untyped]


class InvalidDpopProof(OAuth2Error):  # type: ignore[misc]
    """The DPoP proof is missing or not acceptable (RFC 9449, 5)."""

    error = "invalid_dpop_proof"


class InvalidTarget(OAuth2Error):  # type: ignore[misc]
    """The resource asked for is not one that tokens are issued for (RFC 8707, 2)."""

    error = "invalid_target"
    description = "resource must be the identifier of this broker"


class GrantTypeUnsupported(OAuth2Error):  # type: ignore[misc]
    """The grant type is not offered. Authlib's own error would repeat what was sent."""

    error = "unsupported_grant_type"
    description = "this grant type is not offered; see grant_types_supported in the metadata"


class TemporarilyUnavailable(OAuth2Error):  # type: ignore[misc]
    """The broker cannot issue tokens now; the request may be repeated with a fresh assertion and proof."""

    error = "temporarily_unavailable"
    description = "no token can be issued now; try again"
    status_code = 503

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers of every error and when to come back."""
        return [*super().get_headers(), ("Retry-After", "1")]


class ServerFailed(OAuth2Error):  # type: ignore[misc]
    """Something is broken here, and nothing of it is told."""

    error = "server_error"
    description = "the broker failed; the failure has been noted"
    status_code = 500


UNKNOWN_CLIENT = "no active registration or key of a client fits this assertion"
"""One text for an unknown client, an unknown key and a wrong signature: nobody learns who is registered."""


def client_refused(description: str = UNKNOWN_CLIENT) -> InvalidClientError:
    """Return the error invalid_client with a fixed text."""
    return InvalidClientError(description=description)
