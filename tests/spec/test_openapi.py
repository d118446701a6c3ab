"""/openapi.json says what the resources really ask and answer: held against schemas, routes and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from broker.actions import entitlement_outcome
from broker.actions.entitlement_outcome import EntitlementOutcome
from broker.api import openapi_schemas
from broker.api.entitlement import CheckSchema
from broker.api.openapi import _HEADERS as HEADERS
from broker.api.openapi import OPENAPI_PATH, openapi_document
from broker.api.openapi_examples import EXAMPLES
from broker.api.openapi_operations import OPERATIONS
from broker.api.openapi_words import MEMBERS, SCOPE_WORDS
from broker.api.problems import PROBLEMS, problem_of
from broker.api.route_authentication import AUTHENTICATION
from broker.cli.embedded import EmbeddedCluster
from broker.consent.record import Frequency, Period
from broker.oauth.client_metadata_schema import ClientMetadataSchema
from broker.oauth.endpoints import Addresses
from broker.oauth.scopes import SCOPES
from policies.load import SHIPPED, load_directory
from tests.consent_world import RECORD_PATH, ConsentWorld, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import InProcessCaller, post
from tests.inbox_flow import ITEM, InboxFlow
from tests.inbox_flow import REQUESTS as CONSENT_REQUESTS
from tests.oauth_flow import Flow
from tests.oauth_world import Party, oauth_database
from tests.release_world import AGREEMENT, BATCH, CHECKS, Hospital, World

Document = dict[str, Any]
ISSUER = "https://broker.example"
EVERYTHING = {(one.method, one.rule) for one in OPERATIONS}
REQUESTS = (
    *("Check", "Item", "Batch", "ActingPerson", "Client", "Organisation"),
    *("Poll", "SetError", "Acknowledgement"),
    *("ConsentRequest", "ConsentItem", "Range", "Frequency", "Message"),
)
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture(scope="module")
def document(app: Flask) -> Document:
    answer = Client(app).get(OPENAPI_PATH)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    read: Document = json.loads(answer.data)
    return read


@pytest.fixture(scope="module")
def whole() -> Document:
    """The document of a broker that serves everything, with a host for mutual TLS."""
    return openapi_document(Addresses(ISSUER, "https://mtls.broker.example"), EVERYTHING)


def schema_of(document: Document, method: str, path: str, status: int, media_type: str) -> Document:
    """Return the schema of an answer, with the components that it points to."""
    answer = document["paths"][path][method.lower()]["responses"][str(status)]
    schema = answer["content"][media_type]["schema"]
    return {"$schema": DIALECT, "components": document["components"], **schema}


def check(document: Document, method: str, path: str, answer: Any) -> None:
    """Hold an answer against the document: status, media type, header fields, and body member by member."""
    status = getattr(answer, "status_code", None) or answer.status
    headers = {name.lower(): value for name, value in answer.headers.items()}
    told = document["paths"][path][method.lower()]["responses"][str(status)]
    for name, header in told["headers"].items():
        assert name.lower() in headers or not header["required"], (status, name)
    described = {name.lower() for name in told["headers"]}
    assert {name.lower() for name in HEADERS} & headers.keys() <= described, (status, described)
    if "content" not in told:
        return
    media_type = headers["content-type"].split(";")[0]
    schema = schema_of(document, method, path, status, media_type)
    body = answer.data if hasattr(answer, "data") else answer.body
    value = body.decode() if media_type == "application/jwt" else json.loads(body)
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)
    assert undescribed(document, schema, value) == set()


def undescribed(document: Document, schema: Document, value: Any, pointer: str = "") -> set[str]:
    """Return the places of members that the schema does not name, though it would let them pass."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, dict) and "properties" in schema:
        names = schema["properties"]
        return {f"{pointer}/{name}" for name in value.keys() - names.keys()}.union(
            *(
                undescribed(document, names[name], member, f"{pointer}/{name}")
                for name, member in value.items()
                if name in names
            )
        )
    if isinstance(value, list) and "items" in schema:
        found = (
            undescribed(document, schema["items"], one, f"{pointer}/{at}") for at, one in enumerate(value)
        )
        return set().union(*found)
    return set()


