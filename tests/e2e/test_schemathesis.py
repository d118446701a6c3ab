"""The resources under invented requests: whatever is sent, the answer is one that /openapi.json describes.

Every request carries a living token and a fresh proof, so that it gets past the door; schemathesis' own check
ignored_auth then takes them away. FUZZ_EXAMPLES: how many requests to invent for each resource (make fuzz).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import schemathesis
import urllib3
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from broker.api.findusage import FACADE_PATH
from broker.api.openapi import OPENAPI_PATH
from broker.cli.caller import Caller
from broker.cli.embedded import EmbeddedCluster
from broker.statistics.frozen import FrozenRelease
from broker.storage.citizens import CitizenRecord, PostgresCitizens
from broker.storage.clients import ClientRecord
from tests.acting import ACTS
from tests.consent_world import RECORD_PATH, ConsentWorld, Reader
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import Server
from tests.frozen_release import frozen_release
from tests.log_reader import all_faults
from tests.oauth_flow import INCOME
from tests.oauth_world import ASSERTION_TYPE, Party
from tests.release_world import AGREEMENT, BATCH, CHECKS, PORTAL_AGREEMENT, Hospital, World
from tests.served_log import ServedLog, served_log
from tests.serving import serving
from tests.statistics_doors import EXPORTS, MemoryShelf, Statistics, put_on_shelf

CHECKED = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "negative_data_rejection",
    "ignored_auth",
}
TOKEN_INFO = {
    "client_id": "toy",
    "sub": "client:toy",
    "scope": "",
    "issued_at_seconds": 1,
    "expires_at_seconds": 2,
    "constraint": "dpop",
    "cnf": {},
}
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
IS_FUZZING = "FUZZ_EXAMPLES" in os.environ
"""Whether new requests are looked for, or the same are sent every time."""
SCOPES = (
    *("verify_entitlement", "grant_management_query", "grant_management_revoke", "manage_clients"),
    "consent_events",
)
ALLOWED = ["2xx", "304", "400", "403", "404", "409", "416", "422", "429"]
"""For what fits its schema: a schema cannot say which days there are, who is known, who may, how often, what
an id already stands for, which bytes somebody has, or how many there are."""
TABLES_OF = "2024-q1.1"


REQUESTS = "/v1/consent-requests"
REQUEST = "/v1/consent-requests/{request_id}"


class BankDesk:
    """A bank that asks for consents and has one: its tokens, each for a minute."""

    def __init__(self, issuer: str, world: World, insurance: InsuranceDatabase) -> None:
        self.consents = ConsentWorld(world, insurance)
        self.bank = self.consents.register_bank(scopes=("share_record", "request_consent"))
        self.caller = Caller(issuer, self.bank.client_id, self.bank.key, "request_consent")
        self.given = self.consents.give(bank=self.bank)
        self._consented, self._until = "", datetime.now(UTC)

    def headers(self, method: str, path: str) -> dict[str, str]:
        now = datetime.now(UTC)
        token = self.consented(now) if path == RECORD_PATH else self.caller.token()
        proof = self.bank.key.proof(method, self.caller.issuer + path, now, token)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def consented(self, now: datetime) -> str:
        """Return a token for a record; it lives for two minutes."""
        if now >= self._until:
            self._consented, self._until = (
                Reader(self.caller).token(self.given),
                now + timedelta(seconds=60),
            )
        return self._consented

    def request(self) -> dict[str, Any]:
        """Return a new request to a person who can be asked."""
        item = {name: value for name, value in INCOME.items() if name != "type"}
        person = self.consents.person()
        return {"request_id": str(uuid4()), "personal_id": person.personal_id, "items": [item]}

    def asked(self) -> str:
        """Ask somebody; return the id of the request, which nobody has decided."""
        document = json.dumps(self.request()).encode()
        headers = {**self.headers("POST", REQUESTS), "Content-Type": "application/json"}
        answer = urllib3.request("POST", self.caller.issuer + REQUESTS, body=document, headers=headers)
        assert answer.status == 201, answer.data
        return str(answer.json()["request_id"])


class PortalDesk:
    """A citizens' portal, and somebody who is signed in there."""

    def __init__(self, issuer: str, world: World) -> None:
        self.registered = world.register_hospital(
            agreements=(PORTAL_AGREEMENT,),
            staff=0,
            organisation_id="portal-schemathesis",
            kind="citizen_portal",
            scopes=("find_usage",),
        )
        self.caller = Caller(issuer, self.registered.client_id, self.registered.key, "find_usage")
        self.person = world.person().personal_id

    def headers(self, method: str, path: str) -> dict[str, str]:
        token = self.caller.token()
        proof = self.registered.key.proof(method, self.caller.issuer + path, datetime.now(UTC), token)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}


