"""POST /v1/clients: an operator registers a client, which can then ask for tokens (RFC 7591, 3)."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from broker.api.clients import ClientsFace
from broker.api.exchange import Exchange
from broker.api.resources import install, resources_blueprint
from broker.app import new_reference
from broker.evidence.kinds import check_any
from broker.oauth.client_metadata import client_metadata
from broker.oauth.client_metadata_schema import CIBA
from broker.storage.clients import PostgresClients
from consent_ui.fault_pages import FaultPages
from policies.civil_time import civil_date
from tests.acting import ACTS, entries, last_reference, told, without_entries
from tests.oauth_flow import INCOME
from tests.oauth_world import ISSUER, Database, Party, World, policy_set

URL = f"{ISSUER}/v1/clients"
KINDS = {"hospital", "bank", "health_facility"}


class Office:
    """The operator's own client, with its token, and the resource behind the real judge of tokens."""

    def __init__(self, database: Database) -> None:
        self.world = world = World(database)
        self.operator = world.register("operator", scopes=("manage_clients", "verify_entitlement"))
        self.bearer = world.token(self.operator, "manage_clients")
        judge = world.wiring.judge(world.wiring.caller())
        face = ClientsFace(
            judge,
            lambda acting: PostgresClients(world.engine, ACTS.by(acting)),
            policy_set(),
            KINDS,
            world.clock,
        )
        app = Flask("office")
        exchange = Exchange(ISSUER, new_reference)
        install(app, exchange, FaultPages(ISSUER))
        app.register_blueprint(
            resources_blueprint(exchange, {"/v1/clients": face.post}, {}, world.wiring.callers)
        )
        self.http = app.test_client()

    def post(self, document: object, token: str | None = None, proof: str | None = None) -> Any:
        bearer = token or self.bearer
        given = proof or self.operator.proof(self.world.clock(), url=URL, token=bearer)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Authorization": f"DPoP {bearer}", "DPoP": given, "Accept-Language": "en"}
        return self.http.post(
            "/v1/clients", data=body, headers=headers, base_url=ISSUER, content_type="application/json"
        )

    def document(self, **changes: Any) -> dict[str, Any]:
        """Return a good registration of a hospital; a change to ... leaves a member out."""
        party = Party("hospital-b")
        full = {
            "client_id": "hospital-b",
            "client_name": "Cổng Bệnh viện B",
            "scope": "verify_entitlement",
            "grant_types": ["client_credentials"],
            "jwks": {"keys": [party.public_jwk]},
            "organisation": {
                "organisation_id": "79002",
                "kind": "hospital",
                "name_vi": "Bệnh viện B",
                "name_en": "Hospital B",
                "facility_code": "79002",
            },
            "agreements": ["hospital_entitlement_check"],
            "source_networks": ["203.0.113.0/24", "2001:db8::/32"],
            "expires_on": civil_date(self.world.clock() + timedelta(days=365)).isoformat(),
            **changes,
        }
        return {name: value for name, value in full.items() if value is not ...}


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.json
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == f"{ISSUER}/problems/client-metadata-refused"
    assert answer.json["error"] in ("invalid_client_metadata", "invalid_redirect_uri")
    assert answer.json["error_description"].isascii()
    return [fault["pointer"] for fault in answer.json["faults"]]


def test_a_client_is_registered_and_the_answer_says_all_that_is(office: Office) -> None:
    document = office.document()
    answer = office.post(document)
    assert answer.status_code == 201, answer.json
    # No address shows one client: nothing is promised that would be 404.
    assert "Location" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    [key] = document["jwks"]["keys"]
    assert answer.json == {
        "client_id": "hospital-b",
        "client_id_issued_at": int(office.world.clock().timestamp()),
        "client_name": "Cổng Bệnh viện B",
        "scope": "verify_entitlement",
        "grant_types": ["client_credentials"],
        "response_types": [],
        "token_endpoint_auth_method": "private_key_jwt",
        "dpop_bound_access_tokens": True,
        "jwks": {"keys": [{**key, "alg": "ES256", "use": "sig"}]},
        "organisation": "79002",
        "agreements": ["hospital_entitlement_check"],
        "source_networks": ["203.0.113.0/24", "2001:db8::/32"],
        "expires_on": document["expires_on"],
    }
    registration = office.world.clients.find_registration("hospital-b")
    assert registration is not None
    assert registration.organisation_name_vi == "Bệnh viện B"
    assert registration.is_source("203.0.113.7")
    assert not registration.is_source("198.51.100.7")


