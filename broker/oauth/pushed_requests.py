"""Pushed authorization requests (RFC 9126): the only way to ask (FAPI 2.0, 5.3.2.2-2 to -4).

The endpoint is an ordered list of named steps; each looks at one thing, and the first fault is the answer.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidRequestError,
    UnauthorizedClientError,
)

from broker.oauth.authorization_details import DetailReader, scopes_of
from broker.oauth.authorization_request import (
    REQUEST_URI_PREFIX,
    REQUEST_URI_SECONDS,
    PushedParameters,
    PushedRequest,
    RequestStore,
    request_ref_of,
    waits_until,
)
from broker.oauth.binding import SenderCheck
from broker.oauth.bound_tokens import (
    Details,
    TokenIssuer,
    granted_scope,
    one_time_values,
    refuse_verdict,
)
from broker.oauth.detail_types import SCOPE_OF
from broker.oauth.form_request import FormRequest
from broker.oauth.registration import ClientRegistration
from broker.oauth.scopes import PERSONAL_SCOPES
from broker.oauth.token_errors import InvalidAuthorizationDetails, InvalidDpopProof, ResponseTypeUnsupported

AUTHORIZATION_CODE: Final = "authorization_code"
LEVELS: Final = {"level-1": 1, "level-2": 2}
"""Values of acr: one factor (a password); two (with a one-time code, a passkey, an e-ID of that level)."""
STATE_CHARACTERS_MAX: Final = 4096
NONCE_CHARACTERS_MAX: Final = 1024
MAX_AGE_SECONDS_MAX: Final = 86_400
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_THUMBPRINT: Final = _CHALLENGE
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_LOCALES: Final = re.compile(r"[A-Za-z0-9-]{1,35}(?: [A-Za-z0-9-]{1,35}){0,7}")


@dataclass(frozen=True, slots=True)
class PushedRequestEndpoint:
    """Checks and keeps what a client will ask of a citizen.

    sensitive_fields: catalogue fields over which only a citizen signed in at level 2 may decide.
    """

    issuer: TokenIssuer
    sender: SenderCheck
    store: RequestStore
    details: DetailReader
    sensitive_fields: frozenset[str]

    def respond(self, request: FormRequest, client: ClientRegistration) -> tuple[int, dict[str, Any]]:
        """Return 201 with a request_uri (RFC 9126, 2.2). Raises OAuth2Error, StoreUnavailable."""
        if not client.check_grant_type(AUTHORIZATION_CODE):
            raise UnauthorizedClientError("the client is not registered for authorization_code")
        _check_plain(request)
        redirect_uri = _redirect_uri(request, client)
        code_challenge = _code_challenge(request)
        self.issuer.check_target(request)
        text = request.form.get("authorization_details")
        details = self.details.read(text, client, request.at, personal=True)
        parameters = PushedParameters(
            redirect_uri=redirect_uri,
            scopes=_scopes(request, client, details),
            details=details,
            code_challenge=code_challenge,
            state=_text(request, "state", STATE_CHARACTERS_MAX),
            nonce=_text(request, "nonce", NONCE_CHARACTERS_MAX),
            dpop_jkt=self._dpop_jkt(request),
            level=self._level(request, details),
            max_age_seconds=_max_age_seconds(request),
            ui_locales=_ui_locales(request),
        )
        return 201, {
            "request_uri": self._keep(request, client, parameters),
            "expires_in": REQUEST_URI_SECONDS,
        }

    def _keep(self, request: FormRequest, client: ClientRegistration, parameters: PushedParameters) -> str:
        """Burn assertion and proof, then keep the request. A crash in between costs the client one try."""
        verdict = self.issuer.store.burn(client.client_id, one_time_values(request), request.at)
        if verdict != "burned":
            refuse_verdict(verdict)
        request_uri = REQUEST_URI_PREFIX + secrets.token_urlsafe(32)
        self.store.push_request(
            PushedRequest(
                request_ref=request_ref_of(request_uri),
                client_id=client.client_id,
                parameters=parameters,
                pushed_at=request.at,
                expires_at=waits_until(request.at),
            )
        )
        return request_uri

    def _dpop_jkt(self, request: FormRequest) -> str | None:
        """Return the key that the code will be bound to (RFC 9449, 10 and 10.1)."""
        proof = self.sender.find_proof(request)
        named = request.form.get("dpop_jkt")
        if named is not None and not _THUMBPRINT.fullmatch(named):
            raise InvalidRequestError("dpop_jkt must be a SHA-256 thumbprint in base64url")
        if proof is None:
            return named
        if named not in (None, proof.jkt):
            raise InvalidDpopProof("dpop_jkt is not the thumbprint of the proof's key")
        return proof.jkt

    def _level(self, request: FormRequest, details: Details) -> int:
        """Return the least level: sensitive fields need the second factor, and a client may ask for it."""
        asked = [LEVELS[word] for word in request.form.get("acr_values", "").split(" ") if word in LEVELS]
        fields = {name for detail in details for name in detail.get("fields", ())}
        return 2 if fields & self.sensitive_fields else min(asked, default=1)


def _check_plain(request: FormRequest) -> None:
    """Refuse what is not offered: request objects, other response types and modes, silent decisions."""
    form = request.form
    if "request_uri" in form:
        raise InvalidRequestError("request_uri must not be pushed (RFC 9126, 2.1)")
    if "request" in form:
        raise InvalidRequestError("request objects are not supported; push plain parameters")
    if "response_type" not in form:
        raise InvalidRequestError("response_type is missing")
    if form["response_type"] != "code":
        raise ResponseTypeUnsupported
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query")
    if form.get("grant_management_action", "create") != "create" or "grant_id" in form:
        raise InvalidRequestError("every request makes a grant of its own: grant_management_action is create")
    if "claims" in form:
        raise InvalidRequestError("the claims parameter is not supported")
    if not set(form.get("prompt", "login").split(" ")) <= {"login", "consent"}:
        raise InvalidRequestError("prompt may be login or consent; a person always decides")


def _redirect_uri(request: FormRequest, client: ClientRegistration) -> str:
    """Return the redirect_uri, which must be named and registered, character by character."""
    redirect_uri = request.form.get("redirect_uri")
    if redirect_uri is None:
        raise InvalidRequestError("redirect_uri is missing")
    if not client.check_redirect_uri(redirect_uri):
        raise InvalidRequestError("redirect_uri is not registered for this client")
    return redirect_uri


def _code_challenge(request: FormRequest) -> str:
    """Return the PKCE challenge, S256 only (RFC 7636, 4.3; FAPI 2.0, 5.3.2.2-5)."""
    challenge = request.form.get("code_challenge", "")
    if request.form.get("code_challenge_method") != "S256":
        raise InvalidRequestError("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError("code_challenge must be 43 characters of base64url")
    return challenge


def _scopes(request: FormRequest, client: ClientRegistration, details: Details) -> tuple[str, ...]:
    """Return the scopes asked for, those of the details included; none of them without its details."""
    asked = request.form.get("scope")
    needed = sorted(scopes_of(details) - set((asked or "").split(" ")))
    scope = " ".join([*([asked] if asked is not None else []), *needed])
    words = tuple(granted_scope(scope or None, client.scopes, PERSONAL_SCOPES).split(" "))
    bare = set(words) & set(SCOPE_OF.values()) - scopes_of(details)
    if bare:
        # A scope opens a door, a purpose justifies a field: nobody can decide on a bare door.
        raise InvalidAuthorizationDetails("this scope needs authorization_details that say what for")
    return words


def _text(request: FormRequest, name: str, characters_max: int) -> str | None:
    """Return a parameter that is handed back unchanged: printable ASCII (RFC 6749, appendix A)."""
    value = request.form.get(name)
    if value is not None and (len(value) > characters_max or not _PRINTABLE.fullmatch(value)):
        raise InvalidRequestError(f"{name} must be printable ASCII of at most {characters_max} characters")
    return value


def _max_age_seconds(request: FormRequest) -> int | None:
    """Return the greatest age of the sign-in (OpenID Connect Core, 3.1.2.1): max_age, or prompt=login."""
    if "login" in request.form.get("prompt", "").split(" "):
        return 0
    value = request.form.get("max_age")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise InvalidRequestError("max_age must be a number of seconds")
    return min(int(value), MAX_AGE_SECONDS_MAX)


def _ui_locales(request: FormRequest) -> str:
    value = request.form.get("ui_locales", "")
    return value if _LOCALES.fullmatch(value) else ""
