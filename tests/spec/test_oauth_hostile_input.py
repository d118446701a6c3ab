"""Whatever is sent to the authorization server: the error that the RFC names, never 500, never an echo."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.oauth.endpoints import (
    BACK_CHANNEL,
    BACKCHANNEL_PATH,
    INTROSPECTION_PATH,
    PUSHED_REQUEST_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)
from tests.oauth_flow import CALLBACK, INCOME, Attempt, Flow, challenge_of
from tests.oauth_world import ASSERTION_TYPE

CANARY = "Canary79x"
FORM = "application/x-www-form-urlencoded"
PUBLIC = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/oauth/jwks")
CITIZEN = ("/citizen/sign-in", "/citizen/sign-out", f"/citizen/requests/{CANARY}")
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
TABLES = (
    *("access_tokens", "pushed_requests", "refresh_tokens", "authorization_codes", "grants"),
    *("consent_requests", "consents", "outbox_messages"),
)
ODD_TEXTS = {
    "NUL": f"\0{CANARY}",
    "a line feed": f"{CANARY}\r\nSet-Cookie: a=b",
    "controls": f"\x01\x1b[2J{CANARY}\x7f",
    "Vietnamese": f"Nguyễn {CANARY}",
    "a quotation mark": f'{CANARY}"\\',
    "markup": f"<script>{CANARY}</script>",
    "no character": f"\ufffd{CANARY}",
    "a turn of the writing": f"\u202e{CANARY}",
    "an astral character": f"\U0001f600{CANARY}",
    "9,000 characters": CANARY * 1000,
}
UNREADABLE = {
    "half an escape": f"%{CANARY}=%&%z={CANARY}%",
    "no UTF-8": f"grant_type=%ff%fe{CANARY}&%c3%28=1",
    "an overlong slash": f"grant_type=%c0%af{CANARY}",
    "half a pair": f"grant_type=%ed%a0%80{CANARY}",
    "raw bytes": b"grant_type=\xff\xfe\x00" + CANARY.encode(),
    "only signs": "&&==&=;;&",
    "a form of JSON": json.dumps({"grant_type": CANARY}),
    "5,000 parameters": urlencode([(f"p{at}", CANARY) for at in range(4_500)])[:60_000],
    "5,000 times the same": "&".join([f"scope={CANARY}"] * 4_000),
}


@pytest.fixture(autouse=True)
def nothing_is_told(
    flow: Flow, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Nothing that was sent stands in the log, and nothing has failed in a way that nobody foresaw."""
    with caplog.at_level(logging.INFO, "broker"):
        yield
    out, err = capfd.readouterr()
    logged = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert CANARY.lower() not in f"{out}{err}{logged}".lower()
    assert "failed" not in logged


def counts(flow: Flow) -> dict[str, int]:
    with flow.world.engine.connect() as connection:
        return {
            table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608
            for table in TABLES
        }


def check_refused(answer: TestResponse, *errors: str, status: int = 400) -> None:
    """RFC 6749, 5.2: JSON with error and error_description in their alphabets, kept by nobody; no echo."""
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert set(body) == {"error", "error_description"}
    assert body["error"] in errors, body
    assert DESCRIPTION.fullmatch(body["error_description"]), body
    assert answer.headers["Cache-Control"] == "no-store"
    check_silent(answer)


def check_silent(answer: TestResponse) -> None:
    told = f"{answer.headers}{answer.get_data(as_text=True)}".lower()
    assert CANARY.lower() not in told


def raw(flow: Flow, path: str, body: Any, content_type: str = FORM, **options: Any) -> TestResponse:
    answer: TestResponse = flow.world.http.post(
        path, data=body, content_type=content_type, base_url=flow.world.issuer, **options
    )
    return answer


def form_of(flow: Flow, **more: str) -> dict[str, str]:
    """Return parameters with which a client proves itself anywhere."""
    return {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": flow.bank.assertion(flow.world.clock()),
        **more,
    }


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("name", ["client_assertion", "client_id", "scope", "grant_type", "token", "state"])
def test_a_parameter_that_stands_twice_is_refused_wherever_it_stands(
    flow: Flow, path: str, name: str
) -> None:
    given = form_of(flow)
    pairs = [*given.items(), (name, CANARY), (name, CANARY)]
    check_refused(raw(flow, path, urlencode(pairs)), "invalid_request")


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("query", [f"a={CANARY}", f"grant_type={CANARY}", f"%ff%00{CANARY}", "?"])
def test_parameters_in_the_query_are_refused(flow: Flow, path: str, query: str) -> None:
    check_refused(raw(flow, f"{path}?{query}", urlencode(form_of(flow))), "invalid_request")


