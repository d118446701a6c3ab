"""The draw of a cell: a number in [0, 1) that depends on who is in the cell, and on nothing else.

    plain   u = K / 2^32                                   as published; only to compare with other programs
    keyed   u(what) = 53 bits of HMAC-SHA256(secret, K || what) / 2^53             what: n, <measure>|1..3

Keyed keeps "the same persons, the same noise" and takes away that K(A) + K(B) = K(A and B): nobody can learn
the draw of a union from the draws of its parts. Each use of a cell has a draw of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from broker.statistics.keys import KEY_MODULUS, Keys, check_secret

Draw = Callable[[Keys, str], NDArray[np.float64]]
"""From cell keys and what is drawn to numbers in [0, 1), one for each key."""

COUNT = "n"
_BLOCK_BYTES = 64


def contributor(measure: str, rank: int) -> str:
    """Return what is drawn for the share of a measure's largest contributors; rank counts from 1."""
    return f"{measure}|{rank}"


def plain_draw(keys: Keys, what: str) -> NDArray[np.float64]:
    """Return the published method's draws: every use of a cell has the same one."""
    del what
    return keys.astype(np.float64) / KEY_MODULUS


def keyed_draw(secret_table: bytes) -> Draw:
    """Return the draws under a secret of 32 bytes. Raises StatisticsRefused("secret_malformed")."""
    check_secret(secret_table)
    # HMAC (RFC 2104) with its two padded keys hashed once, not for every cell.
    block = secret_table.ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block))
    outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def draw(keys: Keys, what: str) -> NDArray[np.float64]:
        asked = what.encode()
        packed = keys.astype(">u4").tobytes()
        firsts = []
        for at in range(0, len(packed), 4):
            within, around = inner.copy(), outer.copy()
            within.update(packed[at : at + 4] + asked)
            around.update(within.digest())
            firsts.append(around.digest()[:8])
        bits = np.frombuffer(b"".join(firsts), dtype=">u8").astype(np.uint64) >> np.uint64(11)
        return bits.astype(np.float64) / 2.0**53

    return draw
