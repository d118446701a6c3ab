"""The token endpoint, clause by clause, through HTTP and on real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.oauth.jose import decode_object, decode_segment
from broker.oauth.jose_keys import ALGORITHMS, Algorithm
from broker.oauth.registration import JwksRefused, registrable_jwks
from broker.storage.client_registrations import PreparedClients
from tests.oauth_world import ISSUER, TOKEN_URL, Database, Party, World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return decode_object(decode_segment(header.encode())), decode_object(decode_segment(payload.encode()))


def refused(answer: Any, error: str, status: int = 400) -> str:
    """Check an error answer field by field (RFC 6749, 5.2) and return its description."""
    assert answer.status_code == status, answer.data
    assert answer.content_type.startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert set(body) == {"error", "error_description"}, body
    assert body["error"] == error, body
    allowed = set(range(0x20, 0x22)) | set(range(0x23, 0x5C)) | set(range(0x5D, 0x7F))
    assert {ord(character) for character in body["error_description"]} <= allowed
    return str(body["error_description"])


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


class TestClientAuthentication:
    def fails(self, world: World, assertion: str, **changes: Any) -> str:
        answer = world.ask(world.form(client_assertion=assertion, **changes))
        assert world.count("access_tokens") == 0
        return refused(answer, "invalid_client")

    def test_fapi_5_3_2_1_6_no_assertion_no_token(self, world: World) -> None:
        refused(world.ask(world.form(client_assertion=...)), "invalid_client")
        refused(world.ask(world.form(client_assertion_type=...)), "invalid_client")
        refused(world.ask(world.form(client_assertion_type="jwt")), "invalid_client")

    def test_rfc9700_2_5_a_client_secret_is_worth_nothing(self, world: World) -> None:
        form = world.form(
            client_assertion=..., client_assertion_type=..., client_id="hospital-a", client_secret="x"
        )
        refused(world.ask(form), "invalid_client")

    @pytest.mark.parametrize(
        "aud",
        [
            [ISSUER],
            [ISSUER, "https://other.example"],
            TOKEN_URL,
            f"{ISSUER}/",
            ISSUER.upper(),
            "https://other.example",
            "",
            None,
            7,
            {"iss": ISSUER},
            ...,
        ],
        ids=repr,
    )
    def test_fapi_5_3_2_1_8_only_the_issuer_string_is_an_audience(self, world: World, aud: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), aud=aud))

    @pytest.mark.parametrize("shift", [-300, -30, -1, 0, 311, 3600, 365 * 86400])
    def test_exp_outside_the_next_300_seconds_is_refused(self, world: World, shift: int) -> None:
        now = int(world.clock().timestamp())
        self.fails(world, world.party.assertion(world.clock(), exp=now + shift))

    @pytest.mark.parametrize("exp", [..., None, "1", True, [], {}, -1, 1e300], ids=repr)
    def test_exp_must_be_there_and_a_number(self, world: World, exp: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), exp=exp))

    def test_an_assertion_signed_long_ago_for_now_is_refused(self, world: World) -> None:
        now = int(world.clock().timestamp())
        self.fails(world, world.party.assertion(world.clock(), iat=now - 3600))

    @pytest.mark.parametrize("name", ["iat", "nbf"])
    def test_fapi_5_3_2_1_13_more_than_60_seconds_ahead_is_refused(self, world: World, name: str) -> None:
        now = int(world.clock().timestamp())
        self.fails(world, world.party.assertion(world.clock(), None, **{name: now + 61, "exp": now + 120}))

    @pytest.mark.parametrize("name", ["iss", "sub"])
    @pytest.mark.parametrize("value", [..., None, "", "other", ["hospital-a"], 7, "hospital-a\x00"], ids=repr)
    def test_rfc7523_3_iss_and_sub_are_both_the_client_id(self, world: World, name: str, value: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), **{name: value}))

    @pytest.mark.parametrize("jti", [..., None, "", 7, ["a"], "x" * 257, "a\x00", "\ud800"], ids=repr)
    def test_jti_must_be_a_string_of_sane_length(self, world: World, jti: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), jti=jti))

    def test_client_id_beside_the_assertion_must_agree(self, world: World) -> None:
        assert world.ask(world.form(client_id="hospital-a")).status_code == 200
        refused(world.ask(world.form(client_id="hospital-b")), "invalid_client")

    def test_another_clients_key_is_refused(self, world: World) -> None:
        other = world.register("hospital-b")
        now = world.clock()
        self.fails(world, other.assertion(now, iss="hospital-a", sub="hospital-a"))
        self.fails(world, other.assertion(now, {"kid": world.party.kid}, iss="hospital-a", sub="hospital-a"))

    def test_asking_does_not_tell_who_is_registered(self, world: World) -> None:
        stranger = Party("nobody")
        imposter = Party("hospital-a")
        unknown = self.fails(world, stranger.assertion(world.clock()))
        assert self.fails(world, imposter.assertion(world.clock())) == unknown
        assert self.fails(world, world.party.assertion(world.clock(), {"kid": "other"})) == unknown

    def test_fapi_5_4_1_rs256_is_refused(self, world: World) -> None:
        key = RSAKey.generate_key(2048)
        now = int(world.clock().timestamp())
        claims = {"iss": "hospital-a", "sub": "hospital-a", "aud": ISSUER, "exp": now + 60, "jti": "1"}
        self.fails(world, jwt.encode({"alg": "RS256"}, claims, key, algorithms=["RS256"]))

    @pytest.mark.parametrize(
        "alg", ["none", "HS256", "RS256", "ES384", "es256", "", None, 7, ["ES256"]], ids=repr
    )
    def test_fapi_5_4_1_other_algorithms_are_refused(self, world: World, alg: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), {"alg": alg}))

    def test_an_assertion_without_signature_is_refused(self, world: World) -> None:
        header, payload, signature = world.party.assertion(world.clock()).split(".")
        for damaged in (
            f"{header}.{payload}.",
            f"{header}.{payload}",
            f"{header}.{payload}.{signature}=",
            "a.b.c",
        ):
            self.fails(world, damaged)

    def test_fapi_5_4_3_of_keys_with_one_kid_the_one_that_fits_the_algorithm_counts(
        self, world: World
    ) -> None:
        signers = [Party("hospital-a", algorithm) for algorithm in ALGORITHMS]
        for party in signers:
            party.kid = "signing"
        jwks = registrable_jwks(json.dumps({"keys": [party.public_jwk for party in signers]}))
        world.clients.replace_keys("hospital-a", jwks=jwks)
        for algorithm in ALGORITHMS:
            stranger = Party("hospital-a", algorithm)
            stranger.kid = "signing"
            self.fails(world, stranger.assertion(world.clock()))
        for party in signers:
            form = world.form(client_assertion=party.assertion(world.clock()))
            assert world.ask(form).status_code == 200, party.algorithm

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_fapi_5_4_3_keys_alike_in_kid_and_algorithm_cannot_be_registered(
        self, algorithm: Algorithm
    ) -> None:
        alike = [{**Party("x", algorithm).public_jwk, "kid": "same"} for _ in range(2)]
        with pytest.raises(JwksRefused, match="two keys of the set have the same kid and algorithm"):
            registrable_jwks(json.dumps({"keys": alike}))

    def test_a_kid_is_not_needed_when_a_key_fits(self, world: World) -> None:
        assertion = world.party.assertion(world.clock(), {"kid": ...})
        assert world.ask(world.form(client_assertion=assertion)).status_code == 200

    @pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "", 7])
    def test_rfc8725_3_11_another_kind_of_jwt_is_no_assertion(self, world: World, typ: Any) -> None:
        self.fails(world, world.party.assertion(world.clock(), {"typ": typ}))

    def test_rfc7515_4_1_11_crit_is_refused(self, world: World) -> None:
        self.fails(world, world.party.assertion(world.clock(), {"crit": ["b64"], "b64": False}))

    def test_a_suspended_client_is_refused_and_comes_back(self, world: World) -> None:
        world.clients.suspend_client("hospital-a", world.clock())
        refused(world.ask(), "invalid_client")
        world.clients.resume_client("hospital-a")
        assert world.ask().status_code == 200

    def test_an_expired_registration_is_refused(self, world: World) -> None:
        world.clock.move(366 * 86400)
        refused(world.ask(), "invalid_client")

    def test_a_client_suspended_between_check_and_write_gets_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sign = world.ring.sign_access_token

        def suspended_meanwhile(claims: Any) -> str:
            world.clients.suspend_client("hospital-a", world.clock())
            return sign(claims)

        monkeypatch.setattr(world.ring, "sign_access_token", suspended_meanwhile)
        refused(world.ask(), "invalid_client")
        assert (
            world.count("access_tokens") == world.count("used_assertions") == world.count("used_proofs") == 0
        )

    def test_a_client_without_the_grant_type_is_unauthorized(self, world: World) -> None:
        party = world.register("citizen-app", grant_types=("authorization_code",))
        refused(world.ask(world.form(party), party.proof(world.clock())), "unauthorized_client")

    def test_suspending_revokes_the_live_tokens(self, world: World) -> None:
        world.token()
        assert world.clients.suspend_client("hospital-a", world.clock()) == 1
        with world.engine.connect() as connection:
            assert connection.execute(text("SELECT revoked_at FROM access_tokens")).scalar_one() is not None


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


class TestProofAtTheTokenEndpoint:
    def test_fapi_5_3_2_1_4_no_proof_no_token(self, world: World) -> None:
        refused(world.ask(proof=""), "invalid_dpop_proof")

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda party, at: party.proof(at, url=f"{ISSUER}/oauth/other"),
            lambda party, at: party.proof(at, url="https://elsewhere.example/oauth/token"),
            lambda party, at: party.proof(at, method="GET"),
            lambda party, at: party.proof(at, htm="post"),
            lambda party, at: party.proof(at, iat=int(at.timestamp()) - 61),
            lambda party, at: party.proof(at, iat=int(at.timestamp()) + 61),
            lambda party, at: party.proof(at, iat=...),
            lambda party, at: party.proof(at, jti=...),
            lambda party, at: party.proof(at, jti=7),
            lambda party, at: party.proof(at, header={"typ": "JWT"}),
            lambda party, at: party.proof(at, header={"jwk": ...}),
            lambda party, at: party.proof(at, header={"jwk": party.key.as_dict(private=True)}),
            lambda party, at: party.proof(at, header={"jwk": Party("x").public_jwk}),
            lambda party, at: party.proof(at, header={"alg": "RS256"}),
            lambda party, at: f"{party.proof(at)},{party.proof(at)}",
            lambda party, at: party.proof(at)[:-4],
            lambda *_: "x",
        ],
    )
    def test_rfc9449_4_3_a_spoilt_proof_buys_nothing(
        self, world: World, spoil: Callable[[Party, Any], str]
    ) -> None:
        refused(world.ask(proof=spoil(world.party, world.clock())), "invalid_dpop_proof")
        assert world.count("access_tokens") == 0

    def test_the_proof_may_be_signed_by_another_key_than_the_assertion(self, world: World) -> None:
        holder = Party("any", "EdDSA")
        token = world.ask(proof=holder.proof(world.clock())).json["access_token"]
        assert parts(token)[1]["cnf"] == {"jkt": holder.kid}

    def test_the_header_may_stand_only_once(self, world: World) -> None:
        proofs = [("DPoP", world.party.proof(world.clock())) for _ in range(2)]
        answer = world.http.post("/oauth/token", data=world.form(), headers=proofs, base_url=ISSUER)
        refused(answer, "invalid_dpop_proof")


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
