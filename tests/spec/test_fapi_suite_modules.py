"""The OpenID conformance suite's plan for FAPI 2.0 authorization servers: discovery and what must succeed.

A test is named like its module, without the prefix `fapi2-security-profile-final-`. What must be refused
stands in test_fapi_suite_refusals.py and test_fapi_dpop.py.
"""

from __future__ import annotations

import string
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from broker.oauth.jose_keys import import_public_jwk
from tests.citizen_world import Citizen
from tests.oauth_flow import (
    CALLBACK,
    COMPLETED,
    SECOND_CALLBACK,
    Attempt,
    Flow,
    agreed,
    challenge_of,
    parts_of,
    refused,
)
from tests.oauth_world import ISSUER

ALGORITHMS = {"PS256", "ES256", "EdDSA"}
BASE64URL = set(string.ascii_letters + string.digits + "-_")


def bits_of(secret: str) -> int:
    """Return how many bits a base64url text can hold."""
    assert set(secret) <= BASE64URL
    return len(secret) * 6


def test_suite_discovery_end_point_verification(flow: Flow) -> None:
    document = flow.world.http.get("/.well-known/openid-configuration").get_json()
    assert document["issuer"] == ISSUER
    urls = {name: value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert {"authorization_endpoint", "token_endpoint", "jwks_uri"} < set(urls)
    assert "pushed_authorization_request_endpoint" in urls
    assert all(url.startswith(f"{ISSUER}/") for url in urls.values())
    assert document["response_types_supported"] == ["code"]
    assert {"authorization_code", "client_credentials"} < set(document["grant_types_supported"])
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["require_pushed_authorization_requests"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    assert set(document["token_endpoint_auth_methods_supported"]) == {"private_key_jwt"}
    for name in (
        "token_endpoint_auth_signing_alg_values",
        "dpop_signing_alg_values",
        "id_token_signing_alg_values",
    ):
        assert set(document[f"{name}_supported"]) <= ALGORITHMS, name
    keys = flow.world.http.get(urlsplit(document["jwks_uri"]).path).get_json()["keys"]
    assert {import_public_jwk(key).algorithm for key in keys} <= ALGORITHMS


@pytest.mark.parametrize("client_id", ["first-of-two", "second-of-two"])
@pytest.mark.parametrize("redirect_uri", [CALLBACK, SECOND_CALLBACK])
def test_suite_happy_flow(flow: Flow, citizen: Citizen, client_id: str, redirect_uri: str) -> None:
    party = flow.register_bank(f"{client_id}-{len(redirect_uri)}")
    attempt = Attempt()
    pushed = flow.push(attempt, party, redirect_uri=redirect_uri, scope="openid share_record", nonce="n-1")
    assert pushed.status_code == 201
    assert pushed.headers["Cache-Control"] == "no-store"
    assert set(pushed.get_json()) == {"request_uri", "expires_in"}
    assert bits_of(attempt.request_uri.rpartition(":")[2]) >= 128
    flow.decide(citizen, attempt, client_id=party.client_id)
    assert attempt.location.startswith(redirect_uri)
    own = parse_qs(urlsplit(redirect_uri).query)
    assert set(attempt.answer) == {"code", "state", "iss", *own}
    assert (attempt.answer["state"], attempt.answer["iss"]) == (attempt.state, ISSUER)
    assert bits_of(attempt.code) >= 128
    answer = flow.redeem(attempt, party, redirect_uri=redirect_uri)
    assert answer.status_code == 200, answer.get_json()
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert body["token_type"] == "DPoP"
    assert agreed(body["authorization_details"]) == [COMPLETED]
    assert bits_of(body["refresh_token"]) >= 128
    assert bits_of(parts_of(body["access_token"])[1]["jti"]) >= 128
    keys = KeySet.import_key_set(flow.world.http.get("/oauth/jwks").get_json())
    claims = jwt.decode(body["id_token"], keys, algorithms=["ES256"]).claims
    assert (claims["aud"], claims["nonce"]) == (party.client_id, "n-1")
    assert flow.is_good(body["access_token"], party)
    in_query = flow.world.http.get("/v1/token-info", query_string={"access_token": body["access_token"]})
    assert in_query.status_code == 401


def test_suite_user_rejects_authentication(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    answer = flow.decide(citizen, attempt, choice="refuse")
    assert answer.status_code == 303
    assert attempt.location.startswith(f"{CALLBACK}?")
    assert attempt.answer == {"error": "access_denied", "state": attempt.state, "iss": ISSUER}


def test_suite_ensure_authorization_request_without_state_success(flow: Flow, citizen: Citizen) -> None:
    attempt = flow.granted(citizen, state=...)
    assert set(attempt.answer) == {"code", "iss"}
    assert flow.redeem(attempt).status_code == 200


def test_suite_ensure_authorization_request_without_nonce_success(flow: Flow, citizen: Citizen) -> None:
    body = flow.tokens(citizen, scope="openid share_record")
    assert "nonce" not in parts_of(body["id_token"])[1]


@pytest.mark.parametrize("length", [1, 64, 65, 1024])
def test_suite_ensure_authorization_request_with_64_char_nonce_success(
    flow: Flow, citizen: Citizen, length: int
) -> None:
    nonce = ("0123456789abcdef" * 64)[:length]
    body = flow.tokens(citizen, scope="openid share_record", nonce=nonce)
    assert parts_of(body["id_token"])[1]["nonce"] == nonce


@pytest.mark.parametrize("scope", ["openid share_record", "share_record openid"])
def test_suite_ensure_other_scope_order_succeeds(flow: Flow, citizen: Citizen, scope: str) -> None:
    body = flow.tokens(citizen, scope=scope)
    assert body["scope"] == scope
    assert "id_token" in body


def test_suite_test_claims_parameter_identity_claims(flow: Flow) -> None:
    document = flow.world.http.get("/.well-known/openid-configuration").get_json()
    assert document["claims_parameter_supported"] is False
    assert "claims" in refused(flow.push(claims='{"id_token":{"sub":null}}'), "invalid_request")


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP", "dPoP"])
def test_suite_access_token_type_header_case_sensitivity(flow: Flow, citizen: Citizen, scheme: str) -> None:
    token = flow.tokens(citizen)["access_token"]
    assert flow.get("/v1/token-info", token, scheme=scheme).status_code == 200


@pytest.mark.parametrize("scope", ["share_record openid", "openid share_record"])
def test_suite_ensure_different_nonce_inside_and_outside_request_object(
    flow: Flow, citizen: Citizen, scope: str
) -> None:
    attempt = Attempt()
    flow.push(attempt, scope=scope, nonce="inside")
    outside = flow.authorize(flow.browser(), attempt.request_uri, nonce="outside", scope="openid")
    assert outside.status_code == 303
    flow.decide(citizen, attempt)
    assert parts_of(flow.redeem(attempt).get_json()["id_token"])[1]["nonce"] == "inside"


def test_suite_ensure_different_state_inside_and_outside_request_object(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    assert flow.authorize(flow.signed_in(citizen), attempt.request_uri, state="outside").status_code == 303
    flow.decide(citizen, attempt)
    assert attempt.answer["state"] == attempt.state


@pytest.mark.parametrize("length", [1_000, 4_000])
def test_suite_ensure_authorization_request_with_long_state(
    flow: Flow, citizen: Citizen, length: int
) -> None:
    state = ("".join(map(chr, range(0x20, 0x7F))) * 50)[:length]
    assert flow.granted(citizen, state=state).answer["state"] == state


def test_suite_ensure_authorization_request_with_long_state_never_cuts_one(flow: Flow) -> None:
    assert "4096 characters" in refused(flow.push(state="x" * 4097), "invalid_request")


def test_suite_ensure_authorization_request_with_long_nonce(flow: Flow, citizen: Citizen) -> None:
    nonce = "n" * 1000
    body = flow.tokens(citizen, scope="openid share_record", nonce=nonce)
    assert parts_of(body["id_token"])[1]["nonce"] == nonce
    assert "1024 characters" in refused(flow.push(nonce="n" * 1025), "invalid_request")


def test_suite_state_only_outside_request_object_not_used(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt, state=...)
    assert flow.authorize(flow.browser(), attempt.request_uri, state="outside").status_code == 303
    flow.decide(citizen, attempt)
    assert set(attempt.answer) == {"code", "iss"}


def test_suite_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(
    flow: Flow, citizen: Citizen
) -> None:
    attempt = Attempt()
    flow.push(attempt)
    pages = {flow.authorize(flow.browser(), attempt.request_uri).headers["Location"] for _ in range(3)}
    assert len(pages) == 1
    assert flow.decide(citizen, attempt).status_code == 303
    assert flow.redeem(attempt).status_code == 200


def test_suite_par_without_duplicate_parameters(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    query = {"client_id": "bank-a", "request_uri": attempt.request_uri}
    browser = flow.signed_in(citizen)
    assert browser.get("/oauth/authorize", query_string=query, base_url=ISSUER).status_code == 303
    assert flow.decide(citizen, attempt).status_code == 303


@pytest.mark.parametrize("seconds", [0, 8])
def test_suite_par_ensure_jwt_client_assertions_nbf_8_seconds_in_the_future_is_accepted(
    flow: Flow, seconds: int
) -> None:
    ahead = int(flow.world.clock().timestamp()) + seconds
    assertion = flow.bank.assertion(flow.world.clock(), iat=ahead, nbf=ahead)
    assert flow.push(client_assertion=assertion).status_code == 201


def test_suite_ensure_dpopproof_at_par_endpoint_binding_success(flow: Flow, citizen: Citizen) -> None:
    clock = flow.world.clock()
    attempt = flow.granted(citizen, proof=flow.bank.proof(clock, url=f"{ISSUER}/oauth/par"))
    assert flow.redeem(attempt).status_code == 200


def test_suite_ensure_dpop_auth_code_binding_success(flow: Flow, citizen: Citizen) -> None:
    attempt = flow.granted(citizen, dpop_jkt=flow.bank.key.thumbprint())
    body = flow.redeem(attempt).get_json()
    assert parts_of(body["access_token"])[1]["cnf"] == {"jkt": flow.bank.key.thumbprint()}


def test_suite_refresh_token(flow: Flow, citizen: Citizen) -> None:
    """Both clients renew; without authentication, without proof, by the other client nobody does."""
    second = flow.register_bank("bank-that-renews")
    first_token = flow.tokens(citizen)["refresh_token"]
    second_token = flow.tokens(citizen, second)["refresh_token"]
    for token, party, other in ((first_token, flow.bank, second), (second_token, second, flow.bank)):
        renewed = flow.refresh(token, party)
        assert renewed.status_code == 200, renewed.get_json()
        body = renewed.get_json()
        assert "refresh_token" not in body, "it is not rotated"
        assert flow.is_good(body["access_token"], party)
        refused(flow.refresh(token, other), "invalid_grant")
        refused(flow.refresh(token, party, client_assertion=..., client_assertion_type=...), "invalid_client")
        refused(flow.refresh(token, party, proof=""), "invalid_dpop_proof")
        assert flow.refresh(token, party).status_code == 200


def test_rfc7636_appendix_b_the_challenge_of_the_example_is_what_these_tests_push() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
