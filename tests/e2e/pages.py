"""The whole broker with its insurance database, persons who sign in to their pages, and banks that ask."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pyotp
from flask import Flask
from werkzeug.test import Client, TestResponse

from broker.cli.caller import Answer, Caller, ClientKey
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets
from broker.oauth.jose import encode_segment
from broker.oauth.one_time_codes import new_secret
from broker.oauth.scopes import (
    CONSENT_EVENTS,
    OPENID,
    QUERY_GRANTS,
    REQUEST_CONSENT,
    REVOKE_GRANTS,
    SHARE_RECORD,
)
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import ClientRecord, Organisation
from tests.acting import ACTS
from tests.adults import next_adult, next_parent
from tests.citizen_world import PASSWORD, QUICK, Citizen, Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller, running_app
from tests.oauth_flow import INCOME
from tests.oauth_world import Party
from tests.release_world import World

CIBA = "urn:openid:params:grant-type:ciba"
MACHINE_SCOPES = f"{REQUEST_CONSENT} {QUERY_GRANTS} {REVOKE_GRANTS} {CONSENT_EVENTS}"
RECORD = "/v1/consented-record"
REQUESTS = "/v1/consent-requests"
CHILDREN = "/citizen/representation"
_numbers = itertools.count(1)


@dataclass
class PagesBank:
    """A bank's program: it asks citizens, by redirect or through their inbox, and reads what was given."""

    caller: Caller
    organisation_id: str
    redirect_uri: str
    verifier: str = ""

    @property
    def client_id(self) -> str:
        return self.caller.client_id

    def push(self, *details: Mapping[str, Any], state: str = "state-1", **more: str) -> str:
        """Push a request; return the address, on the broker, to which a browser is sent."""
        self.verifier = secrets.token_urlsafe(32)
        challenge = encode_segment(hashlib.sha256(self.verifier.encode()).digest()).decode()
        form = {
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "authorization_details": json.dumps(list(details or (INCOME,))),
            **more,
        }
        answer = self.caller.post_form("pushed_authorization_request_endpoint", form)
        assert answer.status == 201, answer.body
        query = {"client_id": self.client_id, "request_uri": answer.json()["request_uri"]}
        return f"{self.caller.issuer}/oauth/authorize?{urlencode(query)}"

    def ask(self, personal_id: str, message: Mapping[str, str] | None = None, **changes: Any) -> Answer:
        """Put a request into a person's inbox."""
        item = {name: value for name, value in INCOME.items() if name != "type"}
        document = {
            "request_id": str(uuid4()),
            "personal_id": personal_id,
            "items": [item],
            **({"message": dict(message)} if message else {}),
            **changes,
        }
        return self.caller.request("POST", REQUESTS, json.dumps(document).encode())

    def redeem(self, code: str) -> Answer:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self.caller.post_form("token_endpoint", form)

    def poll(self, auth_req_id: str) -> Answer:
        """Ask for the token of a request in an inbox (CIBA, poll)."""
        return self.caller.post_form("token_endpoint", {"grant_type": CIBA, "auth_req_id": auth_req_id})

    def read(self, token: str) -> Answer:
        return self.caller.request("GET", RECORD, token=token)


