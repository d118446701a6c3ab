"""Public and private keys for the three signature algorithms that FAPI 2.0 allows (5.4.1): nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from broker.oauth.jose import JoseRefused, decode_segment, encode_segment

Algorithm = Literal["ES256", "EdDSA", "PS256"]
AsymmetricKey = ECKey | OKPKey | RSAKey

ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# algorithm → key type, curve, members that make up the key (and its RFC 7638 thumbprint).
_SHAPES: Final[Mapping[str, tuple[str, str | None, tuple[str, ...]]]] = {
    "ES256": ("EC", "P-256", ("x", "y")),
    "EdDSA": ("OKP", "Ed25519", ("x",)),
    "PS256": ("RSA", None, ("n", "e")),
}
_ES256: Final = ECDSA(SHA256())
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 4096
# Taken from the registry once: asking it by name each time costs more than the rest of the envelope, and
# warns that "EdDSA" has a newer name (RFC 9864) which FAPI 2.0 does not know.
_MODELS: Final[Mapping[str, JWSAlgModel]] = {name: JWSRegistry.algorithms[name] for name in ALGORITHMS}


class VerifyingKey:
    """A public key with the one algorithm it may be used with.

    thumbprint: RFC 7638 SHA-256 thumbprint, base64url (the "jkt" of RFC 9449). kid: as published, or None.
    """

    __slots__ = ("_key", "_model", "_point", "algorithm", "kid", "thumbprint")

    def __init__(self, key: AsymmetricKey, algorithm: str, kid: str | None = None) -> None:
        self.algorithm = algorithm
        self.thumbprint = key.thumbprint()
        self.kid = kid
        self._key = key
        self._model = _MODELS[algorithm]
        # ES256 signs nearly every proof: its key object is asked for once, not with every signature.
        operations = key.get_op_key("verify") if algorithm == "ES256" else None
        self._point = operations if isinstance(operations, EllipticCurvePublicKey) else None

    def is_signature(self, content: bytes, signature: bytes) -> bool:
        """Return whether signature (raw r and s for ES256, RFC 7518 3.4) is this key's over content."""
        if self._point is None:
            return self._model.verify(content, signature, self._key)
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            self._point.verify(encode_dss_signature(r, s), content, _ES256)
        except InvalidSignature:
            return False
        return True


def import_public_jwk(jwk: object, algorithm: str | None = None) -> VerifyingKey:
    """Return the key that a public JWK (RFC 7517) holds, to be used with algorithm.

    algorithm: what the JWS header says; None takes the JWK's "alg" or the only one that fits its "kty".
    Refused (JoseRefused): private members, another key type or curve than the algorithm needs, RSA below
    2048 or above 4096 bits, a coordinate of the wrong length (it would give one key several thumbprints),
    a point off the curve, "use" or "alg" or "key_ops" that say otherwise, x5u (FAPI 2.0, 5.4.2). x5c is not
    looked at here.
    """
    if not isinstance(jwk, dict) or not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise JoseRefused("jwk must be a public key")
    if "x5u" in jwk:
        raise JoseRefused("x5u is not allowed: a certificate itself stands in x5c")
    algorithm = algorithm or jwk.get("alg") or _algorithm_of(jwk)
    if not isinstance(algorithm, str) or algorithm not in _SHAPES:
        raise JoseRefused("only ES256, EdDSA and PS256 are accepted")
    key_type, curve, members = _SHAPES[algorithm]
    _check_designation(jwk, algorithm)
    if jwk.get("kty") != key_type or (curve is not None and jwk.get("crv") != curve):
        raise JoseRefused("the key does not fit the algorithm")
    _check_members(jwk, algorithm, members)
    bare = {"kty": key_type, **({"crv": curve} if curve else {}), **{name: jwk[name] for name in members}}
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise JoseRefused("kid must be a string")
    try:
        key = import_key(bare)
    except (JoseError, ValueError, TypeError):
        raise JoseRefused("the key cannot be read") from None
    if not isinstance(key, AsymmetricKey):  # pragma: no cover (no shape above is symmetric)
        raise JoseRefused("jwk must be a public key")
    return VerifyingKey(key, algorithm, kid)


def _algorithm_of(jwk: Mapping[str, Any]) -> str | None:
    kty = jwk.get("kty")
    return next((name for name, (key_type, _, _) in _SHAPES.items() if key_type == kty), None)


def _check_designation(jwk: Mapping[str, Any], algorithm: str) -> None:
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        raise JoseRefused("the key is meant for something else")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise JoseRefused("the key is meant for something else")


def _check_members(jwk: Mapping[str, Any], algorithm: str, members: tuple[str, ...]) -> None:
    contents = []
    for name in members:
        value = jwk.get(name)
        if not isinstance(value, str) or not value.isascii():
            raise JoseRefused("a member of the key is missing")
        contents.append(decode_segment(value.encode("ascii")))
    if algorithm == "PS256":
        modulus, exponent = (int.from_bytes(content, "big") for content in contents)
        minimal = all(content[:1] not in (b"", b"\0") for content in contents)
        if not minimal or not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
            raise JoseRefused("an RSA key needs 2048 to 4096 bits")
        if not (65537 <= exponent < 1 << 32 and exponent & 1):
            raise JoseRefused("an RSA key needs a public exponent of 65537 or more")
    elif any(len(content) != 32 for content in contents):
        raise JoseRefused("a coordinate of the key has the wrong length")


@dataclass(frozen=True, slots=True)
class LogSigner:
    """A key of the log. public_key: 32 bytes. sign: from a message to 64 bytes of Ed25519 (RFC 8032)."""

    public_key: bytes
    sign: Callable[[bytes], bytes] = field(repr=False)


class SigningKey:
    """A private key for the one algorithm it signs with.

    header: members of the protected header beside alg and typ, such as kid, or jwk for a DPoP proof.
    """

    __slots__ = ("_header", "_headers", "_key", "_model", "algorithm")

    def __init__(self, key: AsymmetricKey, algorithm: str, header: Mapping[str, object]) -> None:
        self.algorithm = algorithm
        self._header = header
        self._key = key
        self._model = _MODELS[algorithm]
        self._headers: dict[str, bytes] = {}

    def sign(self, typ: str, payload: bytes) -> str:
        """Return payload as a compact JWS (RFC 7515, 7.1).

        typ: media type without "application/", such as "at+jwt". payload: UTF-8 JSON, taken as it is.
        """
        header = self._headers.get(typ)
        if header is None:
            members = {"alg": self.algorithm, "typ": typ, **self._header}
            header = encode_segment(json.dumps(members, separators=(",", ":")).encode())
            self._headers[typ] = header
        content = header + b"." + encode_segment(payload)
        return (content + b"." + encode_segment(self._model.sign(content, self._key))).decode("ascii")

    def log_signer(self) -> LogSigner:
        """Return what signs checkpoints with this key. Raises TypeError for a key of another kind."""
        private = self._key.get_op_key("sign")
        if not isinstance(private, Ed25519PrivateKey):
            raise TypeError("checkpoints are signed with Ed25519")
        return LogSigner(private.public_key().public_bytes_raw(), private.sign)
