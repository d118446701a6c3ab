"""Client-initiated backchannel authentication (OpenID Connect CIBA Core 1.0), poll mode.

A client asks about a person who is not in front of it; the person decides in the inbox of the own pages;
the client polls for its token. Whether such a person exists is never told: an unknown one is a silent one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    BaseGrant,
    InvalidGrantError,
    InvalidRequestError,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from broker.errors import ConsentTermsRefused
from broker.oauth.authorization_details import DetailReader
from broker.oauth.authorization_request import Grant
from broker.oauth.bound_tokens import (
    Details,
    TokenIssuer,
    granted_scope,
    one_time_values,
    refuse_verdict,
)
from broker.oauth.client_metadata_schema import CIBA
from broker.oauth.form_request import FormRequest
from broker.oauth.granted import granted_answer, secret_hash
from broker.oauth.registration import ClientRegistration
from broker.oauth.scopes import OPENID, PERSONAL_SCOPES, SHARE_RECORD
from broker.oauth.served_grant import ServedGrant
from broker.oauth.token_errors import InvalidAuthorizationDetails

INTERVAL_SECONDS: Final = 5
EXPIRES_SECONDS: Final = 7 * 86_400
EXPIRES_SECONDS_MIN: Final = 60
"""How long a person may take: a week, or less where the client says so."""
MESSAGE_CHARACTERS_MAX: Final = 140
_PERSONAL_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)

PollStatus: TypeAlias = Literal["unknown", "pending", "slow_down", "expired", "refused", "given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackchannelAsking:
    """What a client asks of an absent person. message: shown to the person beside the client's name."""

    client: ClientRegistration
    personal_id: str
    details: Details
    scope: str
    message: str
    expires_seconds: int
    at: datetime


class AskedTooSoon(Exception):
    """The person refused this a short while ago, or is being asked already; asking again must wait."""


class BackchannelRequests(Protocol):
    """Where such requests wait; `broker.api.inbox` has one. All raise StoreUnavailable."""

    def ask(self, asking: BackchannelAsking) -> tuple[str, int]:
        """Keep a request, whether or not the person is known; return its auth_req_id, and its seconds left.

        What is asked again in the same words while it waits is one request.
        Raises AskedTooSoon.
        """
        ...

    def poll(self, auth_request_hash: bytes, client_id: str, at: datetime) -> tuple[PollStatus, Grant | None]:
        """Return how a request of this client stands; with "given" its grant, until it is used up."""
        ...


