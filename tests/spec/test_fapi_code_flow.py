"""FAPI 2.0 Security Profile, 5.3.2.2: the authorization code flow, clause by clause."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from sqlalchemy import text

from broker.storage.grants import PostgresGrants
from tests.citizen_world import Citizen, Forms
from tests.doors import at_once
from tests.oauth_flow import (
    CALLBACK,
    INCOME,
    SECOND_CALLBACK,
    Attempt,
    Flow,
    parts_of,
    refused,
    verified_proofs,
)
from tests.oauth_world import ISSUER, Party

AUTHORIZE = "/oauth/authorize"


class TestPushing:
    @pytest.mark.parametrize("value", ["id_token", "token", "code id_token", "none", "code code", "CODE"])
    def test_fapi_5_3_2_2_1_response_type_is_code_only(self, flow: Flow, value: str) -> None:
        refused(flow.push(response_type=value), "unsupported_response_type")
        refused(flow.push(response_type=...), "invalid_request")

    @pytest.mark.parametrize("mode", ["fragment", "form_post", "query.jwt", "jwt"])
    def test_fapi_5_3_2_2_1_and_rfc9700_4_17_answers_come_in_the_query_only(
        self, flow: Flow, mode: str
    ) -> None:
        refused(flow.push(response_mode=mode), "invalid_request")
        assert flow.push(response_mode="query").status_code == 201

    def test_fapi_5_3_2_2_2_a_pushed_request_is_answered_with_201(self, flow: Flow) -> None:
        answer = flow.push()
        assert answer.status_code == 201
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.get_json()["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")

    @pytest.mark.parametrize(
        "request_uri", ["", "https://bank.example/request", "urn:ietf:params:oauth:x", ...]
    )
    def test_fapi_5_3_2_2_3_what_was_not_pushed_is_refused(self, flow: Flow, request_uri: Any) -> None:
        answer = flow.authorize(flow.browser(), request_uri, response_type="code", redirect_uri=CALLBACK)
        assert answer.status_code == 400
        assert "Location" not in answer.headers

    def test_fapi_5_3_2_2_3_a_request_object_at_the_endpoint_is_refused(self, flow: Flow) -> None:
        attempt = Attempt()
        flow.push(attempt)
        assert flow.authorize(flow.browser(), attempt.request_uri, request="e30.e30.").status_code == 400

    def test_fapi_5_3_2_2_4_pushing_without_client_authentication_is_refused(self, flow: Flow) -> None:
        nobody: dict[str, Any] = {
            "client_assertion": ...,
            "client_assertion_type": ...,
            "client_id": "bank-a",
        }
        refused(flow.push(**nobody), "invalid_client")
        refused(flow.push(**nobody, client_secret="secret"), "invalid_client")

    def test_fapi_5_3_2_2_4_an_assertion_pushes_once(self, flow: Flow) -> None:
        assertion = flow.bank.assertion(flow.world.clock())
        assert flow.push(client_assertion=assertion).status_code == 201
        assert "jti" in refused(flow.push(client_assertion=assertion), "invalid_client")

    @pytest.mark.parametrize("challenge", ["", "c" * 42, "c" * 44, "c" * 42 + "=", "c" * 42 + "+", ...])
    def test_fapi_5_3_2_2_5_a_challenge_of_s256_is_needed(self, flow: Flow, challenge: Any) -> None:
        refused(flow.push(code_challenge=challenge), "invalid_request")

    @pytest.mark.parametrize("method", ["plain", "s256", "S512", "", ...])
    def test_fapi_5_3_2_2_5_every_method_but_s256_is_refused(self, flow: Flow, method: Any) -> None:
        assert refused(flow.push(code_challenge_method=method), "invalid_request").endswith("must be S256")

    def test_fapi_5_3_2_2_6_redirect_uri_is_needed_even_where_only_one_is_registered(
        self, flow: Flow
    ) -> None:
        party = flow.register_bank("bank-with-one-address", redirect_uris=[CALLBACK])
        assert (
            refused(flow.push(party=party, redirect_uri=...), "invalid_request") == "redirect_uri is missing"
        )

    @pytest.mark.parametrize(
        "name", ["redirect_uri", "scope", "state", "code_challenge", "authorization_details"]
    )
    def test_rfc6749_3_1_a_repeated_parameter_is_refused(self, flow: Flow, name: str) -> None:
        assert (
            refused(flow.push(None, None, "", **{name: ["x", "x"]}), "invalid_request")
            == "a parameter is repeated"
        )

    def test_fapi_5_3_2_2_12_expires_in_is_more_than_0_and_less_than_600(self, flow: Flow) -> None:
        expires_in = flow.push().get_json()["expires_in"]
        assert isinstance(expires_in, int)
        assert 0 < expires_in < 600

    def test_rfc9126_2_2_a_request_uri_is_never_given_twice_and_not_kept_in_clear(self, flow: Flow) -> None:
        given = {flow.push().get_json()["request_uri"] for _ in range(20)}
        assert len(given) == 20
        with flow.world.engine.connect() as connection:
            kept = str(connection.execute(text("SELECT * FROM pushed_requests")).all())
        assert not [uri for uri in given if uri.rpartition(":")[2] in kept]

    def test_rfc6749_4_1_2_1_a_client_without_the_code_grant_may_not_push(self, flow: Flow) -> None:
        party = flow.register_bank("bank-for-itself", grant_types=["client_credentials"])
        refused(flow.push(party=party), "unauthorized_client")


class TestInTheBrowser:
    def test_fapi_5_2_3_3_the_authorization_endpoint_sends_no_cors_header(self, flow: Flow) -> None:
        attempt = Attempt()
        flow.push(attempt)
        query = {"client_id": "bank-a", "request_uri": attempt.request_uri}
        for method in ("GET", "OPTIONS"):
            answer = flow.browser().open(
                AUTHORIZE,
                method=method,
                query_string=query,
                headers={"Origin": "https://bank.example", "Access-Control-Request-Method": "GET"},
                base_url=ISSUER,
            )
            assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]

    def test_fapi_5_3_2_2_13_the_page_shows_who_asks_for_what(self, flow: Flow, citizen: Citizen) -> None:
        attempt = Attempt()
        flow.push(attempt, scope="openid share_record")
        page = flow.decision_page(citizen, attempt)
        assert page.status_code == 200
        for shown in ("Ngân hàng bank-1", "Ứng dụng bank-a", "Tiền lương làm căn cứ đóng"):
            assert shown in page.text
        scopes = re.findall(r"<li>([^<]+)</li>", page.text)
        assert len(scopes) == 2
        assert Forms(page.text).forms[-1].boxes == dict.fromkeys(
            ["0.si_status", "0.contribution_from", "0.contribution_to", "0.salary_base"], False
        ), "nothing is ticked beforehand"

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_fapi_5_3_2_2_10_and_11_every_redirect_is_a_303(
        self, flow: Flow, citizen: Citizen, method: str
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        query = {"client_id": "bank-a", "request_uri": attempt.request_uri}
        given: dict[str, Any] = {"data": query} if method == "POST" else {"query_string": query}
        answer = flow.browser().open(AUTHORIZE, method=method, base_url=ISSUER, **given)
        assert answer.status_code == 303
        assert flow.decide(citizen, attempt).status_code == 303

    def test_fapi_5_3_2_2_note_3_the_request_is_used_up_by_the_decision_not_by_the_page(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        pages = [flow.decision_page(citizen, attempt) for _ in range(2)]
        assert [page.status_code for page in pages] == [200, 200]
        assert flow.press(citizen, pages[0], attempt).status_code == 303
        assert flow.press(citizen, pages[1], attempt).status_code == 404, "decided is decided"
        assert flow.redeem(attempt).status_code == 200

    def test_fapi_5_3_2_2_note_3_two_decisions_at_once_give_one_code(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        form = Forms(flow.decision_page(citizen, attempt).text).forms[-1]
        cookie = flow.signed_in(citizen).get_cookie("__Host-broker-citizen", "broker.example")
        assert cookie is not None
        data = {**form.fields, "field": list(form.boxes), "choice": "give"}

        def send(_: int) -> int:
            return (
                flow.world.app.test_client(use_cookies=False)
                .post(
                    form.action,
                    data=data,
                    headers={"Cookie": f"{cookie.key}={cookie.value}"},
                    base_url=ISSUER,
                )
                .status_code
            )

        assert sorted(status == 303 for status in at_once(send, range(4))) == [False, False, False, True]

    def test_the_page_may_stay_open_for_a_quarter_of_an_hour(self, flow: Flow, citizen: Citizen) -> None:
        attempt, late = Attempt(), Attempt()
        flow.push(attempt)
        flow.push(late)
        pages = [flow.decision_page(citizen, one) for one in (attempt, late)]
        flow.world.clock.move(899)
        assert flow.press(citizen, pages[0], attempt).status_code == 303
        flow.world.clock.move(1)
        assert flow.press(citizen, pages[1], late).status_code == 404

    @pytest.mark.parametrize("choice", ["give", "refuse"])
    @pytest.mark.parametrize("redirect_uri", [CALLBACK, SECOND_CALLBACK])
    def test_fapi_5_3_2_2_7_answers_and_errors_carry_iss(
        self, flow: Flow, citizen: Citizen, choice: str, redirect_uri: str
    ) -> None:
        attempt = Attempt()
        flow.push(attempt, redirect_uri=redirect_uri)
        flow.decide(citizen, attempt, choice=choice)
        assert attempt.location.startswith(redirect_uri)
        assert attempt.answer["iss"] == ISSUER
        assert ("code" in attempt.answer) is (choice == "give")
        assert ("kept" in attempt.answer) is (redirect_uri == SECOND_CALLBACK)

    @pytest.mark.parametrize("state", ["a", "a b&c=d#e?%41+", "x" * 4000, "\\\"'<>"])
    def test_fapi_5_3_2_2_note_4_state_comes_back_as_it_was(
        self, flow: Flow, citizen: Citizen, state: str
    ) -> None:
        assert flow.granted(citizen, state=state).answer["state"] == state

    def test_rfc6749_4_1_2_1_a_decision_against_it_leaves_no_code_and_no_grant(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        before = flow.world.count("grants"), flow.world.count("authorization_codes")
        attempt = Attempt()
        flow.push(attempt)
        flow.decide(citizen, attempt, choice="refuse")
        assert "code" not in attempt.answer
        assert (flow.world.count("grants"), flow.world.count("authorization_codes")) == before


class TestRedeeming:
    def test_fapi_5_3_2_1_12_a_code_is_bound_to_the_key_that_was_named_or_proved_when_pushing(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        own, stranger = flow.bank.key.thumbprint(), Party("bank-a")
        url = f"{ISSUER}/oauth/par"
        at = flow.world.clock()
        ways: list[dict[str, Any]] = [{"dpop_jkt": own}, {"proof": flow.bank.proof(at, url=url)}]
        for pushed in ways:
            attempt = Attempt()
            assert flow.push(attempt, **pushed).status_code == 201
            assert flow.decide(citizen, attempt).status_code == 303
            told = refused(flow.redeem(attempt, proof=stranger.proof(at)), "invalid_grant")
            assert told == "the code is bound to another DPoP key"
            assert flow.redeem(attempt).status_code == 200

    def test_fapi_5_3_2_2_14_a_nonce_of_64_characters_comes_back_whole(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        nonce = "n-0S6_WzA2Mj.~" * 5
        body = flow.tokens(citizen, scope="openid share_record", nonce=nonce[:64])
        assert parts_of(body["id_token"])[1]["nonce"] == nonce[:64]

    def test_a_proof_is_verified_once_though_the_code_is_bound_too(
        self, flow: Flow, citizen: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempt = flow.granted(citizen, dpop_jkt=flow.bank.key.thumbprint())
        verified = verified_proofs(monkeypatch)
        assert flow.redeem(attempt).status_code == 200
        assert len(verified) == 1

    def test_fapi_5_3_2_2_9_a_used_code_is_refused_and_what_it_bought_revoked(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen)
        body = flow.redeem(attempt).get_json()
        assert flow.is_good(body["access_token"])
        renewed = flow.refresh(body["refresh_token"]).get_json()
        refused(flow.redeem(attempt), "invalid_grant")
        for token in (body["access_token"], renewed["access_token"]):
            assert not flow.is_good(token)
        refused(flow.refresh(body["refresh_token"]), "invalid_grant")

    def test_fapi_5_3_2_2_9_of_eight_redemptions_at_once_one_is_answered_and_then_all_ends(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen)
        answers = at_once(lambda _: flow.redeem(attempt), range(8))
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
        for answer in answers:
            if answer.status_code == 400:
                refused(answer, "invalid_grant")
            else:
                assert not flow.is_good(answer.get_json()["access_token"])
                refused(flow.refresh(answer.get_json()["refresh_token"]), "invalid_grant")

    def test_fapi_5_3_2_2_9_who_looked_before_and_redeems_after_another_ends_what_that_one_got(
        self, flow: Flow, citizen: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempt = flow.granted(citizen)
        code_hash = hashlib.sha256(attempt.code.encode()).digest()
        seen_before = PostgresGrants(flow.world.engine).find_code(code_hash)
        token = flow.redeem(attempt).get_json()["access_token"]
        assert flow.is_good(token)
        monkeypatch.setattr(PostgresGrants, "find_code", lambda *_: seen_before)
        refused(flow.redeem(attempt), "invalid_grant")
        assert not flow.is_good(token)

    @pytest.mark.parametrize("code", ["", "x", "x" * 43, "x" * 5000, "ế", "a b"])
    def test_rfc6749_5_2_an_unknown_code_is_invalid(self, flow: Flow, citizen: Citizen, code: str) -> None:
        attempt = flow.granted(citizen)
        refused(flow.redeem(attempt, code=code), *(["invalid_grant"] if code else ["invalid_request"]))
        assert flow.redeem(attempt).status_code == 200

    @pytest.mark.parametrize("redirect_uri", [SECOND_CALLBACK, f"{CALLBACK}/", "", ...])
    def test_rfc6749_4_1_3_redirect_uri_is_the_one_that_was_pushed(
        self, flow: Flow, citizen: Citizen, redirect_uri: Any
    ) -> None:
        attempt = flow.granted(citizen)
        assert "redirect_uri" in refused(flow.redeem(attempt, redirect_uri=redirect_uri), "invalid_grant")
        assert flow.redeem(attempt).status_code == 200

    def test_a_refused_redemption_uses_up_neither_code_nor_assertion(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen)
        once: dict[str, Any] = {
            "client_assertion": flow.bank.assertion(flow.world.clock()),
            "proof": flow.bank.proof(flow.world.clock()),
        }
        refused(flow.redeem(attempt, code_verifier="w" * 43, **once), "invalid_grant")
        assert flow.redeem(attempt, **once).status_code == 200

    def test_rfc9700_4_9_a_code_is_kept_as_a_hash_only(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        body = flow.redeem(attempt).get_json()
        with flow.world.engine.connect() as connection:
            for table in (
                "authorization_codes",
                "refresh_tokens",
                "access_tokens",
                "grants",
                "pushed_requests",
            ):
                kept = str(connection.execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608
                for secret in (attempt.code, body["access_token"], body["refresh_token"], attempt.verifier):
                    assert secret not in kept

    def test_a_citizen_who_ticks_less_gives_less(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen, fields=("0.salary_base", "0.si_status"))
        body = flow.redeem(attempt).get_json()
        assert body["authorization_details"][0]["fields"] == ["si_status", "salary_base"]
        assert parts_of(body["access_token"])[1]["authorization_details"] == body["authorization_details"]

    def test_without_a_required_field_nothing_is_given(self, flow: Flow, citizen: Citizen) -> None:
        attempt = Attempt()
        flow.push(attempt)
        page = flow.decide(citizen, attempt, fields=("0.si_status",))
        assert page.status_code == 422
        assert attempt.location == ""

    def test_a_grant_never_outlives_the_registration(self, flow: Flow, citizen: Citizen) -> None:
        details = [{**INCOME, "valid_days": 365}]

        attempt = flow.granted(citizen, authorization_details=json.dumps(details))
        body = flow.redeem(attempt).get_json()
        registration = flow.world.clients.find_registration("bank-a")
        with flow.world.engine.connect() as connection:
            found = connection.execute(
                text("SELECT expires_at FROM grants WHERE grant_id = :id"), {"id": body["grant_id"]}
            ).scalar_one()
        assert registration is not None
        assert found <= registration.expires_at