def test_what_is_registered_through_a_client_is_an_entry_that_names_that_client(office: Office) -> None:
    begun = last_reference(office.world.engine)
    assert office.post(office.document()).status_code == 201
    assert office.post(office.document()).status_code == 400
    found = entries(office.world.engine, "administration", begun)
    names = ("act", "target", "actor", "client", "acting_person")
    assert [told(one, *names) for one in found] == [
        ("organisation_registered", "79002", "client", "operator", None),
        ("client_registered", "hospital-b", "client", "operator", None),
    ]
    until = office.document()["expires_on"]
    assert found[1]["given"] == [
        ["organisation", "79002"],
        ["scope", "verify_entitlement"],
        ["agreement", "hospital_entitlement_check"],
        ["grant_type", "client_credentials"],
        ["until", until],
    ]
    for one in found:
        check_any(one)


def test_nothing_is_registered_whose_entry_cannot_be_written(database: Database, office: Office) -> None:
    with without_entries(database.owner):
        assert office.post(office.document()).status_code == 500
    assert office.world.clients.list_clients("hospital-b") == []


@pytest.mark.parametrize("pointer", ["/organisation/organisation_id", "/client_id"])
def test_nothing_is_called_like_a_persons_number(office: Office, pointer: str) -> None:
    organisation = {**office.document()["organisation"], "organisation_id": "001090123456"}
    change = {"client_id": "001090123456"} if pointer == "/client_id" else {"organisation": organisation}
    answer = office.post(office.document(**change))
    assert pointers(answer) == [pointer]
    assert "never 12 digits" in answer.json["faults"][0]["remedy"]


def test_a_client_without_id_gets_one_and_can_ask_for_a_token_at_once(office: Office) -> None:
    party = Party("unnamed")
    document = office.document(client_id=..., source_networks=..., jwks={"keys": [party.public_jwk]})
    answer = office.post(document)
    party.client_id = answer.json["client_id"]
    assert party.client_id.startswith("client-")
    assert office.world.token(party).count(".") == 2


def test_a_client_that_asks_absent_people_only_is_registered_and_asks_at_once(office: Office) -> None:
    desk, world = Party("desk-b"), office.world
    bank = {"organisation_id": "bank-2", "kind": "bank", "name_vi": "Ngân hàng B", "name_en": "Bank B"}
    document = office.document(
        client_id="desk-b",
        scope="share_record openid request_consent",
        grant_types=["client_credentials", CIBA],
        jwks={"keys": [desk.public_jwk]},
        organisation=bank,
        agreements=["bank_income_proof"],
        source_networks=...,
    )
    answer = office.post(document)
    assert answer.status_code == 201, answer.json
    assert answer.json["grant_types"] == ["client_credentials", CIBA]
    assert (answer.json["response_types"], "redirect_uris" in answer.json) == ([], False)
    assert answer.json["agreements"] == ["bank_income_proof"]
    form = world.form(desk, grant_type=..., scope="openid", login_hint="000000000000")
    asked = world.http.post(
        "/oauth/bc-authorize",
        data={**form, "authorization_details": json.dumps([INCOME])},
        base_url=ISSUER,
    )
    assert asked.status_code == 200, asked.json
    assert set(asked.get_json()) == {"auth_req_id", "expires_in", "interval"}
    assert world.token(desk, "request_consent").count(".") == 2


def test_the_name_of_a_client_without_one_is_its_organisations(office: Office) -> None:
    assert office.post(office.document(client_name=...)).json["client_name"] == "Bệnh viện B"


def test_what_was_answered_can_be_read_as_metadata_again(office: Office) -> None:
    answer = office.post(office.document()).json
    ours = {"client_id_issued_at", "organisation", "agreements", "source_networks", "expires_on"}
    read = client_metadata({name: value for name, value in answer.items() if name not in ours})
    assert read.client_id == "hospital-b"


