"""docs/integrators.md says what the authorization server does: each row is tried, through the door."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import pytest
from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from werkzeug.test import TestResponse

from broker.api.inbox import ConsentItemSchema, ConsentRequestSchema
from broker.api.token_info import _TOLD as TOLD_BY_TOKEN_INFO
from broker.cli.embedded import EmbeddedCluster
from broker.consent.writing import RequestStatus
from broker.oauth import (
    asked_terms,
    authorization_details,
    authorization_request,
    backchannel,
    client_authentication,
    dpop,
    pushed_requests,
    token_errors,
)
from broker.oauth.authorization_details import InsuranceRecordSchema
from broker.oauth.endpoints import Addresses
from broker.oauth.metadata import authorization_server_metadata
from broker.settings import Settings
from tests.house.project import ROOT, table_rows
from tests.house.test_integrators_doc import TEXT, first_column, section
from tests.inbox_flow import InboxFlow
from tests.oauth_flow import INCOME, Attempt, Flow
from tests.oauth_world import ISSUER, oauth_database

PUSH, REDEEM, REFRESH, MACHINE, PROVE, ASK, FETCH, INBOX = (
    "Push the request",
    "Redeem the code",
    "Refresh",
    "A token without a citizen",
    "Authentication",
    "Ask by the backchannel",
    "Fetch what was given",
    "Ask by the inbox",
)
DETAIL = json.dumps([{**INCOME, "fields": ["si_status", "nothing_of_the_agreement"]}])
WRONG: Mapping[str, Mapping[str, Any]] = {
    PUSH: {
        "response_type": "token",
        "redirect_uri": "https://attacker.example/",
        "code_challenge": "short",
        "code_challenge_method": "plain",
        "authorization_details": DETAIL,
        "scope": "manage_clients",
        "state": "x" * 4097,
        "nonce": "ô",
        "dpop_jkt": "short",
        "max_age": "soon",
        "prompt": "none",
        "resource": "https://elsewhere.example",
        "response_mode": "fragment",
        "grant_management_action": "merge",
        "grant_id": "g-1",
        "request": "eyJ",
        "request_uri": "urn:x",
        "claims": "{}",
    },
    REDEEM: {
        "grant_type": "password",
        "code": "unknown",
        "redirect_uri": "https://bank.example/other?kept=yes",
        "code_verifier": "x" * 43,
        "authorization_details": DETAIL,
        "resource": "https://elsewhere.example",
    },
    REFRESH: {
        "grant_type": "password",
        "refresh_token": "unknown",
        "scope": "openid",
        "authorization_details": DETAIL,
        "resource": "https://elsewhere.example",
    },
    MACHINE: {
        "grant_type": "password",
        "scope": "openid",
        "authorization_details": DETAIL,
        "resource": "https://elsewhere.example",
    },
    ASK: {
        "scope": "openid manage_clients",
        "login_hint": "somebody",
        "authorization_details": DETAIL,
        "binding_message": "two\nlines",
        "requested_expiry": "soon",
        "resource": "https://elsewhere.example",
        "login_hint_token": "eyJ",
        "id_token_hint": "eyJ",
        "request": "eyJ",
    },
    FETCH: {
        "grant_type": "password",
        "auth_req_id": "unknown",
        "resource": "https://elsewhere.example",
    },
    PROVE: {"client_assertion_type": "password", "client_assertion": "eyJ.eyJ.AA", "client_id": "another"},
}
"""A value that is refused, for every parameter that can be wrong."""


@pytest.fixture(scope="module")
def flow(cluster: EmbeddedCluster) -> Iterator[InboxFlow]:
    with oauth_database(cluster) as database:
        yield InboxFlow(database)


@pytest.fixture(scope="module")
def requests(flow: InboxFlow) -> Mapping[str, Callable[..., TestResponse]]:
    """How each kind of request is made; every change leaves the rest of a good one as it is."""
    citizen = flow.citizen()
    kept = flow.tokens(citizen)["refresh_token"]

    def machine(**changes: Any) -> TestResponse:
        form = {"grant_type": "client_credentials", "scope": "grant_management_query", **changes}
        return flow.post("/oauth/token", form)

    def fetch(**changes: Any) -> TestResponse:
        auth_req_id = flow.asked(citizen)
        for waiting in flow.waiting(citizen):
            flow.answer(citizen, waiting)
        return flow.poll(changes.pop("auth_req_id", auth_req_id), **changes)

    return {
        ASK: lambda **changes: flow.ask(citizen, **changes),
        FETCH: fetch,
        PUSH: lambda **changes: flow.push(None, None, "", **changes),
        REDEEM: lambda **changes: flow.redeem(flow.granted(citizen), **changes),
        REFRESH: lambda **changes: flow.refresh(changes.pop("refresh_token", kept), **changes),
        MACHINE: machine,
        PROVE: machine,
    }


def rows(heading: str) -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in list(table_rows(section(heading))) if row[0].startswith("`")}


def told_errors(row: list[str]) -> list[str]:
    return re.findall(r"`([a-z_]+)`", row[3])


def parameters_of(heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table with four columns under a heading."""
    return {name: row for name, row in rows(heading).items() if len(row) == 4}


