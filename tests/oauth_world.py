"""A small authorization server on real PostgreSQL: a clock that tests move, clients that misbehave."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import psycopg
from flask import Flask
from joserfc.jws import JWSRegistry
from sqlalchemy import Engine, create_engine, text

from broker.actions.consent_doors import People
from broker.api.calls import Call, Caller
from broker.api.exchange import Exchange
from broker.api.problems import Reply
from broker.api.resources import install, resources_blueprint
from broker.app import new_reference, new_salt
from broker.cli.embedded import EmbeddedCluster, url_of
from broker.consent.record import Signing
from broker.consent_wiring import ConsentWiring
from broker.keys import KeyRing
from broker.oauth.jose import encode_segment
from broker.oauth.jose_keys import Algorithm, AsymmetricKey
from broker.oauth.proxies import TrustedProxies
from broker.oauth.stored_keys import generate_private_key
from broker.settings import Secret, Settings
from broker.storage.clients import ClientRecord, Organisation, PostgresClients
from broker.storage.consents import PostgresConsents
from broker.storage.migrate import migrate
from broker.storage.openings import PostgresOpenings
from broker.storage.session import Store, open_store
from broker.storage.signing_keys import PostgresSigningKeys
from broker.storage.tables import metadata
from broker.storage.tokens import PostgresTokens
from broker.wiring import Wiring
from consent_ui.fault_pages import FaultPages
from policies.civil_time import VIET_NAM
from policies.compile import PolicySet, compile_policies
from policies.load import SHIPPED, load_directory
from tests.acting import ACTS

ISSUER = "https://broker.example"
TOKEN_URL = f"{ISSUER}/oauth/token"
RESOURCE_URL = f"{ISSUER}/v1/things"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY_ENCRYPTION_KEY = bytes(range(32))
PSEUDONYM_KEY = bytes(range(1, 33))
KEPT = {
    "agreements",
    "agreement_revisions",
    "evidence_entries",
    "evidence_openings",
    "evidence_keys",
}
TABLES = ", ".join(sorted(metadata.tables.keys() - KEPT))
"""Tables that are emptied between tests: whichever there are, so that no module finds another one's rows."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """A migrated database: engine, URL and store of the application role, engine of the owner."""

    application: Engine
    owner: Engine
    application_url: str
    store: Store

    def empty(self) -> None:
        """Delete all rows of the tables that tests here write to."""
        with self.owner.begin() as connection:
            connection.execute(text(f"TRUNCATE {TABLES} CASCADE"))


