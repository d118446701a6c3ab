"""The two secrets of a release of statistics, sealed: who is which number, and the noise of its tables.

AES-256-GCM under a key of their own, which HKDF makes of the key-encryption key; each is bound to its release
and to what it is for. Who has them can take the noise away.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.errors import BrokerError
from broker.oauth.citizen_secrets import derived_key

ReleaseSecret = Literal["persons", "tables"]
SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class ReleaseSecretUnreadable(BrokerError):
    """A secret of a release does not open: another key-encryption key, or changed bytes."""

    kind = "release_secret_unreadable"


class ReleaseSeal:
    """Makes, seals and opens secrets of releases. key_encryption_key: 32 bytes, from the settings."""

    def __init__(self, key_encryption_key: bytes) -> None:
        self._cipher = AESGCM(derived_key(key_encryption_key, "statistics/releases"))

    def make(self, release: str, what: ReleaseSecret) -> bytes:
        """Return a new secret of 32 bytes, sealed."""
        return self.seal(release, what, secrets.token_bytes(SECRET_BYTES))

    def seal(self, release: str, what: ReleaseSecret, secret: bytes) -> bytes:
        """Return nonce (12 bytes) and ciphertext with its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, _bound_to(release, what))

    def open(self, release: str, what: ReleaseSecret, sealed: bytes) -> bytes:
        """Return a secret (32 bytes). Raises ReleaseSecretUnreadable."""
        try:
            return self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(release, what)
            )
        except (InvalidTag, ValueError):
            raise ReleaseSecretUnreadable(f"a secret of release {release} cannot be decrypted") from None


def _bound_to(release: str, what: ReleaseSecret) -> bytes:
    return f"{what}/{release}".encode()
