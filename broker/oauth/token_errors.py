"""Errors of the OAuth endpoints as RFC 6749, section 5.2 wants them. No text is built from input."""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidClientError,
    InvalidRequestError,
)


class InvalidDpopProof(OAuth2Error):  # type: ignore[misc]
    """The DPoP proof is missing or not acceptable (RFC 9449, 5)."""

    error = "invalid_dpop_proof"


class UseDpopNonce(OAuth2Error):  # type: ignore[misc]
    """The proof must carry a nonce of this server (RFC 9449, 8). nonce: the one to use."""

    error = "use_dpop_nonce"
    description = "make the proof anew with the nonce told in the DPoP-Nonce header"

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self._nonce = nonce

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers of every error and the nonce."""
        return [*super().get_headers(), ("DPoP-Nonce", self._nonce)]


class InvalidAuthorizationDetails(OAuth2Error):  # type: ignore[misc]
    """authorization_details cannot be accepted (RFC 9396, 5)."""

    error = "invalid_authorization_details"


class InvalidTarget(OAuth2Error):  # type: ignore[misc]
    """The resource asked for is not one that tokens are issued for (RFC 8707, 2)."""

    error = "invalid_target"
    description = "resource must be the identifier of this broker"


class GrantTypeUnsupported(OAuth2Error):  # type: ignore[misc]
    """The grant type is not offered. Authlib's own error would repeat what was sent."""

    error = "unsupported_grant_type"
    description = "this grant type is not offered; see grant_types_supported in the metadata"


class ResponseTypeUnsupported(OAuth2Error):  # type: ignore[misc]
    """Only the code flow is offered (FAPI 2.0, 5.3.2.2-1). Authlib's own error would repeat what was sent."""

    error = "unsupported_response_type"
    description = "response_type must be code"


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


def certificate_missing() -> InvalidRequestError:
    """Return the error for a token request that nothing binds (RFC 8705, 3)."""
    return InvalidRequestError("a client certificate or a DPoP proof is needed")
