"""Whatever a client makes up, in any part of a request: 4xx as RFC 6749 words it, and nothing is issued.

FUZZ_EXAMPLES: how many requests to make up for each property (make fuzz).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.cli.embedded import EmbeddedCluster
from broker.oauth.endpoints import BACK_CHANNEL, BACKCHANNEL_PATH, PUSHED_REQUEST_PATH, TOKEN_PATH
from tests.inbox_flow import NOBODY
from tests.oauth_flow import CALLBACK, INCOME, Flow, challenge_of
from tests.oauth_world import ASSERTION_TYPE, World, oauth_database
from tests.properties.test_authorization_details import check_within_agreement

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "60"))
DESCRIPTION: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
TABLES: Final = (
    "access_tokens",
    "refresh_tokens",
    "authorization_codes",
    "grants",
    "pushed_requests",
    "consent_requests",
    "used_assertions",
    "used_proofs",
)
COUNT: Final = text("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES))  # noqa: S608
invented = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
texts = st.text(max_size=60) | st.text(alphabet='abc%&=+ \0\r\n"\\/:.ếé\ud7ff\U0001f600', max_size=30)


@pytest.fixture(scope="module")
def flow(cluster: EmbeddedCluster) -> Iterator[Flow]:
    with oauth_database(cluster) as database:
        yield Flow(World(database))


def counts(flow: Flow) -> tuple[int, ...]:
    with flow.world.engine.connect() as connection:
        return tuple(connection.execute(COUNT).one())


def check_refused(answer: TestResponse, *errors: str) -> None:
    """RFC 6749, 5.2, in its alphabets; errors: those that it may be, any when none is named."""
    assert 400 <= answer.status_code < 500, answer.data
    body = answer.get_json()
    assert set(body) == {"error", "error_description"}
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert DESCRIPTION.fullmatch(body["error_description"]), body
    assert not errors or body["error"] in errors, body


def post(flow: Flow, path: str, form: dict[str, str], proof: str | None) -> TestResponse:
    headers = {} if proof is None else {"DPoP": proof}
    answer: TestResponse = flow.world.http.post(path, data=form, headers=headers, base_url=flow.world.issuer)
    return answer


def good_form(flow: Flow, path: str, assertion: str | None = None) -> dict[str, str]:
    """Return a form that its endpoint would take."""
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion or flow.bank.assertion(flow.world.clock()),
    }
    if path == TOKEN_PATH:
        return {**form, "grant_type": "client_credentials", "scope": "grant_management_query"}
    if path == PUSHED_REQUEST_PATH:
        return {
            **form,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "code_challenge": challenge_of("x" * 43),
            "code_challenge_method": "S256",
            "authorization_details": json.dumps([INCOME]),
        }
    if path == BACKCHANNEL_PATH:
        asked = json.dumps([INCOME])
        return {**form, "scope": "openid", "login_hint": NOBODY, "authorization_details": asked}
    return {**form, "token": "anything"}


def proof_for(flow: Flow, path: str, **changes: Any) -> str:
    return flow.bank.proof(flow.world.clock(), url=flow.world.issuer + path, **changes)


def test_what_is_spoilt_below_is_good_before(flow: Flow) -> None:
    for path in BACK_CHANNEL:
        answer = post(flow, path, good_form(flow, path), proof_for(flow, path))
        assert answer.status_code in (200, 201), answer.data


paths = st.sampled_from(BACK_CHANNEL)


@invented
@given(
    path=paths,
    name=st.sampled_from(["iss", "sub", "aud", "jti", "exp", "iat", "nbf"]),
    value=json_values | st.just(...),
)
@example(path=TOKEN_PATH, name="sub", value="\ud800")
@example(path=TOKEN_PATH, name="exp", value=1e400)
@example(path=TOKEN_PATH, name="aud", value=["https://broker.example"])
@example(path=PUSHED_REQUEST_PATH, name="aud", value="https://broker.example/oauth/par")
def test_a_claim_of_the_assertion_that_is_another_makes_nobody_a_client(
    flow: Flow, path: str, name: str, value: Any
) -> None:
    now = flow.world.clock().timestamp()
    if name == "jti":
        assume(not (isinstance(value, str) and value and value.isprintable()))
    elif name in ("iat", "nbf"):
        assume(value is not ... and not (type(value) in (int, float) and now - 400 <= value <= now + 10))
        assume(not (name == "nbf" and type(value) in (int, float) and 0 <= value <= now))
    elif name == "exp":
        assume(not (type(value) in (int, float) and now < value <= now + 310))
    else:
        assume(value != {"iss": "bank-a", "sub": "bank-a", "aud": flow.world.issuer}[name])
    before = counts(flow)
    assertion = flow.bank.assertion(flow.world.clock(), **{name: value})
    answer = post(flow, path, good_form(flow, path, assertion), proof_for(flow, path))
    check_refused(answer, "invalid_client")
    assert counts(flow) == before


@invented
@given(path=paths, name=st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), value=json_values)
@example(path=TOKEN_PATH, name="alg", value="none")
@example(path=TOKEN_PATH, name="kid", value=None)
def test_a_header_of_the_assertion_that_is_another_makes_nobody_a_client(
    flow: Flow, path: str, name: str, value: Any
) -> None:
    assume(not (name == "alg" and value == "ES256"))
    assume(not (name == "typ" and isinstance(value, str) and "jwt" in value.lower()))
    assume(not (name == "kid" and value in (None, flow.bank.kid)))
    before = counts(flow)
    assertion = flow.bank.assertion(flow.world.clock(), {name: value})
    check_refused(post(flow, path, good_form(flow, path, assertion), proof_for(flow, path)), "invalid_client")
    assert counts(flow) == before


@st.composite
def spoilers(draw: st.DrawFn) -> Any:
    """Return what makes another text of a compact JWS."""
    kind = draw(st.sampled_from(["cut", "change", "insert", "swap", "repeat", "replace a segment"]))
    where, letter = draw(st.floats(0, 0.999)), draw(st.sampled_from("AZaz09-_=.+/ ế\0"))
    segment, filled = draw(st.integers(0, 2)), draw(st.text(alphabet="AZaz09-_=", max_size=20))

    def spoil(compact: str) -> str:
        at, parts = int(where * len(compact)), compact.split(".")
        if kind == "replace a segment":
            parts[segment] = filled
        elif kind == "swap":
            parts = [*parts[1:], parts[0]]
        elif kind == "repeat":
            parts.append(parts[segment])
        else:
            tail = at if kind == "insert" else at + 1
            return compact[:at] + ("" if kind == "cut" else letter) + compact[tail:]
        return ".".join(parts)

    return spoil


@invented
@given(path=paths, spoil=spoilers())
def test_an_assertion_of_which_a_letter_is_another_makes_nobody_a_client(
    flow: Flow, path: str, spoil: Any
) -> None:
    good = flow.bank.assertion(flow.world.clock())
    spoilt = spoil(good)
    assume(spoilt != good)
    before = counts(flow)
    answer = post(flow, path, good_form(flow, path, spoilt), proof_for(flow, path))
    check_refused(answer, "invalid_client")
    assert counts(flow) == before


issuing = st.sampled_from([TOKEN_PATH, PUSHED_REQUEST_PATH])


@invented
@given(
    path=issuing,
    name=st.sampled_from(["htm", "htu", "iat", "jti", "nbf", "exp"]),
    value=json_values | st.just(...),
)
def test_a_claim_of_the_proof_that_is_another_binds_nothing(
    flow: Flow, path: str, name: str, value: Any
) -> None:
    now = flow.world.clock().timestamp()
    if name == "jti":
        assume(not (isinstance(value, str) and value))
    elif name in ("nbf", "exp"):
        assume(value is not ...)
        assume(not (type(value) in (int, float) and (value <= now + 10) is (name == "nbf")))
    elif name == "iat":
        assume(not (type(value) in (int, float) and now - 61 <= value <= now + 10))
    before = counts(flow)
    answer = post(flow, path, good_form(flow, path), proof_for(flow, path, **{name: value}))
    check_refused(answer, "invalid_dpop_proof")
    assert counts(flow) == before


@invented
@given(path=issuing, name=st.sampled_from(["typ", "alg", "jwk", "crit", "b64"]), value=json_values)
def test_a_header_of_the_proof_that_is_another_binds_nothing(
    flow: Flow, path: str, name: str, value: Any
) -> None:
    assume(not (name == "alg" and value == "ES256"))
    before = counts(flow)
    answer = post(flow, path, good_form(flow, path), proof_for(flow, path, header={name: value}))
    check_refused(answer, "invalid_dpop_proof")
    assert counts(flow) == before


@invented
@given(
    path=issuing,
    name=st.sampled_from(["kty", "crv", "x", "y", "d", "k", "n", "e", "use", "key_ops", "x5c"]),
    value=json_values | st.just(...),
)
def test_a_member_of_the_proofs_key_that_is_another_binds_nothing_or_the_same_key(
    flow: Flow, path: str, name: str, value: Any
) -> None:
    good = flow.bank.key.as_dict(private=False)
    assume(good.get(name, ...) != value)
    jwk = {**good, name: value}
    kept = {member: one for member, one in jwk.items() if one is not ...}
    before = counts(flow)
    answer = post(flow, path, good_form(flow, path), proof_for(flow, path, header={"jwk": kept}))
    if answer.status_code in (200, 201):
        # A member that says nothing of the key, or nothing against this use.
        assert name not in ("kty", "crv", "x", "y", "d")
        return
    check_refused(answer, "invalid_dpop_proof")
    assert counts(flow) == before


@invented
@given(path=issuing, spoil=spoilers())
def test_a_proof_of_which_a_letter_is_another_binds_nothing(flow: Flow, path: str, spoil: Any) -> None:
    good = proof_for(flow, path)
    spoilt = spoil(good)
    assume(spoilt.strip() != good and spoilt.isprintable() and spoilt.isascii())
    before = counts(flow)
    check_refused(post(flow, path, good_form(flow, path), spoilt), "invalid_dpop_proof")
    assert counts(flow) == before


PUSHED: Final = (
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "dpop_jkt",
    "max_age",
    "prompt",
    "response_mode",
    "acr_values",
    "ui_locales",
    "client_id",
    "claims",
    "grant_management_action",
)


@invented
@given(changes=st.dictionaries(st.sampled_from(PUSHED), texts, min_size=1, max_size=4))
def test_pushed_parameters_are_kept_as_they_are_or_refused(flow: Flow, changes: dict[str, str]) -> None:
    before = counts(flow)
    answer = post(flow, PUSHED_REQUEST_PATH, {**good_form(flow, PUSHED_REQUEST_PATH), **changes}, None)
    if answer.status_code != 201:
        check_refused(answer)
        assert counts(flow) == before
        return
    assert set(answer.get_json()) == {"request_uri", "expires_in"}
    kept = last_pushed(flow)
    assert kept["redirect_uri"] == CALLBACK
    assert kept["code_challenge"] == challenge_of("x" * 43)
    for name in ("state", "nonce"):
        assert kept[name] == (changes.get(name) or None)
    assert set(kept["scopes"]) <= {"share_record", "openid"}


details = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.just(good)
        for name, good in {
            **INCOME,
            "type": "insurance_record",
            "agreement_id": "bank_income_proof",
            "locations": ["https://broker.example"],
            "actions": ["read"],
            "valid_days": 30,
            "retention_days": 90,
            "more": 1,
        }.items()
    },
)


@invented
@given(
    value=json_values
    | st.lists(details | details.map(lambda one: {**INCOME, **one}), min_size=1, max_size=3)
    | st.builds(lambda name, value: [{**INCOME, name: value}], st.sampled_from(sorted(INCOME)), json_values)
)
def test_authorization_details_are_within_the_agreement_or_refused(flow: Flow, value: Any) -> None:
    before = counts(flow)
    form = {**good_form(flow, PUSHED_REQUEST_PATH), "authorization_details": json.dumps(value)}
    answer = post(flow, PUSHED_REQUEST_PATH, form, None)
    if answer.status_code != 201:
        check_refused(answer, "invalid_authorization_details")
        assert counts(flow) == before
        return
    for detail in last_pushed(flow)["details"]:
        check_within_agreement(detail)


def last_pushed(flow: Flow) -> dict[str, Any]:
    statement = text("SELECT parameters FROM pushed_requests ORDER BY pushed_at DESC, ctid DESC LIMIT 1")
    with flow.world.engine.connect() as connection:
        found: dict[str, Any] = connection.execute(statement).scalar_one()
    return found


MACHINE: Final = {"grant_management_query", "grant_management_revoke"}


@invented
@given(
    grant_type=st.sampled_from(["authorization_code", "refresh_token", "client_credentials"]) | texts,
    form=st.dictionaries(
        st.sampled_from(
            [
                "scope",
                "code",
                "refresh_token",
                "redirect_uri",
                "code_verifier",
                "authorization_details",
                "resource",
                "client_id",
                "assertion",
                "username",
                "request_uri",
            ]
        ),
        texts | json_values.map(json.dumps) | st.sampled_from(sorted(MACHINE)),
        max_size=6,
    ),
)
def test_what_is_made_up_at_the_token_endpoint_buys_nothing(
    flow: Flow, grant_type: str, form: dict[str, str]
) -> None:
    before = counts(flow)
    good = {**good_form(flow, TOKEN_PATH), "grant_type": grant_type, **form}
    answer = post(flow, TOKEN_PATH, good, proof_for(flow, TOKEN_PATH))
    if answer.status_code == 200:
        assert grant_type == "client_credentials"
        assert set(answer.get_json()["scope"].split(" ")) <= MACHINE
        assert not {"refresh_token", "grant_id", "id_token"} & answer.get_json().keys()
        return
    check_refused(answer)
    assert counts(flow) == before
