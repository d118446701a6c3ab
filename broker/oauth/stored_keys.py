"""A signing key as it is kept: made for one purpose, its private half encrypted.

AES-256-GCM under a key-encryption key that is handed in. Kid, purpose, algorithm and the public key are the
associated data: a stored key cannot be moved under another name or purpose, and a public key that somebody
put into the store by hand is not taken for ours.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, Protocol, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.errors import BrokerError
from broker.oauth.jose import decode_segment
from broker.oauth.jose_keys import Algorithm, AsymmetricKey, SigningKey

Purpose = Literal[
    "access_token", "receipt", "id_token", "introspection", "security_event", "consent_receipt", "log"
]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
ONLY_ALGORITHM: Final[Mapping[Purpose, Algorithm]] = {"log": "EdDSA"}
"""Purposes whose signatures have one algorithm: checkpoints of the log are signed with Ed25519."""

_NONCE_BYTES: Final = 12


class SigningKeyUnavailable(BrokerError):
    """There is no key that could sign for a purpose, or it cannot be decrypted."""

    kind = "signing_key_unavailable"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as the store keeps it. Instants are aware.

    private_key_encrypted: nonce (12 bytes), then AES-256-GCM of the PKCS #8 DER.
    signs_until, published_until: None while no successor exists.
    """

    kid: str
    purpose: Purpose
    algorithm: Algorithm
    public_jwk: Mapping[str, str]
    private_key_encrypted: bytes
    created_at: datetime
    signs_until: datetime | None = None
    published_until: datetime | None = None


def log_public_keys(keys: Iterable[StoredKey]) -> list[bytes]:
    """Return those of the log among keys, in their order: Ed25519, 32 bytes each.

    keys: those whose signatures count, such as `KeyRing.live_keys` gives, withdrawn ones left out.
    """
    return [decode_segment(key.public_jwk["x"].encode()) for key in keys if key.purpose == "log"]


class SigningKeyStore(Protocol):
    """Keeps signing keys for `broker.keys`; `broker.storage.signing_keys` implements it."""

    def find_keys(self) -> Sequence[StoredKey]:
        """Return every key kept, oldest first. Raises StoreUnavailable."""
        ...

    def replace_key(self, successor: StoredKey, signs_until: datetime, published_until: datetime) -> None:
        """Insert successor; in the same transaction end the keys of its purpose that have no end yet.

        Raises StoreUnavailable.
        """
        ...

    def delete_unpublished(self, now: datetime) -> int:
        """Delete keys whose publication has ended; return how many. Raises StoreUnavailable."""
        ...


def algorithm_of(purpose: Purpose, wanted: Algorithm | None) -> Algorithm:
    """Return the algorithm of a new key: the one wanted, or the purpose's own.

    Raises ValueError for one that the purpose cannot have.
    """
    only = ONLY_ALGORITHM.get(purpose)
    if only and wanted not in (None, only):
        raise ValueError(f"{purpose} keys are {only} keys")
    return wanted or only or "ES256"


def _encrypted(key_encryption_key: bytes, key: StoredKey, der: bytes) -> bytes:
    """Return a private key (PKCS #8) for the store: nonce, then AES-256-GCM (SP 800-38D) with its tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key_encryption_key).encrypt(nonce, der, _associated_data(key))


def decrypt_private_key(key_encryption_key: bytes, stored: StoredKey) -> SigningKey:
    """Return a stored key, ready to sign.

    Raises SigningKeyUnavailable when the key-encryption key is another one, or anything about the key was
    changed: kid, purpose, algorithm, public key or ciphertext.
    """
    der = _decrypted(key_encryption_key, stored)
    return SigningKey(_import_private(stored.algorithm, der), stored.algorithm, {"kid": stored.kid})


def encrypted_anew(old: bytes, new: bytes, stored: StoredKey) -> bytes:
    """Return the private half, which the old key-encryption key opens, encrypted under the new one.

    Raises SigningKeyUnavailable as decrypt_private_key does.
    """
    return _encrypted(new, stored, _decrypted(old, stored))


def _decrypted(key_encryption_key: bytes, stored: StoredKey) -> bytes:
    nonce = stored.private_key_encrypted[:_NONCE_BYTES]
    ciphertext = stored.private_key_encrypted[_NONCE_BYTES:]
    try:
        return AESGCM(key_encryption_key).decrypt(nonce, ciphertext, _associated_data(stored))
    except (InvalidTag, ValueError):
        raise SigningKeyUnavailable(f"the {stored.purpose} key cannot be decrypted") from None


def _associated_data(key: StoredKey) -> bytes:
    members = [key.kid, key.purpose, key.algorithm, dict(key.public_jwk)]
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


def new_key(
    key_encryption_key: bytes, purpose: Purpose, algorithm: Algorithm, created_at: datetime
) -> StoredKey:
    """Return a fresh key for a purpose; its kid is the RFC 7638 thumbprint. PS256 keys have 3072 bits."""
    key = generate_private_key(algorithm)
    kid = key.thumbprint()
    public = {name: str(value) for name, value in key.as_dict(private=False).items()}
    der = key.as_der(private=True)
    bare = StoredKey(
        kid=kid,
        purpose=purpose,
        algorithm=algorithm,
        public_jwk={**public, "kid": kid, "alg": algorithm, "use": "sig"},
        private_key_encrypted=b"",
        created_at=created_at,
    )
    return replace(bare, private_key_encrypted=_encrypted(key_encryption_key, bare, der))


def generate_private_key(algorithm: Algorithm) -> AsymmetricKey:
    """Return a fresh private key that fits the algorithm (P-256, Ed25519, RSA-3072)."""
    if algorithm == "ES256":
        return ECKey.generate_key("P-256")
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    return RSAKey.generate_key(3072)


def _import_private(algorithm: str, der: bytes) -> AsymmetricKey:
    if algorithm == "ES256":
        return ECKey.import_key(der)
    if algorithm == "EdDSA":
        return OKPKey.import_key(der)
    return RSAKey.import_key(der)
