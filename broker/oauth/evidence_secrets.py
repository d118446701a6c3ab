"""What opens the commitments of evidence, encrypted: salts under a person's key of a year, keys at rest.

AES-256-GCM (SP 800-38D). A year's keys lie under a key of their own, which HKDF makes of the key-encryption
key; each is bound to its name, and salts to the reference of their entry: nothing can be moved elsewhere.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.errors import BrokerError
from broker.oauth.citizen_secrets import derived_key

_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 32
_PRESENT: Final = {(False, False): b"\0", (True, False): b"\1", (False, True): b"\2", (True, True): b"\3"}
Salts = tuple[bytes | None, bytes | None]
"""The salt of the data subject's commitment and that of the payload's; None where there is none."""


class EvidenceSecretUnreadable(BrokerError):
    """A key of evidence, or salts, do not open: another key-encryption key, or changed bytes."""

    kind = "evidence_secret_unreadable"


class EvidenceKeySeal:
    """Seals and opens the keys of evidence at rest. key_encryption_key: 32 bytes, from the settings."""

    def __init__(self, key_encryption_key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key_encryption_key, "evidence/keys"))

    def seal(self, name: str, key: bytes) -> bytes:
        """Return nonce (12 bytes) and ciphertext with its tag. name: of the key, such as 2026/3fa."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return a key (32 bytes). Raises EvidenceSecretUnreadable."""
        return _opened(self._cipher, sealed, name.encode(), "a key of evidence")


def seal_salts(key: bytes, reference: bytes, salts: Salts) -> bytes | None:
    """Return the salts of one entry in one box, None where there are none.

    key: the person's of that year (32 bytes). reference: the 16 bytes of the entry's. Which of the two there
    are does not show, nor whether there is a person: a box is always as long.
    """
    subject, payload = salts
    if subject is None and payload is None:
        return None
    plain = _PRESENT[subject is not None, payload is not None]
    plain += (subject or bytes(_SALT_BYTES)) + (payload or bytes(_SALT_BYTES))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, reference)


def open_salts(key: bytes, reference: bytes, sealed: bytes) -> Salts:
    """Return what `seal_salts` sealed. Raises EvidenceSecretUnreadable."""
    plain = _opened(AESGCM(key), sealed, reference, "the salts of an entry")
    subject, payload = plain[1 : 1 + _SALT_BYTES], plain[1 + _SALT_BYTES :]
    return subject if plain[0] & 1 else None, payload if plain[0] & 2 else None


def _opened(cipher: AESGCM, sealed: bytes, bound_to: bytes, what: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise EvidenceSecretUnreadable(f"{what} cannot be decrypted") from None
