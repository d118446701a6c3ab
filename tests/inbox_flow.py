"""Asking a person who is not there: a bank at the inbox and the backchannel, a citizen at the verbs."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.actions.decide_consent import DecideConsent
from broker.consent.record import Actor, Consent, Notice, Signer
from broker.oauth.client_metadata_schema import CIBA
from policies.compile import PolicySet, compile_policies
from policies.load import SHIPPED, load_directory
from tests.citizen_world import Citizen
from tests.oauth_flow import AGREEMENT, INCOME, Flow
from tests.oauth_world import Database, Party, World

REQUESTS = "/v1/consent-requests"
BACKCHANNEL = "/oauth/bc-authorize"
SECOND_AGREEMENT = "bank_social_policy"
SECOND: Mapping[str, Any] = {
    "type": "insurance_record",
    "purpose": "local_social_policy",
    "fields": ["si_status"],
}
"""A detail for another purpose of the same bank."""
ITEM: Mapping[str, Any] = {name: value for name, value in INCOME.items() if name != "type"}
NOBODY = "000000000000"
"""A personal id of nobody: there is no such province."""
_nobodies = itertools.count(1)


def nobody() -> str:
    """Return a personal id of nobody that nobody was asked by before."""
    return f"{next(_nobodies):012d}"


@cache
def two_agreements() -> PolicySet:
    """Return the shipped policies with a second one that lets banks ask for consent, until 2027-06-30."""
    with tempfile.TemporaryDirectory() as directory:
        agreements = Path(directory) / "agreements"
        shutil.copytree(SHIPPED / "agreements", agreements)
        changed = (agreements / f"{AGREEMENT}.toml").read_text(encoding="utf-8")
        for old, new in {
            f'"{AGREEMENT}"': f'"{SECOND_AGREEMENT}"',
            '"prove_income"': '"local_social_policy"',
            "valid_to = 2029-12-31": "valid_to = 2027-06-30",
        }.items():
            assert changed.count(old) == 1
            changed = changed.replace(old, new)
        (agreements / f"{SECOND_AGREEMENT}.toml").write_text(changed, encoding="utf-8")
        bundle = load_directory(directory)
        return compile_policies(bundle.agreements, bundle.catalogue, bundle.registers)


class InboxFlow(Flow):
    """A bank of two agreements that asks absent citizens, and the citizens who decide."""

    def __init__(self, database: Database, **settings: Any) -> None:
        super().__init__(World(database, policies=two_agreements(), **settings))
        self.desk = self.register_desk("desk-a")

    def register_desk(self, client_id: str, organisation_id: str = "bank-1", **metadata: Any) -> Party:
        """Register a bank's program that asks people who are not there."""
        return self.register_bank(
            client_id,
            organisation_id=organisation_id,
            agreements=(AGREEMENT, SECOND_AGREEMENT),
            scopes=("request_consent",),
            **{"grant_types": ["client_credentials", "refresh_token", CIBA], **metadata},
        )

    @property
    def verbs(self) -> DecideConsent:
        return self.world.wiring.consents.verbs()

    def token_for(self, scope: str, party: Party | None = None) -> str:
        """Return a token of the client itself."""
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = self.post("/oauth/token", form, party or self.desk)
        assert answer.status_code == 200, answer.get_json()
        return str(answer.get_json()["access_token"])

    def request(
        self, citizen: Citizen | None = None, party: Party | None = None, **changes: Any
    ) -> TestResponse:
        """Ask for consent by the resource; a change to ... leaves the member out."""
        party = party or self.desk
        document = {
            "request_id": str(uuid4()),
            "personal_id": nobody() if citizen is None else citizen.personal_id,
            "items": [ITEM],
            **changes,
        }
        kept = {name: value for name, value in document.items() if value is not ...}
        return self.send("POST", REQUESTS, party, kept)

    def send(
        self, method: str, path: str, party: Party | None = None, document: Any = None, token: str = ""
    ) -> TestResponse:
        """Call a resource with a fresh token of the client itself and a fresh proof."""
        party = party or self.desk
        token = token or self.token_for("request_consent", party)
        proof = party.proof(self.world.clock(), method, self.world.issuer + path, token)
        answer: TestResponse = self.browser().open(
            path,
            method=method,
            json=document,
            headers={"Authorization": f"DPoP {token}", "DPoP": proof},
            base_url=self.world.issuer,
        )
        return answer

    def status(self, request_id: str, party: Party | None = None) -> dict[str, Any]:
        """Return how a request stands."""
        answer = self.send("GET", f"{REQUESTS}/{request_id}", party)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        body: dict[str, Any] = answer.get_json()
        return body

    def ask(self, citizen: Citizen | None = None, party: Party | None = None, **changes: Any) -> TestResponse:
        """Ask by the backchannel (CIBA, 7.1); a change to ... leaves the parameter out."""
        form = {
            "scope": "openid",
            "login_hint": nobody() if citizen is None else citizen.personal_id,
            "authorization_details": json.dumps([INCOME]),
            **changes,
        }
        return self.post(BACKCHANNEL, form, party or self.desk, proof="")

    def asked(self, citizen: Citizen | None = None, party: Party | None = None, **changes: Any) -> str:
        """Ask by the backchannel and return the auth_req_id."""
        answer = self.ask(citizen, party, **changes)
        assert answer.status_code == 200, answer.get_json()
        return str(answer.get_json()["auth_req_id"])

    def poll(
        self, auth_req_id: str, party: Party | None = None, proof: str | None = None, **changes: Any
    ) -> TestResponse:
        """Ask for the token of a backchannel request (CIBA, 10.1)."""
        form = {"grant_type": CIBA, "auth_req_id": auth_req_id, **changes}
        return self.post("/oauth/token", form, party or self.desk, proof)

    def waiting(self, citizen: Citizen) -> list[Consent]:
        """Return what waits for a citizen's decision, by purpose."""
        found = self.verbs.find_pending(citizen.citizen_id, self.world.clock())
        return sorted(found, key=lambda one: one.terms.purpose, reverse=True)

    def answer(self, citizen: Citizen, consent: Consent, given: Sequence[str] | None = None) -> Consent:
        """Decide as the page does. given: fields, all of them when not said, none of them to refuse."""
        names = consent.terms.field_names if given is None else frozenset(given)
        at = self.world.clock()
        return self.verbs.decide(self.signer(citizen), consent.consent_id, names, self.notice(), at)

    def given(self, citizen: Citizen, party: Party | None = None) -> tuple[Consent, dict[str, Any]]:
        """Ask, let the citizen give all, and fetch the tokens; return the consent and the token response."""
        auth_req_id = self.asked(citizen, party)
        [waiting] = self.waiting(citizen)
        consent = self.answer(citizen, waiting)
        answer = self.poll(auth_req_id, party)
        assert answer.status_code == 200, answer.get_json()
        return consent, answer.get_json()

    def signer(self, citizen: Citizen) -> Signer:
        at = self.world.clock()
        return Signer(
            role="data_subject", citizen_id=citizen.citizen_id, level=2, authenticated_at=at, signed_at=at
        )

    def notice(self) -> Notice:
        return Notice(version="1", language="vi", rendered_hash="ab" * 32, served_at=self.world.clock())

    def actor(self, citizen: Citizen) -> Actor:
        return Actor(kind="data_subject", reference=citizen.citizen_id)

    def rows(self, table: str, where: str = "TRUE", **parameters: Any) -> list[Mapping[str, Any]]:
        """Return rows of a table."""
        with self.world.engine.connect() as connection:
            found = connection.execute(text(f"SELECT * FROM {table} WHERE {where}"), parameters)  # noqa: S608
            return [dict(row) for row in found.mappings()]
