"""The OpenID conformance suite's plan for FAPI 2.0 authorization servers: what must be refused.

A test is named like its module, without the prefix `fapi2-security-profile-final-`; where the suite accepts
several answers, the tests ask for the one that this server gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from tests.citizen_world import Citizen
from tests.oauth_flow import CALLBACK, Attempt, Flow, challenge_of, refused
from tests.oauth_world import ASSERTION_TYPE, ISSUER, TOKEN_URL, Party

PAR_URL = f"{ISSUER}/oauth/par"
OTHER_URL = "https://unregistered.example/callback"
Endpoint = Callable[[Flow, Attempt, dict[str, Any]], TestResponse]


def at_par(flow: Flow, _: Attempt, changes: dict[str, Any]) -> TestResponse:
    return flow.push(**changes)


def at_token(flow: Flow, attempt: Attempt, changes: dict[str, Any]) -> TestResponse:
    return flow.redeem(attempt, **changes)


BOTH = pytest.mark.parametrize("ask", [at_par, at_token])


def fault_page(answer: TestResponse) -> None:
    """Check that the browser was shown a page and sent nowhere."""
    assert answer.status_code == 400
    assert answer.mimetype == "text/html"
    assert "Location" not in answer.headers


class TestPushedRequests:
    def test_suite_ensure_request_object_without_redirect_uri_fails(self, flow: Flow) -> None:
        assert "redirect_uri" in refused(flow.push(redirect_uri=...), "invalid_request")

    def test_suite_ensure_redirect_uri_in_authorization_request(self, flow: Flow) -> None:
        refused(flow.push(redirect_uri=...), "invalid_request")
        given_outside = {"client_id": "bank-a", "response_type": "code", "redirect_uri": CALLBACK}
        fault_page(flow.browser().get("/oauth/authorize", query_string=given_outside, base_url=ISSUER))

    @pytest.mark.parametrize(
        "redirect_uri",
        [
            OTHER_URL,
            f"{CALLBACK}/",
            f"{CALLBACK}?more=1",
            f"{CALLBACK}#fragment",
            CALLBACK.replace("https", "http"),
            CALLBACK.replace("bank", "BANK"),
            CALLBACK.replace(".example", ".example:443"),
            CALLBACK.replace("callback", "%63allback"),
            "https://bank.example@unregistered.example/callback",
            "https://bank.example/callback/../callback",
            "javascript:alert(1)",
            "//bank.example/callback",
            f" {CALLBACK}",
            'quote"\\ế',
        ],
    )
    def test_suite_ensure_registered_redirect_uri(self, flow: Flow, redirect_uri: str) -> None:
        told = refused(flow.push(redirect_uri=redirect_uri), "invalid_request")
        assert told == "redirect_uri is not registered for this client"

    def test_suite_plain_fapi_tolerate_unregistered_redirect_uri(self, flow: Flow) -> None:
        """The suite lets a server take unregistered addresses at PAR (RFC 9126, 2.4); this one does not."""
        refused(flow.push(redirect_uri=OTHER_URL), "invalid_request")

    @pytest.mark.parametrize("response_type", ["code id_token", "id_token code"])
    def test_suite_ensure_response_type_code_idtoken_fails(self, flow: Flow, response_type: str) -> None:
        refused(flow.push(response_type=response_type, nonce="n"), "unsupported_response_type")

    @pytest.mark.parametrize("response_type", ["token", "code token", "id_token", "none", "Code", 'ế"'])
    def test_suite_ensure_response_type_token_fails(self, flow: Flow, response_type: str) -> None:
        refused(flow.push(response_type=response_type), "unsupported_response_type")

    def test_suite_par_authorization_request_containing_request_uri_form_param(self, flow: Flow) -> None:
        attempt = Attempt()
        flow.push(attempt)
        told = refused(flow.push(request_uri=attempt.request_uri), "invalid_request")
        assert told == "request_uri must not be pushed (RFC 9126, 2.1)"

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    def test_suite_par_attempt_invalid_http_method(self, flow: Flow, method: str) -> None:
        answer = flow.world.http.open("/oauth/par", method=method, base_url=ISSUER)
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]

    def test_suite_par_ensure_pkce_required(self, flow: Flow) -> None:
        without: dict[str, Any] = {"code_challenge": ..., "code_challenge_method": ...}
        assert "S256" in refused(flow.push(**without), "invalid_request")
        refused(flow.push(code_challenge=...), "invalid_request")

    def test_suite_par_plain_pkce_rejected(self, flow: Flow) -> None:
        verifier = "v" * 43
        refused(flow.push(code_challenge=verifier, code_challenge_method="plain"), "invalid_request")
        # Without a method, plain is meant (RFC 7636, 4.3).
        refused(flow.push(code_challenge=verifier, code_challenge_method=...), "invalid_request")

    def test_suite_ensure_mismatched_dpop_jkt_fails(self, flow: Flow) -> None:
        proof = flow.bank.proof(flow.world.clock(), url=PAR_URL)
        answer = flow.push(proof=proof, dpop_jkt=Party("other").key.thumbprint())
        assert "dpop_jkt" in refused(answer, "invalid_dpop_proof")


class TestAuthorizationEndpoint:
    def test_suite_ensure_unsigned_authorization_request_without_using_par_fails(self, flow: Flow) -> None:
        plain = {
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "state": "s",
            "scope": "openid",
            "code_challenge": challenge_of("v" * 43),
            "code_challenge_method": "S256",
        }
        answer = flow.browser().get(
            "/oauth/authorize", query_string={"client_id": "bank-a", **plain}, base_url=ISSUER
        )
        fault_page(answer)
        assert "Yêu cầu phải được hệ thống của tổ chức gửi đến trước" in answer.text

    def test_suite_par_attempt_reuse_request_uri(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        fault_page(flow.authorize(flow.signed_in(citizen), attempt.request_uri))
        refusing = Attempt()
        flow.push(refusing)
        flow.decide(citizen, refusing, choice="refuse")
        fault_page(flow.authorize(flow.signed_in(citizen), refusing.request_uri))

    def test_suite_par_attempt_to_use_expired_request_uri(self, flow: Flow) -> None:
        attempt = Attempt()
        seconds = flow.push(attempt).get_json()["expires_in"]
        flow.world.clock.move(seconds - 1)
        in_time = Attempt()
        flow.push(in_time)
        flow.world.clock.move(1)
        fault_page(flow.authorize(flow.browser(), attempt.request_uri))
        assert flow.authorize(flow.browser(), in_time.request_uri).status_code == 303

    def test_suite_par_attempt_to_use_request_uri_for_different_client(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        flow.register_bank("bank-with-anothers-request")
        attempt = Attempt()
        flow.push(attempt)
        fault_page(flow.authorize(flow.browser(), attempt.request_uri, "bank-with-anothers-request"))
        assert flow.decide(citizen, attempt).status_code == 303, "its owner can still use it"


class TestTokenEndpoint:
    def test_suite_ensure_client_id_in_token_endpoint(self, flow: Flow, citizen: Citizen) -> None:
        flow.register_bank("bank-named-beside")
        attempt = flow.granted(citizen)
        refused(flow.redeem(attempt, client_id="bank-named-beside"), "invalid_client")
        assert flow.redeem(attempt, client_id="bank-a").status_code == 200

    def test_suite_ensure_holder_of_key_required(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        assert refused(flow.redeem(attempt, proof=""), "invalid_dpop_proof") == "the DPoP header is missing"

    def test_suite_ensure_authorization_code_is_bound_to_client(self, flow: Flow, citizen: Citizen) -> None:
        thief = flow.register_bank("bank-with-anothers-code")
        attempt = flow.granted(citizen)
        refused(flow.redeem(attempt, thief), "invalid_grant")
        answer = flow.redeem(attempt)
        assert answer.status_code == 200, "the thief's try has used nothing up"
        refused(flow.redeem(attempt, thief), "invalid_grant")
        assert flow.is_good(answer.get_json()["access_token"]), "nor can another client end anything"

    @pytest.mark.parametrize("seconds", [0, 1, 55, 3600])
    def test_suite_attempt_reuse_authorization_code_after_one_second(
        self, flow: Flow, citizen: Citizen, seconds: int
    ) -> None:
        attempt = flow.granted(citizen)
        body = flow.redeem(attempt).get_json()
        flow.world.clock.move(seconds)
        assert refused(flow.redeem(attempt), "invalid_grant") == "the code was used before"
        flow.world.clock.move(-seconds)
        assert not flow.is_good(body["access_token"]), "what was issued is revoked"
        refused(flow.refresh(body["refresh_token"]), "invalid_grant")

    @pytest.mark.parametrize("seconds", [50, 61])
    def test_suite_ensure_token_endpoint_fails_with_expired_auth_code(
        self, flow: Flow, citizen: Citizen, seconds: int
    ) -> None:
        attempt = flow.granted(citizen)
        flow.world.clock.move(seconds)
        assert refused(flow.redeem(attempt), "invalid_grant") == "the code has expired"

    @pytest.mark.parametrize("verifier", [..., ""])
    def test_suite_ensure_pkce_code_verifier_required(
        self, flow: Flow, citizen: Citizen, verifier: Any
    ) -> None:
        attempt = flow.granted(citizen)
        assert "code_verifier" in refused(flow.redeem(attempt, code_verifier=verifier), "invalid_grant")
        assert flow.redeem(attempt).status_code == 200

    def test_suite_incorrect_pkce_code_verifier_rejected(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        wrong = [
            "w" * 43,
            attempt.verifier[:-1],
            f"{attempt.verifier}x",
            attempt.verifier.swapcase(),
            challenge_of(attempt.verifier),
            "w" * 129,
            "ế" * 43,
        ]
        for verifier in wrong:
            refused(flow.redeem(attempt, code_verifier=verifier), "invalid_grant")
        assert flow.redeem(attempt).status_code == 200

    def test_suite_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        clock = flow.world.clock()
        attempt = flow.granted(citizen, proof=flow.bank.proof(clock, url=PAR_URL))
        other = Party("other").proof(clock, url=TOKEN_URL)
        assert "another DPoP key" in refused(flow.redeem(attempt, proof=other), "invalid_grant")
        assert flow.redeem(attempt).status_code == 200

    def test_suite_ensure_token_endpoint_fails_with_mismatched_dpop_jkt(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen, dpop_jkt=Party("other").key.thumbprint())
        refused(flow.redeem(attempt), "invalid_grant")
        refused(flow.redeem(attempt, proof=""), "invalid_grant", "invalid_dpop_proof")


class TestClientAssertions:
    """Alike at both endpoints."""

    @BOTH
    def test_suite_ensure_signed_client_assertion_with_RS256_fails(  # noqa: N802 (the module's name)
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        party = flow.register_bank(f"bank-with-rsa-{ask.__name__}", "PS256")
        attempt = flow.granted(citizen, party=party)
        now = int(flow.world.clock().timestamp())
        claims = {"iss": party.client_id, "sub": party.client_id, "aud": ISSUER, "exp": now + 60, "jti": "1"}
        assert isinstance(party.key, RSAKey)
        header = {"alg": "RS256", "kid": party.kid}
        assertion = jwt.encode(header, claims, party.key, algorithms=["RS256"])
        refused(ask(flow, attempt, {"party": party, "client_assertion": assertion}), "invalid_client")
        signed_rightly = {"party": party, "client_assertion": party.assertion(flow.world.clock())}
        assert ask(flow, attempt, signed_rightly).status_code in (200, 201)

    @BOTH
    def test_suite_ensure_client_assertion_in_token_endpoint(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        attempt = flow.granted(citizen)
        refused(ask(flow, attempt, {"client_assertion": ..., "client_id": "bank-a"}), "invalid_client")
        both = {"client_assertion": ..., "client_assertion_type": ...}
        refused(ask(flow, attempt, both), "invalid_client")

    @BOTH
    def test_suite_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        attempt, now = flow.granted(citizen), flow.world.clock()
        assertion = flow.bank.assertion(now, exp=int(now.timestamp()) - 300)
        refused(ask(flow, attempt, {"client_assertion": assertion}), "invalid_client")

    @BOTH
    @pytest.mark.parametrize("aud", ["https://other.example", f"{ISSUER}/", "", ..., 7, {}])
    def test_suite_ensure_client_assertion_with_wrong_aud_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint, aud: Any
    ) -> None:
        assertion = flow.bank.assertion(flow.world.clock(), aud=aud)
        refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")

    @BOTH
    def test_suite_ensure_client_assertion_with_no_sub_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        assertion = flow.bank.assertion(flow.world.clock(), sub=...)
        refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")

    @BOTH
    @pytest.mark.parametrize("aud", [[ISSUER], [ISSUER, "https://other.example"], []])
    def test_suite_par_test_array_as_audience_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint, aud: list[str]
    ) -> None:
        assertion = flow.bank.assertion(flow.world.clock(), aud=aud)
        told = refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")
        assert told == "aud of the client assertion must be the issuer, as a string"

    @BOTH
    def test_suite_par_test_par_endpoint_url_as_audience_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        assertion = flow.bank.assertion(flow.world.clock(), aud=PAR_URL)
        refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")

    @BOTH
    def test_suite_par_test_token_endpoint_url_as_audience_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        assertion = flow.bank.assertion(flow.world.clock(), aud=TOKEN_URL)
        refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")

    @BOTH
    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_suite_par_ensure_jwt_client_assertions_nbf_over_60_seconds_in_the_future_fails(
        self, flow: Flow, citizen: Citizen, ask: Endpoint, claim: str
    ) -> None:
        now = flow.world.clock()
        times: dict[str, Any] = {"exp": int(now.timestamp()) + 120, claim: int(now.timestamp()) + 62}
        assertion = flow.bank.assertion(now, **times)
        refused(ask(flow, flow.granted(citizen), {"client_assertion": assertion}), "invalid_client")

    @BOTH
    def test_suite_ensure_invalid_client_assertions_fail(
        self, flow: Flow, citizen: Citizen, ask: Endpoint
    ) -> None:
        """One after the other, then a good one, so that what was refused was refused for what it was."""
        now, bank, attempt = flow.world.clock(), flow.bank, flow.granted(citizen)
        good = bank.assertion(now)
        unsigned = bank.assertion(now, {"alg": "none"}).rpartition(".")[0] + "."
        broken: list[dict[str, Any]] = [
            {"client_assertion_type": ...},
            {"client_assertion_type": f"{ASSERTION_TYPE}x"},
            {"client_assertion": bank.assertion(now, sub="bank-b")},
            {"client_assertion": bank.assertion(now, iss=...)},
            {"client_assertion": bank.assertion(now, iss="bank-b")},
            {"client_assertion": unsigned},
            {"client_assertion": good[:-8] + ("A" * 8 if not good.endswith("A" * 8) else "B" * 8)},
            {"client_assertion": Party("bank-a").assertion(now)},
            {"client_assertion": "x"},
        ]
        for changes in broken:
            refused(ask(flow, attempt, changes), "invalid_client")
        assert ask(flow, attempt, {"client_assertion": good}).status_code in (200, 201)
