"""Citizens with accounts, a bank that asks them, and the pages between: on real PostgreSQL, over HTTP."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pyotp
from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client, TestResponse

from broker.consent.record import Notice
from broker.evidence.acting import BY_ITSELF
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.keys import KeyRing
from broker.oauth.authorization import Authorizations
from broker.oauth.authorization_request import (
    REQUEST_URI_PREFIX,
    Approval,
    AuthorizationRequest,
    PushedParameters,
    PushedRequest,
    request_ref_of,
    waits_until,
)
from broker.oauth.citizen_passwords import Passwords
from broker.oauth.citizen_secrets import CitizenSecrets, derived_key
from broker.oauth.citizens import CitizenSignIn
from broker.oauth.identity_sign_in import IdentitySignIn
from broker.oauth.one_time_codes import new_secret
from broker.oauth.passkeys import CitizenPasskeys
from broker.oauth.proxies import TrustedProxies
from broker.oauth.registration import ClientRegistration
from broker.storage.citizen_sessions import PostgresSessions
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import ClientRecord, Organisation, PostgresClients
from broker.storage.consents import PostgresConsents
from broker.storage.identities import PostgresIdentities
from broker.storage.openings import PostgresOpenings
from broker.storage.passkeys import PostgresPasskeys
from broker.storage.requests import PostgresRequests
from broker.storage.sign_in_challenges import PostgresChallenges
from broker.storage.signing_keys import PostgresSigningKeys
from connectors.identity import IdentityProvider
from consent_ui.blueprint import DecisionPage, citizen_blueprint
from consent_ui.receipt_views import ReceiptParts
from consent_ui.ways import Ways
from policies.compile import PolicySet, compile_policies
from policies.load import SHIPPED, load_directory
from tests.acting import ACTS
from tests.oauth_world import ISSUER, KEY_ENCRYPTION_KEY, Database, MovableClock, SystemClock

PASSWORD = "con mèo trèo cây cau"
BANK = "bank-app"
CALLBACK = "https://bank.example/callback"
INCOME: Mapping[str, Any] = {
    "type": "insurance_record",
    "purpose": "prove_income",
    "fields": ["salary_base", "contribution_from", "contribution_to", "si_status"],
    "required_fields": ["salary_base"],
    "valid_days": 90,
    "retention_days": 180,
    "agreement_id": "bank_income_proof",
}
# Argon2 as small as it can be: what is tested here is who gets in, not how long that takes.
QUICK: Mapping[str, int] = {"time_cost": 1, "memory_kib": 8, "lanes": 1}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Citizen:
    """An account. totp_secret: "" without one-time codes."""

    citizen_id: str
    personal_id: str
    password: str
    totp_secret: str


class NamedClients:
    """The bank, as the authorization server knows it."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri

    def find_registration(self, client_id: str) -> ClientRegistration | None:
        if client_id != BANK:
            return None
        return ClientRegistration(
            client_id=BANK,
            organisation_id="bank-1",
            is_active=True,
            scopes=frozenset({"share_record", "openid"}),
            grant_types=frozenset({"authorization_code"}),
            expires_at=SystemClock()() + timedelta(days=365),
            name="Ứng dụng Vay nhanh <b>&",
            organisation_kind="bank",
            organisation_name_vi="Ngân hàng Thử Nghiệm",
            organisation_name_en="Trial Bank",
            agreement_ids=("bank_income_proof",),
            redirect_uris=(self.redirect_uri,),
        )


class Redirects:
    """Pending requests as the pages see them. told: who decided, and what notice was shown to them."""

    def __init__(self, authorizations: Authorizations) -> None:
        self.inner = authorizations
        self.told: list[tuple[str | None, Notice | None]] = []

    def find(self, request_ref: bytes, at: datetime) -> AuthorizationRequest | None:
        return self.inner.find(request_ref, at)

    def approve(
        self, request: AuthorizationRequest, approval: Approval, at: datetime, notice: Notice | None = None
    ) -> str:
        self.told.append((approval.citizen_id, notice))
        return self.inner.approve(request, approval, at)

    def refuse(
        self,
        request: AuthorizationRequest,
        at: datetime,
        citizen_id: str | None = None,
        notice: Notice | None = None,
    ) -> str:
        self.told.append((citizen_id, notice))
        return self.inner.refuse(request, at)


class Subjects:
    def pairwise_subject(self, organisation_id: str, citizen_id: str) -> str:
        return f"{organisation_id}-{citizen_id[:8]}"


