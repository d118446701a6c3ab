"""What must be said again of an account, encrypted: personal id, one-time-code secret, complaints.

AES-256-GCM (SP 800-38D) under a key per purpose, which HKDF (RFC 5869) makes of the key-encryption key.
Purpose and citizen are the associated data: no ciphertext can be moved to another column or person.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from broker.errors import BrokerError

SealedPurpose = Literal["personal_id", "totp_secret", "complaint", "complaint_answer"]
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class CitizenSecretUnreadable(BrokerError):
    """What is kept of an account does not open: another key-encryption key, or changed bytes."""

    kind = "citizen_secret_unreadable"


def derived_key(key_encryption_key: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose (RFC 5869, 3.2); whoever has them learns nothing of any other's.

    Raises ValueError unless the key-encryption key has 32 bytes.
    """
    if len(key_encryption_key) != _KEY_BYTES:
        raise ValueError("the key-encryption key has 32 bytes")
    info = f"insurance-data-broker/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(key_encryption_key)


class CitizenSecrets:
    """Seals and opens. key_encryption_key: 32 bytes, from the settings."""

    def __init__(self, key_encryption_key: bytes) -> None:
        self._ciphers = {
            purpose: AESGCM(derived_key(key_encryption_key, f"citizen/{purpose}"))
            for purpose in get_args(SealedPurpose)
        }

    def seal(self, purpose: SealedPurpose, citizen_id: str, plain: str) -> bytes:
        """Return nonce (12 bytes) and ciphertext with its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = _associated_data(purpose, citizen_id)
        return nonce + self._ciphers[purpose].encrypt(nonce, plain.encode(), data)

    def open(self, purpose: SealedPurpose, citizen_id: str, sealed: bytes) -> str:
        """Return what was sealed. Raises CitizenSecretUnreadable."""
        data = _associated_data(purpose, citizen_id)
        try:
            plain = self._ciphers[purpose].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], data)
        except (InvalidTag, ValueError):
            raise CitizenSecretUnreadable(f"the {purpose} of an account cannot be decrypted") from None
        return plain.decode()


def _associated_data(purpose: SealedPurpose, citizen_id: str) -> bytes:
    return f"{purpose}\x1f{citizen_id}".encode()
