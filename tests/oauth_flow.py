"""The code flow as a test drives it, over HTTP: a bank that asks, a citizen in a browser, what they get."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pyotp
import pytest
from werkzeug.test import Client, TestResponse

from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.client_metadata_schema import CIBA
from broker.oauth.dpop import ProofVerifier
from broker.oauth.jose import decode_object, decode_segment, encode_segment
from broker.oauth.jose_keys import Algorithm
from broker.oauth.one_time_codes import new_secret
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import ClientRecord, Organisation
from tests.acting import ACTS
from tests.citizen_world import PASSWORD, QUICK, Citizen, Forms
from tests.oauth_world import ASSERTION_TYPE, KEY_ENCRYPTION_KEY, PSEUDONYM_KEY, Party, World

CALLBACK = "https://bank.example/callback"
AGREEMENT = "bank_income_proof"
SCOPES = ("share_record", "openid", "grant_management_query", "grant_management_revoke")
SECOND_CALLBACK = "https://bank.example/other?kept=yes"
INCOME: Mapping[str, Any] = {
    "type": "insurance_record",
    "purpose": "prove_income",
    "fields": ["si_status", "contribution_from", "contribution_to", "salary_base"],
    "required_fields": ["salary_base"],
}
COMPLETED: Mapping[str, Any] = {
    **INCOME,
    "agreement_id": "bank_income_proof",
    "valid_days": 30,
    "retention_days": 180,
}
"""What the broker makes of INCOME, before anybody has consented to it."""
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_numbers = itertools.count(1)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    return encode_segment(hashlib.sha256(verifier.encode()).digest()).decode()


def verified_proofs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every DPoP proof is added that is verified from now on."""
    seen: list[str] = []
    verify = ProofVerifier.verify

    def seeing(self: ProofVerifier, proof: str, *given: Any, **named: Any) -> Any:
        seen.append(proof)
        return verify(self, proof, *given, **named)

    monkeypatch.setattr(ProofVerifier, "verify", seeing)
    return seen


