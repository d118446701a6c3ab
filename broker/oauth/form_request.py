"""A request to an OAuth endpoint, read from the form body only and each parameter once (RFC 6749, 3.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidClientError,
    InvalidRequestError,
    OAuth2Payload,
    OAuth2Request,
)
from flask import Request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from broker.oauth.caller_facts import CallerFacts
from broker.oauth.dpop import Proof
from broker.oauth.registration import ClientRegistration

MAX_BODY_BYTES: Final = 65_536
_FORM: Final = "application/x-www-form-urlencoded"
_REPEATABLE: Final = frozenset({"resource"})
"""RFC 8707, 2: several resources may be named."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A client assertion that was verified and must still be burned (RFC 7523, 3).

    assertion_hash: SHA-256 of client_id, 0x1F and jti (32 bytes). expires_at: aware.
    """

    assertion_hash: bytes
    expires_at: datetime


class FormPayload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of a request; one without a value counts as not sent (RFC 6749, 3.2)."""

    def __init__(self, parameters: Mapping[str, list[str]]) -> None:
        self._lists = {
            name: kept for name, values in parameters.items() if (kept := [one for one in values if one])
        }
        self._parameters = {name: values[0] for name, values in self._lists.items()}

    @property
    def data(self) -> Mapping[str, str]:
        """Return parameter by name."""
        return self._parameters

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """Return the values by name: exactly one each, several for resource alone."""
        return defaultdict(list, self._lists)


class FormRequest(OAuth2Request):  # type: ignore[misc]
    """What Authlib's grants and client authentication read.

    client, assertion and proof are set when they have been verified; named_client is whom client_id names,
    looked up and not authenticated; at is the instant of the whole request.
    urls: of this endpoint, as clients address it. caller: what the connection says.
    """

    client: ClientRegistration | None

    def __init__(
        self, request: Request, endpoint_urls: Sequence[str], at: datetime, caller: CallerFacts | None = None
    ) -> None:
        """Read a POST.

        endpoint_urls: as clients address it; TLS ends before us, so the URL that Flask sees is not asked.
        Raises InvalidRequestError (a query, another content type, a repeated parameter, too large) and
        InvalidClientError, 401, when credentials are sent in the Authorization header.
        """
        super().__init__("POST", endpoint_urls[0], headers=request.headers)
        self.urls = tuple(endpoint_urls)
        self.at = at
        self.caller = caller or CallerFacts(request.remote_addr or "")
        self.assertion: Assertion | None = None
        self.proof: Proof | None = None
        self.named_client: ClientRegistration | None = None
        self.payload = FormPayload(_parameters(request))

    @property
    def args(self) -> Mapping[str, str]:
        """Nothing: parameters in the query are refused."""
        return {}

    @property
    def form(self) -> Mapping[str, str]:
        """Return the parameters of the body."""
        parameters: Mapping[str, str] = self.payload.data
        return parameters


def _parameters(request: Request) -> dict[str, list[str]]:
    if request.query_string:
        raise InvalidRequestError("parameters belong in the body, never in the query")
    if "Authorization" in request.headers:
        raise InvalidClientError(
            "clients authenticate with an assertion in the body or a certificate", status_code=401
        )
    if request.mimetype != _FORM:
        raise InvalidRequestError(f"the body must be {_FORM}")
    request.max_content_length = MAX_BODY_BYTES
    try:
        lists: list[tuple[str, list[Any]]] = list(request.form.lists())
    except RequestEntityTooLarge:
        raise InvalidRequestError("the body is too large", status_code=413) from None
    except HTTPException:
        raise InvalidRequestError("the body cannot be read") from None
    if any(len(values) > 1 and name not in _REPEATABLE for name, values in lists):
        raise InvalidRequestError("a parameter is repeated")
    return dict(lists)
