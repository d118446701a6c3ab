"""FAPI 2.0 Security Profile, 5.2 to 5.4: what holds for the whole authorization server, and its metadata."""

from __future__ import annotations

import hashlib
import warnings
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey

from broker.oauth.endpoints import BACK_CHANNEL
from broker.oauth.jose import decode_segment
from broker.oauth.metadata import openid_configuration_path, well_known_path
from broker.storage.grants import PostgresGrants
from tests.citizen_world import Citizen
from tests.oauth_flow import Attempt, Flow, parts_of, refused
from tests.oauth_world import ISSUER, TOKEN_URL, Party

ALGORITHMS = ["ES256", "EdDSA", "PS256"]


@pytest.fixture
def metadata(flow: Flow) -> dict[str, Any]:
    document: dict[str, Any] = flow.world.http.get("/.well-known/oauth-authorization-server").get_json()
    return document


class TestMetadata:
    def test_fapi_5_3_2_1_1_both_discovery_documents_are_the_same(self, flow: Flow) -> None:
        paths = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
        answers = [flow.world.http.get(path, base_url=ISSUER) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].get_data() == answers[1].get_data()
        assert {answer.content_type for answer in answers} == {"application/json"}
        assert answers[0].get_json()["issuer"] == ISSUER

    def test_rfc8414_3_1_and_discovery_4_where_the_documents_of_an_issuer_with_a_path_are(self) -> None:
        assert well_known_path(f"{ISSUER}/a") == "/.well-known/oauth-authorization-server/a"
        assert openid_configuration_path(f"{ISSUER}/a") == "/a/.well-known/openid-configuration"

    def test_rfc8414_2_authlib_finds_it_valid(self, metadata: dict[str, Any]) -> None:
        AuthorizationServerMetadata(metadata).validate()

    def test_rfc8414_2_every_endpoint_in_it_answers(self, flow: Flow, metadata: dict[str, Any]) -> None:
        addresses = {name: url for name, url in metadata.items() if name.endswith(("_endpoint", "_uri"))}
        assert set(addresses) == {
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "pushed_authorization_request_endpoint",
            "backchannel_authentication_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
            "grant_management_endpoint",
        }
        answered = {}
        for name, url in addresses.items():
            path = urlsplit(url).path + ("/unknown" if name == "grant_management_endpoint" else "")
            is_read = name in ("jwks_uri", "authorization_endpoint", "grant_management_endpoint")
            answer = flow.browser().open(path, method="GET" if is_read else "POST", base_url=ISSUER)
            answered[name] = answer.status_code
        back_channel = {name: 400 for name in addresses if name.endswith("_endpoint")}
        assert answered == {**back_channel, "jwks_uri": 200, "grant_management_endpoint": 401}

    def test_rfc9700_2_1_1_and_2_6_the_challenge_methods_are_published(
        self, metadata: dict[str, Any]
    ) -> None:
        assert metadata["code_challenge_methods_supported"] == ["S256"]

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_every_algorithm_in_it_authenticates_and_proves(
        self, flow: Flow, metadata: dict[str, Any], citizen: Citizen, alg: Any
    ) -> None:
        for name in ("token_endpoint_auth_signing_alg_values_supported", "dpop_signing_alg_values_supported"):
            assert metadata[name] == ALGORITHMS
        party = flow.register_bank(f"bank-by-{alg.lower()}", alg)
        assert flow.is_good(flow.tokens(citizen, party)["access_token"], party)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_the_algorithm_of_id_tokens_in_it_is_the_one_that_signs_them(
        self, flow: Flow, citizen: Citizen, alg: Any
    ) -> None:
        flow.world.ring.rotate("id_token", alg, compromised=True)
        path = "/.well-known/openid-configuration"
        metadata = flow.world.http.get(path, base_url=flow.world.issuer).get_json()
        assert metadata["id_token_signing_alg_values_supported"] == [alg]
        header, _ = parts_of(flow.tokens(citizen, scope="openid share_record")["id_token"])
        assert header["alg"] == alg

    @pytest.mark.parametrize("scope", ["share_record openid", "openid"])
    def test_scopes_in_it_can_be_had_from_a_citizen(
        self, flow: Flow, metadata: dict[str, Any], citizen: Citizen, scope: str
    ) -> None:
        assert set(scope.split()) < set(metadata["scopes_supported"])
        details: dict[str, Any] = {} if "share_record" in scope else {"authorization_details": ...}
        assert flow.tokens(citizen, scope=scope, **details)["scope"] == scope

    @pytest.mark.parametrize(
        ("name", "pushed"),
        [
            ("claims_parameter_supported", {"claims": "{}"}),
            ("request_parameter_supported", {"request": "e30.e30.e30"}),
            ("request_uri_parameter_supported", {"request_uri": "https://bank.example/request"}),
        ],
    )
    def test_what_it_says_is_not_supported_is_refused(
        self, flow: Flow, metadata: dict[str, Any], name: str, pushed: dict[str, Any]
    ) -> None:
        assert metadata[name] is False
        refused(flow.push(**pushed), "invalid_request")

    @pytest.mark.parametrize(
        ("name", "said"), [("grant_management_action", "create"), ("ui_locales", "vi en")]
    )
    def test_what_it_says_is_supported_is_taken(self, flow: Flow, name: str, said: str) -> None:
        assert flow.push(None, None, "", **{name: said}).status_code == 201

    @pytest.mark.parametrize("action", ["replace", "merge", "update", "Create"])
    def test_grant_management_actions_beyond_it_are_refused(
        self, flow: Flow, metadata: dict[str, Any], action: str
    ) -> None:
        assert action not in metadata["grant_management_actions_supported"]
        refused(flow.push(grant_management_action=action), "invalid_request")
        refused(flow.push(grant_id="some-grant"), "invalid_request")


