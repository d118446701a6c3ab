"""The authorization endpoint (RFC 6749, 3.1): from a request_uri to a decision, and back to the client.

Three steps, with a page in between that is not ours: `begin` when the browser comes, `find` when the page
shows what is asked, `approve` or `refuse` when the citizen has decided. Every answer that goes back carries
iss (RFC 9207); nothing goes back to an address that was not checked when the request was pushed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]

from broker.oauth.authorization_details import scopes_of
from broker.oauth.authorization_request import (
    CODE_SECONDS,
    DECISION_SECONDS,
    REQUEST_URI_PREFIX,
    Approval,
    AuthorizationRequest,
    Grant,
    IssuedCode,
    PushedParameters,
    PushedRequest,
    RequestStore,
    request_ref_of,
)
from broker.oauth.bound_tokens import Details
from broker.oauth.detail_types import SCOPE_OF
from broker.oauth.narrowing import is_narrowing
from broker.oauth.registration import ClientRegistration, ClientStore

BARE_GRANT: Final = timedelta(days=1)
"""How long a grant over no record lasts (openid alone)."""
_REQUEST_URI_CHARACTERS_MAX: Final = 256


class AuthorizationRefused(Exception):
    """The browser cannot be sent back to a client, or the decision comes too late. reason: a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """A grant and a code that are not kept yet, and the URL with the code."""

    grant: Grant
    code: IssuedCode
    location: str


class Subjects(Protocol):
    """Pairwise subjects: `broker.evidence.pseudonyms.KeyedPseudonyms` is one."""

    def pairwise_subject(self, organisation_id: str, citizen_id: str) -> str:
        """Return the name under which one organisation knows a person; another gets another."""
        ...


