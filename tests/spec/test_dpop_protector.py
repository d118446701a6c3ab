"""Resource requests (RFC 9449, 7; FAPI 2.0, 5.3.4): every proof and token that must not open the door."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.errors import ProofInvalid, TokenInvalid
from broker.oauth.dpop import ProofVerifier, is_same_target
from broker.oauth.jose import decode_object, decode_segment, encode_segment
from broker.oauth.jose_keys import SigningKey, VerifyingKey, import_public_jwk
from broker.oauth.protector import Protector, VerifiedToken
from tests.oauth_world import ISSUER, Party, ath

URL = f"{ISSUER}/v1/things"
NOW = datetime(2026, 11, 22, 1, 2, 3, 400_000, UTC)
SECONDS = int(NOW.timestamp())


class OneKey:
    """The published keys: one."""

    def __init__(self, algorithm: Any = "ES256") -> None:
        self.owner = Party("broker", algorithm)
        self.lookups = 0

    def find_key(self, kid: str) -> VerifyingKey | None:
        self.lookups += 1
        return import_public_jwk(self.owner.public_jwk) if kid == self.owner.kid else None


class Door:
    """A protector, its signing key and one client with a good token."""

    def __init__(self, algorithm: Any = "ES256") -> None:
        self.keys = OneKey()
        self.party = Party("hospital-a", algorithm)
        self.protector = Protector(ISSUER, ISSUER, self.keys)
        self.good = self.token()

    def token(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        full = {
            "iss": ISSUER,
            "sub": "client:hospital-a",
            "client_id": "hospital-a",
            "aud": ISSUER,
            "iat": SECONDS,
            "exp": SECONDS + 300,
            "jti": "1",
            "scope": "verify_entitlement share_record",
            "cnf": {"jkt": self.party.kid},
            **claims,
        }
        kept = {name: value for name, value in full.items() if value is not ...}
        return self.keys.owner.sign({"typ": "at+jwt", "kid": self.keys.owner.kid, **(header or {})}, kept)

    def open(self, token: str | None = None, proof: str | None = None, **options: Any) -> VerifiedToken:
        token = token or self.good
        if proof is None:
            proof = self.party.proof(NOW, url=URL, token=token)
        return self.protector.verify(
            options.get("authorization", f"DPoP {token}"),
            proof or None,
            options.get("method", "POST"),
            [options.get("url", URL)],
            options.get("now", NOW),
        )


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


class TestProofsThatOpenNothing:
    @pytest.mark.parametrize(
        "claims",
        [
            {"jti": ...},
            {"jti": ""},
            {"jti": 7},
            {"jti": ["a"]},
            {"jti": None},
            {"jti": "x" * 257},
            {"jti": "\ud800"},
            {"htm": ...},
            {"htm": "GET"},
            {"htm": "post"},
            {"htm": ["POST"]},
            {"htu": ...},
            {"htu": 7},
            {"htu": "https://broker.example/v1/other"},
            {"htu": "https://broker.example/v1/things/"},
            {"htu": "https://broker.example/V1/things"},
            {"htu": "http://broker.example/v1/things"},
            {"htu": "https://broker.example:8443/v1/things"},
            {"htu": "https://other.example/v1/things"},
            {"htu": "https://user@broker.example/v1/things"},
            {"htu": "//broker.example/v1/things"},
            {"htu": "/v1/things"},
            {"htu": "https://[/v1/things"},
            {"htu": "https://broker.example:x/v1/things"},
            {"htu": " https://broker.example/v1/things"},
            {"htu": "https://broker.example/v1/thi\tngs"},
            {"iat": ...},
            {"iat": None},
            {"iat": str(SECONDS)},
            {"iat": True},
            {"iat": SECONDS - 61},
            {"iat": SECONDS + 61},
            {"iat": -1},
            {"iat": 1e300},
            {"nbf": SECONDS + 61},
            {"nbf": "soon"},
            {"exp": SECONDS - 1},
            {"exp": "later"},
            {"ath": ...},
            {"ath": ""},
            {"ath": ath("another token")},
            {"ath": 7},
        ],
        ids=repr,
    )
    def test_rfc9449_4_3_a_claim_that_does_not_fit_is_refused(
        self, door: Door, claims: dict[str, Any]
    ) -> None:
        with pytest.raises(ProofInvalid):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, **claims))

    @pytest.mark.parametrize(
        "header",
        [
            {"typ": ...},
            {"typ": "JWT"},
            {"typ": "at+jwt"},
            {"alg": "none"},
            {"alg": "HS256"},
            {"alg": "RS256"},
            {"alg": "PS256"},
            {"alg": "EdDSA"},
            {"alg": ...},
            {"jwk": ...},
            {"jwk": None},
            {"jwk": "x"},
            {"jwk": []},
            {"jwk": {}},
            {"jwk": {"kty": "oct", "k": "AAAA"}},
            {"jwk": {"kty": "EC", "crv": "P-256"}},
            {"crit": []},
        ],
        ids=repr,
    )
    def test_rfc9449_4_3_a_header_that_does_not_fit_is_refused(
        self, door: Door, header: dict[str, Any]
    ) -> None:
        with pytest.raises(ProofInvalid):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header=header))

    def test_rfc9449_4_3_a_private_key_in_the_header_is_refused(self, door: Door) -> None:
        private = {"jwk": door.party.key.as_dict(private=True)}
        with pytest.raises(ProofInvalid, match="public"):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header=private))

    def test_rfc9449_7_1_another_key_than_the_tokens_is_refused(self, door: Door) -> None:
        with pytest.raises(ProofInvalid, match="another key"):
            door.open(proof=Party("hospital-a").proof(NOW, url=URL, token=door.good))

    def test_anothers_public_key_does_not_help_a_signature(self, door: Door) -> None:
        thief = Party("thief")
        jwk = {"jwk": door.party.key.as_dict(private=False)}
        with pytest.raises(ProofInvalid, match="signature"):
            door.open(proof=thief.proof(NOW, url=URL, token=door.good, header=jwk))

    @pytest.mark.parametrize("proof", ["", "x", "a.b", "a.b.c", "a.b.c.d", "..", ".", "ế.ế.ế", "A" * 20_000])
    def test_what_is_no_jws_is_no_proof(self, door: Door, proof: str) -> None:
        with pytest.raises(ProofInvalid):
            door.open(proof=proof)

    def test_exactly_one_proof_is_wanted(self, door: Door) -> None:
        proof = door.party.proof(NOW, url=URL, token=door.good)
        for several in (f"{proof},{proof}", f"{proof}, {proof}"):
            with pytest.raises(ProofInvalid, match="exactly one"):
                door.open(proof=several)

    def test_the_access_token_is_no_proof(self, door: Door) -> None:
        with pytest.raises(ProofInvalid):
            door.open(proof=door.good)

    def test_a_cached_key_serves_only_the_exact_header_bytes(self, door: Door) -> None:
        door.open()
        header, payload, signature = door.party.proof(NOW, url=URL, token=door.good).split(".")
        for spoilt in (f"{header}A.{payload}.{signature}", f"{header}=.{payload}.{signature}"):
            with pytest.raises(ProofInvalid):
                door.open(proof=spoilt)

    def test_a_signature_in_der_is_refused(self, door: Door) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        content, _, _ = door.party.proof(NOW, url=URL, token=door.good).rpartition(".")
        key = door.party.key.private_key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        der = key.sign(content.encode(), ec.ECDSA(hashes.SHA256()))
        with pytest.raises(ProofInvalid, match="signature"):
            door.open(proof=f"{content}.{encode_segment(der).decode()}")

    @pytest.mark.parametrize("signature", [b"\0" * 64, b"\xff" * 64, b"\0" * 63, b"\0" * 65, b"\0"])
    def test_degenerate_signatures_are_refused(self, door: Door, signature: bytes) -> None:
        content, _, _ = door.party.proof(NOW, url=URL, token=door.good).rpartition(".")
        with pytest.raises(ProofInvalid, match="signature"):
            door.open(proof=f"{content}.{encode_segment(signature).decode()}")

    def test_a_repeated_member_in_header_or_payload_is_refused(self, door: Door) -> None:
        jwk = json.dumps(door.party.key.as_dict(private=False))
        header = f'{{"typ":"dpop+jwt","alg":"ES256","alg":"ES256","jwk":{jwk}}}'
        claims = (
            f'{{"jti":"a","jti":"b","htm":"POST","htu":"{URL}","iat":{SECONDS},"ath":"{ath(door.good)}"}}'
        )
        signer = SigningKey(door.party.key, "ES256", {"jwk": door.party.key.as_dict(private=False)})
        content = f"{encode_segment(header.encode()).decode()}.{encode_segment(b'{}').decode()}"
        for spoilt in (f"{content}.AAAA", signer.sign("dpop+jwt", claims.encode())):
            with pytest.raises(ProofInvalid, match="unique"):
                door.open(proof=spoilt)

    def test_the_same_proof_has_the_same_hash_and_another_jti_another(self, door: Door) -> None:
        proof = door.party.proof(NOW, url=URL, token=door.good)
        other = door.party.proof(NOW, url=URL, token=door.good)
        first, again, second = (door.open(proof=given) for given in (proof, proof, other))
        assert first.proof_hash == again.proof_hash
        assert first.proof_hash != second.proof_hash


class TestKeysThatAreNotAccepted:
    @pytest.mark.parametrize("kind", ["P-384", "P-521", "secp256k1", "Ed448", "X25519", "RSA-1024"])
    def test_fapi_5_4_1_other_curves_and_short_keys_are_refused(self, door: Door, kind: str) -> None:
        key = _unwanted_key(kind)
        for algorithm in ("ES256", "EdDSA", "PS256"):
            header = {"alg": algorithm, "jwk": key.as_dict(private=False)}
            with pytest.raises(ProofInvalid):
                door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header=header))

    def test_a_second_spelling_of_a_key_is_refused(self, door: Door) -> None:
        jwk = door.party.key.as_dict(private=False)
        padded = {**jwk, "x": encode_segment(b"\0" + _bytes(str(jwk["x"]))).decode()}
        with pytest.raises(ProofInvalid, match="length"):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header={"jwk": padded}))

    def test_a_point_off_the_curve_is_refused(self, door: Door) -> None:
        off = {"kty": "EC", "crv": "P-256", "x": encode_segment(b"\1" * 32).decode(), "y": "A" * 43}
        with pytest.raises(ProofInvalid):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header={"jwk": off}))

    @pytest.mark.parametrize(
        "extra", [{"use": "enc"}, {"alg": "PS256"}, {"key_ops": ["sign"]}, {"key_ops": 7}]
    )
    def test_a_key_meant_for_something_else_is_refused(self, door: Door, extra: dict[str, Any]) -> None:
        jwk = {**door.party.key.as_dict(private=False), **extra}
        with pytest.raises(ProofInvalid):
            door.open(proof=door.party.proof(NOW, url=URL, token=door.good, header={"jwk": jwk}))


def _unwanted_key(kind: str) -> ECKey | OKPKey | RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "RSA-1024":
            return RSAKey.generate_key(1024)
        if kind in ("Ed448", "X25519"):
            return OKPKey.generate_key(kind)  # type: ignore[arg-type]
        return ECKey.generate_key(kind)


def _bytes(segment: str) -> bytes:
    return decode_segment(segment.encode())


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
