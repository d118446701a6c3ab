"""The token endpoint: who proves to be a client, with an assertion and with a proof, and who does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import text

from broker.oauth.jose_keys import ALGORITHMS, Algorithm
from broker.oauth.registration import JwksRefused, registrable_jwks
from tests.oauth_world import ISSUER, TOKEN_URL, Database, Party, World
from tests.token_answers import parts, refused


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


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
