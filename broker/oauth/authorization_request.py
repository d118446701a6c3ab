"""What a client asks of a citizen: the values that travel from the pushed request to the decision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from broker.oauth.bound_tokens import Details
from broker.oauth.registration import ClientRegistration

REQUEST_URI_PREFIX: Final = "urn:ietf:params:oauth:request_uri:"
REQUEST_URI_SECONDS: Final = 90
"""How long a request_uri may be opened: more than 0 and less than 600 s (FAPI 2.0, 5.3.2.2-12)."""
DECISION_SECONDS: Final = 900
"""How long a citizen may take over the decision once the page was opened."""
CODE_SECONDS: Final = 50
"""Lifetime of an authorization code: at most 60 s (FAPI 2.0, 5.3.2.1-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedParameters:
    """The checked parameters of a pushed request (RFC 9126), as they are kept.

    scopes in the order in which they were asked. level: least level of the citizen's sign-in.
    max_age_seconds: greatest age of the sign-in, 0 for a new one, None for any.
    """

    redirect_uri: str
    scopes: tuple[str, ...]
    details: Details
    code_challenge: str
    state: str | None = None
    nonce: str | None = None
    dpop_jkt: str | None = None
    level: int = 1
    max_age_seconds: int | None = None
    ui_locales: str = ""

    def as_document(self) -> dict[str, Any]:
        """Return the JSON object that is kept."""
        return {**asdict(self), "scopes": list(self.scopes), "details": [dict(one) for one in self.details]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> PushedParameters:
        """Return the parameters that as_document described."""
        kept = {**document, "scopes": tuple(document["scopes"]), "details": tuple(document["details"])}
        return cls(**kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRequest:
    """A pushed request in the store. request_ref: SHA-256 of the request_uri (32 bytes)."""

    request_ref: bytes
    client_id: str
    parameters: PushedParameters
    pushed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that a citizen may decide on now.

    must_sign_in_since: the sign-in must be younger than this instant; None for any that is still good.
    """

    request_ref: bytes
    client: ClientRegistration
    parameters: PushedParameters
    must_sign_in_since: datetime | None
    expires_at: datetime

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes asked for."""
        return self.parameters.scopes

    @property
    def details(self) -> Details:
        """The authorization_details asked for."""
        return self.parameters.details

    @property
    def level(self) -> int:
        """Least level of the citizen's sign-in: 1, or 2 with a second factor."""
        return self.parameters.level

    @property
    def redirect_uri(self) -> str:
        """Where the answer goes."""
        return self.parameters.redirect_uri

    @property
    def ui_locales(self) -> str:
        """Languages that the client suggests, best first (OpenID Connect Core, 3.1.2.1)."""
        return self.parameters.ui_locales


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A citizen's decision to give. citizen_id: UUID text. details, scopes: of those asked, what is given."""

    citizen_id: str
    level: int
    authenticated_at: datetime
    details: Details
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a citizen has given to a client, under one identifier (OAuth Grant Management).

    subject: pairwise, the person as the client's organisation knows it. Instants are aware.
    """

    grant_id: str
    client_id: str
    citizen_id: str
    subject: str
    scope: str
    details: Details
    level: int
    authenticated_at: datetime
    granted_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCode:
    """An authorization code in the store; of the code itself only the SHA-256."""

    code_hash: bytes
    redirect_uri: str
    code_challenge: str
    dpop_jkt: str | None
    nonce: str | None
    issued_at: datetime
    expires_at: datetime
    consumed_at: datetime | None = None


class RequestStore(Protocol):
    """Where pushed requests wait; `broker.storage.requests` implements it. All raise StoreUnavailable."""

    def push_request(self, request: PushedRequest) -> None:
        """Keep a pushed request."""
        ...

    def open_request(
        self, request_ref: bytes, client_id: str, at: datetime, decide_until: datetime
    ) -> PushedRequest | None:
        """Return a request of this client that may be opened, and let it wait until decide_until.

        Opening again before the decision gives the same (FAPI 2.0, 5.3.2.2 note 3). None: unknown, of
        another client, expired or decided.
        """
        ...

    def find_request(self, request_ref: bytes, at: datetime) -> PushedRequest | None:
        """Return a request that was opened and waits for its decision, or None."""
        ...

    def approve_request(self, request_ref: bytes, grant: Grant, code: IssuedCode) -> bool:
        """Mark a request as decided and keep grant and code, all or nothing; False if it waits no longer."""
        ...

    def refuse_request(self, request_ref: bytes, at: datetime) -> bool:
        """Mark a request as decided; False if it waits no longer."""
        ...


def request_ref_of(request_uri: str) -> bytes:
    """Return the reference under which the request of a request_uri is kept (32 bytes)."""
    return hashlib.sha256(request_uri.encode("utf-8", "surrogatepass")).digest()


def waits_until(pushed_at: datetime) -> datetime:
    """Return until when a request pushed at an instant may be opened."""
    return pushed_at + timedelta(seconds=REQUEST_URI_SECONDS)
