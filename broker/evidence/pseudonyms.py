"""Keyed hashes for every reference to a person: BLAKE2b with a key (RFC 7693) and a label per use."""

from __future__ import annotations

import hashlib
from typing import Final

CITIZEN_PREFIX: Final = "citizen:"
"""Before an account's id where evidence names a person by it: the source's own keys look otherwise."""


class KeyedPseudonyms:
    """Pseudonyms under one 32-byte key. Without the key nobody can test a guess of twelve digits."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the pseudonym key has 32 bytes")
        self._key = key

    def staff_ref(self, organisation_id: str, personal_id: str) -> bytes:
        """Return the reference of a staff member of an organisation (32 bytes)."""
        return self._hash("staff", organisation_id, personal_id)

    def data_subject_ref(self, data_subject: str) -> bytes:
        """Return the reference under which a data subject's evidence is found (32 bytes)."""
        return self._hash("data_subject", data_subject)

    def citizen_ref(self, personal_id: str) -> bytes:
        """Return the reference under which a citizen's account is found (32 bytes)."""
        return self._hash("citizen", personal_id)

    def source_ref(self, address: str) -> bytes:
        """Return the reference of a network address from which somebody tries to sign in (32 bytes)."""
        return self._hash("source", address)

    def pairwise_subject(self, organisation_id: str, citizen_id: str) -> str:
        """Return the name under which one organisation knows a citizen (OpenID Connect Core, 8.1).

        Another organisation gets another one, and neither can be led back without the key.
        """
        return "citizen:" + self._hash("subject", organisation_id, citizen_id)[:20].hex()

    def encounter_ref(self, organisation_id: str, encounter_reference: str) -> str:
        """Return a hex reference (32 characters) that groups the look-ups of one visit."""
        return self._hash("encounter", organisation_id, encounter_reference)[:16].hex()

    def _hash(self, *words: str) -> bytes:
        # Each word with its length first: no two lists of words give the same message.
        message = b"".join([b"%d:" % len(encoded) + encoded for encoded in [word.encode() for word in words]])
        return hashlib.blake2b(message, digest_size=32, key=self._key).digest()