class MinistryDesk:
    """A ministry's program, and tables of its own: one that lies ready, others that wait."""

    def __init__(self, issuer: str, world: World, release: FrozenRelease) -> None:
        self.statistics = Statistics(world, None, MemoryShelf([release]))
        registered = self.statistics.ministry()
        self.key = registered.key
        self.caller = Caller(issuer, registered.client_id, self.key, "export_statistics")
        self.ready = self.asked()
        self.statistics.work()

    def headers(self, method: str, path: str) -> dict[str, str]:
        token = self.caller.token()
        proof = self.key.proof(method, self.caller.issuer + path, datetime.now(UTC), token)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def question(self) -> dict[str, Any]:
        return {
            "release": TABLES_OF,
            "dimensions": [{"name": "sex", "level": "sex"}],
            "filters": [],
            "measures": [],
            "format": "csv",
        }

    def asked(self) -> str:
        """Ask for a table; return the id of the job."""
        answer = self.caller.request("POST", EXPORTS, json.dumps(self.question()).encode())
        assert answer.status == 202, answer.body
        return str(answer.json()["job_id"])


class Desk:
    """A client with every scope that hospitals and operators can have, and the token in its hand."""

    def __init__(self, issuer: str, world: World, bank: BankDesk, release: FrozenRelease) -> None:
        self.issuer, self.world, self.bank = issuer, world, bank
        self.ministry = MinistryDesk(issuer, world, release)
        self.portal = PortalDesk(issuer, world)
        self.hospital: Hospital = world.register_hospital()
        self.party = Party("schemathesis", issuer=issuer)
        world.clients.register_client(
            ClientRecord(
                client_id=self.party.client_id,
                organisation_id=self.hospital.organisation_id,
                name="schemathesis",
                scopes=SCOPES,
                agreement_ids=(AGREEMENT,),
                client_metadata={
                    "grant_types": ["client_credentials"],
                    "jwks": {"keys": [self.party.public_jwk]},
                },
                expires_at=datetime.now(UTC) + timedelta(days=1),
            )
        )
        self._token, self._until = "", datetime.now(UTC)

    def token(self) -> str:
        now = datetime.now(UTC)
        if now >= self._until:
            form = {
                "grant_type": "client_credentials",
                "scope": " ".join(SCOPES),
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self.party.assertion(now),
            }
            url = f"{self.issuer}/oauth/token"
            proof = self.party.proof(now, url=url)
            headers = {"DPoP": proof, "Content-Type": "application/x-www-form-urlencoded"}
            answer = urllib3.request("POST", url, body=urlencode(form), headers=headers)
            assert answer.status == 200, answer.data
            self._token, self._until = str(answer.json()["access_token"]), now + timedelta(seconds=60)
        return self._token

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return what authenticates a request: the token, and a proof for this very one."""
        if path == RECORD_PATH or path.startswith(REQUESTS):
            return self.bank.headers(method, path)
        if path.startswith(FACADE_PATH):
            return self.portal.headers(method, path)
        if path.startswith("/v1/statistics"):
            return self.ministry.headers(method, path)
        token = self.token()
        proof = self.party.proof(datetime.now(UTC), method, self.issuer + path, token)
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    def question(self, **changes: Any) -> dict[str, Any]:
        return self.world.document(hospital=self.hospital, **changes)

    def batch(self) -> dict[str, Any]:
        items = [self.question(acting_person=...) for _ in range(2)]
        return {"acting_person": self.hospital.staff[0].as_document(), "items": items}

    def registration(self) -> dict[str, Any]:
        hospital = self.hospital
        return {
            "client_name": "Cổng Bệnh viện",
            "scope": "verify_entitlement",
            "grant_types": ["client_credentials"],
            "jwks": {"keys": [Party("hospital").public_jwk]},
            "organisation": {
                "organisation_id": hospital.organisation_id,
                "kind": "hospital",
                "name_vi": f"Bệnh viện {hospital.facility_code}",
                "name_en": f"Hospital {hospital.facility_code}",
                "facility_code": hospital.facility_code,
            },
            "agreements": [AGREEMENT],
            "expires_on": (datetime.now(UTC) + timedelta(days=30)).date().isoformat(),
        }

    def grant(self) -> str:
        """Return the id of a grant that a citizen has given to this client."""
        citizen_id, grant_id = str(uuid4()), f"grant-{uuid4().hex}"
        PostgresCitizens(self.world.engine, ACTS).register_citizen(
            CitizenRecord(
                citizen_id=citizen_id,
                personal_id_ref=uuid4().bytes * 2,
                personal_id_encrypted=b"sealed",
                password_hash="none",
                totp_secret_encrypted=None,
            )
        )
        self.world.execute(
            "INSERT INTO grants (grant_id, client_id, citizen_id, subject, scope, authorization_details, "
            "level, authenticated_at, granted_at, expires_at) VALUES (:grant_id, :client_id, :citizen_id, "
            "'somebody', 'openid', '[]', 1, now(), now(), now() + interval '1 hour')",
            grant_id=grant_id,
            client_id=self.party.client_id,
            citizen_id=citizen_id,
        )
        return grant_id

    def answered(self) -> str:
        """Return the reference of a check that this client was answered."""
        body = json.dumps(self.question()).encode()
        headers = {**self.headers("POST", CHECKS), "Content-Type": "application/json"}
        answer = urllib3.request("POST", self.issuer + CHECKS, body=body, headers=headers)
        assert answer.status == 200, answer.data
        return str(answer.json()["evidence_reference"])

    def notice(self) -> str:
        """Return the id of a notice that this client has been told."""
        message_id = str(uuid4())
        self.world.execute(
            "INSERT INTO outbox_messages (message_id, client_id, kind, payload, queued_at, delivered_at) "
            "VALUES (:message_id, :client_id, 'consent_withdrawn', '{}', now(), now())",
            message_id=message_id,
            client_id=self.party.client_id,
        )
        return message_id


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("releases")


@pytest.fixture(scope="module")
def release(world: World, releases: Path) -> FrozenRelease:
    """A release that answers, in the files and in the database."""
    return put_on_shelf(world, releases, frozen_release(releases, persons=500, period="2024-q1"))


@pytest.fixture(scope="module")
def server(
    world: World,
    release_environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    releases: Path,
) -> Iterator[Server]:
    """A real server that publishes a log and serves statistics."""
    directory = tmp_path_factory.mktemp("server")
    more = {"BROKER_LOG_DIRECTORY": str(directory / "log"), "BROKER_STATISTICS_DIRECTORY": str(releases)}
    server = Server(release_environ, directory, more)
    try:
        yield server
    finally:
        server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture(scope="module")
def log(cluster: EmbeddedCluster, world: World, server: Server) -> ServedLog:
    return served_log(cluster, world, Path(server.settings.log_directory), server.issuer)


@pytest.fixture(scope="module")
def desk(
    server: Server, world: World, insurance: InsuranceDatabase, release: FrozenRelease
) -> Iterator[Desk]:
    bank = BankDesk(server.issuer, world, insurance)
    try:
        desk = Desk(server.issuer, world, bank, release)
        yield desk
        desk.ministry.caller.close()
        desk.portal.caller.close()
    finally:
        bank.caller.close()


def told_of_somebody(read: dict[str, Any], personal_id: str) -> None:
    """Let the question of a citizens' portal be about somebody who is signed in there."""
    for parameter in read["paths"][f"{FACADE_PATH}/findUsage"]["get"]["parameters"]:
        if parameter["name"] in ("userCode", "X-Road-UserId"):
            parameter["example"] = personal_id