@cache
def shipped_policies() -> PolicySet:
    """Return the policies that are shipped."""
    bundle = load_directory(SHIPPED)
    return compile_policies(bundle.agreements, bundle.catalogue, bundle.registers)


class CitizenWorld:
    """The citizen's pages of one broker, its citizens, and the requests that a bank has pushed."""

    def __init__(
        self,
        database: Database,
        issuer: str = ISSUER,
        redirect_uri: str = CALLBACK,
        passwords: Passwords | None = None,
        *,
        real_time: bool = False,
        providers: Mapping[str, IdentityProvider] | None = None,
    ) -> None:
        with database.owner.begin() as connection:
            connection.execute(text("TRUNCATE citizens, clients, organisations, usage_counters CASCADE"))
        self.owner, self.engine = database.owner, database.application
        self.issuer = issuer
        self.redirect_uri = redirect_uri
        self.clock = SystemClock() if real_time else MovableClock()
        self.references = KeyedPseudonyms(bytes(32))
        self.secrets = CitizenSecrets(KEY_ENCRYPTION_KEY)
        self.passwords = passwords or Passwords(**QUICK)
        self.store = PostgresCitizens(self.engine, ACTS)
        self.sign_in = CitizenSignIn(
            store=self.store, references=self.references, secrets_=self.secrets, passwords=self.passwords
        )
        self.requests = PostgresRequests(self.engine)
        self.authorizations = Authorizations(issuer, self.requests, NamedClients(redirect_uri), Subjects())
        self.page = DecisionPage(issuer)
        self.ring = KeyRing(PostgresSigningKeys(database.owner, ACTS), KEY_ENCRYPTION_KEY, self.clock)
        self._register_bank()
        redirects = Redirects(self.authorizations)
        self.told = redirects.told
        openings = PostgresOpenings(database.store, KEY_ENCRYPTION_KEY)
        self.app = Flask("citizen_world", static_folder=None)
        self.app.register_blueprint(
            citizen_blueprint(
                issuer=issuer,
                sign_in=self.sign_in,
                ways=self.ways(providers or {}),
                authorizations=redirects,
                policies=shipped_policies(),
                callers=TrustedProxies(),
                clock=self.clock,
                form_key=derived_key(KEY_ENCRYPTION_KEY, "citizen/forms"),
                receipts=ReceiptParts(PostgresConsents(self.engine, openings), self.ring),
            )
        )

    def _register_bank(self) -> None:
        clients = PostgresClients(self.engine, ACTS)
        clients.register_organisation(
            Organisation(organisation_id="bank-1", kind="bank", name_vi="Ngân hàng", name_en="Bank")
        )
        clients.register_client(
            ClientRecord(
                client_id=BANK,
                organisation_id="bank-1",
                name=BANK,
                scopes=("share_record", "openid"),
                agreement_ids=("bank_income_proof",),
                client_metadata={"grant_types": ["authorization_code"], "jwks": {"keys": []}},
                expires_at=SystemClock()() + timedelta(days=365),
            )
        )

    def ways(self, providers: Mapping[str, IdentityProvider]) -> Ways:
        """Return the ways in besides a password."""
        challenges = PostgresChallenges(self.engine)
        return Ways(
            sessions=PostgresSessions(self.engine),
            passkeys=CitizenPasskeys(PostgresPasskeys(self.engine), challenges, self.issuer),
            identities=IdentitySignIn(
                identities=PostgresIdentities(self.engine, ACTS.by(BY_ITSELF)),
                challenges=challenges,
                references=self.references,
                secrets_=self.secrets,
            ),
            providers=providers,
        )

    def citizen(self, *, with_codes: bool = False, password: str = PASSWORD) -> Citizen:
        """Register an account of its own for one test."""
        citizen_id, personal_id = str(uuid4()), f"0010901{next(_numbers):05d}"
        secret = new_secret() if with_codes else ""
        self.store.register_citizen(
            CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=self.references.citizen_ref(personal_id),
                personal_id_encrypted=self.secrets.seal("personal_id", citizen_id, personal_id),
                password_hash=self.passwords.hash(password),
                totp_secret_encrypted=self.secrets.seal("totp_secret", citizen_id, secret)
                if secret
                else None,
            )
        )
        return Citizen(citizen_id, personal_id, password, secret)

    def code(self, citizen: Citizen, seconds: float = 0) -> str:
        """Return the code that the citizen's app shows, so many seconds from now."""
        return pyotp.TOTP(citizen.totp_secret).at(self.clock() + timedelta(seconds=seconds))

    def request(
        self,
        *details: Mapping[str, Any],
        scopes: tuple[str, ...] = ("share_record",),
        level: int = 1,
        max_age_seconds: int | None = None,
        ui_locales: str = "",
    ) -> AuthorizationRequest:
        """Push a request of the bank and open it, as the authorization endpoint does."""
        request_uri, at = REQUEST_URI_PREFIX + secrets.token_urlsafe(32), self.clock()
        parameters = PushedParameters(
            redirect_uri=self.redirect_uri,
            scopes=scopes,
            details=details,
            code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            state="state-1",
            level=level,
            max_age_seconds=max_age_seconds,
            ui_locales=ui_locales,
        )
        self.requests.push_request(
            PushedRequest(
                request_ref=request_ref_of(request_uri),
                client_id=BANK,
                parameters=parameters,
                pushed_at=at,
                expires_at=waits_until(at),
            )
        )
        return self.authorizations.begin({"client_id": [BANK], "request_uri": [request_uri]}, at)

    def grants(self) -> list[Mapping[str, Any]]:
        """Return all grants in the store."""
        with self.owner.connect() as connection:
            return [dict(row) for row in connection.execute(text("SELECT * FROM grants")).mappings()]

    def count(self, table: str) -> int:
        with self.owner.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608

    def browser(self, address: str = "192.0.2.1") -> Browser:
        return Browser(self, address)


