"""Public keys that results are encrypted to (JWE, RFC 7516), so that the recipient alone opens them.

EC keys on the curves of NIST and X25519: ECDH-ES+A256KW. RSA of 2048 to 4096 bits: RSA-OAEP-256. Content
always A256GCM (RFC 7518).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from broker.oauth.jose import JoseRefused, decode_segment
from broker.oauth.jose_keys import PRIVATE_MEMBERS

MEDIA_TYPE: Final = "application/jose"
CONTENT: Final = "A256GCM"
AGREED: Final = "ECDH-ES+A256KW"
WRAPPED: Final = "RSA-OAEP-256"
CURVES: Final = frozenset({("EC", "P-256"), ("EC", "P-384"), ("EC", "P-521"), ("OKP", "X25519")})
_MEMBERS: Final = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_RSA_BITS: Final = (2048, 4096)
_KID_MAX: Final = 200


def check_recipient_key(jwk: object) -> Mapping[str, Any]:
    """Return the members of a public JWK (RFC 7517) that matter here, and nothing else of it.

    Raises JoseRefused, with a fixed text: private members, another type or curve, RSA of other sizes, a
    point off the curve, or a key that says that it is for something else.
    """
    if not isinstance(jwk, Mapping) or not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise JoseRefused("the recipient's key must be a public JWK")
    kty, kid = jwk.get("kty"), jwk.get("kid")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise JoseRefused("the recipient's key must be an EC, OKP or RSA key")
    if kty != "RSA" and (kty, str(jwk.get("crv"))) not in CURVES:
        raise JoseRefused("the curve of the recipient's key must be P-256, P-384, P-521 or X25519")
    algorithm = WRAPPED if kty == "RSA" else AGREED
    if jwk.get("use", "enc") != "enc" or jwk.get("alg", algorithm) != algorithm:
        raise JoseRefused("the recipient's key is meant for something else")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= _KID_MAX and kid.isprintable()):
        raise JoseRefused("the kid of the recipient's key must be a short text")
    wanted = {name: jwk.get(name) for name in ("kty", *_MEMBERS[kty])}
    if not all(isinstance(value, str) and value.isascii() for value in wanted.values()):
        raise JoseRefused("a member of the recipient's key is missing")
    _check_readable(wanted)
    return {**wanted, **({} if kid is None else {"kid": kid})}


def registrable_recipient_key(jwk: object) -> Mapping[str, Any]:
    """Return a key as it is registered, with kid (its RFC 7638 thumbprint if it has none), alg and use.

    Raises JoseRefused.
    """
    checked = check_recipient_key(jwk)
    algorithm = WRAPPED if checked["kty"] == "RSA" else AGREED
    kid = checked.get("kid") or _read(checked).thumbprint()
    return {**checked, "kid": kid, "alg": algorithm, "use": "enc"}


def encrypted_to(jwk: Mapping[str, Any], content: bytes, content_type: str) -> bytes:
    """Return content as a JWE in compact form, for the holder of the private key alone.

    jwk: as `check_recipient_key` returned it. content_type: media type of the content, such as
    application/zip. Each time other bytes: the content key is drawn anew. Raises JoseRefused.
    """
    checked = check_recipient_key(jwk)
    algorithm = WRAPPED if checked["kty"] == "RSA" else AGREED
    header = {"alg": algorithm, "enc": CONTENT, "cty": content_type.removeprefix("application/")}
    if "kid" in checked:
        header["kid"] = checked["kid"]
    sealed = jwe.encrypt_compact(header, content, _read(checked), algorithms=[algorithm, CONTENT])
    return sealed.encode("ascii")


def _check_readable(jwk: Mapping[str, Any]) -> None:
    if jwk["kty"] == "RSA":
        modulus = int.from_bytes(decode_segment(jwk["n"].encode("ascii")), "big")
        least, most = _RSA_BITS
        if not least <= modulus.bit_length() <= most:
            raise JoseRefused("an RSA key needs 2048 to 4096 bits")
    _read(jwk)


def _read(jwk: Mapping[str, Any]) -> ECKey | OKPKey | RSAKey:
    try:
        key = import_key({name: value for name, value in jwk.items() if name != "kid"})
        key.get_op_key("wrapKey" if isinstance(key, RSAKey) else "deriveKey")
    except (JoseError, ValueError, TypeError):
        raise JoseRefused("the recipient's key cannot be read") from None
    if not isinstance(key, (ECKey, OKPKey, RSAKey)):  # pragma: no cover (no type above is symmetric)
        raise JoseRefused("the recipient's key must be a public JWK")
    return key
