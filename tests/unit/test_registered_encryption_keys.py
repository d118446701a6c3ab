"""A client may register keys to be encrypted to, beside those that it signs with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.oauth.client_jwks import rotated_jwks, usable_jwks
from broker.oauth.client_metadata import client_metadata
from broker.oauth.registration import JwksRefused, encryption_key, read_jwks, registrable_jwks
from tests.oauth_world import Party

SIGNING = Party("ministry").public_jwk
KEYS: dict[str, ECKey | OKPKey | RSAKey] = {
    "P-256": ECKey.generate_key("P-256"),
    "X25519": OKPKey.generate_key("X25519"),
    "RSA": RSAKey.generate_key(2048),
}


def public(name: str, **more: Any) -> dict[str, Any]:
    return {**KEYS[name].as_dict(private=False), "use": "enc", **more}


def registered(*keys: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(one) for one in registrable_jwks(json.dumps({"keys": keys}))["keys"]]


@pytest.mark.parametrize("name", KEYS)
def test_it_is_registered_with_its_use_and_nobody_signs_with_it(name: str) -> None:
    found = registered(public(name), SIGNING)
    assert [one["use"] for one in found] == ["enc", "sig"]
    assert found[0]["alg"] == ("RSA-OAEP-256" if name == "RSA" else "ECDH-ES+A256KW")
    assert found[0]["kid"] == KEYS[name].thumbprint()
    text = json.dumps({"keys": found})
    assert [key.kid for key in read_jwks(text)] == [found[1]["kid"]]
    assert encryption_key(text) == found[0]


def test_a_client_without_one_has_none() -> None:
    assert encryption_key(json.dumps(registrable_jwks(json.dumps(SIGNING)))) is None


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (public("P-256", alg="ES256"), "meant for something else"),
        (public("P-256", x="AA"), "cannot be read"),
        ({**KEYS["P-256"].as_dict(private=True), "use": "enc"}, "must be a public JWK"),
        ({"kty": "oct", "k": "AA", "use": "enc"}, "must be a public JWK"),
        ({**ECKey.generate_key("secp256k1").as_dict(private=False), "use": "enc"}, "the curve of"),
    ],
)
def test_one_that_cannot_be_encrypted_to_is_refused(spoilt: dict[str, Any], told: str) -> None:
    with pytest.raises(JwksRefused, match=told):
        registered(SIGNING, spoilt)


def test_a_client_has_a_key_to_sign_with() -> None:
    with pytest.raises(JwksRefused, match="the set has no key to sign with"):
        registered(public("P-256"))
    jwks = {"keys": registered(SIGNING, public("P-256"))}
    [signing, _] = jwks["keys"]
    with pytest.raises(JwksRefused, match="the set has no key to sign with"):
        rotated_jwks(jwks, None, keep_old=True, retire=[signing["kid"]])


def test_it_can_be_exchanged_by_itself() -> None:
    jwks = {"keys": registered(SIGNING, public("P-256"))}
    changed = rotated_jwks(jwks, None, keep_old=True, retire=[jwks["keys"][1]["kid"]])
    assert [one["use"] for one in changed["keys"]] == ["sig"]


def test_metadata_name_the_algorithm_of_the_keys_that_sign_alone() -> None:
    found = client_metadata(
        {
            "client_name": "Bộ",
            "scope": "export_statistics",
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_signing_alg": SIGNING.get("alg", "ES256"),
            "jwks": {"keys": [SIGNING, public("X25519")]},
        }
    )
    assert [one["use"] for one in found.members["jwks"]["keys"]] == ["sig", "enc"]


def test_a_published_set_is_read_for_signatures_alone() -> None:
    text = usable_jwks(json.dumps({"keys": [SIGNING, public("P-256")]}))
    assert encryption_key(text) is None
