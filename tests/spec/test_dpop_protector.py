"""Resource requests (RFC 9449, 7; FAPI 2.0, 5.3.4): good ones, and tokens that must not open the door."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.errors import ProofInvalid, TokenInvalid
from broker.oauth.dpop import ProofVerifier, is_same_target
from broker.oauth.jose import decode_object, decode_segment
from broker.oauth.protector import VerifiedToken
from tests.dpop_door import NOW, SECONDS, URL, Door
from tests.oauth_world import ISSUER, Party


@pytest.fixture
def door() -> Door:
    return Door()


class TestGoodRequests:
    @pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256"])
    def test_a_good_token_and_proof_say_who_asks(self, algorithm: Any) -> None:
        door = Door(algorithm)
        proof = door.party.proof(NOW, url=URL, token=door.good, jti="abc")
        assert door.open(proof=proof) == VerifiedToken(
            client_id="hospital-a",
            scopes=frozenset({"verify_entitlement", "share_record"}),
            token_hash=hashlib.sha256(door.good.encode()).digest(),
            expires_at=datetime.fromtimestamp(SECONDS + 300, UTC),
            confirmation={"jkt": door.party.kid},
            proof_issued_at_seconds=SECONDS,
            proof_hash=hashlib.sha256(door.party.kid.encode() + b"abc").digest(),
            claims=decode_object(decode_segment(door.good.split(".")[1].encode())),
        )

    @pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP", "dPoP"])
    def test_rfc9110_11_1_the_scheme_has_no_case(self, door: Door, scheme: str) -> None:
        assert door.open(authorization=f"{scheme} {door.good}").client_id == "hospital-a"

    @pytest.mark.parametrize("shift", [-60, -10, 0, 10])
    def test_fapi_5_3_2_1_13_clocks_may_differ_by_ten_seconds(self, door: Door, shift: int) -> None:
        now = NOW.replace(microsecond=0)
        proof = door.party.proof(NOW, url=URL, token=door.good, iat=SECONDS + shift)
        assert door.open(proof=proof, now=now).proof_issued_at_seconds == SECONDS + shift

    def test_nbf_and_exp_of_a_proof_are_honoured(self, door: Door) -> None:
        proof = door.party.proof(NOW, url=URL, token=door.good, nbf=SECONDS - 5, exp=SECONDS + 5)
        assert door.open(proof=proof).client_id == "hospital-a"

    def test_unknown_members_are_ignored(self, door: Door) -> None:
        proof = door.party.proof(
            NOW, url=URL, token=door.good, header={"colour": "blue", "kid": "x"}, nonce="n", extra={"a": [1]}
        )
        assert door.open(proof=proof).client_id == "hospital-a"

    def test_typ_may_carry_the_application_prefix_in_any_case(self, door: Door) -> None:
        proof = door.party.proof(NOW, url=URL, token=door.good, header={"typ": "application/DPoP+JWT"})
        assert door.open(door.good, proof).client_id == "hospital-a"
        assert door.open(door.token({"typ": "application/at+jwt"})).client_id == "hospital-a"

    @pytest.mark.parametrize(
        "htu",
        [
            "HTTPS://broker.example/v1/things",
            "https://BROKER.example/v1/things",
            "https://broker.example:443/v1/things",
            "https://broker.example/v1/things?a=b",
            "https://broker.example/v1/things#f",
        ],
    )
    def test_rfc9449_4_3_htu_is_compared_normalised(self, door: Door, htu: str) -> None:
        assert door.open(proof=door.party.proof(NOW, url=htu, token=door.good)).client_id == "hospital-a"

    def test_the_query_of_the_request_does_not_count(self, door: Door) -> None:
        assert door.open(url=f"{URL}?page=2").client_id == "hospital-a"

    def test_the_token_is_verified_once_and_the_proof_every_time(self, door: Door) -> None:
        door.open()
        door.open()
        assert door.keys.lookups == 1
        with pytest.raises(ProofInvalid):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good) + "A")

    def test_a_large_rsa_key_in_the_header_is_no_obstacle(self) -> None:
        door = Door("PS256")
        assert len(door.party.proof(NOW, url=URL).split(".")[0]) > 512
        assert door.open().client_id == "hospital-a"


class TestTokensThatOpenNothing:
    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "DPoP",
            "DPoP ",
            "Bearer {token}",
            "bearer {token}",
            "Basic {token}",
            "{token}",
            "DPoP  {token}",
            "DPoP {token} ",
            "DPoP {token},{token}",
            "DPoP {token}\n",
            "DPoP ế{token}",
            "DPoP {token} {token}",
            "DPoP\t{token}",
        ],
    )
    def test_rfc9449_7_2_only_one_token_under_the_scheme_dpop(
        self, door: Door, authorization: str | None
    ) -> None:
        given = authorization and authorization.format(token=door.good)
        with pytest.raises(TokenInvalid):
            door.open(authorization=given)

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "https://other.example"},
            {"iss": [ISSUER]},
            {"iss": ...},
            {"aud": "https://other.example"},
            {"aud": ["https://other.example"]},
            {"aud": ...},
            {"exp": SECONDS},
            {"exp": SECONDS - 3600},
            {"exp": ...},
            {"exp": str(SECONDS + 300)},
            {"exp": True},
            {"exp": 1 << 60},
            {"nbf": SECONDS + 61},
            {"iat": SECONDS + 61},
            {"iat": "now"},
            {"client_id": ...},
            {"client_id": 7},
            {"scope": ["verify_entitlement"]},
            {"cnf": ...},
            {"cnf": None},
            {"cnf": "x"},
            {"cnf": {}},
            {"cnf": {"jkt": 7}},
            {"cnf": {"x5t#S256": "x"}},
        ],
        ids=repr,
    )
    def test_rfc9068_4_a_claim_that_does_not_fit_is_refused(self, door: Door, claims: dict[str, Any]) -> None:
        with pytest.raises(TokenInvalid):
            door.open(door.token(**claims))

    @pytest.mark.parametrize(
        "header",
        [
            {"typ": ...},
            {"typ": "JWT"},
            {"typ": "dpop+jwt"},
            {"typ": "entitlement-receipt+jwt"},
            {"typ": 7},
            {"kid": ...},
            {"kid": "other"},
            {"kid": 7},
            {"alg": "none"},
            {"alg": "HS256"},
            {"alg": "PS256"},
            {"alg": ["ES256"]},
            {"alg": ...},
            {"crit": ["exp"]},
            {"b64": True},
        ],
        ids=repr,
    )
    def test_rfc9068_4_a_header_that_does_not_fit_is_refused(
        self, door: Door, header: dict[str, Any]
    ) -> None:
        with pytest.raises(TokenInvalid):
            door.open(door.token(header))

    def test_a_token_of_another_server_is_refused(self, door: Door) -> None:
        stranger = Door()
        stranger.keys.owner.kid = door.keys.owner.kid
        with pytest.raises(TokenInvalid):
            door.open(stranger.token())

    def test_a_token_expires_in_the_cache_too(self, door: Door) -> None:
        door.open()
        later = NOW + timedelta(seconds=300)
        proof = door.party.proof(later, url=URL, token=door.good)
        with pytest.raises(TokenInvalid, match="expired"):
            door.open(proof=proof, now=later)

    def test_a_changed_token_is_not_the_cached_one(self, door: Door) -> None:
        door.open()
        header, payload, signature = door.good.split(".")
        with pytest.raises(TokenInvalid):
            door.open(f"{header}.{payload[:-2]}AA.{signature}")

    def test_a_token_with_a_repeated_claim_is_refused(self, door: Door) -> None:
        owner = door.keys.owner
        payload = f'{{"iss":"{ISSUER}","iss":"{ISSUER}"}}'.encode()
        with pytest.raises(TokenInvalid, match="unique"):
            door.open(owner.sign({"typ": "at+jwt", "kid": owner.kid}, payload))

    def test_a_token_beyond_the_size_limit_is_refused(self, door: Door) -> None:
        with pytest.raises(TokenInvalid):
            door.open(door.token(padding="x" * 20_000))


def test_targets_that_are_the_same_and_targets_that_are_not() -> None:
    assert is_same_target("http://h", "http://h/")
    assert is_same_target("http://h:80/a?b", "http://H/a#c")
    assert is_same_target("https://[::1]:8443/a", "https://[::1]:8443/a")
    assert not is_same_target("http://h/a", "https://h/a")
    assert not is_same_target("http://h:0/a", "http://h/a")
    assert not is_same_target("http://h/%61", "http://h/a")
    assert not is_same_target("ftp://h/a", "ftp://h/a")
    assert not is_same_target("", "")


def test_the_window_of_a_verifier_can_be_set() -> None:
    party = Party("x")
    verifier = ProofVerifier(max_age_seconds=300)
    proof = party.proof(NOW, iat=SECONDS - 200)
    assert verifier.verify(proof, "POST", f"{ISSUER}/oauth/token", NOW.timestamp()).jkt == party.kid
