"""Nonces for DPoP proofs (RFC 9449, 8): signed instants, so that no worker has to remember any."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from itsdangerous import BadSignature, Signer

_MAX_CHARACTERS: Final = 128


class SignedNonces:
    """Nonces that all workers of all nodes accept: instant and randomness under one derived key.

    key: 32 bytes that sign nonces and nothing else, the same on all nodes. lifetime_seconds: how long a
    nonce is good.
    """

    def __init__(self, key: bytes, lifetime_seconds: int) -> None:
        self._signer = Signer(
            key,
            salt=b"dpop-nonce",
            sep=".",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
        self._lifetime_seconds = lifetime_seconds

    def fresh(self, now_seconds: float) -> str:
        """Return a nonce, good from now on for lifetime_seconds."""
        return self._signer.sign(f"{int(now_seconds)}-{secrets.token_urlsafe(8)}").decode("ascii")

    def is_good(self, nonce: str, now_seconds: float) -> bool:
        """Return whether a nonce is ours and not too old; one from the future is refused too."""
        if len(nonce) > _MAX_CHARACTERS or not nonce.isascii():
            return False
        try:
            made_at_seconds = int(self._signer.unsign(nonce).partition(b"-")[0])
        except (BadSignature, ValueError):
            return False
        # Clocks of nodes differ a little.
        return -10 <= now_seconds - made_at_seconds <= self._lifetime_seconds
