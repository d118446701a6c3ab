"""Who asks in the demo without a browser: a bank and an employer, and what they do with the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import uuid_utils

from broker.cli.caller import Answer, Caller, ClientKey, TokenRefused
from broker.cli.demo_stage import EMPLOYER, Role, Stage
from broker.oauth.client_credentials import CLIENT_CREDENTIALS
from broker.oauth.client_metadata_schema import CIBA, REFRESH_TOKEN
from broker.oauth.pushed_requests import AUTHORIZATION_CODE
from broker.oauth.scopes import REQUEST_CONSENT, SHARE_RECORD
from broker.storage.clients import Organisation

RECORD: Final = "/v1/consented-record"
REQUESTS: Final = "/v1/consent-requests"
HIRING: Final[Mapping[str, Any]] = {
    "purpose": "confirm_work_history",
    "fields": ["contribution_from", "contribution_to", "first_contribution_month", "si_status"],
    "required_fields": ["contribution_from", "contribution_to"],
}
_CREATED: Final = 201
_LOOK_SECONDS: Final = 5.5
"""How often an asker looks: just beyond the interval of the backchannel (CIBA, 7.3)."""
_RENEW_SECONDS: Final = 60.0
_UNDECIDED: Final = ("authorization_pending", "slow_down")


def recruiter(stage: Stage, issuer: str, run: str, directory: Path, redirect_uri: str) -> Caller:
    """Register the program of an employer that recruits, and return its caller. Raises StoreUnavailable."""
    role = Role(
        scopes=(SHARE_RECORD, REQUEST_CONSENT),
        agreement_id="employer_work_history",
        metadata={
            "grant_types": [AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, CIBA],
            "response_types": ["code"],
            "redirect_uris": [redirect_uri],
        },
    )
    client_id = f"demo-recruiter-{run}"
    key = ClientKey.read(stage.register_client(EMPLOYER, client_id, directory / "recruiter.jwk", role))
    return Caller(issuer, client_id, key, REQUEST_CONSENT)


@dataclass(frozen=True, slots=True)
class Told:
    """What an asker met with. status: of HTTP, 0 where nothing was read. words: a reason, or fields."""

    organisation: Organisation
    state: str
    status: int
    words: str


@dataclass(slots=True)
class Asker:
    """One request of one organisation: reads when it is given, and again whenever its state has changed."""

    organisation: Organisation
    caller: Caller
    request_id: str = ""
    auth_req_id: str = ""
    is_over: bool = False
    _tokens: dict[str, Any] = field(default_factory=dict)
    _state: str = ""
    _looked: float = 0.0
    _renewed: float = 0.0

    def ask(self, personal_id: str, item: Mapping[str, Any], message: Mapping[str, str]) -> bool:
        """Ask somebody; False where that person refused lately. Raises OSError."""
        request_id = str(uuid_utils.uuid4())
        document = {
            "request_id": request_id,
            "personal_id": personal_id,
            "items": [{name: value for name, value in item.items() if name != "type"}],
            "message": dict(message),
        }
        answer = self.caller.request("POST", REQUESTS, json.dumps(document).encode())
        self.is_over = answer.status != _CREATED
        if not self.is_over:
            self.request_id = request_id
            self.auth_req_id = str(_members(answer)["auth_req_id"])
        return not self.is_over

    def look(self) -> Told | None:
        """Do what is due now, if anything; return what there is to tell. Raises OSError, TokenRefused."""
        now = monotonic()
        if self.is_over or now < self._looked + _LOOK_SECONDS:
            return None
        self._looked = now
        if not self._tokens:
            return self._poll(now)
        state = self._state_now()
        if state == self._state:
            self._renew(now)
            return None
        return self._read(state)

    def _poll(self, now: float) -> Told | None:
        """Ask for the token (CIBA, 10.1); read at once when it comes."""
        form = {"grant_type": CIBA, "auth_req_id": self.auth_req_id}
        answer = self.caller.post_form("token_endpoint", form)
        if answer.status == 200:
            self._tokens, self._renewed = _members(answer), now
            return self._read("active")
        error = str(_members(answer).get("error", ""))
        if error in _UNDECIDED:
            return None
        self.is_over = True
        return Told(self.organisation, "not given", 0, error)

    def _read(self, state: str) -> Told:
        self._state = state
        answer = self.caller.request("GET", RECORD, token=str(self._tokens["access_token"]))
        told = _members(answer)
        rows = [row for group in told.get("groups", {}).values() for row in group]
        fields = sorted({*told.get("fields", {}), *(name for row in rows for name in row)})
        reason = str(told.get("reason", told.get("title", "")))
        self.is_over = state not in ("active", "paused", "refresh_due")
        words = ", ".join(fields) if answer.status == 200 else reason
        return Told(self.organisation, state, answer.status, words)

    def _state_now(self) -> str:
        """Return how the consent stands, as the client is told."""
        consents = _members(self.caller.request("GET", f"{REQUESTS}/{self.request_id}")).get("consents", [])
        return str(consents[0]["state"]) if consents else self._state

    def _renew(self, now: float) -> None:
        """Keep a token that lives, so that a later refusal is the consent's."""
        if now < self._renewed + _RENEW_SECONDS or self._state != "active":
            return
        form = {"grant_type": REFRESH_TOKEN, "refresh_token": str(self._tokens.get("refresh_token", ""))}
        answer = self.caller.post_form("token_endpoint", form)
        if answer.status == 200:
            self._tokens, self._renewed = {**self._tokens, **_members(answer)}, now


def _members(answer: Answer) -> dict[str, Any]:
    try:
        members = answer.json()
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


__all__ = ["HIRING", "Asker", "TokenRefused", "Told", "recruiter"]
