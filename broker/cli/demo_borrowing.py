"""A loan in the demo: the bank's program, the citizen who is asked, and what passes between them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pyotp

from broker.cli.caller import Answer, Caller
from broker.cli.demo_browser import Browser
from broker.cli.demo_steps import Exchange
from broker.clock import system_clock
from broker.oauth.endpoints import PUSHED_REQUEST_PATH, TOKEN_PATH
from broker.oauth.jose import encode_segment

ASKED: Final[Mapping[str, Any]] = {
    "type": "insurance_record",
    "purpose": "prove_income",
    "fields": ["salary_base", "contribution_from", "contribution_to", "si_status"],
    "required_fields": ["salary_base"],
}
LEFT_OUT: Final = "si_status"
"""The field that the citizen does not tick."""
TOKEN_INFO: Final = "/v1/token-info"  # noqa: S105 (a path)
RECORD: Final = "/v1/consented-record"
CONSENTS: Final = "/citizen/consents"
_SECRETS: Final = ("access_token", "refresh_token", "id_token", "request_uri", "code")
_PROVEN: Final = {"DPoP": "<proof>", "Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Borrower:
    """The citizen who wants a loan, and how to sign in: all of it made up."""

    personal_id: str
    password: str
    totp_secret: str


@dataclass(slots=True)
class Borrowing:
    """What bank and citizen do, one request at a time, and what the bank's program remembers meanwhile."""

    caller: Caller
    borrower: Borrower
    browser: Browser
    redirect_uri: str
    verifier: str = ""
    state: str = ""
    _request_uri: str = ""
    _code: str = ""
    _consent_id: str = ""
    _tokens: dict[str, Any] = field(default_factory=dict)

    def push(self) -> Exchange:
        """Let the bank say what it will ask (RFC 9126)."""
        self.verifier, self.state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        challenge = encode_segment(hashlib.sha256(self.verifier.encode()).digest()).decode()
        form = {
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "authorization_details": json.dumps([ASKED]),
        }
        answer = self.caller.post_form("pushed_authorization_request_endpoint", form)
        self._request_uri = str(_members(answer).get("request_uri", ""))
        shown = {**form, "authorization_details": [ASKED], "client_assertion": "<assertion>"}
        exchange = _exchange("POST", PUSHED_REQUEST_PATH, shown, answer)
        told = urlsplit(self.address())._replace(query=f"client_id={self.caller.client_id}&request_uri=…")
        return replace(exchange, response={**(exchange.response or {}), "browser_goes_to": told.geturl()})

    def address(self) -> str:
        """Return the URL to which the bank sends the citizen's browser."""
        query = {"client_id": self.caller.client_id, "request_uri": self._request_uri}
        return f"{self.caller.metadata()['authorization_endpoint']}?{urlencode(query)}"

    def decide(self, choice: str) -> Exchange:
        """Let the citizen sign in where asked, tick all fields but one, and press a button of the page."""
        browser, borrower = self.browser, self.borrower
        status = browser.open(self.address())
        if browser.has_form("password"):
            code = pyotp.TOTP(borrower.totp_secret).at(system_clock())
            who = {"personal_id": borrower.personal_id, "password": borrower.password}
            status = browser.submit({**who, "one_time_code": code})
        path = urlsplit(browser.url).path
        ticked = [box for box in browser.form().boxes if not box.endswith(LEFT_OUT)]
        given = {"field": ticked, "choice": choice} if choice == "give" else {"choice": choice}
        status = browser.submit(given)
        shown = {"personal_id": borrower.personal_id, "password": "<password>", **given}
        place = path.rpartition("/")[0] + "/<request>"
        return Exchange(_request("POST", place, shown, {}), status, *self._came_back())

    def redeem(self) -> Exchange:
        """Let the bank turn the code into tokens."""
        form = {
            "grant_type": "authorization_code",
            "code": self._code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self._ask_tokens(form)

    def refresh(self) -> Exchange:
        """Let the bank ask for a new access token."""
        token = str(self._tokens.get("refresh_token", ""))
        return self._ask_tokens({"grant_type": "refresh_token", "refresh_token": token})

    def token_info(self) -> Exchange:
        """Let the bank look at what its token may do."""
        token = str(self._tokens.get("access_token", ""))
        answer = self.caller.request("GET", TOKEN_INFO, token=token)
        return _exchange("GET", TOKEN_INFO, None, answer, {"Authorization": "DPoP <token>"})

    def read_record(self) -> Exchange:
        """Let the bank read what the citizen gave, as often as it likes while that lasts."""
        token = str(self._tokens.get("access_token", ""))
        answer = self.caller.request("GET", RECORD, token=token)
        exchange = _exchange("GET", RECORD, None, answer, {"Authorization": "DPoP <token>"})
        told = exchange.response or {}
        self._consent_id = str(told.get("consent_id", self._consent_id))
        reference = str(told.get("evidence_reference") or told.get("instance", ""))
        found = (reference.removeprefix("urn:uuid:"),) if reference else ()
        return replace(exchange, references=found)

    def withdraw(self) -> Exchange:
        """Let the citizen take it back on the page of the consent."""
        browser, choice = self.browser, {"choice": "withdraw"}
        browser.open(f"{self.caller.issuer}{CONSENTS}/{self._consent_id}")
        status = browser.submit(choice)
        return Exchange(_request("POST", f"{CONSENTS}/<consent_id>", choice, {}), status, None)

    def close(self) -> None:
        """Close all connections."""
        self.caller.close()
        self.browser.close()

    def _ask_tokens(self, form: Mapping[str, str]) -> Exchange:
        answer = self.caller.post_form("token_endpoint", form)
        if answer.status == 200:
            self._tokens = {**self._tokens, **_members(answer)}
        hidden = {name: f"<{name}>" for name in ("code", "code_verifier", "refresh_token") if name in form}
        shown = {**form, **hidden, "client_assertion": "<assertion>"}
        return _exchange("POST", TOKEN_PATH, shown, answer)

    def _came_back(self) -> tuple[Mapping[str, Any], tuple[str, ...], tuple[str, ...]]:
        """Return response, references and faults of the browser's way back: iss and state must be ours."""
        told = dict(parse_qsl(urlsplit(self.browser.url).query))
        self._code = told.get("code", "")
        faults = [] if self.browser.url.startswith(self.redirect_uri + "?") else ["the browser is elsewhere"]
        if (told.get("iss"), told.get("state")) != (self.caller.issuer, self.state):
            faults.append("iss or state of the answer is not ours")
        return _without_secrets({**told, "state": "<state>"}), (), tuple(faults)


def _request(
    method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
) -> Mapping[str, Any]:
    return {"method": method, "path": path, "headers": dict(headers), "body": body}


def _exchange(
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    answer: Answer,
    headers: Mapping[str, str] | None = None,
) -> Exchange:
    sent = {"DPoP": "<proof>", **headers} if headers else _PROVEN
    response = _without_secrets(_members(answer)) or None
    if response is not None and "www-authenticate" in answer.headers:
        response["header_fields"] = {"WWW-Authenticate": answer.headers["www-authenticate"]}
    return Exchange(_request(method, path, body, sent), answer.status, response)


def _members(answer: Answer) -> dict[str, Any]:
    try:
        members = answer.json()
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _without_secrets(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: f"<{name}>" if name in _SECRETS else value for name, value in members.items()}