CASES = [(heading, name) for heading in WRONG for name in parameters_of(heading)]


@pytest.mark.parametrize("heading", WRONG)
def test_a_request_as_the_page_says_is_accepted(
    requests: Mapping[str, Callable[..., TestResponse]], heading: str
) -> None:
    assert requests[heading]().status_code in (200, 201)


@pytest.mark.parametrize(("heading", "name"), CASES)
def test_what_is_wrong_is_refused_as_the_page_says(
    requests: Mapping[str, Callable[..., TestResponse]], heading: str, name: str
) -> None:
    told = told_errors(parameters_of(heading)[name])
    value = WRONG[heading].get(name)
    assert (value is None) == (told == [])
    if value is not None:
        answer = requests[heading](**{name: value})
        assert answer.status_code in (400, 401)
        assert answer.get_json()["error"] in told


@pytest.mark.parametrize(("heading", "name"), CASES)
def test_what_is_required_is_required_and_nothing_else_is(
    requests: Mapping[str, Callable[..., TestResponse]], heading: str, name: str
) -> None:
    row = parameters_of(heading)[name]
    answer = requests[heading](**{name: ...})
    if row[1].startswith("yes"):
        assert answer.get_json()["error"] in told_errors(row)
    else:
        assert answer.status_code in (200, 201)