class _CibaError(OAuth2Error):  # type: ignore[misc]
    """An error of the token endpoint that CIBA names (11)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


@dataclass(frozen=True, slots=True)
class BackchannelEndpoint:
    """`POST /oauth/bc-authorize` (CIBA, 7)."""

    issuer: TokenIssuer
    details: DetailReader
    requests: BackchannelRequests

    def respond(self, request: FormRequest, client: ClientRegistration) -> dict[str, Any]:
        """Return auth_req_id, expires_in and interval. Raises OAuth2Error, StoreUnavailable."""
        if not client.check_grant_type(CIBA):
            raise UnauthorizedClientError("the client is not registered for backchannel requests")
        form = request.form
        if "request" in form or "login_hint_token" in form or "id_token_hint" in form:
            raise InvalidRequestError("only plain parameters and login_hint are supported")
        if not _PERSONAL_ID.fullmatch(form.get("login_hint", "")):
            raise InvalidRequestError("login_hint must be the 12-digit personal id")
        self.issuer.check_target(request)
        # Without days that nobody asked for: the terms of the request find what the agreement still has.
        text = form.get("authorization_details")
        details = self.details.read(text, client, request.at, personal=True, with_days=False)
        asking = BackchannelAsking(
            client=client,
            personal_id=form["login_hint"],
            details=details,
            scope=_scope(form.get("scope"), client, details),
            message=_message(form.get("binding_message", "")),
            expires_seconds=_expires_seconds(form.get("requested_expiry")),
            at=request.at,
        )
        verdict = self.issuer.store.burn(client.client_id, one_time_values(request), request.at)
        if verdict != "burned":
            refuse_verdict(verdict)
        try:
            auth_req_id, expires_in = self.requests.ask(asking)
        except ConsentTermsRefused as refused:
            raise InvalidAuthorizationDetails(f"the agreement does not permit it: {refused.reason}") from None
        except AskedTooSoon:
            raise _CibaError(
                "access_denied", "the person is being asked already, or refused a short while ago"
            ) from None
        return {
            "auth_req_id": auth_req_id,
            "expires_in": expires_in,
            "interval": INTERVAL_SECONDS,
        }


class BackchannelGrant(ServedGrant, BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The grant type of CIBA, 10.1. `server` must offer `token_issuer`, `id_tokens`, `backchannel`."""

    GRANT_TYPE = CIBA

    def validate_token_request(self) -> None:
        """Authenticate, then ask how the request stands. Raises OAuth2Error."""
        client = self.authenticated_client()
        auth_req_id = self.request.form.get("auth_req_id")
        if auth_req_id is None:
            raise InvalidRequestError("auth_req_id is missing")
        self.issuer.check_target(self.request)
        # Looked at before the request is used up: a request that nothing binds must cost nothing.
        self.issuer.sender.bind(self.request, client)
        requests: BackchannelRequests = self.server.backchannel
        self._auth_request_hash = secret_hash(auth_req_id)
        found = requests.poll(self._auth_request_hash, client.client_id, self.request.at)
        status, self._grant = found
        if status in _POLL_ERRORS:
            raise _CibaError(*_POLL_ERRORS[status])
        if status != "given" or self._grant is None:
            raise InvalidGrantError("auth_req_id is unknown or was used")

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return status, body and headers."""
        grant = self._grant
        if grant is None:
            raise InvalidGrantError("auth_req_id is unknown or was used")
        body = granted_answer(
            self.request,
            self.issuer,
            self.id_tokens,
            grant,
            grant.details,
            # Used up by the statement that keeps the token: what fails before it may be asked again.
            lambda issue, refresh: self.issuer.store.redeem_request(issue, self._auth_request_hash, refresh),
        )
        return 200, body, self.TOKEN_RESPONSE_HEADER

    _grant: Grant | None
    _auth_request_hash: bytes


# Words, not exceptions: one that is raised again and again would keep each request it was raised for.
_POLL_ERRORS: Final[Mapping[PollStatus, tuple[str, str]]] = {
    "pending": ("authorization_pending", "the person has not decided yet"),
    "slow_down": ("slow_down", f"ask at most every {INTERVAL_SECONDS} seconds"),
    "expired": ("expired_token", "the request has expired; silence never gives consent"),
    "refused": ("access_denied", "the person refused, or the request was cancelled"),
}


def _scope(asked: str | None, client: ClientRegistration, details: Details) -> str:
    if not details:
        raise InvalidRequestError("authorization_details must say what is asked for")
    words = (asked or "").split(" ")
    if OPENID not in words:
        raise InvalidRequestError("scope must hold openid (CIBA, 7.1)")
    return granted_scope(" ".join(dict.fromkeys([*words, SHARE_RECORD])), client.scopes, PERSONAL_SCOPES)


def _message(text: str) -> str:
    if len(text) > MESSAGE_CHARACTERS_MAX or not (text.isprintable()):
        raise _CibaError("invalid_binding_message", "binding_message is one line of at most 140 characters")
    return text


def _expires_seconds(text: str | None) -> int:
    if text is None:
        return EXPIRES_SECONDS
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9):
        raise InvalidRequestError("requested_expiry must be a number of seconds")
    return min(max(int(text), EXPIRES_SECONDS_MIN), EXPIRES_SECONDS)
