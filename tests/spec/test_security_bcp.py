"""RFC 9700, best current practice for OAuth 2.0 security: what goes beyond FAPI 2.0, attack by attack."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.citizen_passwords import Passwords
from broker.storage.grants import PostgresGrants
from tests.citizen_world import QUICK, Citizen, Forms
from tests.oauth_flow import INCOME, Attempt, Flow, parts_of, refused
from tests.oauth_world import ISSUER, PSEUDONYM_KEY, Party

HOSTILE = "https://evil.example/"


def guarded(answer: TestResponse) -> None:
    """Check that a response for a browser is not framed, not cached, and tells no other site where it was."""
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def stays_here(answer: TestResponse) -> None:
    """Check that a response sends the browser nowhere, or to a page of this broker."""
    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    assert HOSTILE not in answer.get_data(as_text=True)


class TestRedirects:
    @pytest.mark.parametrize("port", ["", ":1", ":8080"])
    def test_rfc9700_4_1_addresses_compare_exactly_on_the_loopback_too(self, flow: Flow, port: str) -> None:
        """The exception for ports is for native apps, which are public clients; there are none here."""
        loopback = ["http://127.0.0.1:8000/callback"]
        party = flow.register_bank(f"bank-at-home{port.replace(':', '-')}", redirect_uris=loopback)
        refused(flow.push(party=party, redirect_uri=f"http://127.0.0.1{port}/callback"), "invalid_request")
        assert flow.push(party=party, redirect_uri=loopback[0]).status_code == 201

    @pytest.mark.parametrize("name", ["redirect_uri", "next", "return_to", "url", "error_uri"])
    def test_fapi_5_3_2_1_7_and_rfc9700_4_11_no_parameter_of_the_address_is_a_place_to_go(
        self, flow: Flow, name: str
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        stays_here(flow.authorize(flow.browser(), attempt.request_uri, **{name: HOSTILE}))
        stays_here(flow.authorize(flow.browser(), ..., **{name: HOSTILE}))  # type: ignore[arg-type]
        stays_here(flow.authorize(flow.browser(), attempt.request_uri, "bank-unknown", **{name: HOSTILE}))

    @pytest.mark.parametrize(
        "next_", [HOSTILE, "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
    )
    def test_rfc9700_4_11_a_hostile_next_leads_nowhere(
        self, flow: Flow, citizen: Citizen, next_: str
    ) -> None:
        shown = flow.browser().get("/citizen/sign-in", query_string={"next": next_}, base_url=ISSUER)
        assert shown.status_code == 404
        stays_here(shown)
        attempt, browser = Attempt(), flow.browser()
        flow.push(attempt)
        page = flow.follow(browser, flow.authorize(browser, attempt.request_uri))
        form = Forms(page.text).forms[-1]
        typed = {"personal_id": citizen.personal_id, "password": citizen.password, "one_time_code": "000000"}
        data = {**form.fields, **typed, "next": next_}
        answer = browser.post(form.action, data=data, base_url=ISSUER)
        assert answer.status_code == 404
        stays_here(answer)

    def test_rfc9700_4_11_nobody_is_sent_on_before_signing_in(self, flow: Flow) -> None:
        attempt, browser = Attempt(), flow.browser()
        flow.push(attempt)
        page = flow.follow(browser, flow.authorize(browser, attempt.request_uri))
        assert page.request.path == "/citizen/sign-in"
        handle = urlsplit(flow.authorize(browser, attempt.request_uri).headers["Location"]).path
        for choice in ("give", "refuse"):
            answer = browser.post(handle, data={"choice": choice}, base_url=ISSUER)
            assert answer.status_code == 303
            assert answer.headers["Location"].startswith("/citizen/sign-in?")

    def test_rfc9700_4_12_a_form_is_never_posted_on(self, flow: Flow, citizen: Citizen) -> None:
        attempt, browser = Attempt(), flow.browser()
        flow.push(attempt)
        seen = [flow.authorize(browser, attempt.request_uri).status_code]
        seen.append(flow.decide(citizen, attempt).status_code)
        assert seen == [303, 303]


class TestAnswers:
    def test_rfc9700_4_2_and_4_16_pages_are_framed_nowhere_and_tell_no_referrer(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt, browser = Attempt(), flow.browser()
        flow.push(attempt)
        guarded(flow.authorize(browser, attempt.request_uri))
        guarded(flow.authorize(browser, "urn:unknown"))
        guarded(flow.follow(browser, flow.authorize(browser, attempt.request_uri)))
        page = flow.decision_page(citizen, attempt)
        guarded(page)
        guarded(flow.press(citizen, page, attempt))

    def test_rfc9700_4_4_an_answer_names_its_issuer_against_mix_up(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        document = flow.world.http.get("/.well-known/oauth-authorization-server").get_json()
        assert document["authorization_response_iss_parameter_supported"] is True
        assert flow.granted(citizen).answer["iss"] == document["issuer"]

    def test_rfc9700_2_1_2_a_browser_carries_a_code_and_never_a_token(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        for value in ("token", "id_token", "code token", "code id_token token"):
            refused(flow.push(response_type=value), "unsupported_response_type")
        attempt = flow.granted(citizen, scope="openid share_record")
        assert set(attempt.answer) == {"code", "state", "iss"}
        assert urlsplit(attempt.location).fragment == ""

    def test_rfc9700_4_7_a_decision_of_another_site_is_not_taken(self, flow: Flow, citizen: Citizen) -> None:
        attempt = Attempt()
        flow.push(attempt)
        form = Forms(flow.decision_page(citizen, attempt).text).forms[-1]
        data = {**form.fields, "field": list(form.boxes), "choice": "give"}
        headers = {"Origin": HOSTILE.rstrip("/"), "Sec-Fetch-Site": "cross-site"}
        browser = flow.signed_in(citizen)
        assert browser.post(form.action, data=data, headers=headers, base_url=ISSUER).status_code == 403
        without = {**data, "token": "x"}
        assert browser.post(form.action, data=without, base_url=ISSUER).status_code == 403
        assert browser.post(form.action, data=data, base_url=ISSUER).status_code == 303


class TestCodes:
    def test_rfc9700_4_5_a_code_put_into_another_session_is_worth_nothing(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        stolen, own = flow.granted(citizen), flow.granted(citizen)
        refused(flow.redeem(own, code=stolen.code), "invalid_grant")
        assert flow.redeem(own).status_code == 200
        assert flow.redeem(stolen).status_code == 200

    def test_rfc9700_4_8_no_code_is_ever_without_a_challenge(self, flow: Flow, citizen: Citizen) -> None:
        """So a code_verifier never meets a code without one: the downgrade has no place to happen."""
        refused(flow.push(code_challenge=..., code_challenge_method=...), "invalid_request")
        attempt = flow.granted(citizen)
        found = PostgresGrants(flow.world.engine).find_code(hashlib.sha256(attempt.code.encode()).digest())
        assert found is not None
        assert len(found[0].code_challenge) == 43
        refused(flow.redeem(attempt, code_verifier=...), "invalid_grant")

    def test_rfc9700_2_1_1_a_challenge_outside_the_pushed_request_changes_nothing(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = Attempt()
        flow.push(attempt)
        outside = {"code_challenge": "c" * 43, "code_challenge_method": "plain"}
        assert flow.authorize(flow.signed_in(citizen), attempt.request_uri, **outside).status_code == 303
        flow.decide(citizen, attempt)
        assert flow.redeem(attempt).status_code == 200


class TestTokens:
    def test_rfc9700_2_2_1_4_6_and_4_10_a_stolen_token_is_worth_nothing(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        token = flow.tokens(citizen)["access_token"]
        thief = Party("thief")
        assert flow.get("/v1/token-info", token, thief).status_code == 401
        assert flow.get("/v1/token-info", token, proof="", scheme="Bearer").status_code == 401
        assert flow.is_good(token)

    def test_rfc9700_2_3_tokens_name_this_broker_and_what_they_are_for(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        claims = parts_of(flow.tokens(citizen)["access_token"])[1]
        assert claims["aud"] == ISSUER
        assert claims["scope"] == "share_record"
        assert claims["authorization_details"][0]["purpose"] == "prove_income"
        assert "verify_entitlement" not in claims["scope"]

    def test_rfc9700_4_14_a_refresh_token_is_its_clients_and_needs_its_authentication(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        token = flow.tokens(citizen)["refresh_token"]
        thief = flow.register_bank("bank-with-anothers-refresh-token", organisation_id="bank-1")
        refused(flow.refresh(token, thief), "invalid_grant")
        refused(flow.refresh(token, thief, client_id="bank-a"), "invalid_client")
        refused(flow.refresh(token, Party("bank-a")), "invalid_client")
        assert flow.refresh(token).status_code == 200

    def test_rfc9700_4_14_a_refresh_token_ends_with_what_was_given(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        body = flow.tokens(citizen)
        grants = PostgresGrants(flow.world.engine)
        assert grants.revoke_grant(body["grant_id"], "data_subject", flow.world.clock())
        refused(flow.refresh(body["refresh_token"]), "invalid_grant")

    def test_rfc9700_4_14_a_refresh_token_ends_when_the_time_that_was_given_is_over(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        detail = json.dumps([{**INCOME, "valid_days": 2}])
        token = flow.tokens(citizen, authorization_details=detail)["refresh_token"]
        flow.world.clock.move(2 * 86_400 - 1)
        assert flow.refresh(token).status_code == 200
        flow.world.clock.move(1)
        refused(flow.refresh(token), "invalid_grant")

    def test_rfc9700_4_14_a_new_password_ends_sessions_and_withdraws_nothing(self, flow: Flow) -> None:
        citizen = flow.citizen()
        token = flow.tokens(citizen)["refresh_token"]
        reference = KeyedPseudonyms(PSEUDONYM_KEY).citizen_ref(citizen.personal_id)
        assert flow.citizens.renew_citizen(reference, Passwords(**QUICK).hash("mật khẩu mới"), None) == 1
        attempt = Attempt()
        flow.push(attempt)
        browser = flow.signed_in(citizen)
        page = flow.follow(browser, flow.authorize(browser, attempt.request_uri))
        assert page.request.path == "/citizen/sign-in"
        assert flow.refresh(token).status_code == 200

    @pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 5000, "ế", " "])
    def test_rfc6749_5_2_an_unknown_refresh_token_is_invalid(self, flow: Flow, token: str) -> None:
        refused(flow.refresh(token), "invalid_grant")

    def test_a_refresh_token_is_no_access_token_and_no_code(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        token = flow.redeem(attempt).get_json()["refresh_token"]
        refused(flow.redeem(attempt, code=token), "invalid_grant")
        assert flow.get("/v1/token-info", token).status_code == 401


class TestRefreshing:
    """RFC 6749, 6; FAPI 2.0: bound to the client, not to the key of the proof."""

    def test_rfc9449_5_a_client_moves_to_a_new_key(self, flow: Flow, citizen: Citizen) -> None:
        body = flow.tokens(citizen)
        moved = Party("bank-a", "EdDSA")
        renewed = flow.refresh(body["refresh_token"], proof=moved.proof(flow.world.clock())).get_json()
        assert parts_of(renewed["access_token"])[1]["cnf"] == {"jkt": moved.key.thumbprint()}
        assert flow.is_good(renewed["access_token"], moved)
        assert not flow.is_good(renewed["access_token"])
        assert flow.is_good(body["access_token"]), "the token before stays with the key before"

    def test_rfc6749_6_scope_may_be_narrowed_and_comes_back(self, flow: Flow, citizen: Citizen) -> None:
        token = flow.tokens(citizen, scope="openid share_record")["refresh_token"]
        assert flow.refresh(token, scope="share_record").get_json()["scope"] == "share_record"
        bare = flow.refresh(token, scope="openid").get_json()
        assert bare["scope"] == "openid"
        assert "authorization_details" not in bare
        assert flow.refresh(token).get_json()["scope"] == "openid share_record"

    @pytest.mark.parametrize(
        "scope", ["openid", "share_record openid", "verify_entitlement", "grant_management_query", "x", "ế"]
    )
    def test_rfc6749_6_scope_is_never_widened(self, flow: Flow, citizen: Citizen, scope: str) -> None:
        token = flow.tokens(citizen, scope="share_record")["refresh_token"]
        refused(flow.refresh(token, scope=scope), "invalid_scope")

    def test_a_refused_renewal_uses_up_nothing(self, flow: Flow, citizen: Citizen) -> None:
        token = flow.tokens(citizen)["refresh_token"]
        once: dict[str, Any] = {
            "client_assertion": flow.bank.assertion(flow.world.clock()),
            "proof": flow.bank.proof(flow.world.clock()),
        }
        refused(flow.refresh(token, scope="x", **once), "invalid_scope")
        assert flow.refresh(token, **once).status_code == 200
        refused(flow.refresh(token, **once), "invalid_client")

    def test_a_client_without_the_refresh_grant_gets_no_refresh_token(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        party = flow.register_bank("bank-that-asks-once", grant_types=["authorization_code"])
        assert "refresh_token" not in flow.tokens(citizen, party)
        other = flow.tokens(citizen)["refresh_token"]
        refused(flow.refresh(other, party), "unauthorized_client")
