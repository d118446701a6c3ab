"""A tree that grows: its right edge, the tiles that a growth writes, and proofs read from tiles.

The right edge is what is not yet in a full tile: per level of tiles at most 255 hashes. From it and the new
leaf hashes everything follows that the log must write next, and the root; nothing to its left is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from broker.evidence.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX, node_hash, split_size, tree_hash
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.tiles import (
    ENTRIES,
    LEVEL_BITS,
    LEVELS,
    TILE_WIDTH,
    Tile,
    TileReader,
    bundle_bytes,
    find_hashes,
    width_at,
)


@dataclass(frozen=True, slots=True)
class RightEdge:
    """The state of a tree of `size` leaves: the hashes in the partial tile of each level, lowest first.

    Level l holds size // 256**l % 256 hashes of 32 bytes. Raises ValueError when they are more or fewer.
    """

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ((),) * LEVELS

    def __post_init__(self) -> None:
        widths = [self.size >> (LEVEL_BITS * level) & (TILE_WIDTH - 1) for level in range(LEVELS)]
        if not 0 <= self.size <= SIZE_MAX or [len(level) for level in self.levels] != widths:
            raise ValueError("the edge is none of a tree of this size")

    @property
    def root_hash(self) -> bytes:
        """The root (MTH) of the whole tree."""
        below: tuple[bytes, ...] = ()
        for level in self.levels:
            # What is incomplete below is the last, smaller subtree among those of this level.
            hashes = level + below
            below = (tree_hash(hashes),) if hashes else ()
        return below[0] if below else EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Growth:
    """What a tree becomes. tiles: content of each tile to be written, full and partial, by its name."""

    edge: RightEdge
    tiles: Mapping[Tile, bytes]

    @property
    def root_hash(self) -> bytes:
        """The root of the grown tree."""
        return self.edge.root_hash


def grown(edge: RightEdge, leaves: Sequence[bytes]) -> Growth:
    """Return the tree after more leaves, and every tile that it has and the tree of the edge had not.

    leaves: leaf hashes of 32 bytes in log order. A partial tile is among them only where it is wider than
    before; those that it replaces may stay. Raises ValueError for hashes of another length or too many.
    """
    if any(len(leaf) != HASH_BYTES for leaf in leaves):
        raise ValueError("a leaf hash has 32 bytes")
    tiles: dict[Tile, bytes] = {}
    levels = list(edge.levels)
    added = list(leaves)
    for level in range(LEVELS):
        if not added:
            break
        index = edge.size >> (LEVEL_BITS * (level + 1))
        hashes = [*levels[level], *added]
        added = []
        for at in range(0, len(hashes) - TILE_WIDTH + 1, TILE_WIDTH):
            row = hashes[at : at + TILE_WIDTH]
            tiles[Tile(level, index)] = b"".join(row)
            added.append(tree_hash(row))
            index += 1
        rest = tuple(hashes[len(hashes) - len(hashes) % TILE_WIDTH :])
        if rest:
            tiles[Tile(level, index, len(rest))] = b"".join(rest)
        levels[level] = rest
    return Growth(RightEdge(edge.size + len(leaves), tuple(levels)), tiles)


def grown_bundles(size: int, last: Sequence[bytes], entries: Sequence[bytes]) -> Mapping[Tile, bytes]:
    """Return every bundle that a growth by entries writes, by its name.

    size: of the tree before; last: the entries of its partial bundle, size % 256 of them.
    Raises ValueError when they are not so many, EvidenceInvalid (entry_too_long).
    """
    if len(last) != size % TILE_WIDTH:
        raise ValueError("these are not the entries of the last bundle")
    held = [*last, *entries]
    first = size // TILE_WIDTH
    written: dict[Tile, bytes] = {}
    for at in range(0, len(held) if entries else 0, TILE_WIDTH):
        rows = held[at : at + TILE_WIDTH]
        written[Tile(ENTRIES, first + at // TILE_WIDTH, len(rows))] = bundle_bytes(rows)
    return written


def read_edge(read: TileReader, size: int) -> RightEdge:
    """Return the right edge of a tree of a size from its partial tiles.

    Raises EvidenceInvalid (tile_missing, tile_malformed); ValueError for a size that no tree has.
    """
    if not 0 <= size <= SIZE_MAX:
        raise ValueError("there is no tree of that size")
    tiles = LogTiles(read, size)
    levels = []
    for level in range(LEVELS):
        complete = size >> (LEVEL_BITS * level)
        has_partial = bool(complete % TILE_WIDTH)
        levels.append(tiles.hashes(level, complete // TILE_WIDTH) if has_partial else ())
    return RightEdge(size, tuple(levels))


@dataclass(frozen=True, slots=True)
class LogTiles:
    """A tree of `size` leaves as its tiles tell it; each tile is read once and kept.

    What it computes is only as true as the tiles: hold the root against a signed checkpoint, and a proof
    against that root (`check_inclusion`, `check_consistency`). Its functions raise EvidenceInvalid
    (tile_missing, tile_malformed).
    """

    read: TileReader
    size: int
    _kept: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict, init=False, repr=False)

    def hashes(self, level: int, index: int) -> tuple[bytes, ...]:
        """Return the hashes of a tile in this tree."""
        kept = self._kept.get((level, index))
        if kept is None:
            tile = Tile(level, index, width_at(level, index, self.size))
            kept = find_hashes(self.read, tile)
            if kept is None:
                raise EvidenceInvalid("tile_missing", tile.path)
            self._kept[level, index] = kept
        return kept

    def leaf(self, leaf_index: int) -> bytes:
        """Return a leaf hash. Raises EvidenceInvalid (index_beyond_tree)."""
        if not 0 <= leaf_index < self.size:
            raise EvidenceInvalid("index_beyond_tree")
        return self._subtree(0, leaf_index)

    def root_hash(self, tree_size: int | None = None) -> bytes:
        """Return the root of this tree, or of its first tree_size leaves."""
        tree_size = self.size if tree_size is None else tree_size
        if not 0 <= tree_size <= self.size:
            raise EvidenceInvalid("index_beyond_tree")
        return self._range_hash(0, tree_size) if tree_size else EMPTY_ROOT

    def inclusion_proof(self, leaf_index: int) -> tuple[bytes, ...]:
        """Return the Merkle audit path of a leaf, its sibling first (RFC 6962, 2.1.1).

        Raises EvidenceInvalid (index_beyond_tree).
        """
        if not 0 <= leaf_index < self.size:
            raise EvidenceInvalid("index_beyond_tree")
        start, end, proof = 0, self.size, []
        while end - start > 1:
            middle = start + split_size(end - start)
            if leaf_index < middle:
                proof.append(self._range_hash(middle, end))
                end = middle
            else:
                proof.append(self._range_hash(start, middle))
                start = middle
        return tuple(reversed(proof))

    def consistency_proof(self, old_size: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of the first old_size leaves is this tree's beginning (2.1.2).

        It is empty for old_size 0 and for this tree's own size. Raises EvidenceInvalid (index_beyond_tree).
        """
        if not 0 <= old_size <= self.size:
            raise EvidenceInvalid("index_beyond_tree")
        if old_size == 0:
            return ()
        start, end, proof = 0, self.size, []
        while old_size != end:
            middle = start + split_size(end - start)
            if old_size <= middle:
                proof.append(self._range_hash(middle, end))
                end = middle
            else:
                proof.append(self._range_hash(start, middle))
                start = middle
        if start:
            # Unless the whole older tree is one subtree, whose root the verifier has, it is sent along.
            proof.append(self._range_hash(start, end))
        return tuple(reversed(proof))

    def _range_hash(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end]) of a range that the recursion comes upon."""
        parts = [self._subtree(height, at >> height) for at, height in _subtrees(start, end)]
        computed = parts.pop()
        while parts:
            computed = node_hash(parts.pop(), computed)
        return computed

    def _subtree(self, height: int, index: int) -> bytes:
        """Return the root of the index-th subtree of 2^height leaves, all of them there."""
        level, within = divmod(height, LEVEL_BITS)
        first = index << within
        row = self.hashes(level, first // TILE_WIDTH)
        at = first % TILE_WIDTH
        return tree_hash(row[at : at + (1 << within)])


def _subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (first leaf, height) of the complete subtrees that make up a range, the largest first."""
    while start < end:
        height = (end - start).bit_length() - 1
        yield start, height
        start += 1 << height
