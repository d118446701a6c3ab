"""The Merkle tree of RFC 6962, section 2.1: hashes, roots, and what verifies its two kinds of proof.

Verification follows RFC 9162, 2.1.3.2 and 2.1.4.2. It is given bytes from anywhere and raises nothing but
`EvidenceInvalid`. A proof of inclusion binds entry, index and root; the *size* is bound by the signature over
the checkpoint that names both (trees of several sizes can have the very same path for one leaf).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from broker.evidence.reasons import EvidenceInvalid

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
SIZE_MAX: Final = 2**63 - 1
PROOF_HASHES_MAX: Final = 63
"""As many hashes as a proof in a tree of that size can need."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry), 32 bytes."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hashes of many entries, in their order."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right), 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """Return MTH over leaf hashes, or over the hashes of subtrees of one size; the last may be smaller.

    Level by level in pairs, a node without a neighbour moving up: the same tree as the recursive
    definition's, whose left half is always the largest power of two (tests compare the two).
    """
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        pairs = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) % 2:
            pairs.append(level[-1])
        level = pairs
    return level[0]


def split_size(size: int) -> int:
    """Return the largest power of two that is smaller than size, for size > 1 (RFC 6962, 2.1: k)."""
    return 1 << ((size - 1).bit_length() - 1)


def check_inclusion(
    leaf: bytes, leaf_index: int, tree_size: int, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Raise EvidenceInvalid unless the proof leads from a leaf hash at its index to the root.

    leaf, root_hash and each hash of the proof: 32 bytes; leaf_index counts from 0.
    Reasons: proof_malformed, index_beyond_tree, inclusion_not_proven.
    """
    _check_proof((leaf, root_hash, *proof), len(proof), (leaf_index, tree_size))
    if leaf_index >= tree_size:
        raise EvidenceInvalid("index_beyond_tree")
    at, last, computed = leaf_index, tree_size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise EvidenceInvalid("inclusion_not_proven", "there are more hashes than levels")
        if at & 1 or at == last:
            computed = node_hash(sibling, computed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise EvidenceInvalid("inclusion_not_proven", "there are fewer hashes than levels")
    if not hmac.compare_digest(computed, root_hash):
        raise EvidenceInvalid("inclusion_not_proven", "the hashes lead to another root")


def check_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Raise EvidenceInvalid unless the tree of old_root is the beginning of the tree of new_root.

    From an empty tree, and between trees of one size, the proof is empty.
    Reasons: proof_malformed, consistency_not_proven.
    """
    _check_proof((old_root, new_root, *proof), len(proof), (old_size, new_size))
    if old_size > new_size:
        raise EvidenceInvalid("consistency_not_proven", "the older tree is the larger one")
    if old_size in (0, new_size):
        if proof:
            raise EvidenceInvalid("consistency_not_proven", "there is nothing to prove with hashes")
        if old_size == 0 and old_root != EMPTY_ROOT:
            raise EvidenceInvalid("consistency_not_proven", "an empty tree has another root")
        if old_size == new_size and not hmac.compare_digest(old_root, new_root):
            raise EvidenceInvalid("consistency_not_proven", "one size has two roots")
        return
    from_old, from_new = _walked(old_size, new_size, proof, old_root)
    if not hmac.compare_digest(from_old, old_root) or not hmac.compare_digest(from_new, new_root):
        raise EvidenceInvalid("consistency_not_proven", "the hashes lead to other roots")


def _walked(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """Return the roots that a consistency proof gives for 0 < old_size < new_size."""
    # A tree of 2^n leaves is itself the first node; its root is not sent along.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not path:
        raise EvidenceInvalid("consistency_not_proven", "there are no hashes")
    from_old = from_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise EvidenceInvalid("consistency_not_proven", "there are more hashes than levels")
        if at & 1 or at == last:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            from_new = node_hash(from_new, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise EvidenceInvalid("consistency_not_proven", "there are fewer hashes than levels")
    return from_old, from_new


def _check_proof(hashes: Iterable[object], count: int, numbers: Iterable[object]) -> None:
    if count > PROOF_HASHES_MAX:
        raise EvidenceInvalid("proof_malformed", "there are more hashes than any tree needs")
    if not all(isinstance(one, bytes) and len(one) == HASH_BYTES for one in hashes):
        raise EvidenceInvalid("proof_malformed", "a hash has 32 bytes")
    if not all(type(one) is int and 0 <= one <= SIZE_MAX for one in numbers):
        raise EvidenceInvalid("proof_malformed", "sizes and indices are numbers from 0 to 2^63 - 1")