def test_a_second_client_of_an_organisation_needs_it_to_be_the_same_in_every_particular(
    office: Office,
) -> None:
    office.post(office.document())
    assert office.post(office.document(client_id="second")).status_code == 201
    other = {**office.document()["organisation"], "kind": "bank"}
    assert pointers(office.post(office.document(client_id="third", organisation=other))) == ["/organisation"]
    assert pointers(office.post(office.document())) == ["/client_id"]
    assert office.world.clients.find_registration("third") is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scope": "manage_clients"}, ["/scope"]),
        ({"scope": "verify_entitlement manage_clients"}, ["/scope"]),
        ({"organisation": ...}, ["/organisation"]),
        (
            {"organisation": {"organisation_id": "1"}},
            [f"/organisation/{one}" for one in ("kind", "name_en", "name_vi")],
        ),
        ({"agreements": ["nothing"]}, ["/agreements/0"]),
        ({"agreements": ["bank_income_proof"]}, ["/grant_types"]),
        ({"source_networks": ["203.0.113.7/24"]}, ["/source_networks/0"]),
        ({"source_networks": ["0.0.0.0/0"]}, ["/source_networks/0"]),
        ({"source_networks": [7]}, ["/source_networks/0"]),
        ({"expires_on": ...}, ["/expires_on"]),
        ({"expires_on": "2020-01-01"}, ["/expires_on"]),
        ({"expires_on": "soon"}, ["/expires_on"]),
        ({"client_secret": "x", "expires_on": ...}, ["/client_secret", "/expires_on"]),
        ({"organization": {}}, ["/organization"]),
        ({"status": "active"}, ["/status"]),
    ],
    ids=str,
)
def test_what_cannot_be_registered_is_refused_where_it_stands(
    office: Office, changes: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(pointers(office.post(office.document(**changes)))) == expected
    assert office.world.clients.find_registration("hospital-b") is None


def test_a_kind_that_the_policies_do_not_know_is_refused(office: Office) -> None:
    organisation = {**office.document()["organisation"], "kind": "hospitall"}
    assert pointers(office.post(office.document(organisation=organisation))) == ["/organisation/kind"]


def test_fapi_5_3_2_2_8_a_plain_http_redirect_uri_has_the_code_of_rfc_7591(office: Office) -> None:
    document = office.document(
        scope="share_record",
        grant_types=["authorization_code"],
        redirect_uris=["http://a.example/"],
        agreements=[],
    )
    answer = office.post(document)
    assert pointers(answer) == ["/redirect_uris/0"]
    assert answer.json["error"] == "invalid_redirect_uri"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"scope": "a", "scope": "b"}'])
def test_a_body_that_is_no_object_is_refused(office: Office, body: bytes) -> None:
    answer = office.post(body)
    assert (answer.status_code, answer.json["type"]) == (400, f"{ISSUER}/problems/body-unreadable")


def test_only_a_live_token_with_the_scope_and_a_fresh_proof_opens_the_door(office: Office) -> None:
    world = office.world
    other = world.token(office.operator, "verify_entitlement")
    refused = office.post(office.document(), other)
    assert (refused.status_code, refused.json["type"]) == (403, f"{ISSUER}/problems/scope-insufficient")
    assert 'scope="manage_clients"' in refused.headers["WWW-Authenticate"]
    proof = office.operator.proof(world.clock(), url=URL, token=office.bearer)
    assert office.post(office.document(), proof=proof).status_code == 201
    again = office.post(office.document(client_id="again"), proof=proof)
    world.clients.suspend_client("operator", world.clock())
    late = office.post(office.document(client_id="late"))
    bare = office.http.post("/v1/clients", json=office.document(), base_url=ISSUER)
    expected: list[tuple[Any, str]] = [
        (again, "proof-invalid"),
        (late, "token-invalid"),
        (bare, "token-invalid"),
    ]
    for answer, slug in expected:
        assert (answer.status_code, answer.json["type"]) == (401, f"{ISSUER}/problems/{slug}")
    for client_id in ("again", "late"):
        assert world.clients.find_registration(client_id) is None


def test_the_log_names_the_client_and_the_operator_and_nothing_that_was_sent(
    office: Office, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("broker"), "propagate", True)
    caplog.set_level(logging.INFO, "broker")
    office.post(office.document())
    found = [record for record in caplog.records if record.getMessage() == "client registered"]
    # One record; it is caught twice where another test of the process has set the log up.
    [line] = {id(record): record for record in found}.values()
    facts = line.__dict__["facts"]
    assert (facts["client_id"], facts["by"]) == ("hospital-b", "operator")
    assert set(facts) == {"client_id", "by", "request_id"}
