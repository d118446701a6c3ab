"""RFC 6962, section 2.1, as it is written down there: MTH, PATH and PROOF, recursive and slow."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def mth(entries: Sequence[bytes]) -> bytes:
    """Return the Merkle Tree Hash of a list of entries (2.1)."""
    n = len(entries)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = largest_power_of_two_below(n)
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return the Merkle audit path for entry m (2.1.1)."""
    n = len(entries)
    if n == 1:
        return []
    k = largest_power_of_two_below(n)
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return the Merkle consistency proof from the first m entries, 0 < m <= n (2.1.2)."""
    return subproof(m, entries, True)


def subproof(m: int, entries: Sequence[bytes], is_known: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if is_known else [mth(entries)]
    k = largest_power_of_two_below(n)
    if m <= k:
        return [*subproof(m, entries[:k], is_known), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def largest_power_of_two_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tile(level: int, index: int, width: int, entries: Sequence[bytes]) -> bytes:
    """Return a tile as C2SP tlog-tiles defines it: MTH(D[(n*256+i) * 256**l : (n*256+i+1) * 256**l])."""
    first = index * 256
    return b"".join(
        mth(entries[(first + i) * 256**level : (first + i + 1) * 256**level]) for i in range(width)
    )
