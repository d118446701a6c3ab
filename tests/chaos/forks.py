"""Whether all checkpoints that anybody ever saw, or that were only signed, tell of one history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import VerifierKey
from broker.evidence.tiles import TileReader
from broker.evidence.tree import LogTiles


@dataclass(frozen=True, slots=True)
class Histories:
    """What became of the checkpoints. forks: those that tell a root which the log does not have there.

    beyond: larger than what is published, so that nothing can be said of them; unsigned: not by the key.
    """

    count: int
    forks: tuple[Checkpoint, ...]
    beyond: tuple[Checkpoint, ...]
    unsigned: int


def histories(notes: Iterable[bytes], key: VerifierKey, read: TileReader, published: Checkpoint) -> Histories:
    """Hold every different checkpoint against the tiles of the published tree. Raises EvidenceInvalid
    where the tiles themselves are not whole.
    """
    found: set[Checkpoint] = set()
    unsigned = 0
    for note in set(notes):
        try:
            found.add(open_checkpoint(note, [key]).checkpoint)
        except EvidenceInvalid:
            unsigned += 1
    tiles = LogTiles(read, published.tree_size)
    beyond = tuple(one for one in found if one.tree_size > published.tree_size)
    known = found.difference(beyond)
    forks = tuple(
        one
        for one in known
        if one.origin != published.origin or tiles.root_hash(one.tree_size) != one.root_hash
    )
    roots = {(one.origin, one.tree_size): one.root_hash for one in beyond}
    forks += tuple(one for one in beyond if roots[one.origin, one.tree_size] != one.root_hash)
    return Histories(len(found), forks, beyond, unsigned)


def falls(sizes: Iterable[int]) -> int:
    """Return how often a published log became smaller from one look to the next."""
    return sum(later < earlier for earlier, later in pairwise(sizes))
