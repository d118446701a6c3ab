"""The token endpoint, clause by clause, through HTTP and on real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.storage.client_registrations import PreparedClients
from tests.oauth_world import ISSUER, Database, World
from tests.token_answers import parts, refused


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


class TestSuccess:
    @pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256"])
    def test_fapi_5_4_1_1_each_allowed_algorithm_buys_a_token(self, world: World, algorithm: Any) -> None:
        party = world.register(f"client-{algorithm.lower()}", algorithm)
        answer = world.ask(world.form(party), party.proof(world.clock()))
        assert answer.status_code == 200, answer.json

    def test_rfc6749_5_1_the_answer_holds_exactly_what_the_client_needs(self, world: World) -> None:
        answer = world.ask(world.form(scope="share_record verify_entitlement"))
        assert answer.status_code == 200
        assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
        assert answer.json["token_type"] == "DPoP"
        assert answer.json["expires_in"] == 300
        assert answer.json["scope"] == "share_record verify_entitlement"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"

    def test_rfc9068_2_the_token_is_a_typed_jwt_for_this_audience(self, world: World) -> None:
        header, claims = parts(world.token())
        kid = next(key.kid for key in world.ring.stored_keys() if key.purpose == "access_token")
        assert header == {"alg": "ES256", "typ": "at+jwt", "kid": kid}
        now = int(world.clock().timestamp())
        assert claims.pop("jti")
        assert claims == {
            "iss": ISSUER,
            "sub": "client:hospital-a",
            "client_id": "hospital-a",
            "aud": ISSUER,
            "iat": now,
            "exp": now + 300,
            "scope": "verify_entitlement",
            "cnf": {"jkt": world.party.kid},
        }

    def test_the_published_key_verifies_the_token(self, world: World) -> None:
        from joserfc.jwk import KeySet

        token = world.token()
        keys = KeySet.import_key_set(world.http.get("/oauth/jwks").get_json())
        assert jwt.decode(token, keys, algorithms=["ES256"]).claims["client_id"] == "hospital-a"

    def test_only_the_hash_of_a_token_is_kept(self, world: World) -> None:
        token = world.token()
        with world.engine.connect() as connection:
            row = connection.execute(text("SELECT * FROM access_tokens")).mappings().one()
        assert bytes(row["token_hash"]) == hashlib.sha256(token.encode()).digest()
        assert row["client_id"] == "hospital-a"
        assert row["revoked_at"] is None
        assert world.count("used_assertions") == world.count("used_proofs") == 1

    def test_jtis_and_tokens_never_repeat(self, world: World) -> None:
        jtis = {parts(world.token())[1]["jti"] for _ in range(5)}
        assert len(jtis) == 5
        assert all(len(jti) >= 22 for jti in jtis)  # FAPI 5.4.1-4: 128 bits

    def test_a_token_never_outlives_the_registration(self, world: World) -> None:
        world.clock.move(365 * 86400 - 100)
        world.ring.rotate("access_token")
        assert world.ask(world.form()).json["expires_in"] <= 100

    def test_in_the_last_second_of_a_registration_there_is_no_token_any_more(self, world: World) -> None:
        """expires_in would be 0: a token that is over before it arrives."""
        with world.engine.connect() as connection:
            expires_at = connection.execute(text("SELECT expires_at FROM clients")).scalars().one()
        world.clock.at = expires_at.replace(microsecond=0) - timedelta(seconds=1)
        world.ring.rotate("access_token")
        assert world.ask(world.form()).json["expires_in"] == 1
        with world.engine.begin() as connection:
            half = expires_at.replace(microsecond=500_000)
            connection.execute(text("UPDATE clients SET expires_at = :at"), {"at": half})
        world.clock.at = half - timedelta(milliseconds=300)
        refused(world.ask(world.form()), "invalid_client")

    def test_fapi_5_3_2_1_13_clocks_ten_seconds_apart_are_accepted(self, world: World) -> None:
        now = int(world.clock().timestamp())
        for shift in (-10, 8, 10):
            assertion = world.party.assertion(world.clock(), iat=now + shift, nbf=now + shift, exp=now + 60)
            proof = world.party.proof(world.clock(), iat=now + shift)
            assert world.ask(world.form(client_assertion=assertion), proof).status_code == 200

    def test_the_resource_may_be_named(self, world: World) -> None:
        assert world.ask(world.form(resource=ISSUER)).status_code == 200

    def test_parameters_without_value_count_as_not_sent(self, world: World) -> None:
        assert world.ask(world.form(client_id="", resource="")).status_code == 200

    def test_unknown_parameters_are_ignored(self, world: World) -> None:
        assert world.ask(world.form(colour="blue", request_id="\x00ế")).status_code == 200


class TestRequestForm:
    def test_parameters_in_the_query_are_refused(self, world: World) -> None:
        refused(world.ask(query_string={"grant_type": "client_credentials"}), "invalid_request")
        refused(world.ask(form={}, query_string=world.form()), "invalid_request")

    @pytest.mark.parametrize("name", ["grant_type", "scope", "client_assertion", "audience", "anything"])
    def test_a_repeated_parameter_is_refused(self, world: World, name: str) -> None:
        value = world.form().get(name, "x")
        refused(world.ask({**world.form(), name: [value, value]}), "invalid_request")

    def test_a_json_body_is_refused(self, world: World) -> None:
        refused(world.ask(form=json.dumps(world.form()), content_type="application/json"), "invalid_request")  # type: ignore[arg-type]

    def test_a_multipart_body_is_refused(self, world: World) -> None:
        refused(world.ask(content_type="multipart/form-data"), "invalid_request")

    def test_a_body_beyond_64_kib_is_refused(self, world: World) -> None:
        refused(world.ask(world.form(padding="x" * 70_000)), "invalid_request", status=413)

    def test_credentials_in_the_authorization_header_are_refused(self, world: World) -> None:
        answer = world.ask(headers={"Authorization": "Basic aG9zcGl0YWwtYTp4"})
        refused(answer, "invalid_client", status=401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")

    def test_a_missing_grant_type_is_an_invalid_request(self, world: World) -> None:
        refused(world.ask(world.form(grant_type=...)), "invalid_request")

    @pytest.mark.parametrize(
        "grant_type",
        [
            "password",
            "implicit",
            "urn:ietf:params:oauth:grant-type:device_code",
            'x"\\ế',
            "client_credentials ",
        ],
    )
    def test_fapi_5_3_2_1_2_other_grants_are_refused_without_repeating_them(
        self, world: World, grant_type: str
    ) -> None:
        answer = world.ask(world.form(grant_type=grant_type))
        assert grant_type not in refused(answer, "unsupported_grant_type")

    @pytest.mark.parametrize("grant_type", ["refresh_token", "authorization_code"])
    def test_rfc6749_5_2_a_grant_that_the_client_is_not_registered_for_is_unauthorized(
        self, world: World, grant_type: str
    ) -> None:
        refused(world.ask(world.form(grant_type=grant_type)), "unauthorized_client")

    def test_only_post_is_answered(self, world: World) -> None:
        assert world.http.get("/oauth/token", base_url=ISSUER).status_code == 405

    def test_rfc8707_2_another_resource_is_an_invalid_target(self, world: World) -> None:
        refused(world.ask(world.form(resource="https://elsewhere.example")), "invalid_target")


class TestSingleUse:
    def test_an_assertion_buys_one_token(self, world: World) -> None:
        assertion = world.party.assertion(world.clock())
        assert world.ask(world.form(client_assertion=assertion)).status_code == 200
        refused(world.ask(world.form(client_assertion=assertion)), "invalid_client")
        assert world.count("access_tokens") == 1

    def test_a_proof_buys_one_token(self, world: World) -> None:
        proof = world.party.proof(world.clock())
        assert world.ask(proof=proof).status_code == 200
        refused(world.ask(proof=proof), "invalid_dpop_proof")
        assert world.count("access_tokens") == 1

    def test_the_same_jti_of_two_clients_are_two_assertions(self, world: World) -> None:
        other = world.register("hospital-b")
        for party in (world.party, other):
            assertion = party.assertion(world.clock(), jti="same")
            answer = world.ask(world.form(client_assertion=assertion), party.proof(world.clock(), jti="same"))
            assert answer.status_code == 200

    def test_a_refused_request_costs_no_assertion(self, world: World) -> None:
        assertion = world.party.assertion(world.clock())
        refused(world.ask(world.form(client_assertion=assertion, scope="nonsense")), "invalid_scope")
        assert world.ask(world.form(client_assertion=assertion)).status_code == 200

    @pytest.mark.parametrize("shared", ["assertion", "proof", "both"])
    def test_of_parallel_redemptions_exactly_one_wins(self, world: World, shared: str) -> None:
        at = world.clock()
        assertion, proof = world.party.assertion(at), world.party.proof(at)

        def redeem(_: int) -> int:
            return int(
                world.ask(
                    world.form(
                        client_assertion=world.party.assertion(at) if shared == "proof" else assertion
                    ),
                    world.party.proof(at) if shared == "assertion" else proof,
                ).status_code
            )

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(redeem, range(16)))
        assert sorted(statuses) == [200] + [400] * 15
        assert world.count("access_tokens") == 1


class TestScope:
    @pytest.mark.parametrize(
        "scope",
        [
            "export_statistics",
            "verify_entitlement export_statistics",
            "admin",
            "verify_entitlement  share_record",
            " verify_entitlement",
            "verify_entitlement\n",
            "Verify_Entitlement",
            'a"b',
            "ế",
            "\x00",
            "x" * 5000,
        ],
    )
    def test_a_scope_beyond_the_registration_is_refused_whole(self, world: World, scope: str) -> None:
        description = refused(world.ask(world.form(scope=scope)), "invalid_scope")
        assert scope.strip() not in description

    def test_fapi_5_3_2_1_14_nothing_is_granted_unasked(self, world: World) -> None:
        refused(world.ask(world.form(scope=...)), "invalid_scope")

    def test_the_order_of_scopes_does_not_matter_and_repeats_fold(self, world: World) -> None:
        answer = world.ask(world.form(scope="share_record verify_entitlement share_record"))
        assert answer.json["scope"] == "share_record verify_entitlement"


class TestFailuresOfTheBroker:
    def test_a_store_that_is_down_is_503_and_says_when_to_come_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(_: PreparedClients, client_id: str) -> None:
            raise StoreUnavailable(client_id)

        monkeypatch.setattr(PreparedClients, "find_registration", down)
        answer = world.ask()
        assert "hospital" not in refused(answer, "temporarily_unavailable", status=503)
        assert answer.headers["Retry-After"] == "1"

    def test_a_defect_is_500_with_a_fixed_text_and_logs_no_input(
        self, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: PreparedClients, client_id: str) -> None:
            raise ValueError(f"secret {client_id}")

        monkeypatch.setattr(PreparedClients, "find_registration", broken)
        with caplog.at_level(logging.DEBUG):
            assert "secret" not in refused(world.ask(), "server_error", status=500)
        assert "ValueError in broken" in caplog.text
        assert "secret" not in caplog.text

    def test_no_token_proof_or_assertion_reaches_a_log_at_any_level(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        form, proof = world.form(), world.party.proof(world.clock())
        with caplog.at_level(logging.DEBUG):
            token = world.ask(form, proof).json["access_token"]
            world.ask(form, proof)
        for secret in (token, proof, form["client_assertion"]):
            assert secret.split(".")[2] not in caplog.text
