"""Resource requests (RFC 9449, 4.3 and 7; FAPI 2.0, 5.4.1): proofs and keys that must not open the door."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.errors import ProofInvalid
from broker.oauth.jose import decode_segment, encode_segment
from broker.oauth.jose_keys import SigningKey
from tests.dpop_door import NOW, SECONDS, URL, Door
from tests.oauth_world import Party, ath


@pytest.fixture
def door() -> Door:
    return Door()


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
