"""Nonces of the server in DPoP proofs (RFC 9449, 8 and 9): asked for everywhere, good at any worker."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from itsdangerous import Signer
from werkzeug.test import TestResponse

from broker.oauth.citizen_secrets import derived_key
from broker.oauth.nonces import SignedNonces
from broker.settings import Secret
from tests.doors import in_process_caller, post, running_app
from tests.oauth_flow import Attempt, Flow
from tests.oauth_world import KEY_ENCRYPTION_KEY, Database, Party
from tests.oauth_world import World as OAuthWorld
from tests.release_world import CHECKS, World

SECONDS = 60
MACHINE = {"grant_type": "client_credentials", "scope": "grant_management_query"}


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(OAuthWorld(database, dpop_nonce_seconds=SECONDS))


def proof_for(flow: Flow, path: str, nonce: Any = ..., method: str = "POST", token: str | None = None) -> str:
    """Return a proof of the bank with a nonce; ... leaves it out."""
    return flow.bank.proof(flow.world.clock(), method, flow.world.issuer + path, token, nonce=nonce)


def ask_token(flow: Flow, nonce: Any = ..., **changes: Any) -> TestResponse:
    return flow.post("/oauth/token", {**MACHINE, **changes}, proof=proof_for(flow, "/oauth/token", nonce))


def at_resource(flow: Flow, token: str, nonce: Any = ...) -> TestResponse:
    proof = proof_for(flow, "/v1/token-info", nonce, "GET", token)
    return flow.get("/v1/token-info", token, proof=proof)


def nonce_in(answer: TestResponse) -> str:
    """Return the one nonce that an answer tells."""
    assert len(answer.headers.getlist("DPoP-Nonce")) == 1
    return answer.headers["DPoP-Nonce"]


def fresh(flow: Flow) -> str:
    """Return a nonce of the server, as a client gets its first one."""
    return nonce_in(wanted(ask_token(flow)))


def wanted(answer: TestResponse) -> TestResponse:
    """Check that the authorization server asks for a nonce (RFC 9449, 8)."""
    assert answer.status_code == 400, answer.get_data(as_text=True)
    assert answer.get_json()["error"] == "use_dpop_nonce"
    assert answer.headers["Cache-Control"] == "no-store"
    assert nonce_in(answer)
    return answer


def wanted_at_resource(answer: TestResponse) -> TestResponse:
    """Check that the resource server asks for a nonce (RFC 9449, 9)."""
    assert answer.status_code == 401, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["type"].endswith("/problems/proof-invalid")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('DPoP error="use_dpop_nonce"')
    assert 'algs="ES256 EdDSA PS256"' in challenge
    assert nonce_in(answer) not in challenge
    return answer


class TestTokenEndpoint:
    def test_fapi_5_3_2_1_10_and_rfc9449_8_a_proof_without_a_nonce_is_refused_and_told_one(
        self, flow: Flow
    ) -> None:
        answer = ask_token(flow, fresh(flow))
        assert answer.status_code == 200, answer.get_json()
        assert flow.world.count("access_tokens") == 1

    def test_rfc9449_8_the_refused_request_has_used_nothing_up(self, flow: Flow) -> None:
        assertion = flow.bank.assertion(flow.world.clock())
        nonce = nonce_in(wanted(ask_token(flow, client_assertion=assertion)))
        assert flow.world.count("used_assertions") == flow.world.count("used_proofs") == 0
        assert ask_token(flow, nonce, client_assertion=assertion).status_code == 200

    def test_rfc9449_8_1_a_nonce_has_only_the_characters_it_may_have(self, flow: Flow) -> None:
        nonce = fresh(flow)
        assert 16 <= len(nonce) <= 128
        assert all(char == "!" or "#" <= char <= "[" or "]" <= char <= "~" for char in nonce)

    def test_rfc9449_8_2_every_answer_to_a_proof_tells_the_next_nonce(self, flow: Flow) -> None:
        nonce = fresh(flow)
        for _ in range(3):
            answer = ask_token(flow, nonce)
            assert answer.status_code == 200
            following = nonce_in(answer)
            assert following != nonce
            nonce = following

    def test_rfc9449_8_a_nonce_may_be_used_again_while_it_is_good(self, flow: Flow) -> None:
        nonce = fresh(flow)
        assert [ask_token(flow, nonce).status_code for _ in range(2)] == [200, 200]

    def test_rfc9449_11_1_the_same_proof_is_good_once_all_the_same(self, flow: Flow) -> None:
        proof = proof_for(flow, "/oauth/token", fresh(flow))
        assert flow.post("/oauth/token", MACHINE, proof=proof).status_code == 200
        again = flow.post("/oauth/token", MACHINE, proof=proof)
        assert (again.status_code, again.get_json()["error"]) == (400, "invalid_dpop_proof")

    def test_rfc9449_4_3_a_wrong_proof_is_told_no_nonce(self, flow: Flow) -> None:
        """Who asks for a nonce has shown a key; what is wrong otherwise stays invalid_dpop_proof."""
        for proof in ("x.y.z", flow.bank.proof(flow.world.clock(), url="https://other.example/")):
            answer = flow.post("/oauth/token", MACHINE, proof=proof)
            assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_dpop_proof")
            assert "DPoP-Nonce" not in answer.headers

    def test_rfc9449_8_a_citizens_code_survives_the_asking(self, flow: Flow) -> None:
        attempt = flow.granted()
        nonce = nonce_in(wanted(flow.redeem(attempt)))
        body = flow.redeem(attempt, proof=proof_for(flow, "/oauth/token", nonce)).get_json()
        wanted(flow.refresh(body["refresh_token"]))
        proof = proof_for(flow, "/oauth/token", nonce)
        assert flow.refresh(body["refresh_token"], proof=proof).status_code == 200


class TestPushedRequests:
    def test_rfc9449_10_1_a_proof_that_is_pushed_needs_a_nonce_too(self, flow: Flow) -> None:
        attempt = Attempt()
        nonce = nonce_in(wanted(flow.push(attempt, proof=proof_for(flow, "/oauth/par"))))
        pushed = flow.push(attempt, proof=proof_for(flow, "/oauth/par", nonce))
        assert pushed.status_code == 201, pushed.get_json()
        assert ask_token(flow, nonce_in(pushed)).status_code == 200

    def test_rfc9449_10_a_pushed_request_without_a_proof_needs_none(self, flow: Flow) -> None:
        answer = flow.push()
        assert answer.status_code == 201
        assert "DPoP-Nonce" not in answer.headers


class TestResources:
    def token(self, flow: Flow) -> str:
        return str(ask_token(flow, fresh(flow)).get_json()["access_token"])

    def test_rfc9449_9_a_proof_without_a_nonce_is_refused_and_told_one(self, flow: Flow) -> None:
        token = self.token(flow)
        nonce = nonce_in(wanted_at_resource(at_resource(flow, token)))
        assert at_resource(flow, token, nonce).status_code == 200

    def test_rfc9449_9_the_refused_proof_is_not_used_up_but_useless(self, flow: Flow) -> None:
        token = self.token(flow)
        used = flow.world.count("used_proofs")
        proof = proof_for(flow, "/v1/token-info", ..., "GET", token)
        for _ in range(2):
            wanted_at_resource(flow.get("/v1/token-info", token, proof=proof))
        assert flow.world.count("used_proofs") == used

    def test_rfc9449_9_a_grant_is_looked_at_with_a_nonce_only(self, flow: Flow) -> None:
        token, path = self.token(flow), "/oauth/grants/unknown"
        nonce = nonce_in(wanted_at_resource(flow.get(path, token)))
        answer = flow.get(path, token, proof=proof_for(flow, path, nonce, "GET", token))
        assert answer.status_code == 404

    def test_rfc9449_9_one_nonce_serves_authorization_server_and_resources(self, flow: Flow) -> None:
        nonce = fresh(flow)
        token = ask_token(flow, nonce).get_json()["access_token"]
        assert at_resource(flow, token, nonce).status_code == 200


class TestNonces:
    def test_it_works_at_every_worker_with_the_same_key(self, database: Database) -> None:
        first = Flow(OAuthWorld(database, dpop_nonce_seconds=SECONDS))
        nonce = fresh(first)
        second = Flow(OAuthWorld(database, dpop_nonce_seconds=SECONDS))
        assert ask_token(second, nonce).status_code == 200

    def test_it_does_not_work_where_another_key_signs(self, database: Database) -> None:
        nonce = fresh(Flow(OAuthWorld(database, dpop_nonce_seconds=SECONDS)))
        other = bytes(reversed(KEY_ENCRYPTION_KEY))
        made = SignedNonces(derived_key(other, "dpop-nonces"), SECONDS)
        flow = Flow(OAuthWorld(database, dpop_nonce_seconds=SECONDS))
        wanted(ask_token(flow, made.fresh(flow.world.clock().timestamp())))
        assert ask_token(flow, nonce).status_code == 200

    def test_it_expires(self, flow: Flow) -> None:
        nonce = fresh(flow)
        flow.world.clock.at = flow.world.clock.at.replace(microsecond=0)
        flow.world.clock.move(SECONDS)
        assert ask_token(flow, nonce).status_code == 200
        flow.world.clock.move(1)
        answer = wanted(ask_token(flow, nonce))
        assert ask_token(flow, nonce_in(answer)).status_code == 200

    @pytest.mark.parametrize(("ahead", "is_good"), [(9, True), (12, False)])
    def test_clocks_of_workers_may_differ_a_little(self, flow: Flow, ahead: int, is_good: bool) -> None:
        flow.world.clock.move(ahead)
        nonce = fresh(flow)
        flow.world.clock.move(-ahead)
        assert (ask_token(flow, nonce).status_code == 200) is is_good

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda nonce: nonce + "x",
            lambda nonce: nonce[:-1],
            lambda nonce: nonce[::-1],
            lambda nonce: "9" + nonce,
            lambda nonce: nonce.partition(".")[0],
            lambda nonce: nonce.partition(".")[0] + ".",
            lambda nonce: "." + nonce.partition(".")[2],
            lambda nonce: nonce.upper(),
            lambda nonce: nonce + " ",
            lambda nonce: nonce * 9,
            lambda nonce: "é" + nonce,
            lambda _: "",
            lambda _: None,
            lambda _: 1,
            lambda nonce: [nonce],
            lambda nonce: {"nonce": nonce},
        ],
    )
    def test_it_cannot_be_forged(self, flow: Flow, spoil: Any) -> None:
        wanted(ask_token(flow, spoil(fresh(flow))))
        assert flow.world.count("access_tokens") == 0

    def test_what_the_same_key_signs_for_other_purposes_is_no_nonce(self, flow: Flow) -> None:
        now = int(flow.world.clock().timestamp())
        key = derived_key(KEY_ENCRYPTION_KEY, "dpop-nonces")
        for salt in (b"another", b"itsdangerous.Signer"):
            forged = Signer(key, salt=salt, sep=".", key_derivation="hmac").sign(f"{now}-abc").decode()
            wanted(ask_token(flow, forged))
        assert fresh(flow).count(".") == 1

    def test_no_two_are_the_same(self, flow: Flow) -> None:
        assert len({fresh(flow) for _ in range(20)}) == 20


class TestSwitchedOff:
    """The default: proofs need no nonce, and one that they carry is not looked at."""

    def test_rfc9449_8_nothing_is_asked_and_nothing_told(self, database: Database) -> None:
        flow = Flow(OAuthWorld(database))
        answer = ask_token(flow)
        assert answer.status_code == 200
        assert "DPoP-Nonce" not in answer.headers
        shown = at_resource(flow, answer.get_json()["access_token"])
        assert shown.status_code == 200
        assert "DPoP-Nonce" not in shown.headers

    @pytest.mark.parametrize("nonce", ["anything", "", None, 7, ["x"]])
    def test_rfc9449_4_3_a_nonce_that_nobody_asked_for_is_ignored(
        self, database: Database, nonce: Any
    ) -> None:
        flow = Flow(OAuthWorld(database))
        answer = ask_token(flow, nonce)
        assert answer.status_code == 200
        assert at_resource(flow, answer.get_json()["access_token"], nonce).status_code == 200


class TestHotRoute:
    """POST /v1/entitlement-checks, which a small face answers in front of Flask."""

    @pytest.mark.parametrize("path", [CHECKS, f"{CHECKS}?way=flask"], ids=["hot", "flask"])
    def test_rfc9449_9_a_check_without_a_nonce_is_refused_and_told_one(
        self, world: World, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = replace(world.settings, dpop_nonce_seconds=SECONDS)
        monkeypatch.setattr("broker.app.start_logging", lambda _level: None)
        hospital = world.register_hospital(staff=1)
        with running_app(settings) as app:
            caller = in_process_caller(app, settings.issuer, hospital)
            token, url = caller.token(), settings.issuer + CHECKS
            body = json.dumps(world.document(hospital=hospital)).encode()

            def send(nonce: str | None) -> Any:
                proof = hospital.key.proof("POST", url, datetime.now(UTC), token, nonce)
                return caller.request("POST", path, body, token=token, proof=proof)

            before = len(world.entries_of(hospital))
            answer = send(None)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
            assert answer.json()["type"] == f"{settings.issuer}/problems/proof-invalid"
            assert len(world.entries_of(hospital)) == before, "nothing was released"
            nonce = answer.headers["dpop-nonce"]
            assert send(nonce).status == 200
            refused = send(nonce + "x")
            assert (refused.status, refused.json()["type"].rpartition("/")[2]) == (401, "proof-invalid")
            assert refused.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
            assert len(world.entries_of(hospital)) == before + 1

    def test_rfc9449_9_the_hospitals_caller_does_it_by_itself(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = replace(world.settings, dpop_nonce_seconds=SECONDS)
        monkeypatch.setattr("broker.app.start_logging", lambda _level: None)
        hospital = world.register_hospital(staff=1)
        with running_app(settings) as app:
            caller = in_process_caller(app, settings.issuer, hospital)
            for _ in range(2):
                assert post(caller, world.document(hospital=hospital)).status == 200

    def test_two_applications_with_the_same_keys_share_nonces_and_one_with_another_does_not(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = replace(world.settings, dpop_nonce_seconds=SECONDS)
        other = replace(settings, key_encryption_key_file=Secret(bytes(32)))
        monkeypatch.setattr("broker.app.start_logging", lambda _level: None)
        hospital = world.register_hospital(staff=1)
        form = {"grant_type": "client_credentials", "scope": "verify_entitlement"}
        url = f"{settings.issuer}/oauth/token"

        def ask(app: Any, nonce: str | None) -> Any:
            at = datetime.now(UTC)
            own = {
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": hospital.key.assertion(hospital.client_id, settings.issuer, at),
            }
            headers = {"DPoP": hospital.key.proof("POST", url, at, None, nonce)}
            return app.test_client().post(
                "/oauth/token", data={**form, **own}, headers=headers, base_url=settings.issuer
            )

        with running_app(settings) as first, running_app(settings) as second, running_app(other) as third:
            nonce = ask(first, None).headers["DPoP-Nonce"]
            assert ask(second, nonce).status_code == 200
            assert ask(third, nonce).get_json()["error"] == "use_dpop_nonce"


def test_a_proof_of_another_client_with_a_good_nonce_binds_to_its_own_key_only(flow: Flow) -> None:
    nonce = fresh(flow)
    token = ask_token(flow, nonce).get_json()["access_token"]
    url = flow.world.issuer + "/v1/token-info"
    thief = Party("bank-a").proof(flow.world.clock(), "GET", url, token, nonce=nonce)
    answer = flow.get("/v1/token-info", token, proof=thief)
    assert answer.status_code == 401
    assert 'error="invalid_dpop_proof"' in answer.headers["WWW-Authenticate"]
