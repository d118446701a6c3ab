"""The subset of OpenID Connect that is built: ID tokens, sign-ins that are asked for, pairwise subjects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.citizen_world import Citizen, Forms
from tests.oauth_flow import CALLBACK, INCOME, Attempt, Flow, parts_of, refused
from tests.oauth_world import ISSUER

BOTH = "openid share_record"


class TestIdToken:
    def verified(self, flow: Flow, id_token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims, verified with the published keys by another library's reader."""
        keys = KeySet.import_key_set(flow.world.http.get("/oauth/jwks", base_url=ISSUER).get_json())
        token = jwt.decode(id_token, keys, algorithms=["ES256", "EdDSA", "PS256"])
        return token.header, token.claims

    def test_oidc_core_2_it_says_who_signed_in_how_and_for_whom(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen, scope=BOTH, nonce="n-1")
        body = flow.redeem(attempt).get_json()
        header, claims = self.verified(flow, body["id_token"])
        now = int(flow.world.clock().timestamp())
        assert header == {"alg": "ES256", "typ": "JWT", "kid": header["kid"]}
        assert claims["auth_time"] <= now
        assert claims == {
            "iss": ISSUER,
            "sub": parts_of(body["access_token"])[1]["sub"],
            "aud": "bank-a",
            "iat": now,
            "exp": now + 300,
            "acr": "level-2",
            "auth_time": claims["auth_time"],
            "nonce": "n-1",
        }

    def test_it_holds_nothing_of_a_record(self, flow: Flow, citizen: Citizen) -> None:
        _, claims = self.verified(flow, flow.tokens(citizen, scope=BOTH)["id_token"])
        assert citizen.personal_id not in json.dumps(claims)
        assert citizen.citizen_id not in json.dumps(claims)
        assert not set(claims) & {"name", "birthdate", "email", "phone_number", "authorization_details"}

    def test_oidc_core_3_1_2_1_there_is_none_without_openid(self, flow: Flow, citizen: Citizen) -> None:
        assert "id_token" not in flow.tokens(citizen, scope="share_record")

    def test_a_sign_in_alone_is_a_grant_over_nothing(self, flow: Flow, citizen: Citizen) -> None:
        body = flow.tokens(citizen, scope="openid", authorization_details=...)
        assert "authorization_details" not in body
        assert "authorization_details" not in parts_of(body["access_token"])[1]
        assert body["scope"] == "openid"
        assert "id_token" in body

    def test_a_renewal_brings_no_id_token(self, flow: Flow, citizen: Citizen) -> None:
        body = flow.tokens(citizen, scope=BOTH)
        assert "id_token" in body
        assert "id_token" not in flow.refresh(body["refresh_token"]).get_json()

    def test_an_id_token_is_no_access_token(self, flow: Flow, citizen: Citizen) -> None:
        id_token = flow.tokens(citizen, scope=BOTH)["id_token"]
        assert flow.get("/v1/token-info", id_token).status_code == 401

    def test_an_id_token_is_no_client_assertion_and_no_proof(self, flow: Flow, citizen: Citizen) -> None:
        id_token = flow.tokens(citizen, scope=BOTH)["id_token"]
        refused(flow.push(client_assertion=id_token), "invalid_client")
        refused(flow.push(proof=id_token), "invalid_dpop_proof")


