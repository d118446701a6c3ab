"""Results encrypted to a recipient's key: opened by joserfc as that recipient, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.oauth.jose import JoseRefused, encode_segment
from broker.oauth.recipient_keys import check_recipient_key, encrypted_to

EC = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
KEYS: dict[str, Any] = {
    "P-256": EC,
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "X25519": OKPKey.generate_key("X25519"),
    "RSA": RSA,
}
CONTENT = bytes(range(256)) * 3000


def public(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def reading(wrapped: str) -> jwe.JWERegistry:
    """Return how a recipient reads files: joserfc opens 64 KiB unless it is told that more may come."""
    registry = jwe.JWERegistry(algorithms=[wrapped, "A256GCM"])
    registry.max_ciphertext_length = 2 * len(CONTENT)
    return registry


@pytest.mark.parametrize("name", KEYS)
def test_the_holder_of_the_private_key_opens_it(name: str) -> None:
    key = KEYS[name]
    sealed = encrypted_to(public(key, kid="ministry-1"), CONTENT, "application/zip")
    wrapped = "RSA-OAEP-256" if name == "RSA" else "ECDH-ES+A256KW"
    opened = jwe.decrypt_compact(sealed, key, registry=reading(wrapped))
    assert opened.plaintext == CONTENT
    header = {name: value for name, value in opened.headers().items() if name != "epk"}
    assert header == {"alg": wrapped, "enc": "A256GCM", "cty": "zip", "kid": "ministry-1"}
    assert encrypted_to(public(key), CONTENT, "application/zip") != sealed
    other = RSAKey.generate_key(2048) if name == "RSA" else type(key).generate_key(name)
    with pytest.raises((JoseError, ValueError)):
        jwe.decrypt_compact(sealed, other, registry=reading(wrapped))


def test_what_matters_of_a_key_is_kept_and_nothing_else() -> None:
    given = public(EC, use="enc", alg="ECDH-ES+A256KW", key_ops=["deriveKey"], x5c=["..."], kid="k")
    assert sorted(check_recipient_key(given)) == ["crv", "kid", "kty", "x", "y"]
    assert sorted(check_recipient_key(public(RSA))) == ["e", "kty", "n"]


@pytest.mark.parametrize(
    ("jwk", "said"),
    [
        (None, "must be a public JWK"),
        ([], "must be a public JWK"),
        (EC.as_dict(private=True), "must be a public JWK"),
        ({"kty": "oct", "k": "AAAA"}, "must be a public JWK"),
        ({"kty": "oct"}, "must be an EC, OKP or RSA key"),
        ({}, "must be an EC, OKP or RSA key"),
        (public(EC, crv="secp256k1"), "the curve of"),
        (public(OKPKey.generate_key("Ed25519")), "the curve of"),
        (public(EC, crv=["P-256"]), "the curve of"),
        (public(EC, use="sig"), "meant for something else"),
        (public(EC, alg="ECDH-ES"), "meant for something else"),
        (public(RSA, alg="RSA1_5"), "meant for something else"),
        (public(EC, kid=""), "the kid of"),
        (public(EC, kid="a\nb"), "the kid of"),
        (public(EC, kid="k" * 201), "the kid of"),
        ({"kty": "EC", "crv": "P-256", "x": "AAAA"}, "a member of the recipient's key is missing"),
        (public(EC, y="AAAA"), "cannot be read"),
        (public(EC, y=public(EC)["x"]), "cannot be read"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_other_keys_are_refused_with_a_fixed_text(jwk: Any, said: str) -> None:
    with pytest.raises(JoseRefused, match=said):
        check_recipient_key(jwk)


def test_rsa_keys_have_a_size() -> None:
    for bits in (1024, 5120):
        modulus = (1 << (bits - 1)) | 1
        number = modulus.to_bytes(bits // 8, "big")
        text = encode_segment(number).decode()
        with pytest.raises(JoseRefused, match="2048 to 4096 bits"):
            check_recipient_key({"kty": "RSA", "n": text, "e": "AQAB"})