@dataclass
class Attempt:
    """One run of the flow: the verifier that the client keeps, and what came back so far."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(8))
    request_uri: str = ""
    location: str = ""

    @property
    def answer(self) -> dict[str, str]:
        """The parameters with which the browser came back, each once."""
        found = parse_qs(urlsplit(self.location).query)
        assert all(len(values) == 1 for values in found.values()), found
        return {name: values[0] for name, values in found.items()}

    @property
    def code(self) -> str:
        return self.answer["code"]


class Flow:
    """A bank and its citizens in a world. Everything goes through the world's HTTP door."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bank = self.register_bank("bank-a")
        self.citizens = PostgresCitizens(world.engine, ACTS)
        self._passwords = Passwords(**QUICK)
        self._references = KeyedPseudonyms(PSEUDONYM_KEY)
        self._secrets = CitizenSecrets(KEY_ENCRYPTION_KEY)
        self._signed_in: dict[str, Client] = {}

    def register_bank(
        self,
        client_id: str,
        algorithm: Algorithm = "ES256",
        organisation_id: str = "bank-1",
        agreements: Sequence[str] = (AGREEMENT,),
        scopes: Sequence[str] = (),
        **metadata: Any,
    ) -> Party:
        """Register a client of a bank that may ask citizens for proof of income. scopes: further ones."""
        world, party = self.world, Party(client_id, algorithm, self.world.issuer)
        world.clients.register_organisation(
            Organisation(
                organisation_id=organisation_id,
                kind="bank",
                name_vi=f"Ngân hàng {organisation_id}",
                name_en=f"Bank {organisation_id}",
            )
        )
        members = {
            "grant_types": ["authorization_code", "refresh_token", "client_credentials", CIBA],
            "response_types": ["code"],
            "redirect_uris": [CALLBACK, SECOND_CALLBACK],
            "jwks": {"keys": [party.public_jwk]},
            **metadata,
        }
        world.clients.register_client(
            ClientRecord(
                client_id=client_id,
                organisation_id=organisation_id,
                name=f"Ứng dụng {client_id}",
                scopes=(*SCOPES, *scopes),
                agreement_ids=tuple(agreements),
                client_metadata={name: value for name, value in members.items() if value is not ...},
                expires_at=world.clock().replace(year=world.clock().year + 1),
            )
        )
        return party

    def citizen(self, *, with_codes: bool = True) -> Citizen:
        """Register a citizen."""
        citizen_id, personal_id = str(uuid4()), f"0010902{next(_numbers):05d}"
        secret = new_secret() if with_codes else ""
        sealed = self._secrets.seal("totp_secret", citizen_id, secret) if secret else None
        self.citizens.register_citizen(
            CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=self._references.citizen_ref(personal_id),
                personal_id_encrypted=self._secrets.seal("personal_id", citizen_id, personal_id),
                password_hash=self._passwords.hash(PASSWORD),
                totp_secret_encrypted=sealed,
            )
        )
        return Citizen(citizen_id, personal_id, PASSWORD, secret)

    def post(
        self,
        path: str,
        form: Mapping[str, Any],
        party: Party | None = None,
        proof: str | None = None,
        **options: Any,
    ) -> TestResponse:
        """Post a form as an authenticated client; a member that is ... is left out, "" sends no proof."""
        party = party or self.bank
        full = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": party.assertion(self.world.clock()),
            **form,
        }
        headers = dict(options.pop("headers", {}))
        if proof != "":
            headers["DPoP"] = proof or party.proof(self.world.clock(), url=self.world.issuer + path)
        data = {name: value for name, value in full.items() if value is not ...}
        # A client of its own per request: tests ask from several threads.
        return self.browser().post(path, data=data, headers=headers, base_url=self.world.issuer, **options)

    def push(
        self,
        attempt: Attempt | None = None,
        party: Party | None = None,
        proof: str | None = "",
        **changes: Any,
    ) -> TestResponse:
        """Push a good request; a change to ... leaves the parameter out. No proof unless one is given."""
        attempt = attempt or Attempt()
        form = {
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "state": attempt.state,
            "code_challenge": challenge_of(attempt.verifier),
            "code_challenge_method": "S256",
            "authorization_details": json.dumps([INCOME]),
            **changes,
        }
        answer = self.post("/oauth/par", form, party, proof)
        if answer.status_code == 201:
            attempt.request_uri = str(answer.get_json()["request_uri"])
        return answer

    def browser(self) -> Client:
        """Return a browser of its own, with cookies."""
        return self.world.app.test_client()

    def authorize(
        self, browser: Client, request_uri: str, client_id: str = "bank-a", **more: Any
    ) -> TestResponse:
        """Send a browser to the authorization endpoint, as a client does."""
        query = {"client_id": client_id, "request_uri": request_uri, **more}
        given = {name: value for name, value in query.items() if value is not ...}
        return browser.get("/oauth/authorize", query_string=given, base_url=self.world.issuer)

    def signed_in(self, citizen: Citizen) -> Client:
        """Return the browser in which a citizen is (or will be) signed in."""
        return self._signed_in.setdefault(citizen.citizen_id, self.browser())

    def decision_page(
        self, citizen: Citizen, attempt: Attempt, client_id: str = "bank-a", **typed: str
    ) -> TestResponse:
        """Walk the browser from the authorization endpoint to the decision page, signing in if asked.

        typed: in the sign-in form, instead of what is right.
        """
        browser = self.signed_in(citizen)
        page = self.authorize(browser, attempt.request_uri, client_id)
        assert page.status_code == 303, page.get_data(as_text=True)
        page = self.follow(browser, page)
        if "/citizen/sign-in" in page.request.path:
            page = self._sign_in(browser, page, citizen, typed)
        return page

    def decide(
        self,
        citizen: Citizen,
        attempt: Attempt,
        fields: tuple[str, ...] | None = None,
        choice: str = "give",
        client_id: str = "bank-a",
    ) -> TestResponse:
        """Walk the browser from the authorization endpoint to the decision; return the answer to it.

        fields: ticked on the page, all of them when not given.
        """
        page = self.decision_page(citizen, attempt, client_id)
        assert page.status_code == 200, page.get_data(as_text=True)
        return self.press(citizen, page, attempt, fields, choice)

    def press(
        self,
        citizen: Citizen,
        page: TestResponse,
        attempt: Attempt,
        fields: tuple[str, ...] | None = None,
        choice: str = "give",
    ) -> TestResponse:
        """Answer a decision page that is open in the citizen's browser."""
        form = Forms(page.text).forms[-1]
        ticked = list(form.boxes) if fields is None else list(fields)
        data = {**form.fields, "field": ticked, "choice": choice}
        answer = self.signed_in(citizen).post(form.action, data=data, base_url=self.world.issuer)
        if answer.status_code == 303:
            attempt.location = answer.headers["Location"]
        return answer

    def redeem(
        self, attempt: Attempt, party: Party | None = None, proof: str | None = None, **changes: Any
    ) -> TestResponse:
        """Redeem the code of an attempt; a change to ... leaves the parameter out."""
        form = {
            "grant_type": "authorization_code",
            "code": attempt.code,
            "redirect_uri": CALLBACK,
            "code_verifier": attempt.verifier,
            **changes,
        }
        return self.post("/oauth/token", form, party, proof)

    def granted(
        self,
        citizen: Citizen | None = None,
        fields: tuple[str, ...] | None = None,
        party: Party | None = None,
        **pushed: Any,
    ) -> Attempt:
        """Run the flow up to the code and return the attempt. party: the client, the bank if not given."""
        attempt, party = Attempt(), party or self.bank
        answer = self.push(attempt, party, **pushed)
        assert answer.status_code == 201, answer.get_json()
        decided = self.decide(citizen or self.citizen(), attempt, fields, client_id=party.client_id)
        assert decided.status_code == 303, decided.get_data(as_text=True)
        return attempt

    def tokens(
        self, citizen: Citizen | None = None, party: Party | None = None, **pushed: Any
    ) -> dict[str, Any]:
        """Run the whole flow and return the token response."""
        answer = self.redeem(self.granted(citizen, party=party, **pushed), party)
        assert answer.status_code == 200, answer.get_json()
        body: dict[str, Any] = answer.get_json()
        return body

    def refresh(
        self, refresh_token: str, party: Party | None = None, proof: str | None = None, **changes: Any
    ) -> TestResponse:
        """Ask for a new access token."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        return self.post("/oauth/token", form, party, proof)

    def get(
        self,
        path: str,
        token: str,
        party: Party | None = None,
        method: str = "GET",
        proof: str | None = None,
        scheme: str = "DPoP",
    ) -> TestResponse:
        """Use a DPoP-bound access token at a resource. proof: instead of a good one, "" for none."""
        party = party or self.bank
        if proof is None:
            proof = party.proof(self.world.clock(), method, self.world.issuer + path, token)
        headers = {"Authorization": f"{scheme} {token}", **({"DPoP": proof} if proof else {})}
        answer: TestResponse = self.world.http.open(
            path, method=method, headers=headers, base_url=self.world.issuer
        )
        return answer

    def is_good(self, token: str, party: Party | None = None) -> bool:
        """Return whether an access token opens a door at this moment."""
        return self.get("/v1/token-info", token, party).status_code == 200

    def follow(self, browser: Client, page: TestResponse) -> TestResponse:
        """Follow redirects as a browser does, as long as they stay with the broker."""
        while page.status_code == 303:
            page = browser.get(page.headers["Location"], base_url=self.world.issuer)
        return page

    def _sign_in(
        self, browser: Client, page: TestResponse, citizen: Citizen, typed: Mapping[str, str]
    ) -> TestResponse:
        form = Forms(page.text).forms[-1]
        code = pyotp.TOTP(citizen.totp_secret).at(self.world.clock()) if citizen.totp_secret else ""
        data = {
            **form.fields,
            "personal_id": citizen.personal_id,
            "password": citizen.password,
            "one_time_code": code,
            **typed,
        }
        return self.follow(browser, browser.post(form.action, data=data, base_url=self.world.issuer))


def refused(answer: TestResponse, *errors: str, status: int = 400) -> str:
    """Check an error answer field by field (RFC 6749, 5.2) and return its description.

    errors: one of these words must be the error.
    """
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type.startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert body["error"] in errors, body
    assert set(body) <= {"error", "error_description"}, body
    description = str(body.get("error_description", ""))
    assert description.isascii()
    assert description.isprintable()
    return description


def agreed(details: Any) -> list[dict[str, Any]]:
    """Check what ties each granted detail to its own consent; return the details without it."""
    for detail in details:
        assert str(UUID(detail["consent_id"])) == detail["consent_id"]
        assert _HEXADECIMAL.fullmatch(detail["record_hash"]), detail["record_hash"]
    assert len({detail["consent_id"] for detail in details}) == len(details)
    return [
        {name: value for name, value in detail.items() if name not in ("consent_id", "record_hash")}
        for detail in details
    ]


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT, unverified."""
    header, payload, _ = token.split(".")
    return decode_object(decode_segment(header.encode())), decode_object(decode_segment(payload.encode()))
