"""What statistical exports keep: true aggregates for the auditor, results for those who asked; encrypted.

AES-256-GCM (SP 800-38D). Each table and each result has a key of its own, drawn at random, which lies under
one that HKDF makes of the key-encryption key. So another key-encryption key costs one small value for each,
never their content, and a content whose key is gone opens no more. Keys are bound to their name, pieces of
content to name and number: nothing can be moved elsewhere, nor put into another order.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.errors import BrokerError
from broker.oauth.citizen_secrets import derived_key

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class ExportSecretUnreadable(BrokerError):
    """What is kept of an export does not open: another key-encryption key, or changed bytes."""

    kind = "export_secret_unreadable"


class ExportKeySeal:
    """Seals and opens the keys of contents. key_encryption_key: 32 bytes, from the settings.

    name: of what the key is for, such as table/<hash of its plan> or result/<id of its job>.
    """

    def __init__(self, key_encryption_key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key_encryption_key, "statistics/keys"))

    def new_key(self, name: str) -> tuple[bytes, bytes]:
        """Return a fresh key (32 bytes) and what is kept of it."""
        key = secrets.token_bytes(_KEY_BYTES)
        return key, self.seal(name, key)

    def seal(self, name: str, key: bytes) -> bytes:
        """Return nonce (12 bytes) and ciphertext with its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return a key. Raises ExportSecretUnreadable."""
        return _opened(self._cipher, sealed, name.encode(), "a key of an export")


def seal_piece(key: bytes, name: str, number: int, plain: bytes) -> bytes:
    """Return a piece of content sealed under its key: nonce (12 bytes) and ciphertext with its tag.

    name: as of the key. number: which piece it is, from 0.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, _bound(name, number))


def open_piece(key: bytes, name: str, number: int, sealed: bytes) -> bytes:
    """Return what `seal_piece` sealed. Raises ExportSecretUnreadable."""
    return _opened(AESGCM(key), sealed, _bound(name, number), "a piece of an export")


def _bound(name: str, number: int) -> bytes:
    return f"{name}\x1f{number}".encode()


def _opened(cipher: AESGCM, sealed: bytes, bound_to: bytes, what: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise ExportSecretUnreadable(f"{what} cannot be decrypted") from None