@contextmanager
def oauth_database(cluster: EmbeddedCluster) -> Iterator[Database]:
    """Give a migrated database of its own on the cluster; its tables are emptied by each World."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        present = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'broker_oauth'").fetchone()
        if present is None:
            connection.execute("CREATE DATABASE broker_oauth OWNER broker_owner")
    owner_url, application_url = (
        url_of(cluster.administrator_url, role, "broker_oauth") for role in ("broker_owner", "broker_app")
    )
    migrate(owner_url)
    store = open_store(application_url, deadline_seconds=2.5, pool_size=16)
    owner = create_engine(owner_url)
    try:
        yield Database(store.engine, owner, application_url, store)
    finally:
        store.close()
        owner.dispose()


def on_that_database(settings: Settings, database: Database) -> Settings:
    """Return settings of a command that runs on it, under the key that every test there uses.

    Keys of evidence are kept from one module to the next: under two key-encryption keys one could not open
    what the other has begun.
    """
    return replace(
        settings,
        database_url=database.application_url,
        key_encryption_key_file=Secret(KEY_ENCRYPTION_KEY),
    )


def present() -> datetime:
    """Return the instant at which the clock of a test begins: now, or after midnight where that is near.

    A page says until which day something is valid, and is not answered once that is another day: it must not
    become midnight in Viet Nam when a test lets some minutes pass.
    """
    return datetime.now(UTC) + _AHEAD


# For the whole run of tests, so that no two instants of one run lie in the wrong order.
_AHEAD: Final = timedelta(minutes=45 if f"{datetime.now(VIET_NAM):%H:%M}" >= "23:20" else 0)


class MovableClock:
    """An instant that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = present()

    def __call__(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class SystemClock(MovableClock):
    """The time that it is."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


class Party:
    """A client's side: its key and what it signs, rightly or wrongly."""

    def __init__(self, client_id: str, algorithm: Algorithm = "ES256", issuer: str = ISSUER) -> None:
        self.client_id = client_id
        self.algorithm: Algorithm = algorithm
        self.issuer = issuer
        self.key: AsymmetricKey = generate_private_key(algorithm)
        self.kid = self.key.thumbprint()

    @property
    def public_jwk(self) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.kid}

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any] | bytes) -> str:
        """Sign anything under any header (the algorithm of the signature stays this party's)."""
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        full = {"alg": self.algorithm, **header}
        kept = json.dumps({name: value for name, value in full.items() if value is not ...})
        content = encode_segment(kept.encode()) + b"." + encode_segment(payload)
        signature = JWSRegistry.algorithms[self.algorithm].sign(content, self.key)
        return (content + b"." + encode_segment(signature)).decode()

    def assertion(self, at: datetime, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        now = at.timestamp()
        full = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "iat": int(now),
            "exp": int(now) + 60,
            "jti": f"assertion-{next(_numbers)}",
            **claims,
        }
        kept = {name: value for name, value in full.items() if value is not ...}
        return self.sign({"typ": "JWT", "kid": self.kid, **(header or {})}, kept)

    def proof(
        self,
        at: datetime,
        method: str = "POST",
        url: str = TOKEN_URL,
        token: str | None = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        full = {
            "jti": f"proof-{next(_numbers)}",
            "htm": method,
            "htu": url,
            "iat": int(at.timestamp()),
            **({"ath": ath(token)} if token else {}),
            **claims,
        }
        kept = {name: value for name, value in full.items() if value is not ...}
        jwk = self.key.as_dict(private=False)
        return self.sign({"typ": "dpop+jwt", "jwk": jwk, **(header or {})}, kept)


def ath(token: str) -> str:
    """Return the access token hash of RFC 9449, 4.2."""
    return encode_segment(hashlib.sha256(token.encode()).digest()).decode()


class World:
    """One authorization server with one registered client, `party`, on emptied tables."""

    def __init__(
        self,
        database: Database,
        issuer: str = ISSUER,
        *,
        real_time: bool = False,
        policies: PolicySet | None = None,
        people: People | None = None,
        **settings: Any,
    ) -> None:
        database.empty()
        self.engine = engine = database.application
        self.issuer = issuer
        self.clock = SystemClock() if real_time else MovableClock()
        self.ring = KeyRing(PostgresSigningKeys(engine, ACTS), KEY_ENCRYPTION_KEY, self.clock)
        self.ring.ensure_keys()
        self.clients = PostgresClients(engine, ACTS)
        self.tokens = PostgresTokens(database.store.prepared, 5.0)
        self.settings = replace(
            Settings(
                issuer=issuer,
                database_url=database.application_url,
                source_url=database.application_url,
                key_encryption_key_file=Secret(KEY_ENCRYPTION_KEY),
                pseudonym_key_file=Secret(PSEUDONYM_KEY),
                store_deadline_seconds=2.5,
            ),
            **settings,
        )
        callers = TrustedProxies(self.settings.trusted_proxies)
        policies = policies or policy_set()
        consents = ConsentWiring(
            self.settings, database.store, self.ring, policies, people or Adults(), new_salt
        )
        self.wiring = Wiring(
            self.settings, database.store, self.ring, policies, callers, consents, self.clock
        )
        self.party = self.register("hospital-a")
        self.app = self._app()
        self.http = self.app.test_client()

    def register(
        self,
        client_id: str,
        algorithm: Algorithm = "ES256",
        scopes: tuple[str, ...] = ("verify_entitlement", "share_record"),
        grant_types: tuple[str, ...] = ("client_credentials",),
        days: int = 365,
    ) -> Party:
        party = Party(client_id, algorithm)
        self.clients.register_organisation(
            Organisation(organisation_id="79001", kind="health_facility", name_vi="Bệnh viện A", name_en="A")
        )
        self.clients.register_client(
            ClientRecord(
                client_id=client_id,
                organisation_id="79001",
                name=client_id,
                scopes=scopes,
                agreement_ids=(),
                client_metadata={"grant_types": list(grant_types), "jwks": {"keys": [party.public_jwk]}},
                expires_at=self.clock() + timedelta(days=days),
            )
        )
        return party

    def form(self, party: Party | None = None, **changes: Any) -> dict[str, Any]:
        """Return a good token request of a party; a change to ... leaves the parameter out."""
        party = party or self.party
        full = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": party.assertion(self.clock()),
            "scope": "verify_entitlement",
            **changes,
        }
        return {name: value for name, value in full.items() if value is not ...}

    def ask(self, form: Mapping[str, Any] | None = None, proof: str | None = None, **options: Any) -> Any:
        """Post a form (default: a good one) with a proof (default: a good one; "" sends none)."""
        given = self.party.proof(self.clock()) if proof is None else proof
        headers = {"DPoP": given} if given else {}
        return self.http.post(
            "/oauth/token",
            data=self.form() if form is None else form,
            headers={**headers, **options.pop("headers", {})},
            base_url=ISSUER,
            **options,
        )

    def token(self, party: Party | None = None, scope: str = "verify_entitlement") -> str:
        party = party or self.party
        answer = self.ask(self.form(party, scope=scope), party.proof(self.clock()))
        assert answer.status_code == 200, answer.json
        return str(answer.json["access_token"])

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608

    def _app(self) -> Flask:
        """Return an application with every route of the authorization server, and one resource to try."""
        app = Flask("oauth_world")
        caller = self.wiring.caller()
        self.protector = caller.protector
        judge = self.wiring.judge(caller)
        documents = self.wiring.json_routes(judge)
        exchange = Exchange(self.issuer, new_reference)
        install(app, exchange, FaultPages(self.issuer))
        bodiless = {
            **self.wiring.bodiless_routes(judge),
            ("POST", "/v1/things"): lambda call: _thing(caller, call),
        }
        app.register_blueprint(resources_blueprint(exchange, documents, bodiless, self.wiring.callers))
        for blueprint in self.wiring.blueprints():
            app.register_blueprint(blueprint)
        return app


class Adults:
    """Everybody decides alone: there is no insurance database in this world."""

    def signing(self, citizen_id: str, at: datetime) -> Signing:  # noqa: ARG002 (the same for all)
        return Signing()


def _thing(caller: Caller, call: Call) -> tuple[Reply, str]:
    token = caller.verify(call, caller.clock())
    told = {"client_id": token.client_id, "scopes": sorted(token.scopes)}
    body = json.dumps(told, separators=(",", ":")).encode() + b"\n"
    return Reply(200, (("Content-Type", "application/json"),), body), ""


@cache
def policy_set() -> PolicySet:
    """Return the policies that ship."""
    bundle = load_directory(SHIPPED)
    return compile_policies(bundle.agreements, bundle.catalogue, bundle.registers)


def stored_consents(store: Store) -> PostgresConsents:
    """Return the consents in the store of one of these worlds."""
    return PostgresConsents(store.engine, PostgresOpenings(store, KEY_ENCRYPTION_KEY))