@pytest.mark.parametrize("path", [*BACK_CHANNEL, *PUBLIC, "/oauth/authorize", *CITIZEN])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", CANARY.upper()])
def test_a_method_that_is_none_of_the_endpoint_is_405_with_those_that_are(
    flow: Flow, path: str, method: str
) -> None:
    answer = flow.world.http.open(path, method=method, base_url=flow.world.issuer)
    assert answer.status_code == 405
    allowed = set(answer.headers["Allow"].split(", "))
    assert method not in allowed
    assert allowed & {"GET", "POST"}
    check_silent(answer)


@pytest.mark.parametrize("path", BACK_CHANNEL)
def test_endpoints_of_programs_are_posted_to(flow: Flow, path: str) -> None:
    answer = flow.world.http.get(path, base_url=flow.world.issuer)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"OPTIONS", "POST"})


@pytest.mark.parametrize("path", PUBLIC)
def test_public_documents_are_read_only_and_deaf_to_parameters(flow: Flow, path: str) -> None:
    plain = flow.world.http.get(path, base_url=flow.world.issuer)
    asked = flow.world.http.get(f"{path}?x={CANARY}&%ff", base_url=flow.world.issuer)
    assert (asked.status_code, asked.data) == (200, plain.data)
    assert flow.world.http.post(path, base_url=flow.world.issuer).status_code == 405


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data; boundary=x", "text/plain", "", f"{CANARY}/{CANARY}", ";;=,"],
)
def test_another_content_type_is_refused(flow: Flow, path: str, content_type: str) -> None:
    check_refused(raw(flow, path, urlencode(form_of(flow)), content_type), "invalid_request")


@pytest.mark.parametrize("path", BACK_CHANNEL)
def test_a_body_that_is_too_large_is_413(flow: Flow, path: str) -> None:
    body = urlencode(form_of(flow, x=CANARY * 8_000))
    assert len(body) > 65_536
    check_refused(raw(flow, path, body), "invalid_request", status=413)


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_is_no_form_is_refused(flow: Flow, path: str, body: Any) -> None:
    before = counts(flow)
    check_refused(raw(flow, path, body), "invalid_request", "invalid_client", "unsupported_grant_type")
    assert counts(flow) == before


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("body", [UNREADABLE["5,000 parameters"], "&".join(["resource=x"] * 5_000)])
def test_thousands_of_parameters_beside_a_good_assertion_are_looked_through_and_buy_nothing(
    flow: Flow, path: str, body: str
) -> None:
    answer = raw(flow, path, urlencode(form_of(flow)) + "&" + body)
    check_refused(answer, "invalid_request", "unsupported_response_type")


PUSHED = (
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "authorization_details",
    "resource",
    "dpop_jkt",
    "max_age",
    "prompt",
    "response_mode",
    "client_id",
    "claims",
    "request",
    "request_uri",
    "grant_id",
    "grant_management_action",
)
ERROR_OF = {
    "response_type": "unsupported_response_type",
    "scope": "invalid_scope",
    "authorization_details": "invalid_authorization_details",
    "resource": "invalid_target",
    "client_id": "invalid_client",
}
"""Parameter → error where it is not invalid_request (RFC 6749, 4.1.2.1; RFC 9396, 5; RFC 8707, 2)."""
PRINTABLE = {"a quotation mark", "markup"}


@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("name", PUSHED)
def test_an_odd_value_of_a_pushed_parameter_has_the_error_of_that_parameter(
    flow: Flow, name: str, value: str
) -> None:
    before = counts(flow)
    changes: dict[str, Any] = {name: value}
    answer = flow.push(**changes)
    if name in ("state", "nonce") and value in [ODD_TEXTS[one] for one in PRINTABLE]:
        # Printable ASCII goes back as it is, and nowhere else.
        assert answer.status_code == 201
        check_silent(answer)
        return
    check_refused(answer, ERROR_OF.get(name, "invalid_request"))
    assert counts(flow) == before


@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("name", ["acr_values", "ui_locales", "display", "login_hint", "unknown", CANARY])
def test_an_odd_value_of_a_parameter_that_need_not_be_understood_is_not(
    flow: Flow, name: str, value: str
) -> None:
    changes: dict[str, Any] = {name: value}
    answer = flow.push(**changes)
    assert answer.status_code == 201
    check_silent(answer)