@pytest.fixture(scope="module")
def document(server: Server, desk: Desk, log: ServedLog) -> dict[str, Any]:
    """The document as served; to it come, for every operation, values that find something (made up)."""
    read: dict[str, Any] = json.loads(server.get(OPENAPI_PATH).body)
    bodies = {
        CHECKS: desk.question(),
        BATCH: desk.batch(),
        "/v1/clients": desk.registration(),
        REQUESTS: desk.bank.request(),
        "/v1/events": {"maxEvents": 1},
        EXPORTS: desk.ministry.question(),
        "/v1/events/acknowledgements": {"message_id": desk.notice(), "deletion_attested": True},
    }
    for path, body in bodies.items():
        read["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"] = body
    told_of_somebody(read, desk.portal.person)
    proven = desk.answered()
    log.order()
    for path, name, found in (
        ("/evidence/proof/{reference}", "reference", partial(str, proven)),
        ("/oauth/grants/{grant_id}", "grant_id", desk.grant),
        (REQUEST, "request_id", desk.bank.asked),
        (f"{EXPORTS}/{{job_id}}", "job_id", desk.ministry.asked),
        (f"{EXPORTS}/{{job_id}}/result", "job_id", partial(str, desk.ministry.ready)),
    ):
        for operation in read["paths"][path].values():
            [parameter] = [one for one in operation["parameters"] if one["name"] == name]
            parameter["example"] = found()
    return read