class PagesWorld:
    """One application with all its routes."""

    def __init__(self, app: Flask, issuer: str, world: World, insurance: InsuranceDatabase) -> None:
        self.app, self.issuer, self.world, self.insurance = app, issuer, world, insurance
        self._citizens = PostgresCitizens(world.engine, ACTS)
        self._secrets = CitizenSecrets(world.settings.key_encryption_key_file.reveal())
        self._password_hash = Passwords(**QUICK).hash(PASSWORD)

    def citizen(self, personal_id: str = "", *, with_codes: bool = True) -> Citizen:
        """Give a person an account, the next one where none is named."""
        citizen_id, personal_id = str(uuid4()), personal_id or next_adult(self.insurance)
        secret = new_secret() if with_codes else ""
        self._citizens.register_citizen(
            CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=self.world.pseudonyms.citizen_ref(personal_id),
                personal_id_encrypted=self._secrets.seal("personal_id", citizen_id, personal_id),
                password_hash=self._password_hash,
                totp_secret_encrypted=self._secrets.seal("totp_secret", citizen_id, secret)
                if secret
                else None,
            )
        )
        self.world.identifiers.add(personal_id)
        return Citizen(citizen_id, personal_id, PASSWORD, secret)

    def parent(self) -> tuple[Citizen, str]:
        """Give the next parent of a child under six an account; return it, and the number of the child."""
        personal_id, child = next_parent(self.insurance)
        self.world.identifiers.add(child)
        return self.citizen(personal_id=personal_id), child

    def bank(
        self,
        redirect_uri: str = "https://bank.example/callback",
        names: tuple[str, str] | None = None,
        client_name: str = "",
    ) -> PagesBank:
        """Register a bank. names: of the organisation, Vietnamese and English."""
        number = next(_numbers)
        party = Party(f"pages-bank-{number}-{secrets.token_hex(3)}", issuer=self.issuer)
        name_vi, name_en = names or (f"Ngân hàng Trang {number}", f"Pages Bank {number}")
        self.world.clients.register_organisation(
            Organisation(organisation_id=party.client_id, kind="bank", name_vi=name_vi, name_en=name_en)
        )
        self.world.clients.register_client(
            ClientRecord(
                client_id=party.client_id,
                organisation_id=party.client_id,
                name=client_name or f"Ứng dụng {number}",
                scopes=(SHARE_RECORD, OPENID, *MACHINE_SCOPES.split()),
                agreement_ids=("bank_income_proof",),
                client_metadata={
                    "grant_types": ["authorization_code", "refresh_token", "client_credentials", CIBA],
                    "response_types": ["code"],
                    "redirect_uris": [redirect_uri],
                    "jwks": {"keys": [party.public_jwk]},
                },
                expires_at=datetime.now(UTC) + timedelta(days=30),
            )
        )
        private = json.dumps({**party.key.as_dict(private=True), "kid": party.kid})
        caller = InProcessCaller(self.issuer, party.client_id, ClientKey.read(private), MACHINE_SCOPES)
        caller.app = self.app
        return PagesBank(caller, party.client_id, redirect_uri)

    def browser(self) -> PagesBrowser:
        return PagesBrowser(self, Client(self.app))


@dataclass
class PagesBrowser:
    """What a browser does, without being one. It follows the broker's redirects only when told to."""

    world: PagesWorld
    http: Client

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.open(path, "GET", None, **headers)

    def post(self, path: str, data: Mapping[str, Any], **headers: str) -> TestResponse:
        return self.open(path, "POST", data, **headers)

    def open(
        self, path: str, method: str, data: Mapping[str, Any] | None = None, **headers: str
    ) -> TestResponse:
        """Ask for a path or an address of the broker."""
        return self.http.open(
            path.removeprefix(self.world.issuer),
            method=method,
            data=data,
            base_url=self.world.issuer,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def follow(self, answer: TestResponse) -> TestResponse:
        """Follow redirects as long as they stay with the broker."""
        while answer.status_code == 303:
            location = answer.headers["Location"]
            if not location.startswith(("/", self.world.issuer + "/")):
                return answer
            answer = self.get(location)
        return answer

    def sign_in(self, citizen: Citizen, path: str = "/citizen/sessions") -> TestResponse:
        """Open a page and sign in where one is led to; return the page."""
        page = self.follow(self.get(path))
        assert "/citizen/sign-in" in page.request.path, page.request.path
        form = next(one for one in Forms(page.text).forms if "password" in one.fields)
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        if citizen.totp_secret:
            typed["one_time_code"] = pyotp.TOTP(citizen.totp_secret).now()
        answer = self.post(form.action, {**form.fields, **typed})
        assert answer.status_code == 303, answer.text
        return self.follow(answer)

    def decide(
        self, page: TestResponse, fields: Sequence[str] | None = None, choice: str = "give"
    ) -> TestResponse:
        """Answer a decision page. fields: names that are ticked, all of them when not given."""
        form = next(one for one in Forms(page.text).forms if ("choice", "give") in one.buttons)
        ticked = [box for box in form.boxes if fields is None or box.split(".")[-1] in fields]
        return self.post(form.action, {**form.fields, "field": ticked, "choice": choice})

    def represent(self, child: str, first: PagesBank, second: PagesBank) -> None:
        """As the parent of a child, give what a bank asks about it, and let what another asks wait."""
        for bank, is_given in ((first, True), (second, False)):
            asked = bank.ask(child)
            assert asked.status == 201, asked.body
            listed = self.get(CHILDREN)
            assert listed.status_code == 200, listed.text
            [waiting] = set(re.findall(f'href="({CHILDREN}/[0-9a-f-]{{36}})', listed.text))
            if is_given:
                assert self.decide(self.get(waiting)).status_code == 303


@contextmanager
def pages_world(
    world: World, insurance: InsuranceDatabase, issuer: str, log_directory: str = ""
) -> Iterator[PagesWorld]:
    """Give the broker as it is served under an issuer of its own. log_directory: where its log lies."""
    settings = replace(world.settings, issuer=issuer, store_deadline_seconds=2.5, log_directory=log_directory)
    with running_app(settings) as app:
        yield PagesWorld(app, issuer, world, insurance)