class TestSignIn:
    def page(self, flow: Flow, citizen: Citizen, attempt: Attempt) -> Any:
        """Return the first page that the citizen's browser is shown."""
        browser = flow.signed_in(citizen)
        return flow.follow(browser, flow.authorize(browser, attempt.request_uri))

    def test_whoever_is_signed_in_decides_at_once(self, flow: Flow) -> None:
        citizen, attempt = flow.citizen(), Attempt()
        flow.granted(citizen)
        flow.push(attempt)
        assert "/citizen/requests/" in self.page(flow, citizen, attempt).request.path

    @pytest.mark.parametrize(
        ("changes", "seconds"),
        [
            ({"prompt": "login"}, 31),
            ({"prompt": "login consent"}, 31),
            ({"max_age": "0"}, 31),
            ({"max_age": "30"}, 31),
        ],
        ids=repr,
    )
    def test_oidc_core_3_1_2_1_a_new_sign_in_can_be_asked_for(
        self, flow: Flow, changes: dict[str, Any], seconds: int
    ) -> None:
        citizen, attempt = flow.citizen(), Attempt()
        flow.granted(citizen)
        flow.world.clock.move(seconds)
        flow.push(attempt, **changes)
        flow.world.clock.move(1)
        assert self.page(flow, citizen, attempt).request.path == "/citizen/sign-in"
        assert flow.decide(citizen, attempt).status_code == 303
        token = flow.redeem(attempt).get_json()["access_token"]
        assert parts_of(token)[1]["auth_time"] == int(flow.world.clock().timestamp())

    @pytest.mark.parametrize("changes", [{"max_age": "60"}, {"max_age": "999999999"}, {"prompt": "consent"}])
    def test_a_sign_in_that_is_young_enough_will_do(self, flow: Flow, changes: dict[str, Any]) -> None:
        citizen, attempt = flow.citizen(), Attempt()
        flow.granted(citizen)
        flow.world.clock.move(31)
        flow.push(attempt, **changes)
        assert "/citizen/requests/" in self.page(flow, citizen, attempt).request.path

    @pytest.mark.parametrize("value", ["-1", "x", "1.5", "٣", "9" * 10, " 1"])
    def test_a_max_age_that_is_no_number_is_refused(self, flow: Flow, value: str) -> None:
        assert "max_age" in refused(flow.push(max_age=value), "invalid_request")

    @pytest.mark.parametrize("prompt", ["none", "none login", "select_account", "create", "login  consent"])
    def test_prompt_none_is_refused_because_a_person_always_decides(self, flow: Flow, prompt: str) -> None:
        assert "a person always decides" in refused(flow.push(prompt=prompt), "invalid_request")

    def test_a_second_decision_is_asked_however_often_the_first_was_given(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        for _ in range(2):
            attempt = Attempt()
            flow.push(attempt)
            page = flow.decision_page(citizen, attempt)
            assert set(Forms(page.text).forms[-1].boxes.values()) == {False}
            assert flow.press(citizen, page, attempt).status_code == 303

    @pytest.mark.parametrize(
        ("locales", "language"), [("en", "en"), ("vi", "vi"), ("fr en", "en"), ("x" * 99, "vi")]
    )
    def test_oidc_core_3_1_2_1_pages_speak_the_language_of_ui_locales(
        self, flow: Flow, citizen: Citizen, locales: str, language: str
    ) -> None:
        attempt = Attempt()
        flow.push(attempt, ui_locales=locales)
        assert flow.decision_page(citizen, attempt).headers["Content-Language"] == language

    @pytest.mark.parametrize(
        "name", ["display", "id_token_hint", "login_hint", "claims_locales", "unheard_of"]
    )
    def test_oidc_core_3_1_2_1_other_parameters_are_ignored(self, flow: Flow, name: str) -> None:
        assert flow.push(None, None, "", **{name: "x"}).status_code == 201


class TestLevels:
    def test_a_password_is_level_1_and_a_one_time_code_makes_it_2(self, flow: Flow) -> None:
        for with_codes, acr in ((False, "level-1"), (True, "level-2")):
            body = flow.tokens(flow.citizen(with_codes=with_codes), scope=BOTH)
            assert parts_of(body["id_token"])[1]["acr"] == acr
            assert parts_of(body["access_token"])[1]["acr"] == acr

    @pytest.mark.parametrize("acr_values", ["level-2", "level-2 other"])
    def test_a_client_may_ask_for_level_2(self, flow: Flow, acr_values: str) -> None:
        weak, strong, attempt = flow.citizen(with_codes=False), flow.citizen(), Attempt()
        flow.push(attempt, acr_values=acr_values)
        page = flow.decision_page(weak, attempt)
        assert page.status_code == 200
        assert Forms(page.text).forms[-1].boxes == {}, "there is nothing to give"
        assert flow.press(weak, page, attempt).status_code == 422
        assert attempt.location == ""
        assert flow.decide(strong, attempt).status_code == 303
        assert parts_of(flow.redeem(attempt).get_json()["access_token"])[1]["acr"] == "level-2"

    @pytest.mark.parametrize("acr_values", ["level-1 level-2", "level-1", "urn:mace:incommon:iap:silver"])
    def test_the_least_level_of_a_list_will_do(self, flow: Flow, acr_values: str) -> None:
        assert flow.tokens(flow.citizen(with_codes=False), acr_values=acr_values)["scope"] == "share_record"


class TestSubjects:
    def subject(self, flow: Flow, citizen: Citizen, **client: Any) -> str:
        party = flow.register_bank(**client)
        body = flow.tokens(citizen, party, scope=BOTH)
        subject = str(parts_of(body["access_token"])[1]["sub"])
        assert parts_of(body["id_token"])[1]["sub"] == subject
        return subject

    def test_oidc_core_8_1_subjects_are_pairwise_by_organisation(self, flow: Flow, citizen: Citizen) -> None:
        one = self.subject(flow, citizen, client_id="first-of-bank-7", organisation_id="bank-7")
        same = self.subject(flow, citizen, client_id="second-of-bank-7", organisation_id="bank-7")
        other = self.subject(flow, citizen, client_id="first-of-bank-8", organisation_id="bank-8")
        assert one == same
        assert one != other
        stranger = self.subject(flow, flow.citizen(), client_id="third-of-bank-7", organisation_id="bank-7")
        assert stranger != one

    def test_rfc9700_4_15_subjects_of_people_and_of_clients_cannot_be_confused(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        person = self.subject(flow, citizen, client_id="citizen.1")
        answer = flow.post(
            "/oauth/token", {"grant_type": "client_credentials", "scope": "grant_management_query"}
        )
        machine = parts_of(answer.get_json()["access_token"])[1]
        assert person.startswith("citizen:")
        assert citizen.personal_id not in person
        assert machine["sub"] == "client:bank-a"
        assert "grant_id" not in machine


class TestLifetimes:
    def test_what_rests_on_consent_lives_for_120_seconds_and_the_rest_for_300(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        body = flow.tokens(citizen)
        renewed = flow.refresh(body["refresh_token"]).get_json()
        own = flow.post(
            "/oauth/token", {"grant_type": "client_credentials", "scope": "grant_management_query"}
        ).get_json()
        for answer, seconds in ((body, 120), (renewed, 120), (own, 300)):
            claims = parts_of(answer["access_token"])[1]
            assert claims["exp"] - claims["iat"] == answer["expires_in"] == seconds

    def test_a_token_never_outlives_its_grant(self, flow: Flow, citizen: Citizen) -> None:
        detail = {**INCOME, "valid_days": 1}
        party = flow.register_bank("bank-for-a-day", redirect_uris=[CALLBACK])
        body = flow.tokens(citizen, party, authorization_details=json.dumps([detail]))
        flow.world.clock.move(86_400 - 30)
        renewed = flow.refresh(body["refresh_token"], party).get_json()
        assert renewed["expires_in"] <= 30
        flow.world.clock.move(31)
        refused(flow.refresh(body["refresh_token"], party), "invalid_grant")