class Credentials:
    """schemathesis asks this for every request; credentials(method, path) has the answer."""

    credentials: ClassVar[Callable[[str, str], dict[str, str]]]

    def get(self, case: schemathesis.Case[Any], _context: Any) -> dict[str, str]:
        return type(self).credentials(case.method, case.formatted_path)

    def set(self, case: schemathesis.Case[Any], data: dict[str, str], _context: Any) -> None:
        case.headers.update(data)


@dataclass
class Run:
    """What schemathesis did: answers by operation and status, checks by name, and faults in words."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(document: dict[str, Any], url: str, provider: type, examples: int) -> Run:
    """Let schemathesis loose on a server, with every check it has but those of sequences."""
    config = SchemathesisConfig.from_dict(
        {
            **({} if IS_FUZZING else {"seed": 1}),
            "base-url": url,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "database": "none", "deterministic": not IS_FUZZING},
            "checks": {"positive_data_acceptance": {"expected-statuses": ALLOWED}},
            "phases": {"stateful": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.auth(refresh_interval=None)(provider)
    done = Run()
    for event in from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            done.faults.append(f"{event.label}: {event.value}")
        elif isinstance(event, FatalError):
            done.faults.append(str(event.exception))
        elif isinstance(event, ScenarioFinished):
            note(done, event.recorder)
    return done


def note(done: Run, recorder: Any) -> None:
    for case_id, interaction in recorder.interactions.items():
        case = recorder.cases[case_id].value
        # schemathesis files requests with other methods, which must be refused, under the operation as well.
        if interaction.response is not None and case.method.upper() == case.operation.method.upper():
            done.answers[case.operation.label, interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        for one in checks:
            done.checks[one.name] += 1
            if one.status == Status.FAILURE:
                failure, case = one.failure_info.failure, recorder.cases[case_id].value
                done.faults.append(f"{recorder.label}: {one.name}: {failure.message}: {case.body!r:.400}")


def test_whatever_is_sent_the_answer_is_one_that_the_document_describes(
    server: Server, document: dict[str, Any], desk: Desk
) -> None:
    provider = type("Provider", (Credentials,), {"credentials": staticmethod(desk.headers)})
    done = run(document, server.issuer, provider, EXAMPLES)
    assert done.faults == []
    assert done.checks.keys() >= CHECKED
    good = {name for (name, status) in done.answers if status in (200, 201, 202, 204, 206)}
    assert good == {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }, "no request was a good one, so nobody looked whether it needs a token"
    for name in good:
        assert done.answers[name, 401] >= 2, f"{name} was not tried without a token and with a wrong one"


def believe_all(environ: Any) -> tuple[int, dict[str, Any]]:
    return 200, TOKEN_INFO


def believe_any_token(environ: Any) -> tuple[int, dict[str, Any]]:
    return (200 if "HTTP_AUTHORIZATION" in environ else 401), TOKEN_INFO


def take_any_method(environ: Any) -> tuple[int, dict[str, Any]]:
    return (200 if environ.get("HTTP_AUTHORIZATION") == "DPoP good" else 401), TOKEN_INFO


def fail(environ: Any) -> tuple[int, dict[str, Any]]:
    return 500, TOKEN_INFO


def tell_another(environ: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"client_id": 7}


def be_a_teapot(environ: Any) -> tuple[int, dict[str, Any]]:
    return 418, TOKEN_INFO


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (believe_all, "ignored_auth"),
        (believe_any_token, "ignored_auth"),
        (take_any_method, "unsupported_method"),
        (fail, "not_a_server_error"),
        (tell_another, "response_schema_conformance"),
        (be_a_teapot, "status_code_conformance"),
    ],
)
def test_a_resource_that_is_not_as_it_should_be_makes_the_check_fail(
    document: dict[str, Any], answer: Callable[[Any], tuple[int, dict[str, Any]]], check: str
) -> None:
    """So that a run without faults means something: ignored_auth, for one, must know the scheme DPoP."""

    def toy(environ: Any, start_response: Any) -> list[bytes]:
        status, body = answer(environ)
        if environ["PATH_INFO"] != "/v1/token-info":
            status = 404
        headers = [("Content-Type", "application/json"), ("X-Request-Id", str(uuid4()))]
        start_response(f"{status} Told", headers)
        return [json.dumps(body).encode()]

    alone = {**document, "paths": {"/v1/token-info": document["paths"]["/v1/token-info"]}}
    credentials = {"Authorization": "DPoP good", "DPoP": "good"}
    provider = type("Provider", (Credentials,), {"credentials": staticmethod(lambda *_: credentials)})
    with serving(toy) as place:
        done = run(alone, place.url, provider, 1)
    assert [fault for fault in done.faults if f": {check}: " in fault], done.faults