@dataclass(frozen=True, slots=True)
class Authorizations:
    """The steps of the authorization endpoint. issuer: URL, the iss of every answer."""

    issuer: str
    store: RequestStore
    clients: ClientStore
    subjects: Subjects

    def begin(self, parameters: Mapping[str, Sequence[str]], at: datetime) -> AuthorizationRequest:
        """Return the pushed request that a browser brings, and let it wait for a decision.

        parameters: of the query or form, all values by name. Only client_id and request_uri count: whatever
        else stands in the URL was not pushed, and is not looked at (RFC 9126, 4; FAPI 2.0, 5.3.2.2-3).
        Raises AuthorizationRefused (request_malformed, request_not_pushed, client_unknown, request_unknown),
        StoreUnavailable.
        """
        client_id, request_uri = _one(parameters, "client_id"), _one(parameters, "request_uri")
        if "request" in parameters or client_id is None:
            raise AuthorizationRefused("request_malformed")
        if request_uri is None or not request_uri.startswith(REQUEST_URI_PREFIX):
            raise AuthorizationRefused("request_not_pushed")
        client = self._find_client(client_id, at)
        until = at + timedelta(seconds=DECISION_SECONDS)
        found = self.store.open_request(request_ref_of(request_uri), client_id, at, until)
        if found is None:
            raise AuthorizationRefused("request_unknown")
        return _request(found, client)

    def find(self, request_ref: bytes, at: datetime) -> AuthorizationRequest | None:
        """Return an opened request that still waits for its decision, or None. Raises StoreUnavailable."""
        found = self.store.find_request(request_ref, at)
        if found is None:
            return None
        try:
            return _request(found, self._find_client(found.client_id, at))
        except AuthorizationRefused:
            return None

    def approve(self, request: AuthorizationRequest, approval: Approval, at: datetime) -> str:
        """Keep what was given and return the URL with the code (RFC 6749, 4.1.2).

        One transaction: the request is decided, the grant and the code are kept, or nothing is.
        Raises AuthorizationRefused (not_narrower, level_too_low, sign_in_too_old, request_unknown),
        StoreUnavailable.
        """
        self.check(request, approval)
        prepared = self.prepare(request, approval, at)
        if not self.store.approve_request(request.request_ref, prepared.grant, prepared.code):
            raise AuthorizationRefused("request_unknown")
        return prepared.location

    def prepare(self, request: AuthorizationRequest, approval: Approval, at: datetime) -> PreparedAnswer:
        """Return grant, code and URL of an approval that was checked; nothing is kept yet."""
        code = secrets.token_urlsafe(32)
        issued = IssuedCode(
            code_hash=hashlib.sha256(code.encode()).digest(),
            redirect_uri=request.redirect_uri,
            code_challenge=request.parameters.code_challenge,
            dpop_jkt=request.parameters.dpop_jkt,
            nonce=request.parameters.nonce,
            issued_at=at,
            expires_at=at + timedelta(seconds=CODE_SECONDS),
        )
        location = self._answer(request.parameters, [("code", code)])
        return PreparedAnswer(self._grant(request, approval, at), issued, location)

    def refuse(self, request: AuthorizationRequest, at: datetime) -> str:
        """Return the URL that says access_denied (RFC 6749, 4.1.2.1).

        Raises AuthorizationRefused (request_unknown), StoreUnavailable.
        """
        if not self.store.refuse_request(request.request_ref, at):
            raise AuthorizationRefused("request_unknown")
        return self.refusal(request)

    def refusal(self, request: AuthorizationRequest) -> str:
        """Return the URL that says access_denied, state and iss included."""
        return self._answer(request.parameters, [("error", "access_denied")])

    def _find_client(self, client_id: str, at: datetime) -> ClientRegistration:
        client = self.clients.find_registration(client_id)
        if client is None or not client.is_active or client.expires_at <= at:
            raise AuthorizationRefused("client_unknown")
        return client

    def check(self, request: AuthorizationRequest, approval: Approval) -> None:
        """Given is within requested, details and scopes alike; the sign-in is as strong as asked.

        Raises AuthorizationRefused (not_narrower, level_too_low, sign_in_too_old).
        """
        lost = scopes_of(request.details) - scopes_of(approval.details)
        allowed = set(request.scopes) - lost
        if not is_narrowing(approval.details, request.details) or not approval.scopes:
            raise AuthorizationRefused("not_narrower")
        if not set(approval.scopes) <= allowed or not scopes_of(approval.details) <= set(approval.scopes):
            raise AuthorizationRefused("not_narrower")
        if set(approval.scopes) & set(SCOPE_OF.values()) - scopes_of(approval.details):
            raise AuthorizationRefused("not_narrower")
        if approval.level < request.level:
            raise AuthorizationRefused("level_too_low")
        since = request.must_sign_in_since
        if since is not None and approval.authenticated_at < since:
            raise AuthorizationRefused("sign_in_too_old")

    def _grant(self, request: AuthorizationRequest, approval: Approval, at: datetime) -> Grant:
        client = request.client
        return Grant(
            grant_id=secrets.token_urlsafe(24),
            client_id=client.client_id,
            citizen_id=approval.citizen_id,
            subject=self.subjects.pairwise_subject(client.organisation_id, approval.citizen_id),
            scope=" ".join(word for word in request.scopes if word in approval.scopes),
            details=approval.details,
            level=approval.level,
            authenticated_at=approval.authenticated_at,
            granted_at=at,
            expires_at=min(at + _length(approval.details), client.expires_at),
        )

    def _answer(self, parameters: PushedParameters, answer: list[tuple[str, str]]) -> str:
        """Return the redirect_uri with an answer, state as it was pushed, and iss (RFC 9207, 2)."""
        state = [] if parameters.state is None else [("state", parameters.state)]
        url: str = add_params_to_uri(parameters.redirect_uri, [*answer, *state, ("iss", self.issuer)])
        return url


def _length(details: Details) -> timedelta:
    """The shortest length that was given: a grant is one thing and ends at once."""
    return min((timedelta(days=detail["valid_days"]) for detail in details), default=BARE_GRANT)


def _request(found: PushedRequest, client: ClientRegistration) -> AuthorizationRequest:
    seconds = found.parameters.max_age_seconds
    return AuthorizationRequest(
        request_ref=found.request_ref,
        client=client,
        parameters=found.parameters,
        must_sign_in_since=None if seconds is None else found.pushed_at - timedelta(seconds=seconds),
        expires_at=found.expires_at,
    )


def _one(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    """Return the one value of a parameter, None without any. Raises AuthorizationRefused for several."""
    values = [value for value in parameters.get(name, ()) if value]
    if len(values) > 1:
        raise AuthorizationRefused("request_malformed")
    if values and len(values[0]) > _REQUEST_URI_CHARACTERS_MAX:
        raise AuthorizationRefused("request_malformed")
    return values[0] if values else None