@pytest.mark.parametrize("characters", [1, 1_000, 4_096])
def test_a_long_state_comes_back_unchanged(flow: Flow, characters: int, citizen: Any) -> None:
    alphabet = "abc %&=+#/?\"'<>~"
    attempt = Attempt(state=(alphabet * 300)[:characters])
    assert flow.push(attempt).status_code == 201
    assert flow.decide(citizen, attempt, choice="refuse").status_code == 303
    assert attempt.answer == {
        "error": "access_denied",
        "state": attempt.state,
        "iss": flow.world.issuer,
    }


def test_a_state_that_is_too_long_is_refused_and_never_cut(flow: Flow) -> None:
    for characters in (4_097, 5_000):
        check_refused(flow.push(state="x" * characters), "invalid_request")


@pytest.mark.parametrize("grant_type", ["client_credentials", "authorization_code", "refresh_token", None])
@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_odd_values_at_the_token_endpoint_buy_nothing(flow: Flow, grant_type: str | None, value: str) -> None:
    before = counts(flow)
    names = ("scope", "code", "refresh_token", "code_verifier", "redirect_uri", "authorization_details")
    given = dict.fromkeys(names, value)
    answer = flow.post(TOKEN_PATH, {**given, "grant_type": grant_type or value})
    check_refused(
        answer,
        "invalid_request",
        "invalid_grant",
        "invalid_scope",
        "invalid_authorization_details",
        "unsupported_grant_type",
    )
    assert counts(flow) == before


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("header", ["DPoP", "Authorization"])
@pytest.mark.parametrize("value", [CANARY, f"DPoP {CANARY}", CANARY * 2_000, "é" * 9, "a,b", "..", "\x7f"])
def test_odd_header_fields_are_refused_or_not_looked_at(
    flow: Flow, path: str, header: str, value: str
) -> None:
    given = form_of(flow, token="x", grant_type="client_credentials", scope="share_record")
    if path == PUSHED_REQUEST_PATH:
        given |= {
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "code_challenge": challenge_of("x" * 43),
            "code_challenge_method": "S256",
            "authorization_details": json.dumps([INCOME]),
        }
    if path == BACKCHANNEL_PATH:
        given |= {
            "scope": "openid",
            # Nobody is asked twice at once, so each time it is somebody else.
            "login_hint": f"00109{secrets.randbelow(10**7):07d}",
            "authorization_details": json.dumps([INCOME]),
        }
    answer = raw(flow, path, given, headers={header: value})
    if header == "Authorization":
        check_refused(answer, "invalid_client", status=401)
        assert answer.headers["WWW-Authenticate"]
    elif path in (TOKEN_PATH, PUSHED_REQUEST_PATH):
        check_refused(answer, "invalid_dpop_proof")
    else:
        assert answer.status_code == 200, answer.get_data(as_text=True)
        check_silent(answer)


@pytest.mark.parametrize("path", BACK_CHANNEL)
@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("name", ["client_assertion", "client_assertion_type", "client_id"])
def test_an_odd_claim_to_be_a_client_is_invalid_client(flow: Flow, path: str, value: str, name: str) -> None:
    given = form_of(flow, **{"grant_type": "client_credentials", name: value})
    check_refused(raw(flow, path, urlencode(given)), "invalid_client")


@pytest.mark.parametrize("path", [INTROSPECTION_PATH, REVOCATION_PATH])
@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_an_odd_token_is_no_token_and_that_is_no_error(flow: Flow, path: str, value: str) -> None:
    before = counts(flow)
    answer = flow.post(
        path,
        {"token": value, "token_type_hint": value},
        proof="",
        headers={"Accept": f"{CANARY}/{CANARY};q=x"},
    )
    assert answer.status_code == 200, answer.data
    if path == INTROSPECTION_PATH:
        assert answer.get_json() == {"active": False}
    check_silent(answer)
    assert counts(flow) == before
    check_refused(flow.post(path, {}, proof=""), "invalid_request")


Send = Callable[[Flow, dict[str, Any]], TestResponse]


def by_query(flow: Flow, parameters: dict[str, Any]) -> TestResponse:
    answer: TestResponse = flow.browser().get(
        "/oauth/authorize?" + urlencode(parameters, doseq=True), base_url=flow.world.issuer
    )
    return answer


def by_form(flow: Flow, parameters: dict[str, Any]) -> TestResponse:
    answer: TestResponse = flow.browser().post(
        "/oauth/authorize", data=parameters, base_url=flow.world.issuer
    )
    return answer


def check_page(answer: TestResponse) -> None:
    """A page of ours, which leads nowhere and repeats nothing."""
    assert answer.status_code == 400, answer.data
    assert answer.mimetype == "text/html"
    assert "Location" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    check_silent(answer)


