"""What one key-encryption key sealed, sealed anew: signing keys, citizens' values, keys of other contents."""

from __future__ import annotations

from hashlib import blake2b

from broker.oauth.citizen_secrets import CitizenSecrets, CitizenSecretUnreadable, SealedPurpose
from broker.oauth.evidence_secrets import EvidenceKeySeal, EvidenceSecretUnreadable
from broker.oauth.release_secrets import ReleaseSeal, ReleaseSecret, ReleaseSecretUnreadable
from broker.oauth.statistics_secrets import ExportKeySeal, ExportSecretUnreadable
from broker.oauth.stored_keys import SigningKeyUnavailable, StoredKey, decrypt_private_key, encrypted_anew


class SealedUnderNeitherKey(Exception):
    """Neither key opens a value: it was sealed under a third one, or its bytes were changed."""


def name_of_key(key_encryption_key: bytes) -> str:
    """Return by what evidence names a key-encryption key (32 hexadecimal digits): its file has no name."""
    return blake2b(key=key_encryption_key, digest_size=16, person=b"kek/name").hexdigest()


class Rewrapping:
    """Takes values from an old key-encryption key to a new one; 32 bytes each.

    What the new key opens already stays as it is, so that a second run over the same values changes nothing.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old_key, self._new_key = old, new
        self.old_name, self.new_name = name_of_key(old), name_of_key(new)
        self._old, self._new = CitizenSecrets(old), CitizenSecrets(new)
        self._old_evidence, self._new_evidence = EvidenceKeySeal(old), EvidenceKeySeal(new)
        self._old_releases, self._new_releases = ReleaseSeal(old), ReleaseSeal(new)
        self._old_exports, self._new_exports = ExportKeySeal(old), ExportKeySeal(new)

    def sealed(self, purpose: SealedPurpose, name: str, sealed: bytes) -> bytes | None:
        """Return a citizen's value sealed under the new key, or None where it is so already.

        name: what the value is bound to, the citizen's id or the name of a complaint. Raises
        SealedUnderNeitherKey.
        """
        try:
            self._new.open(purpose, name, sealed)
        except CitizenSecretUnreadable:
            pass
        else:
            return None
        try:
            plain = self._old.open(purpose, name, sealed)
        except CitizenSecretUnreadable:
            raise SealedUnderNeitherKey from None
        return self._new.seal(purpose, name, plain)

    def signing_key(self, stored: StoredKey) -> bytes | None:
        """Return a private key encrypted under the new key, or None where it is so already.

        Raises SealedUnderNeitherKey.
        """
        try:
            decrypt_private_key(self._new_key, stored)
        except SigningKeyUnavailable:
            pass
        else:
            return None
        try:
            return encrypted_anew(self._old_key, self._new_key, stored)
        except SigningKeyUnavailable:
            raise SealedUnderNeitherKey from None

    def evidence_key(self, name: str, sealed: bytes) -> bytes | None:
        """Return a key of evidence sealed under the new key, or None where it is so already.

        Raises SealedUnderNeitherKey.
        """
        try:
            self._new_evidence.open(name, sealed)
        except EvidenceSecretUnreadable:
            pass
        else:
            return None
        try:
            key = self._old_evidence.open(name, sealed)
        except EvidenceSecretUnreadable:
            raise SealedUnderNeitherKey from None
        return self._new_evidence.seal(name, key)

    def export_key(self, name: str, sealed: bytes) -> bytes | None:
        """Return a key of a statistical export sealed under the new key, or None where it is so already.

        name: table/<hash of its plan> or result/<id of its job>. Raises SealedUnderNeitherKey.
        """
        try:
            self._new_exports.open(name, sealed)
        except ExportSecretUnreadable:
            pass
        else:
            return None
        try:
            key = self._old_exports.open(name, sealed)
        except ExportSecretUnreadable:
            raise SealedUnderNeitherKey from None
        return self._new_exports.seal(name, key)

    def release_secret(self, release: str, what: ReleaseSecret, sealed: bytes) -> bytes | None:
        """Return a secret of a release sealed under the new key, or None where it is so already.

        Raises SealedUnderNeitherKey.
        """
        try:
            self._new_releases.open(release, what, sealed)
        except ReleaseSecretUnreadable:
            pass
        else:
            return None
        try:
            secret = self._old_releases.open(release, what, sealed)
        except ReleaseSecretUnreadable:
            raise SealedUnderNeitherKey from None
        return self._new_releases.seal(release, what, secret)
