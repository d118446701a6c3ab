"""Where a replay goes on: the tree of a checkpoint that somebody kept, read from tiles and compared."""

from __future__ import annotations

import hmac

from broker.evidence.checkpoint import Checkpoint
from broker.evidence.merkle import check_consistency
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.tiles import TileReader
from broker.evidence.tree import LogTiles, RightEdge, read_edge


def edge_of(read: TileReader, kept: Checkpoint) -> RightEdge:
    """Return the right edge of the tree of a checkpoint that somebody kept, as the log's tiles tell it.

    Raises EvidenceInvalid: tile_missing, tile_malformed, and checkpoint_forked where the log now has another
    root at that size.
    """
    edge = read_edge(read, kept.tree_size)
    if not hmac.compare_digest(edge.root_hash, kept.root_hash):
        raise EvidenceInvalid("checkpoint_forked", "the tiles give another root at that size")
    return edge


def check_begins(read: TileReader, older: Checkpoint, kept: Checkpoint) -> None:
    """Raise EvidenceInvalid unless a kept checkpoint's tree begins with an older one's, by the log's tiles.

    Reasons: origin_unknown for another log's, checkpoint_forked, tile_missing, tile_malformed.
    """
    if older.origin != kept.origin:
        raise EvidenceInvalid("origin_unknown", "it is another log's")
    proof = LogTiles(read, kept.tree_size).consistency_proof(older.tree_size)
    try:
        check_consistency(older.tree_size, kept.tree_size, proof, older.root_hash, kept.root_hash)
    except EvidenceInvalid as broken:
        raise EvidenceInvalid("checkpoint_forked", broken.detail) from None
