"""DPoP as FAPI 2.0 and the conformance suite want it, at pushed requests, token endpoint and resource.

Every proof here goes through HTTP to a token that a citizen's decision has bought.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.oauth.jose import encode_segment
from tests.citizen_world import Citizen
from tests.oauth_flow import Attempt, Flow, parts_of, refused
from tests.oauth_world import ISSUER, TOKEN_URL, Party, ath

PATH = "/v1/token-info"
URL = ISSUER + PATH
PAR_URL = f"{ISSUER}/oauth/par"
EXTRA: Mapping[str, Any] = {"unknown": {"a": [1]}, "x5t": "unused"}


@pytest.fixture
def token(flow: Flow, citizen: Citizen) -> str:
    """A fresh access token of the bank, bound to its key."""
    return str(flow.tokens(citizen)["access_token"])


def told(answer: TestResponse, error: str) -> None:
    """Check a refusal at a resource: 401, a challenge with the error, a problem document (RFC 9449, 7.1)."""
    assert answer.status_code == 401, answer.get_data(as_text=True)
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith("DPoP ")
    assert f'error="{error}"' in challenge
    assert 'algs="ES256 EdDSA PS256"' in challenge
    assert answer.content_type == "application/problem+json"


class TestTheSuitesProofs:
    """Module dpop-negative-tests, all its variants; the good ones stand among the bad ones."""

    def good(self, flow: Flow, token: str, **claims: Any) -> str:
        return flow.bank.proof(flow.world.clock(), "GET", claims.pop("url", URL), token, **claims)

    def test_suite_dpop_negative_tests_a_correct_proof_works(self, flow: Flow, token: str) -> None:
        assert flow.get(PATH, token).status_code == 200

    def test_suite_dpop_negative_tests_header_name_in_capitals(self, flow: Flow, token: str) -> None:
        headers = {"AUTHORIZATION": f"DPoP {token}", "DPOP": self.good(flow, token)}
        assert flow.world.http.get(PATH, headers=headers, base_url=ISSUER).status_code == 200

    def test_suite_dpop_negative_tests_more_than_one_proof(self, flow: Flow, token: str) -> None:
        proofs = [("DPoP", self.good(flow, token)) for _ in range(2)]
        headers = [("Authorization", f"DPoP {token}"), *proofs]
        told(flow.world.http.get(PATH, headers=headers, base_url=ISSUER), "invalid_dpop_proof")

    @pytest.mark.parametrize("spoil", [lambda p: p[:20], lambda p: p.replace(".", ""), lambda _: "x.y.z"])
    def test_suite_dpop_negative_tests_not_a_jwt(self, flow: Flow, token: str, spoil: Any) -> None:
        told(flow.get(PATH, token, proof=spoil(self.good(flow, token))), "invalid_dpop_proof")

    @pytest.mark.parametrize("name", ["typ", "alg", "jwk"])
    def test_suite_dpop_negative_tests_a_header_member_is_missing(
        self, flow: Flow, token: str, name: str
    ) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, header={name: ...})), "invalid_dpop_proof")

    @pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat", "ath"])
    def test_suite_dpop_negative_tests_a_claim_is_missing(self, flow: Flow, token: str, name: str) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, **{name: ...})), "invalid_dpop_proof")

    @pytest.mark.parametrize("typ", ["JWT", "jwt+dpop", "dpop", ""])
    def test_suite_dpop_negative_tests_another_typ(self, flow: Flow, token: str, typ: str) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, header={"typ": typ})), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_rs256(self, flow: Flow, citizen: Citizen) -> None:
        party = flow.register_bank("bank-with-rsa-proofs", "PS256")
        token = flow.tokens(citizen, party)["access_token"]
        clock = flow.world.clock()
        wrong = party.proof(clock, "GET", URL, token, {"alg": "RS256"})
        told(flow.get(PATH, token, party, proof=wrong), "invalid_dpop_proof")
        assert flow.get(PATH, token, party).status_code == 200

    def test_suite_dpop_negative_tests_alg_none(self, flow: Flow, token: str) -> None:
        unsigned = self.good(flow, token, header={"alg": "none"})
        told(flow.get(PATH, token, proof=unsigned), "invalid_dpop_proof")
        told(flow.get(PATH, token, proof=unsigned.rpartition(".")[0] + "."), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_invalid_signature(self, flow: Flow, token: str) -> None:
        content = self.good(flow, token).rpartition(".")[0]
        other = self.good(flow, token).rpartition(".")[2]
        told(flow.get(PATH, token, proof=f"{content}.{other}"), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_private_key_in_the_header(self, flow: Flow, token: str) -> None:
        private = {"jwk": flow.bank.key.as_dict(private=True)}
        told(flow.get(PATH, token, proof=self.good(flow, token, header=private)), "invalid_dpop_proof")

    @pytest.mark.parametrize("htm", ["PUT", "POST", "get", "HEAD"])
    def test_suite_dpop_negative_tests_another_htm(self, flow: Flow, token: str, htm: str) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, htm=htm)), "invalid_dpop_proof")

    @pytest.mark.parametrize("tail", ["?a=b", "#place", "?a=b#place"])
    def test_suite_dpop_negative_tests_query_and_fragment_in_htu_are_ignored(
        self, flow: Flow, token: str, tail: str
    ) -> None:
        assert flow.get(PATH, token, proof=self.good(flow, token, url=URL + tail)).status_code == 200

    def test_suite_dpop_negative_tests_htu_without_the_query_of_the_request(
        self, flow: Flow, token: str
    ) -> None:
        assert flow.get(f"{PATH}?a=b", token, proof=self.good(flow, token)).status_code == 200

    @pytest.mark.parametrize(
        "url", ["https://other.example/v1/token-info", f"{URL}/more", f"{ISSUER}/v1", TOKEN_URL]
    )
    def test_suite_dpop_negative_tests_htu_of_another_url(self, flow: Flow, token: str, url: str) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, url=url)), "invalid_dpop_proof")

    @pytest.mark.parametrize("seconds", [-3600, -120, 61, 3600])
    def test_suite_dpop_negative_tests_iat_far_away(self, flow: Flow, token: str, seconds: int) -> None:
        at = int(flow.world.clock().timestamp()) + seconds
        told(flow.get(PATH, token, proof=self.good(flow, token, iat=at)), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_jti_used_again(self, flow: Flow, token: str) -> None:
        proof = self.good(flow, token)
        assert flow.get(PATH, token, proof=proof).status_code == 200
        told(flow.get(PATH, token, proof=proof), "invalid_dpop_proof")
        other_bytes = self.good(flow, token, jti=parts_of(proof)[1]["jti"], more=1)
        told(flow.get(PATH, token, proof=other_bytes), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_another_ath(self, flow: Flow, token: str) -> None:
        told(flow.get(PATH, token, proof=self.good(flow, token, ath=ath("other"))), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_another_key(self, flow: Flow, token: str) -> None:
        proof = Party("bank-a").proof(flow.world.clock(), "GET", URL, token)
        told(flow.get(PATH, token, proof=proof), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_extra_members_are_ignored(self, flow: Flow, token: str) -> None:
        proof = self.good(flow, token, header=EXTRA, **EXTRA)
        assert flow.get(PATH, token, proof=proof).status_code == 200

    @pytest.mark.parametrize("url", ["HTTPS://BROKER.example/v1/token-info", f"{ISSUER}:443{PATH}"])
    def test_suite_dpop_negative_tests_htu_is_compared_normalised(
        self, flow: Flow, token: str, url: str
    ) -> None:
        assert flow.get(PATH, token, proof=self.good(flow, token, url=url)).status_code == 200

    def test_suite_dpop_negative_tests_no_proof(self, flow: Flow, token: str) -> None:
        told(flow.get(PATH, token, proof=""), "invalid_dpop_proof")

    def test_suite_dpop_negative_tests_bearer_instead_of_a_proof(self, flow: Flow, token: str) -> None:
        told(flow.get(PATH, token, proof="", scheme="Bearer"), "invalid_token")
        told(flow.get(PATH, token, scheme="Bearer"), "invalid_token")
        assert flow.get(PATH, token).status_code == 200, "the token itself was good all the while"


class TestTheClock:
    def test_suite_check_dpop_proof_nbf_exp(self, flow: Flow, citizen: Citizen) -> None:
        now = int(flow.world.clock().timestamp())
        attempt = flow.granted(citizen)
        timed: dict[str, Any] = {"nbf": now, "exp": now + 30}
        body = flow.redeem(attempt, proof=flow.bank.proof(flow.world.clock(), **timed)).get_json()
        token = body["access_token"]
        at_resource = flow.bank.proof(flow.world.clock(), "GET", URL, token, **timed)
        assert flow.get(PATH, token, proof=at_resource).status_code == 200
        wrongs: list[dict[str, Any]] = [{"nbf": now + 61}, {"exp": now - 1}]
        for wrong in wrongs:
            spoilt = flow.bank.proof(flow.world.clock(), "GET", URL, token, **wrong)
            told(flow.get(PATH, token, proof=spoilt), "invalid_dpop_proof")

    def _shifted(self, flow: Flow, citizen: Citizen, seconds: int) -> None:
        at = int(flow.world.clock().timestamp()) + seconds
        pushed = flow.bank.proof(flow.world.clock(), url=PAR_URL, iat=at)
        attempt = flow.granted(citizen, proof=pushed)
        answer = flow.redeem(attempt, proof=flow.bank.proof(flow.world.clock(), iat=at))
        assert answer.status_code == 200, answer.get_json()
        token = answer.get_json()["access_token"]
        proof = flow.bank.proof(flow.world.clock(), "GET", URL, token, iat=at)
        assert flow.get(PATH, token, proof=proof).status_code == 200

    def test_suite_ensure_dpopproof_with_iat_10seconds_before_succeeds(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        self._shifted(flow, citizen, -10)

    def test_suite_ensure_dpopproof_with_iat_10seconds_after_succeeds(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        self._shifted(flow, citizen, 10)


class TestAtTheOtherEndpoints:
    @pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256"])
    def test_rfc9449_5_each_algorithm_binds_a_token_to_its_key(
        self, flow: Flow, citizen: Citizen, algorithm: Any
    ) -> None:
        party = flow.register_bank(f"bank-{algorithm.lower()}", algorithm)
        token = flow.tokens(citizen, party)["access_token"]
        assert parts_of(token)[1]["cnf"] == {"jkt": party.key.thumbprint()}
        assert flow.is_good(token, party)

    def test_rfc9449_5_the_proof_may_have_another_key_than_the_assertion(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        other = Party("a key for proofs alone", "EdDSA")
        body = flow.redeem(flow.granted(citizen), proof=other.proof(flow.world.clock())).get_json()
        assert flow.is_good(body["access_token"], other)
        assert not flow.is_good(body["access_token"])

    @pytest.mark.parametrize("claims", [{"htm": "GET"}, {"htu": TOKEN_URL}, {"jti": ...}, {"iat": 0}])
    def test_rfc9449_10_1_a_spoilt_proof_at_a_pushed_request_is_refused(
        self, flow: Flow, claims: dict[str, Any]
    ) -> None:
        proof = flow.bank.proof(flow.world.clock(), url=claims.pop("htu", PAR_URL), **claims)
        refused(flow.push(proof=proof), "invalid_dpop_proof")

    def test_rfc9449_10_1_a_proof_pushes_once(self, flow: Flow) -> None:
        proof = flow.bank.proof(flow.world.clock(), url=PAR_URL)
        assert flow.push(proof=proof).status_code == 201
        refused(flow.push(proof=proof), "invalid_dpop_proof")

    @pytest.mark.parametrize("jkt", ["", "x", "a" * 44, "é" * 43])
    def test_rfc9449_10_dpop_jkt_must_be_a_thumbprint(self, flow: Flow, jkt: str) -> None:
        answer = flow.push(dpop_jkt=jkt)
        if jkt:
            assert "dpop_jkt" in refused(answer, "invalid_request")
        else:
            assert answer.status_code == 201, "a parameter without value counts as not sent"

    def test_rfc9449_10_dpop_jkt_outside_the_pushed_request_is_not_looked_at(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        other = Party("other").key.thumbprint()
        assert flow.authorize(flow.browser(), attempt.request_uri, dpop_jkt=other).status_code == 303
        flow.decide(citizen, attempt)
        assert flow.redeem(attempt).status_code == 200

    def test_rfc9449_5_a_proof_redeems_once(self, flow: Flow, citizen: Citizen) -> None:
        proof = flow.bank.proof(flow.world.clock())
        assert flow.redeem(flow.granted(citizen), proof=proof).status_code == 200
        second = flow.granted(citizen)
        assert "jti" in refused(flow.redeem(second, proof=proof), "invalid_dpop_proof")
        assert flow.redeem(second).status_code == 200, "the code was not used up"

    def test_rfc9449_4_3_a_jwk_with_a_second_spelling_binds_nothing(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        jwk = flow.bank.key.as_dict(private=False)
        padded = {**jwk, "x": encode_segment(b"\0").decode() + str(jwk["x"])}
        proof = flow.bank.proof(flow.world.clock(), header={"jwk": padded})
        refused(flow.redeem(flow.granted(citizen), proof=proof), "invalid_dpop_proof")
