"""A key for each person and year out of one secret a year, such that one person's can be taken away.

The secrets of a year form a tree (Goldreich, Goldwasser, Micali 1986): each node has sixteen children, made
of it by a keyed hash, and a person's place is the beginning of the reference under which evidence finds that
person. Whoever has a node can compute all below it, and nothing beside or above it. At first there is the
root alone. Taking a person's key away replaces the node above it by all its other branches: from what is
left nobody can compute that key again, and everybody else's stays what it was.

Keys have 32 bytes; a path is text of 0 to PATH_LENGTH hexadecimal digits, "" for the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

PATH_LENGTH: Final = 16
"""64 bits: of 100 million persons, another one stands at a given person's place once in 10^11 cases."""
_DIGITS: Final = "0123456789abcdef"
_CHILD: Final = b"evidence/child"
_LINK: Final = b"evidence/link"
_SEAL: Final = b"evidence/seal"
_MESSAGES: Final = {digit: digit.encode() for digit in _DIGITS}


def key_year(at: datetime) -> int:
    """Return the calendar year (UTC) of an aware instant: an entry's shard, and the year of its keys."""
    return at.astimezone(UTC).year


def path_of(ref: bytes) -> str:
    """Return a person's place in each year's tree. ref: keyed hash of 32 bytes."""
    return ref[: PATH_LENGTH // 2].hex()


def paths_above(path: str) -> list[str]:
    """Return a place and all nodes above it, the root first."""
    return [path[:length] for length in range(len(path) + 1)]


def key_at(held: Mapping[str, bytes], path: str) -> bytes | None:
    """Return the key at a path, or None if it was taken away. held: the nodes of one year that there are."""
    # Of a year that runs the root is held, and found at once.
    for length in range(len(path) + 1):
        key = held.get(path[:length])
        if key is not None:
            return descend(key, path[length:])
    return None


def descend(key: bytes, digits: str) -> bytes:
    """Return the key so many branches below a node."""
    for digit in digits:
        key = blake2b(_MESSAGES[digit], key=key, digest_size=32, person=_CHILD).digest()
    return key


def beside(node: str, key: bytes, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield all branches of a node except the one with the key at a path: what replaces the node.

    node: path of the node, the beginning of path. At most 15 for each step down.
    """
    for length in range(len(node), len(path)):
        here, taken = path[:length], path[length]
        for digit in _DIGITS:
            if digit != taken:
                yield here + digit, descend(key, digit)
        key = descend(key, taken)


def link_of(person_key: bytes, ref: bytes) -> bytes:
    """Return under what a person's entries of the year are found (16 bytes): gone with the person's key."""
    return blake2b(ref, key=person_key, digest_size=16, person=_LINK).digest()


def seal_key_of(person_key: bytes, ref: bytes) -> bytes:
    """Return the AES key under which the salts of a person's entries of the year are sealed (32 bytes)."""
    return blake2b(ref, key=person_key, digest_size=32, person=_SEAL).digest()