class TestGeneralRequirements:
    @pytest.mark.parametrize(
        "grant_type",
        [
            "password",
            "implicit",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
    )
    def test_fapi_5_3_2_1_2_and_rfc9700_2_4_the_password_grant_and_others_are_not_offered(
        self, flow: Flow, metadata: dict[str, Any], grant_type: str
    ) -> None:
        assert grant_type not in metadata["grant_types_supported"]
        form = {"grant_type": grant_type, "username": "u", "password": "p"}
        refused(flow.post("/oauth/token", form), "unsupported_grant_type")

    def test_fapi_5_3_2_1_3_a_public_client_gets_nowhere(self, flow: Flow, citizen: Citizen) -> None:
        attempt = flow.granted(citizen)
        for named in ({"client_id": "bank-a"}, {}):
            nobody: dict[str, Any] = {"client_assertion": ..., "client_assertion_type": ..., **named}
            refused(flow.redeem(attempt, **nobody), "invalid_client")
            refused(flow.push(**nobody), "invalid_client")

    def test_fapi_5_3_2_1_4_and_5_every_token_is_bound_to_its_sender(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        body = flow.tokens(citizen)
        renewed = flow.refresh(body["refresh_token"]).get_json()
        for answer in (body, renewed):
            assert answer["token_type"] == "DPoP"
            assert parts_of(answer["access_token"])[1]["cnf"] == {"jkt": flow.bank.key.thumbprint()}
        refused(flow.refresh(body["refresh_token"], proof=""), "invalid_dpop_proof")
        refused(flow.redeem(flow.granted(citizen), proof=""), "invalid_dpop_proof")

    @pytest.mark.parametrize("path", BACK_CHANNEL)
    def test_fapi_5_3_2_1_6_clients_authenticate_alike_at_every_endpoint(
        self, flow: Flow, metadata: dict[str, Any], path: str
    ) -> None:
        assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        form = {"grant_type": "authorization_code", "token": "x", "response_type": "code"}
        nobody = {**form, "client_assertion": ..., "client_assertion_type": ...}
        refused(flow.post(path, {**nobody, "client_id": "bank-a", "client_secret": "x"}), "invalid_client")
        basic = {"Authorization": "Basic YmFuay1hOng="}
        refused(flow.post(path, nobody, headers=basic), "invalid_client", status=401)

    @pytest.mark.parametrize("path", BACK_CHANNEL)
    @pytest.mark.parametrize("aud", [[ISSUER], TOKEN_URL, f"{ISSUER}/oauth/par"])
    def test_fapi_5_3_2_1_8_only_the_issuer_is_an_audience_at_every_endpoint(
        self, flow: Flow, path: str, aud: Any
    ) -> None:
        form = {"grant_type": "authorization_code", "token": "x", "response_type": "code"}
        assertion = flow.bank.assertion(flow.world.clock(), aud=aud)
        answer = flow.post(path, {**form, "client_assertion": assertion})
        assert "aud" in refused(answer, "invalid_client")

    def test_fapi_5_3_2_1_9_refresh_tokens_are_not_rotated(self, flow: Flow, citizen: Citizen) -> None:
        token = flow.tokens(citizen)["refresh_token"]
        for _ in range(3):
            answer = flow.refresh(token)
            assert answer.status_code == 200
            assert "refresh_token" not in answer.get_json()

    def test_fapi_5_3_2_1_11_codes_live_for_at_most_60_seconds(self, flow: Flow, citizen: Citizen) -> None:
        in_time, late = flow.granted(citizen), flow.granted(citizen)
        flow.world.clock.move(49)
        assert flow.redeem(in_time).status_code == 200
        flow.world.clock.move(2)
        refused(flow.redeem(late), "invalid_grant")

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    @pytest.mark.parametrize("seconds", [0, 1, 10])
    def test_fapi_5_3_2_1_13_clocks_of_clients_may_be_ten_seconds_fast(
        self, flow: Flow, claim: str, seconds: int
    ) -> None:
        now = flow.world.clock()
        claims: dict[str, Any] = {claim: int(now.timestamp()) + seconds}
        assert flow.push(client_assertion=flow.bank.assertion(now, **claims)).status_code == 201
        proof = flow.bank.proof(now, url=f"{ISSUER}/oauth/par", **claims)
        assert flow.push(proof=proof).status_code == 201

    @pytest.mark.parametrize(
        "scope", ["verify_entitlement", "export_statistics", "nothing", "offline_access", "openid  openid"]
    )
    def test_fapi_5_3_2_1_14_nobody_is_asked_for_more_than_a_client_may_have(
        self, flow: Flow, scope: str
    ) -> None:
        refused(flow.push(scope=scope), "invalid_scope")

    def test_fapi_5_3_2_1_14_a_token_holds_what_was_asked_and_no_more(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        assert flow.tokens(citizen)["scope"] == "share_record"
        refused(flow.push(scope="share_record", authorization_details=...), "invalid_authorization_details")
        refused(flow.push(authorization_details=...), "invalid_scope")


class TestResourceServer:
    """5.3.4, at a resource of this broker."""

    @pytest.mark.parametrize("place", ["query", "body"])
    def test_fapi_5_3_4_1_and_2_a_token_counts_in_the_header_only(
        self, flow: Flow, citizen: Citizen, place: str
    ) -> None:
        token = flow.tokens(citizen)["access_token"]
        proof = flow.bank.proof(flow.world.clock(), "GET", f"{ISSUER}/v1/token-info", token)
        given: dict[str, Any] = {"query_string" if place == "query" else "data": {"access_token": token}}
        answer = flow.world.http.get("/v1/token-info", headers={"DPoP": proof}, base_url=ISSUER, **given)
        assert answer.status_code == 401
        assert flow.is_good(token)

    def test_fapi_5_3_4_3_validity_integrity_expiry_and_revocation_are_checked(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        body = flow.tokens(citizen)
        token = body["access_token"]
        assert flow.is_good(token)
        header, payload, signature = token.split(".")
        signature_bytes = bytearray(decode_segment(signature.encode()))
        assert len(signature_bytes) == 64
        for changed in (f"{header}.{payload}x.{signature}", f"{header}.{payload}.{signature[::-1]}", "x"):
            assert flow.get("/v1/token-info", changed).status_code == 401
        flow.world.clock.move(body["expires_in"])
        assert flow.get("/v1/token-info", token).status_code == 401
        flow.world.clock.move(-body["expires_in"])
        assert flow.is_good(token)
        grants = PostgresGrants(flow.world.engine)
        assert grants.revoke_grant(body["grant_id"], "data_subject", flow.world.clock())
        assert flow.get("/v1/token-info", token).status_code == 401

    def test_fapi_5_3_4_5_a_token_is_nothing_without_its_key(self, flow: Flow, citizen: Citizen) -> None:
        token = flow.tokens(citizen)["access_token"]
        thief = flow.register_bank("bank-with-anothers-token")
        assert flow.get("/v1/token-info", token, thief).status_code == 401
        assert flow.get("/v1/token-info", token, proof="").status_code == 401
        assert flow.is_good(token)


class TestCryptography:
    def test_fapi_5_4_2_and_3_keys_are_long_enough_and_secrets_are_not_guessed(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        attempt = flow.granted(citizen)
        body = flow.redeem(attempt).get_json()
        secrets = [attempt.code, body["refresh_token"], attempt.request_uri.rpartition(":")[2]]
        assert [len(decode_segment(secret.encode())) for secret in secrets] == [32, 32, 32]
        assert len(decode_segment(parts_of(body["access_token"])[1]["jti"].encode())) == 16
        for key in flow.world.http.get("/oauth/jwks").get_json()["keys"]:
            octets = len(decode_segment(key["n" if key["kty"] == "RSA" else "x"].encode()))
            assert octets >= (256 if key["kty"] == "RSA" else 32)

    @pytest.mark.parametrize("bits", [1024, 2048])
    def test_fapi_5_4_1_2_a_short_key_neither_proves_nor_authenticates(self, flow: Flow, bits: int) -> None:
        party = Party(f"bank-of-{bits}-bits", "PS256")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            party.key = RSAKey.generate_key(bits)
        party.kid = party.key.thumbprint()
        proof = party.proof(flow.world.clock(), url=f"{ISSUER}/oauth/par")
        flow.register_bank(party.client_id, "PS256", jwks={"keys": [party.public_jwk]})
        if bits < 2048:
            refused(flow.push(proof=proof), "invalid_dpop_proof")
            refused(flow.push(party=party), "invalid_client")
        else:
            assert flow.push(proof=proof).status_code == 201
            assert flow.push(party=party).status_code == 201

    @pytest.mark.parametrize(
        "header", [{"jku": "https://bank.example/keys"}, {"x5u": "https://bank.example/c"}]
    )
    def test_fapi_5_4_2_keys_that_an_assertion_points_at_are_not_read(
        self, flow: Flow, header: dict[str, str]
    ) -> None:
        thief = flow.register_bank(f"bank-pointing-{next(iter(header))}")
        stranger = type(thief)("stranger")
        assertion = stranger.assertion(flow.world.clock(), header, iss=thief.client_id, sub=thief.client_id)
        refused(flow.push(party=thief, client_assertion=assertion), "invalid_client")


class TestClientsThatAreEnded:
    def test_a_suspended_client_gets_nothing_and_opens_nothing(self, flow: Flow, citizen: Citizen) -> None:
        party = flow.register_bank("bank-suspended")
        body = flow.tokens(citizen, party)
        waiting, opened = flow.granted(citizen, party=party), Attempt()
        flow.push(opened, party)
        page = flow.decision_page(citizen, opened, party.client_id)
        flow.world.clients.suspend_client(party.client_id, flow.world.clock())
        assert not flow.is_good(body["access_token"], party)
        refused(flow.refresh(body["refresh_token"], party), "invalid_client")
        refused(flow.redeem(waiting, party), "invalid_client")
        refused(flow.push(party=party), "invalid_client")
        assert flow.authorize(flow.browser(), opened.request_uri, party.client_id).status_code == 400
        assert flow.press(citizen, page, opened).status_code == 404
        flow.world.clients.resume_client(party.client_id)
        assert not flow.is_good(body["access_token"], party), "what was revoked stays revoked"

    def test_an_expired_client_gets_nothing(self, flow: Flow, citizen: Citizen) -> None:
        party = flow.register_bank("bank-expiring")
        token = flow.tokens(citizen, party)["refresh_token"]
        flow.world.clock.at += timedelta(days=366)
        refused(flow.push(party=party), "invalid_client")
        refused(flow.refresh(token, party), "invalid_client")

    def test_a_withdrawn_grant_ends_tokens_renewal_and_the_code_that_waits(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        grants = PostgresGrants(flow.world.engine)
        body = flow.tokens(citizen)
        assert grants.revoke_grant(body["grant_id"], "data_subject", flow.world.clock())
        assert not flow.is_good(body["access_token"])
        refused(flow.refresh(body["refresh_token"]), "invalid_grant")
        waiting = flow.granted(citizen)
        found = grants.find_code(hashlib.sha256(waiting.code.encode()).digest())
        assert found is not None
        assert grants.revoke_grant(found[1].grant_id, "data_subject", flow.world.clock())
        refused(flow.redeem(waiting), "invalid_grant")
