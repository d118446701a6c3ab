"""Signing keys by purpose: made, encrypted at rest, rotated without a gap, published as long as needed.

Two keys of one purpose may live at once: the older signs until every worker has loaded the newer one. How a
key looks at rest is `broker.oauth.stored_keys`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

from broker.clock import Clock
from broker.evidence.canonical import canonical_bytes
from broker.oauth.jose_keys import Algorithm, LogSigner, SigningKey, VerifyingKey, import_public_jwk
from broker.oauth.key_periods import LEAD_REFRESHES, PUBLISHED_FOR, REFRESH_SECONDS
from broker.oauth.protector import ACCESS_TOKEN_TYPE
from broker.oauth.stored_keys import (
    PURPOSES,
    Purpose,
    SigningKeyStore,
    SigningKeyUnavailable,
    StoredKey,
    algorithm_of,
    decrypt_private_key,
    new_key,
)

__all__ = [
    "PURPOSES",
    "KeyRing",
    "LogSigner",
    "Purpose",
    "SigningKeyStore",
    "SigningKeyUnavailable",
    "StoredKey",
]

RECEIPT_TYPE: Final = "entitlement-receipt+jwt"
RECORD_TYPE: Final = "consented-record+jwt"
INTROSPECTION_TYPE: Final = "token-introspection+jwt"
SECURITY_EVENT_TYPE: Final = "secevent+jwt"
CONSENT_RECEIPT_TYPE: Final = "consent-receipt+jwt"

_KEY_ENCRYPTION_KEY_BYTES: Final = 32
_log: Final = logging.getLogger("broker.keys")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    loaded_at: datetime
    stored: tuple[StoredKey, ...]
    verifying: Mapping[tuple[Purpose, str], VerifyingKey]
    left_out: frozenset[Purpose]


class KeyRing:
    """The signing keys of this process: loaded from the store, refreshed every refresh_seconds."""

    def __init__(
        self,
        store: SigningKeyStore,
        key_encryption_key: bytes,
        clock: Clock,
        *,
        refresh_seconds: int = REFRESH_SECONDS,
    ) -> None:
        """Keep the store; load nothing yet.

        key_encryption_key: 32 bytes, from the settings. Raises SigningKeyUnavailable for another length.
        """
        if len(key_encryption_key) != _KEY_ENCRYPTION_KEY_BYTES:
            raise SigningKeyUnavailable("the key-encryption key must have 32 bytes")
        self._store = store
        self._key_encryption_key = key_encryption_key
        self._clock = clock
        self.refresh_seconds = refresh_seconds
        self._lock = Lock()
        self._opened: set[bytes] = set()
        self._snapshot: _Snapshot | None = None
        self._signing: dict[str, SigningKey] = {}

    @property
    def lead_seconds(self) -> int:
        """How long a successor is published before it signs."""
        return LEAD_REFRESHES * self.refresh_seconds

    def ensure_keys(self) -> list[str]:
        """Make the first key of every purpose that has none; return the kids made.

        Two processes doing this at once make two keys, which is harmless: the older signs.
        Raises SigningKeyUnavailable when the store holds keys that do not open under this key-encryption
        key (a wrong one would otherwise quietly begin a second set), StoreUnavailable.
        """
        if left_out := self._load().left_out:
            raise SigningKeyUnavailable(
                f"keys in the store cannot be decrypted: {', '.join(sorted(left_out))}"
            )
        present = {stored.purpose for stored in self._load().stored if stored.signs_until is None}
        return [self.rotate(purpose) for purpose in PURPOSES if purpose not in present]

    def rotate(
        self, purpose: Purpose, algorithm: Algorithm | None = None, *, compromised: bool = False
    ) -> str:
        """Make a successor for a purpose and return its kid (NIST SP 800-57 part 1, 5.3).

        algorithm: None for the purpose's own. The old key signs for lead_seconds more, until every worker and
        every client that keeps the key set for its max-age knows the successor, and stays published until the
        last token it signed has expired. compromised: it stops now, is withdrawn from publication, and what
        it signed is no longer accepted once workers refresh; clients then meet a kid that they have not seen,
        and must fetch.
        Raises ValueError for an algorithm that the purpose cannot have, StoreUnavailable.
        """
        chosen, now = algorithm_of(purpose, algorithm), self._clock()
        signs_until = now if compromised else now + timedelta(seconds=self.lead_seconds)
        published_until = now if compromised else signs_until + PUBLISHED_FOR[purpose]
        successor = new_key(self._key_encryption_key, purpose, chosen, now)
        self._store.replace_key(successor, signs_until, published_until)
        self._load()
        return successor.kid

    def sign_access_token(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed JWT access token (RFC 9068, typ at+jwt).

        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("access_token").sign(ACCESS_TOKEN_TYPE, _json(claims))

    def sign_receipt(self, payload: Mapping[str, Any]) -> str:
        """Return payload as a compact JWS (RFC 7515) with typ entitlement-receipt+jwt and the key's kid.

        payload: JSON values only. Verify it with the key of that kid from /oauth/jwks.
        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("receipt").sign(RECEIPT_TYPE, _json(payload))

    def sign_record(self, payload: Mapping[str, Any]) -> str:
        """Return payload as a compact JWS with typ consented-record+jwt, under the key of receipts.

        payload: JSON values only. Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("receipt").sign(RECORD_TYPE, _json(payload))

    def sign_id_token(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed ID token (OpenID Connect Core, 2; typ JWT).

        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("id_token").sign("JWT", _json(claims))

    def sign_introspection(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed introspection response (RFC 9701, 5; typ token-introspection+jwt).

        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("introspection").sign(INTROSPECTION_TYPE, _json(claims))

    def sign_security_event(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed Security Event Token (RFC 8417, 2.3; typ secevent+jwt).

        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        return self._signing_key("security_event").sign(SECURITY_EVENT_TYPE, _json(claims))

    def sign_consent_receipt(self, payload: Mapping[str, Any]) -> str:
        """Return a citizen's receipt as a compact JWS over its RFC 8785 bytes (typ consent-receipt+jwt).

        payload: closed JSON values, no fractions. Raises ValueError for others, SigningKeyUnavailable,
        StoreUnavailable.
        """
        return self._signing_key("consent_receipt").sign(CONSENT_RECEIPT_TYPE, canonical_bytes(payload))

    def log_signer(self) -> LogSigner:
        """Return the key that signs checkpoints now. Raises SigningKeyUnavailable, StoreUnavailable."""
        return self._signing_key("log").log_signer()

    def find_consent_receipt_key(self, kid: str) -> VerifyingKey | None:
        """Return the published key named kid that signs citizens' receipts, or None; no other key.

        Raises StoreUnavailable.
        """
        return self._current().verifying.get(("consent_receipt", kid))

    def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the published access-token key named kid, or None. Receipt keys are never returned.

        An unknown kid reloads the keys once, at most once per second, so that a token signed by a key made
        on another node is accepted at once. Raises StoreUnavailable.
        """
        snapshot = self._current()
        key = snapshot.verifying.get(("access_token", kid))
        if key is None and self._clock() - snapshot.loaded_at >= timedelta(seconds=1):
            key = self._load().verifying.get(("access_token", kid))
        return key

    def published_jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the JWK set (RFC 7517, 5) of all keys whose signatures may still have to be verified.

        Not the log's: who orders the log holds it, and must not be taken for who signs tokens.
        """
        return {"keys": [dict(stored.public_jwk) for stored in self.live_keys() if stored.purpose != "log"]}

    def live_keys(self) -> tuple[StoredKey, ...]:
        """Return the keys whose signatures may still have to be verified. Raises StoreUnavailable."""
        return tuple(stored for stored in self._current().stored if _is_live(stored, self._clock()))

    def signing_algorithms(self, purpose: Purpose) -> list[str]:
        """Return the algorithms that signatures for a purpose have now or will have next.

        Raises StoreUnavailable.
        """
        stored = self._current().stored
        return sorted({key.algorithm for key in self._signers(stored, purpose)})

    def stored_keys(self) -> tuple[StoredKey, ...]:
        """Return all keys kept, oldest first, freshly loaded. Raises StoreUnavailable."""
        return self._load().stored

    def _signers(self, stored: Sequence[StoredKey], purpose: Purpose) -> list[StoredKey]:
        """Return the keys of a purpose that sign, now or after those before them."""
        now = self._clock()
        return [
            key
            for key in stored
            if key.purpose == purpose and (key.signs_until is None or key.signs_until > now)
        ]

    def _signing_key(self, purpose: Purpose) -> SigningKey:
        signing = self._signers(self._current().stored, purpose)
        if not signing and purpose in self._current().left_out:
            raise SigningKeyUnavailable(f"the {purpose} key cannot be decrypted")
        if not signing:
            raise SigningKeyUnavailable(f"there is no {purpose} key; run: broker keys rotate {purpose}")
        stored = min(signing, key=_end_of_signing)
        return self._signing.get(stored.kid) or self._decrypted(stored)

    def _decrypted(self, stored: StoredKey) -> SigningKey:
        key = decrypt_private_key(self._key_encryption_key, stored)
        self._signing[stored.kid] = key
        return key

    def _current(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            return self._load()
        if self._clock() - snapshot.loaded_at < timedelta(seconds=self.refresh_seconds):
            return snapshot
        if not self._lock.acquire(blocking=False):
            return snapshot  # another thread is refreshing
        try:
            return self._read()
        finally:
            self._lock.release()

    def _is_ours(self, stored: StoredKey) -> bool:
        """Whether this broker made the key: its row opens under the key-encryption key, public part included.

        Each row is opened once; whoever can write to the table alone cannot make one that opens.
        """
        fingerprint = _fingerprint(stored)
        if fingerprint not in self._opened:
            try:
                decrypt_private_key(self._key_encryption_key, stored)
            except SigningKeyUnavailable:
                _log.error("a signing key in the store is not ours and is left out: %s", stored.purpose)
                return False
            self._opened.add(fingerprint)
        return True

    def _load(self) -> _Snapshot:
        with self._lock:
            return self._read()

    def _read(self) -> _Snapshot:
        now = self._clock()
        stored = tuple(self._store.find_keys())
        foreign = {key.kid for key in stored if _is_live(key, now) and not self._is_ours(key)}
        left_out = frozenset(key.purpose for key in stored if key.kid in foreign)
        stored = tuple(key for key in stored if key.kid not in foreign)
        live = [key for key in stored if _is_live(key, now)]
        verifying = {
            (key.purpose, key.kid): import_public_jwk(dict(key.public_jwk), key.algorithm) for key in live
        }
        self._signing = {kid: self._signing[kid] for kid in self._signing.keys() & {key.kid for key in live}}
        self._snapshot = _Snapshot(now, stored, verifying, left_out)
        return self._snapshot


def _fingerprint(stored: StoredKey) -> bytes:
    parts = [stored.kid, stored.purpose, stored.algorithm, sorted(stored.public_jwk.items())]
    return hashlib.sha256(repr(parts).encode() + stored.private_key_encrypted).digest()


def _is_live(stored: StoredKey, now: datetime) -> bool:
    return stored.published_until is None or stored.published_until > now


def _end_of_signing(stored: StoredKey) -> tuple[bool, datetime, str]:
    """Sort the key that stops signing first before its successors, and the oldest of those without an end."""
    return stored.signs_until is None, stored.signs_until or stored.created_at, stored.kid


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
