"""Record keys of persons and cell keys of sets of persons.

    record key = the first 4 bytes of HMAC-SHA256(secret of the release, person), unsigned, big-endian
    cell key K = the sum of the record keys of the distinct persons of a cell, modulo 2^32

Whole numbers: the sum is exact, in any order, in any engine, over any shards (2^32 times 98 million is below
2^63). A person has one key for all tables and measures of a release, and another one in the next release.
Keys never leave: who knows them can take the noise away.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.reasons import StatisticsRefused

SECRET_BYTES: Final = 32
KEY_MODULUS: Final = 2**32

Keys = NDArray[np.uint32]


def record_key(secret_release: bytes, person: str) -> int:
    """Return the record key of a person, 0 to 2^32 - 1. Raises StatisticsRefused("secret_malformed")."""
    check_secret(secret_release)
    return int.from_bytes(hmac.digest(secret_release, person.encode(), "sha256")[:4], "big")


def record_keys(secret_release: bytes, persons: Iterable[str]) -> Keys:
    """Return the record keys of many persons, in their order."""
    check_secret(secret_release)
    digests = [hmac.digest(secret_release, person.encode(), "sha256")[:4] for person in persons]
    return np.frombuffer(b"".join(digests), dtype=">u4").astype(np.uint32)


def cell_keys(sums: NDArray[np.int64]) -> Keys:
    """Return cell keys from sums of record keys, as engines return them: sums from 0 to 2^63 - 1."""
    if len(sums) and int(sums.min()) < 0:
        raise StatisticsRefused("cells_malformed", "a sum of record keys is negative: an engine overflowed")
    return (sums % KEY_MODULUS).astype(np.uint32)


def merged_keys(keys: Sequence[int]) -> int:
    """Return the cell key of disjoint sets of persons taken together."""
    return sum(keys) % KEY_MODULUS


def check_secret(secret: bytes) -> None:
    """Raise StatisticsRefused("secret_malformed") unless a secret has 32 bytes."""
    if len(secret) != SECRET_BYTES:
        raise StatisticsRefused("secret_malformed")