class Form:
    """A form as it stands on a page. boxes: value → whether it is ticked. fields: the others, by name."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}
        self.boxes: dict[str, bool] = {}
        self.buttons: list[tuple[str, str]] = []


class Forms(HTMLParser):
    """Reads the forms of a page. What stands in none is sent by no browser, and is not read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._is_open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"]))
            self._is_open = True
        elif not self._is_open:
            return
        elif tag == "input" and given.get("type") == "checkbox":
            self.forms[-1].boxes[given["value"]] = "checked" in given
        elif tag == "input":
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "button":
            self.forms[-1].buttons.append((given.get("name", ""), given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False


class Browser:
    """What a browser does, without being one: keeps cookies, follows nothing by itself, posts forms."""

    def __init__(self, world: CitizenWorld, address: str) -> None:
        self.world = world
        self.address = address
        self.http = Client(world.app)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._open(path, "GET", None, headers)

    def post(self, path: str, data: Any, **headers: str) -> TestResponse:
        return self._open(path, "POST", data, headers)

    def _open(self, path: str, method: str, data: Any, headers: Mapping[str, str]) -> TestResponse:
        return self.http.open(
            path,
            method=method,
            data=data,
            base_url=self.world.issuer,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            environ_overrides={"REMOTE_ADDR": self.address},
        )

    def cookie(self, name: str = "__Host-broker-citizen") -> str:
        """Return the value of a cookie, "" without it."""
        found = self.http.get_cookie(name, urlsplit(self.world.issuer).hostname or "")
        return "" if found is None else found.value

    def sign_in_form(self, request: AuthorizationRequest) -> Form:
        """Go to a request without being signed in, and return the form that one is led to."""
        led = self.get(self.world.page.address(request.request_ref))
        assert led.status_code == 303, led.text
        shown = self.get(led.headers["Location"])
        assert shown.status_code == 200, shown.text
        return Forms(shown.text).forms[-1]

    def try_sign_in(self, request: AuthorizationRequest, **typed: str) -> TestResponse:
        """Fill the sign-in form in and send it."""
        form = self.sign_in_form(request)
        return self.post(form.action, {**form.fields, **typed})

    def sign_in(self, request: AuthorizationRequest, citizen: Citizen, **typed: str) -> TestResponse:
        """Sign in and return the decision page."""
        answer = self.try_sign_in(
            request, **{"personal_id": citizen.personal_id, "password": citizen.password, **typed}
        )
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["Location"])

    def decide(self, page: TestResponse, choice: str | None, *ticked: str, **changes: str) -> TestResponse:
        """Answer a decision page. ticked: boxes, by value; choice: the button, None for none."""
        form = Forms(page.text).forms[-1]
        data: dict[str, Any] = {**form.fields, **changes, "field": list(ticked)}
        if choice is not None:
            data["choice"] = choice
        return self.post(form.action, data)


def parameters_of(answer: TestResponse) -> dict[str, str]:
    """Return the parameters that a redirect to the bank carries."""
    assert answer.status_code == 303, answer.text
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
    return {name: values[0] for name, values in parse_qs(location.query, keep_blank_values=True).items()}