def test_every_resource_stands_in_the_document_and_every_path_is_a_resource(
    app: Flask, document: Document
) -> None:
    served = {
        (method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("resources.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    told = {(method, path) for path, item in document["paths"].items() for method in item}
    assert told == served
    assert {(one.method.lower(), one.path) for one in OPERATIONS} == served


def test_what_is_not_served_does_not_stand_in_the_document() -> None:
    told = openapi_document(Addresses(ISSUER), {("GET", "/v1/token-info"), ("GET", "/healthz")})
    assert set(told["paths"]) == {"/v1/token-info"}


def test_the_document_is_openapi_and_every_schema_in_it_json_schema(whole: Document) -> None:
    assert whole["openapi"] == "3.1.0"
    for schema in whole["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
    assert [one for one in references(whole) if not resolves(whole, one)] == []


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"],) if isinstance(value.get("$ref"), str) else ()
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def resolves(document: Document, reference: str) -> bool:
    place: Any = document
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step) if isinstance(place, dict) else None
    return place is not None


def test_requests_are_closed_and_ask_what_their_schemas_ask(whole: Document) -> None:
    schemas = whole["components"]["schemas"]
    for name in REQUESTS:
        assert schemas[name]["additionalProperties"] is False, name
    declared = {name for name, one in CheckSchema().fields.items() if one.required}
    assert set(schemas["Check"]["required"]) == declared
    assert set(ClientMetadataSchema().fields) < set(schemas["Client"]["properties"])
    assert schemas["ActingPerson"]["properties"]["personal_id"]["pattern"] == "^(?:[0-9]{12})$"


@pytest.mark.parametrize(
    ("numbers", "is_good"),
    [(["card_number"], True), (["personal_id"], True), ([], False), (["card_number", "personal_id"], False)],
)
def test_a_card_has_exactly_one_number_in_the_document_as_in_the_code(
    whole: Document, local: InProcessCaller, world: World, numbers: list[str], is_good: bool
) -> None:
    person = world.person()
    known = {"card_number": person.si_number, "personal_id": person.personal_id}
    question = {**world.document(person, card_number=...), **{name: known[name] for name in numbers}}
    schema = {"$schema": DIALECT, "components": whole["components"], "$ref": "#/components/schemas/Check"}
    assert jsonschema_rs.is_valid(schema, question) is is_good
    assert (post(local, question).status == 200) is is_good


def test_every_member_of_a_request_that_is_ours_has_words_in_both_languages(whole: Document) -> None:
    rfc7591 = set(ClientMetadataSchema().fields)
    for name in REQUESTS:
        for member, schema in whole["components"]["schemas"][name]["properties"].items():
            if member not in rfc7591:
                assert " / " in schema["description"], member
    assert all(words.vi != words.en for words in MEMBERS.values())


def test_the_answer_to_a_check_is_as_described(
    document: Document, local: InProcessCaller, world: World
) -> None:
    for case in ("valid", "pair_004"):
        answer = post(local, world.document(world.of_case(case)))
        assert answer.status == 200
        check(document, "POST", CHECKS, answer)
    person = world.person()
    items = [world.document(person, acting_person=...), world.document(full_name="X", acting_person=...)]
    staff = world.hospital.staff[0].as_document()
    answer = post(local, {"acting_person": staff, "items": items}, BATCH)
    assert answer.status == 200
    check(document, "POST", BATCH, answer)


def test_a_receipt_is_as_described(document: Document, local: InProcessCaller, world: World) -> None:
    answer = post(local, world.document(), Accept="application/jwt")
    assert answer.headers["content-type"] == "application/jwt"
    check(document, "POST", CHECKS, answer)


def test_what_a_token_may_do_is_as_described(document: Document, local: InProcessCaller) -> None:
    answer = local.request("GET", "/v1/token-info")
    assert answer.status == 200
    check(document, "GET", "/v1/token-info", answer)


def test_a_grant_is_as_described(document: Document, flow: Flow) -> None:
    grant_id = flow.tokens()["grant_id"]
    form = {"grant_type": "client_credentials", "scope": "grant_management_query grant_management_revoke"}
    token = flow.post("/oauth/token", form).get_json()["access_token"]
    for method, status in (("GET", 200), ("DELETE", 204), ("GET", 404), ("DELETE", 404)):
        answer = flow.get(f"/oauth/grants/{grant_id}", token, method=method)
        assert answer.status_code == status
        check(document, method, "/oauth/grants/{grant_id}", answer)


def test_what_a_citizens_token_may_do_is_as_described(document: Document, flow: Flow) -> None:
    answer = flow.get("/v1/token-info", flow.tokens()["access_token"])
    assert {"grant_id", "authorization_details", "acr", "auth_time"} <= answer.get_json().keys()
    check(document, "GET", "/v1/token-info", answer)


def test_requests_for_consent_are_as_described(document: Document, cluster: EmbeddedCluster) -> None:
    with oauth_database(cluster) as database:
        inbox = InboxFlow(database)
        person = inbox.citizen()
        asked = inbox.request(person)
        request_id = asked.get_json()["request_id"]
        one, everything = f"{CONSENT_REQUESTS}/{{request_id}}", (201, 409, 422, 429)
        answers = [("POST", CONSENT_REQUESTS, asked)]
        answers.append(
            ("POST", CONSENT_REQUESTS, inbox.request(person, request_id=request_id, expires_in_seconds=60))
        )
        answers.append(("POST", CONSENT_REQUESTS, inbox.request(items=[{**ITEM, "purpose": "x"}])))
        answers.append(("GET", one, inbox.send("GET", f"{CONSENT_REQUESTS}/{request_id}")))
        inbox.answer(person, inbox.waiting(person)[0], ())
        answers.append(("GET", one, inbox.send("GET", f"{CONSENT_REQUESTS}/{request_id}")))
        answers.append(("POST", CONSENT_REQUESTS, inbox.request(person)))
        answers.append(("DELETE", one, inbox.send("DELETE", f"{CONSENT_REQUESTS}/{request_id}")))
        answers.append(("DELETE", one, inbox.send("DELETE", f"{CONSENT_REQUESTS}/{uuid4()}")))
        fresh = inbox.request().get_json()["request_id"]
        answers.append(("DELETE", one, inbox.send("DELETE", f"{CONSENT_REQUESTS}/{fresh}")))
        given = inbox.citizen()
        request_id = inbox.request(given).get_json()["request_id"]
        inbox.answer(given, inbox.waiting(given)[0])
        answers.append(("GET", one, inbox.send("GET", f"{CONSENT_REQUESTS}/{request_id}")))
    assert {answer.status_code for method, _, answer in answers if method == "POST"} == set(everything)
    assert [answer.status_code for method, _, answer in answers if method == "DELETE"] == [409, 404, 204]
    assert [answer.status_code for method, _, answer in answers if method == "GET"] == [200] * 3
    for method, path, answer in answers:
        check(document, method, path, answer)


def test_a_registered_client_is_as_described(document: Document, flow: Flow) -> None:
    world = flow.world
    party = world.register("operator", scopes=("manage_clients",))
    token = world.token(party, "manage_clients")
    registration = {
        "scope": "verify_entitlement",
        "grant_types": ["client_credentials"],
        "jwks": {"keys": [Party("new").public_jwk]},
        "organisation": {
            "organisation_id": "79003",
            "kind": "hospital",
            "name_vi": "Bệnh viện C",
            "name_en": "Hospital C",
        },
        "agreements": [AGREEMENT],
        "expires_on": (world.clock() + timedelta(days=30)).date().isoformat(),
    }
    for body, status in ((registration, 201), ({**registration, "scope": "none"}, 400)):
        proof = party.proof(world.clock(), url=f"{world.issuer}/v1/clients", token=token)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        answer = world.http.post("/v1/clients", json=body, headers=headers, base_url=world.issuer)
        assert answer.status_code == status, answer.data
        check(document, "POST", "/v1/clients", answer)


def test_problems_are_as_described(document: Document, local: InProcessCaller, world: World) -> None:
    body = json.dumps(world.document()).encode()
    answers = [
        (422, post(local, world.document(birth_date="x", surname="y"))),
        (422, post(local, {})),
        (400, post(local, b"{")),
        (401, local.request("POST", CHECKS, body, token="x.y.z")),
        (401, local.request("POST", CHECKS, body, proof="x.y.z")),
        (403, post(local, world.document(acting_person=...))),
        (413, post(local, b'{"a":"' + b"x" * 270_000 + b'"}')),
        (415, post(local, world.document(), Content_Type="text/plain")),
        (502, post(local, world.document(world.cases["duplicate_si_number"][0]))),
    ]
    for status, answer in answers:
        assert answer.status == status, answer.body
        check(document, "POST", CHECKS, answer)


@pytest.mark.parametrize(("per", "is_told"), [("week", True), ("consent", False)])
def test_a_refusal_says_when_to_come_back_as_described(
    app: Flask, document: Document, world: World, insurance: InsuranceDatabase, per: Period, is_told: bool
) -> None:
    consents = ConsentWorld(world, insurance)
    reader = reader_of(app, world.settings.issuer, consents.bank)
    token = reader.token(consents.give(frequency=Frequency(1, per)))
    answers = [reader.read(token) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 403]
    assert answers[1].json()["reason"] == "frequency_exceeded"
    assert ("retry-after" in answers[1].headers) is is_told
    for answer in answers:
        check(document, "GET", RECORD_PATH, answer)


def test_only_what_may_be_read_again_in_another_period_says_when(whole: Document) -> None:
    told = {
        path
        for path, item in whole["paths"].items()
        for one in item.values()
        if "Retry-After" in one["responses"].get("403", {}).get("headers", {})
    }
    assert told == {RECORD_PATH}
    header = whole["paths"][RECORD_PATH]["get"]["responses"]["403"]["headers"]["Retry-After"]
    assert header == {"required": False, "schema": {"type": "integer", "minimum": 0}}


def test_a_problem_without_a_resource_is_described_too(app: Flask, document: Document) -> None:
    schema = document["components"]["responses"]["not-found"]["content"]["application/problem+json"]["schema"]
    full = {"$schema": DIALECT, "components": document["components"], **schema}
    answers: list[TestResponse] = [Client(app).get("/nowhere"), Client(app).get(CHECKS)]
    assert [answer.status_code for answer in answers] == [404, 405]
    for answer in answers:
        jsonschema_rs.validate(full, json.loads(answer.data))


def test_every_row_of_the_error_table_stands_in_the_document_with_the_answer_it_gives(
    whole: Document,
) -> None:
    found: set[str] = set()
    for responses in [
        whole["components"]["responses"],
        *(one["responses"] for item in whole["paths"].values() for one in item.values()),
    ]:
        for key, response in responses.items():
            for slug, example in (
                response.get("content", {}).get("application/problem+json", {}).get("examples", {}).items()
            ):
                value = example["value"]
                assert value["type"] == f"{ISSUER}/problems/{slug}"
                assert value["status"] == PROBLEMS[slug].status
                assert key in (str(value["status"]), slug)
                found.add(slug)
    assert found == set(PROBLEMS)


def test_every_example_of_a_problem_is_of_its_row() -> None:
    assert {slug: problem_of(error).slug for slug, error in EXAMPLES.items()} == {
        slug: slug for slug in EXAMPLES
    }


def test_a_row_that_only_a_release_can_give_is_told_of_releases_alone() -> None:
    release = {"source-outage", "limit-reached", "acting-person-refused", "clock-skewed"}
    for one in OPERATIONS:
        assert (set(one.problems) >= release) is one.rule.startswith("/v1/entitlement-checks")
        assert ("body-unreadable" in one.problems) is (one.asks is not None)
        assert ("scope-insufficient" in one.problems) is (one.scope is not None)


def test_the_codes_of_an_answer_are_those_of_the_verb() -> None:
    values = [*vars(entitlement_outcome).values(), *entitlement_outcome._ENDED.values()]
    names = {one.name for one in values if isinstance(one, EntitlementOutcome)}
    names |= {one[0] for one in values if isinstance(one, tuple) and len(one) == 2 and one[1].isdigit()}
    assert set(openapi_schemas.OUTCOMES) == names


def test_the_fields_of_a_card_are_those_of_the_agreement_that_ships(whole: Document) -> None:
    agreement = load_directory(SHIPPED).find_agreement(AGREEMENT)
    assert agreement is not None
    released = {name for rule in agreement.rules for name in rule.fields}
    assert set(whole["components"]["schemas"]["Card"]["properties"]) == released


def test_every_operation_names_its_scope_and_every_way_to_show_a_token(whole: Document) -> None:
    for one in OPERATIONS:
        told = whole["paths"][one.path][one.method.lower()]["security"]
        scopes = [one.scope] if one.scope else []
        assert told == [
            {"oauth": scopes, "dpop": [], "proof": []},
            {"oauth": scopes, "certificate_token": [], "certificate": []},
        ]
    schemes = whole["components"]["securitySchemes"]
    assert set(schemes["oauth"]["flows"]["clientCredentials"]["scopes"]) == set(SCOPE_WORDS) < SCOPES
    assert {one.scope for one in OPERATIONS if one.scope} == set(SCOPE_WORDS)
    assert schemes["proof"] | {"description": ""} == {
        "type": "apiKey",
        "in": "header",
        "name": "DPoP",
        "description": "",
    }


def test_an_address_is_told_of_what_was_made_only_where_it_can_be_read_there(whole: Document) -> None:
    located = {
        path
        for path, item in whole["paths"].items()
        for operation in item.values()
        if isinstance(operation, dict)
        and "Location" in operation["responses"].get("201", {}).get("headers", {})
    }
    assert located == {"/v1/consent-requests"}


def test_without_a_host_for_mutual_tls_there_is_no_word_of_certificates(document: Document) -> None:
    assert set(document["components"]["securitySchemes"]) == {"oauth", "dpop", "proof"}
    assert len(document["servers"]) == 1


def test_the_document_is_public_may_be_kept_and_names_its_version(app: Flask) -> None:
    client = Client(app)
    first = client.get(OPENAPI_PATH)
    assert first.headers["Cache-Control"] == "public, max-age=300"
    again = client.get(OPENAPI_PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert client.post(OPENAPI_PATH).status_code == 405
    assert AUTHENTICATION["openapi.document"] == "none: public documentation"


def test_no_example_names_anybody(document: Document, world: World, whole: Document) -> None:
    text = json.dumps([document, whole], ensure_ascii=False)
    assert [one for one in world.identifiers if one in text] == []


def test_another_hospital_without_its_scope_is_told_so_as_described(
    document: Document, app: Flask, world: World
) -> None:
    hospital: Hospital = world.register_hospital()
    world.execute("UPDATE clients SET scopes = '{share_record}' WHERE client_id = :id", id=hospital.client_id)
    caller = InProcessCaller(world.settings.issuer, hospital.client_id, hospital.key, "share_record")
    caller.app = app
    answer = post(caller, world.document(None, hospital))
    assert answer.status == 403
    assert "scope=" in answer.headers["www-authenticate"]
    check(document, "POST", CHECKS, answer)
