"""Citizens' passwords: which are good enough, and argon2id for those that are (RFC 9106).

A password is compared by its characters, not by how a keyboard composed them: NFC first. Nothing here
remembers or prints one.
"""

from __future__ import annotations

import secrets
import unicodedata
from itertools import pairwise
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher, profiles
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256
_DIFFERENT_MIN: Final = 5
_WELL_KNOWN: Final = frozenset(
    {"password", "passw", "matkhau", "matkhaucuatoi", "iloveyou", "qwerty", "qwertyuiop", "admin", "vietnam"}
    | {"asdfghjkl", "anhyeuem", "emyeuanh", "baohiemxahoi", "baohiem", "vssid", "letmein", "welcome"}
)


class PasswordRefused(ValueError):
    """The password is too weak to be kept; the text says what to mend and holds nothing of it."""


class VerificationBusy(Exception):
    """As many passwords are being verified in this process as may be at once."""


def normalised(password: str) -> str:
    """Return the password in the one form in which it is hashed (NFC; RFC 8265, 4.2.2)."""
    return unicodedata.normalize("NFC", password)


def check_password(password: str, personal_id: str) -> None:
    """Raise PasswordRefused unless the password may be chosen for an account.

    Length 12 to 256 characters after NFC; no control character; not the personal id, not a handful of
    characters said over and over, no run such as 123456789012, no well-known word with digits after it.
    """
    plain = normalised(password)
    folded = "".join(unicodedata.normalize("NFKD", plain).lower().split())
    remedy = ""
    if not LENGTH_MIN <= len(plain) <= LENGTH_MAX:
        remedy = f"it must have {LENGTH_MIN} to {LENGTH_MAX} characters"
    elif any(unicodedata.category(letter) in ("Cc", "Cs") for letter in plain):
        remedy = "it must not hold control characters"
    elif personal_id in "".join(letter for letter in folded if letter.isalnum()):
        remedy = "it must not hold the personal id"
    elif len(set(folded)) < _DIFFERENT_MIN:
        remedy = f"it must have at least {_DIFFERENT_MIN} different characters"
    elif _is_run(folded):
        remedy = "it must not be a run of neighbouring characters"
    elif _without_trailing_digits(folded) in _WELL_KNOWN:
        remedy = "it must not be a well-known word with digits"
    if remedy:
        raise PasswordRefused(f"the password is refused: {remedy}")


def _is_run(text: str) -> bool:
    """Whether every character follows on the one before, up or down; after 9 comes 0."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return steps <= {1, -9} or steps <= {-1, 9}


def _without_trailing_digits(text: str) -> str:
    letters = "".join(letter for letter in text if letter.isalnum())
    return letters.rstrip("0123456789")


class Passwords:
    """argon2id with one set of parameters, and a bound on how many verifications run at once.

    time_cost, memory_kib, lanes: RFC 9106, 4, second recommended option unless given (3, 64 MiB, 4).
    at_once: verifications of this process at the same time; each takes memory_kib and about 0.1 s.
    """

    def __init__(
        self,
        *,
        time_cost: int = profiles.RFC_9106_LOW_MEMORY.time_cost,
        memory_kib: int = profiles.RFC_9106_LOW_MEMORY.memory_cost,
        lanes: int = profiles.RFC_9106_LOW_MEMORY.parallelism,
        at_once: int = 2,
    ) -> None:
        self._hasher = PasswordHasher(time_cost, memory_kib, lanes, hash_len=32, salt_len=16, type=Type.ID)
        self._places = BoundedSemaphore(at_once)
        # Verified in the place of an account that is not there; nobody knows a password that fits.
        self._nobodys = self._hasher.hash(secrets.token_hex(32))

    def hash(self, password: str) -> str:
        """Return the PHC string of a password, salted afresh."""
        return self._hasher.hash(normalised(password).encode("utf-8", "surrogatepass"))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password belongs to the hash; None costs the same work and is never right.

        Raises VerificationBusy when every place is taken; nobody waits, since threads that wait here would
        be missing everywhere else.
        """
        if not self._places.acquire(blocking=False):
            raise VerificationBusy
        try:
            plain = normalised(password)
            possible = password_hash is not None and len(plain) <= LENGTH_MAX
            given = plain[: LENGTH_MAX + 1].encode("utf-8", "surrogatepass")
            return self._fits(password_hash or self._nobodys, given) and possible
        finally:
            self._places.release()

    def _fits(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def renewed(self, password_hash: str, password: str) -> str | None:
        """Return a hash to keep in the place of one that was made with other parameters, else None.

        password: found right just before. None also while every place is taken: there will be another time.
        """
        if not self._hasher.check_needs_rehash(password_hash) or not self._places.acquire(blocking=False):
            return None
        try:
            return self.hash(password)
        finally:
            self._places.release()