@pytest.mark.parametrize("send", [by_query, by_form])
@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("name", ["client_id", "request_uri", "request"])
def test_an_odd_value_at_the_authorization_endpoint_is_a_page_and_no_redirect(
    flow: Flow, name: str, value: str, send: Send
) -> None:
    attempt = Attempt()
    assert flow.push(attempt).status_code == 201
    given = {"client_id": "bank-a", "request_uri": attempt.request_uri, name: value}
    check_page(send(flow, given))
    prefixed = {**given, "request_uri": f"urn:ietf:params:oauth:request_uri:{value}"}
    check_page(send(flow, prefixed))
    assert flow.authorize(flow.browser(), attempt.request_uri).status_code == 303


@pytest.mark.parametrize("send", [by_query, by_form])
def test_what_stands_twice_at_the_authorization_endpoint_is_refused_what_was_not_pushed_is_not_seen(
    flow: Flow, send: Send
) -> None:
    attempt = Attempt()
    assert flow.push(attempt).status_code == 201
    good = {"client_id": "bank-a", "request_uri": attempt.request_uri}
    check_page(send(flow, {**good, "client_id": ["bank-a", "bank-a"]}))
    check_page(send(flow, {**good, "request_uri": [attempt.request_uri, attempt.request_uri]}))
    extra = {"redirect_uri": f"https://{CANARY}.example", "state": CANARY, "scope": [CANARY, CANARY]}
    answer = send(flow, {**good, **extra})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/citizen/requests/")
    check_silent(answer)


@pytest.mark.parametrize("query", UNREADABLE.values(), ids=UNREADABLE)
def test_a_query_that_cannot_be_read_is_a_page(flow: Flow, query: Any) -> None:
    plain = query if isinstance(query, str) else query.decode("latin-1")
    check_page(
        flow.browser().get(f"/oauth/authorize?{quote(plain, safe='%&=;')}", base_url=flow.world.issuer)
    )


def test_a_form_for_the_authorization_endpoint_that_is_too_large_or_no_form_is_refused(flow: Flow) -> None:
    for body, content_type in (
        (f"client_id={CANARY * 2_000}", FORM),
        (b"\xff\x00", FORM),
        (json.dumps({"client_id": CANARY}), "application/json"),
        ("--x\r\n", "multipart/form-data; boundary=x"),
    ):
        check_page(raw(flow, "/oauth/authorize", body, content_type))


@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_citizens_pages_take_no_handle_language_form_or_cookie_of_others(flow: Flow, value: str) -> None:
    issuer, browser = flow.world.issuer, flow.browser()
    for name in ("broker-citizen", "__Host-broker-citizen", "__Host-broker-form"):
        browser.set_cookie(name, quote(value[:2_000]), domain="broker.example", secure=True)
    odd = quote(value[:4_000])
    answers = [
        browser.get(f"/citizen/requests/{odd}", base_url=issuer),
        browser.post(f"/citizen/requests/{odd}", data={"choice": value, "field": value}, base_url=issuer),
        browser.get(f"/citizen/sign-in?next={odd}&lang={odd}", base_url=issuer),
        browser.post("/citizen/sign-in", data={"next": value, "token": value}, base_url=issuer),
        browser.post("/citizen/sign-out", data={"next": value, "token": value}, base_url=issuer),
    ]
    for answer in answers:
        assert answer.status_code in (303, 400, 403, 404, 413), answer.data
        assert "Location" not in answer.headers or answer.headers["Location"].startswith("/citizen/")
        check_silent(answer)


@pytest.mark.parametrize("value", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_an_odd_grant_identifier_names_no_grant(flow: Flow, value: str) -> None:
    form = {"grant_type": "client_credentials", "scope": "grant_management_query grant_management_revoke"}
    token = flow.post(TOKEN_PATH, form).get_json()["access_token"]
    path = f"/oauth/grants/{value[:200]}"
    for method in ("GET", "DELETE"):
        proof = flow.bank.proof(flow.world.clock(), method, flow.world.issuer + path, token)
        answer = flow.world.http.open(
            quote(path),
            method=method,
            headers={"Authorization": f"DPoP {token}", "DPoP": proof},
            base_url=flow.world.issuer,
        )
        assert answer.status_code in (401, 404), answer.data
        check_silent(answer)


@pytest.mark.parametrize("path", ["/oauth//token", "/citizen//sign-in", "/oauth/token/", "/oauth/./token"])
def test_a_path_that_is_nearly_ours_is_no_path_and_leads_nowhere(flow: Flow, path: str) -> None:
    answer = flow.world.http.post(path, base_url="https://attacker.example")
    assert answer.status_code == 404
    assert "Location" not in answer.headers
