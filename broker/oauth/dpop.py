"""DPoP proofs (RFC 9449): one signed statement per request that its sender holds the bound key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from broker.errors import ProofInvalid, ProofNonceNeeded
from broker.oauth.bounded import BoundedMap
from broker.oauth.jose import (
    JoseRefused,
    check_window,
    decode_header,
    decode_object,
    decode_segment,
    is_number,
    split_compact,
)
from broker.oauth.jose_keys import VerifyingKey, import_public_jwk

MAX_AGE_SECONDS: Final = 60
MAX_AHEAD_SECONDS: Final = 10
MAX_JTI_CHARACTERS: Final = 256
_TYPES: Final = frozenset({"dpop+jwt", "application/dpop+jwt"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified proof says, and what a store needs in order to accept it once only.

    jkt: RFC 7638 thumbprint of the key. issued_at_seconds: iat in whole Unix seconds.
    proof_hash: SHA-256 of jkt and jti (32 bytes); a replay has the same hash and the same iat.
    """

    jkt: str
    issued_at_seconds: int
    proof_hash: bytes


class Nonces(Protocol):
    """Nonces of this server, shared by its workers; `broker.oauth.nonces.SignedNonces` is one."""

    def fresh(self, now_seconds: float) -> str:
        """Return a nonce to be used from now on."""
        ...

    def is_good(self, nonce: str, now_seconds: float) -> bool:
        """Return whether a nonce is ours and still young."""
        ...


class ProofVerifier:
    """Verifies proofs; keeps parsed keys of good proofs by the exact bytes of the header they came in."""

    def __init__(
        self,
        *,
        max_age_seconds: int = MAX_AGE_SECONDS,
        max_ahead_seconds: int = MAX_AHEAD_SECONDS,
        kept_keys: int = 4096,
        nonces: Nonces | None = None,
    ) -> None:
        self.nonces = nonces
        self._max_age_seconds = max_age_seconds
        self._max_ahead_seconds = max_ahead_seconds
        self._keys: BoundedMap[bytes, VerifyingKey] = BoundedMap(kept_keys)

    def verify(
        self,
        proof: str | None,
        method: str,
        urls: Sequence[str],
        now_seconds: float,
        *,
        jkt: str | None = None,
        ath: str | None = None,
    ) -> Proof:
        """Return the proof if it fits this request (RFC 9449, 4.3).

        proof: value of the one DPoP header field. method: of the request. urls: by which clients may
        address it; query and fragment do not count. now_seconds: Unix time. jkt, ath: at a resource, the
        thumbprint that the access token is bound to and the base64url SHA-256 of the token; both None at the
        token endpoint.
        Whether the proof was seen before is for the store to say, in the statement that uses it.
        Raises ProofInvalid; ProofNonceNeeded when only a nonce of this server is missing (RFC 9449, 8).
        """
        if proof is None:
            raise ProofInvalid("the DPoP header is missing")
        if "," in proof:
            raise ProofInvalid("there must be exactly one DPoP header")
        try:
            header, payload, signature = split_compact(proof)
            known = self._keys.find(header)
            key = known or _key_in(header)
            if jkt is not None and key.thumbprint != jkt:
                raise ProofInvalid("the proof is signed by another key than the token is bound to")
            claims = decode_object(decode_segment(payload))
            self._check_claims(claims, method, urls, now_seconds, ath)
            jti = claims["jti"].encode("utf-8")
            if not key.is_signature(header + b"." + payload, decode_segment(signature)):
                raise ProofInvalid("the signature of the proof does not verify")
        except JoseRefused as refused:
            raise ProofInvalid(f"the proof is not acceptable: {refused}") from None
        except UnicodeEncodeError:
            raise ProofInvalid("jti is not text") from None
        if known is None:
            self._keys.keep(header, key)
        self._check_nonce(claims.get("nonce"), now_seconds)
        digest = hashlib.sha256(key.thumbprint.encode("ascii") + jti).digest()
        return Proof(jkt=key.thumbprint, issued_at_seconds=int(claims["iat"]), proof_hash=digest)

    def _check_claims(
        self, claims: dict[str, Any], method: str, urls: Sequence[str], now_seconds: float, ath: str | None
    ) -> None:
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARACTERS:
            raise ProofInvalid("jti must be a string of 1 to 256 characters")
        if claims.get("htm") != method:
            raise ProofInvalid("htm is not the method of this request")
        htu = claims.get("htu")
        if not isinstance(htu, str) or not (htu in urls or any(is_same_target(htu, url) for url in urls)):
            raise ProofInvalid("htu is not the URL of this request")
        issued_at = claims.get("iat")
        if not is_number(issued_at) or issued_at < now_seconds - self._max_age_seconds:
            raise ProofInvalid("iat is missing or too old")
        check_window(claims, now_seconds, self._max_ahead_seconds)
        if ath is not None and claims.get("ath") != ath:
            raise ProofInvalid("ath is not the hash of the access token")

    def _check_nonce(self, nonce: object, now_seconds: float) -> None:
        """Check the nonce last: who asks for one has a key and may be told. Raises ProofNonceNeeded."""
        nonces = self.nonces
        if nonces is not None and not (isinstance(nonce, str) and nonces.is_good(nonce, now_seconds)):
            raise ProofNonceNeeded(nonces.fresh(now_seconds))


def _key_in(header_segment: bytes) -> VerifyingKey:
    header = decode_header(header_segment, _TYPES)
    return import_public_jwk(header.get("jwk"), header["alg"])


def is_same_target(one: str, other: str) -> bool:
    """Return whether two URLs name the same target, as RFC 9449 4.3 compares htu.

    Query and fragment are ignored; scheme and host compare without case; a default port may be left out;
    an empty path is "/" (RFC 3986, 6.2.2 and 6.2.3). A URL that cannot be read equals nothing.
    """
    target = _target(one)
    return target is not None and target == _target(other)


def _target(url: str) -> tuple[str, str, int | None, str] | None:
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or port is None or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port, parts.path or "/"