@pytest.mark.parametrize(
    ("module", "heading", "least"), [("pushed_requests", PUSH, 12), ("backchannel", ASK, 6)]
)
def test_no_parameter_that_the_code_reads_is_left_out(module: str, heading: str, least: int) -> None:
    source = (ROOT / f"broker/oauth/{module}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'form(?:\.get\(|\[)"([a-z_]+)"', source))
    read |= set(re.findall(r'"([a-z_]+)" (?:not )?in form', source))
    read |= set(re.findall(r'_text\(request, "([a-z_]+)"', source))
    assert len(read) > least
    assert read - {"auth_req_id"} <= set(parameters_of(heading))


def test_the_members_of_a_detail_are_those_of_its_schema() -> None:
    declared = {one.data_key or name: one.required for name, one in InsuranceRecordSchema().fields.items()}
    told = {name: row[1] == "yes" for name, row in rows(PUSH).items() if len(row) == 3}
    assert told == declared


def test_the_members_of_a_request_for_consent_are_those_of_its_schema() -> None:
    declared = {one.data_key or name: one.required for name, one in ConsentRequestSchema().fields.items()}
    declared |= {
        f"items.{one.data_key or name}": one.required for name, one in ConsentItemSchema().fields.items()
    }
    told = {name: row[1] == "yes" for name, row in rows(INBOX).items() if len(row) == 3}
    assert told == declared


def test_every_status_of_a_request_has_a_row_and_every_row_a_status() -> None:
    assert {name for name, row in rows(INBOX).items() if len(row) == 2} == set(get_args(RequestStatus))


def test_what_is_told_of_a_request_stands_on_the_page(flow: InboxFlow) -> None:
    person = flow.citizen()
    asked = flow.request(person).get_json()
    flow.answer(person, flow.waiting(person)[0])
    told = flow.status(asked["request_id"])
    members = section(INBOX).split("The answer, 201")[1].split("`DELETE`")[0]
    named = set(re.findall(r"`([a-z_]+)`", members))
    assert named == set(asked) | set(told) | set(told["consents"][0])


def test_every_error_of_the_backchannel_has_a_row_and_every_row_an_error() -> None:
    errors = {error for error, _ in backchannel._POLL_ERRORS.values()} | {"invalid_binding_message"}
    assert {name for name, row in rows(FETCH).items() if len(row) == 2} == errors


def test_every_member_of_a_token_response_has_a_row(flow: Flow) -> None:
    answer = flow.tokens(scope="openid")
    assert set(answer) == {name for name, row in rows(REDEEM).items() if len(row) == 2}


def test_token_info_tells_what_the_page_says(flow: Flow) -> None:
    told = section("Use it").split("what it may do:")[1].split(". ")[0]
    answer = flow.get("/v1/token-info", flow.tokens()["access_token"]).get_json()
    assert set(re.findall(r"`([a-z_]+)`", told)) == set(answer)
    assert set(TOLD_BY_TOKEN_INFO) <= set(answer)


def test_what_comes_back_with_the_browser_has_a_row(flow: Flow) -> None:
    citizen = flow.citizen()
    given, refused = Attempt(), Attempt()
    for attempt, choice in ((given, "give"), (refused, "refuse")):
        assert flow.push(attempt).status_code == 201
        flow.decide(citizen, attempt, choice=choice)
    assert set(given.answer) | set(refused.answer) == set(first_column("Send the browser"))
    assert refused.answer["error"] == "access_denied"


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    classes = [one for one in vars(token_errors).values() if isinstance(one, type)]
    own = {str(getattr(one, "error", None) or "") for one in classes if issubclass(one, OAuth2Error)} - {""}
    authlibs = {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "unauthorized_client",
    }
    assert set(first_column("Errors of the authorization server")) == own | authlibs


def test_the_endpoints_are_where_the_page_says() -> None:
    told = re.findall(r"`(?:GET|POST|DELETE) (/oauth/[a-z]+)", TEXT) + re.findall(r"/oauth/[a-z]+", TEXT)
    known = authorization_server_metadata(Addresses(ISSUER), ["openid"])
    paths = {str(value).removeprefix(ISSUER) for value in known.values()}
    assert set(told) <= paths


def test_limits_are_those_of_the_code() -> None:
    def default(name: str) -> int:
        value = Settings.__dataclass_fields__[name].default
        assert isinstance(value, int)
        return value

    told = {
        "life of a `request_uri`, until the browser comes": f"{authorization_request.REQUEST_URI_SECONDS} s",
        "decision of the citizen": f"{authorization_request.DECISION_SECONDS} s",
        "authorization code": f"{authorization_request.CODE_SECONDS} s, once",
        "access token": (
            f"{default('access_token_seconds')} s; by consent {default('consent_token_seconds')} s"
        ),
        "client assertion": f"{client_authentication.MAX_LIFETIME_SECONDS} s, once",
        "DPoP proof": f"{dpop.MAX_AGE_SECONDS} s, once",
        "`authorization_details`": (
            f"{authorization_details.DETAILS_MAX} objects, {authorization_details.MAX_CHARACTERS} characters"
        ),
        "`state`, `nonce`": (
            f"{pushed_requests.STATE_CHARACTERS_MAX}, {pushed_requests.NONCE_CHARACTERS_MAX} characters"
        ),
        "reading by consent": (
            f"what the citizen was told: `valid_days`, at most {asked_terms.VALID_DAYS_MAX}"
        ),
    }
    found = {row[0]: row[1] for row in list(table_rows(section("Limits")))[1:]}
    assert told.items() <= found.items()
