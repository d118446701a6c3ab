"""A whole log read again, from its first entry to a checkpoint: what an auditor does who trusts nobody.

Entries are hashed, tiles of every level built anew and compared with those in the log, and the roots with all
checkpoints that somebody holds. It goes on behind a fault, so that one replay names all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from broker.evidence.checkpoint import Checkpoint
from broker.evidence.kinds import checked_instant
from broker.evidence.merkle import HASH_BYTES, leaf_hashes
from broker.evidence.reasons import EvidenceInvalid, Reason
from broker.evidence.tiles import (
    ENTRIES,
    LEVEL_BITS,
    TILE_WIDTH,
    Tile,
    TileReader,
    find_entries,
    find_hashes,
    tiles_of,
)
from broker.evidence.tree import RightEdge, grown

EMPTY_EDGE: Final = RightEdge()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. place: path of a tile or bundle, or origin of a checkpoint.

    number: index of the entry in the log, or size of the checkpoint; None where the fault is a tile's or a
    bundle's. detail: what of it, never a value of an entry.
    """

    reason: Reason
    place: str
    number: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a replay is. entry_count: entries behind it. findings: of this step.

    is_last: nothing follows. root_hash: of the whole replayed tree, in the last step only, and None there too
    where a gap makes it unknowable.
    """

    entry_count: int
    findings: tuple[Finding, ...]
    is_last: bool = False
    root_hash: bytes | None = None


def replayed(
    read: TileReader,
    checkpoint: Checkpoint,
    others: Sequence[Checkpoint] = (),
    since: RightEdge = EMPTY_EDGE,
) -> Iterator[Step]:
    """Yield a step for each bundle of the log up to a checkpoint's size, and a last one with the root.

    read: the log's tiles and bundles. checkpoint, others: opened ones (`open_checkpoint`) of the same log,
    from wherever they were kept; each must tell a root that the log had. The log is faultless if no step has
    a finding. since: the edge of the tree up to which somebody has replayed before, its root compared with
    the checkpoint that was kept then; others of a smaller size are not looked at.
    Raises ValueError for an edge beyond the checkpoint, and what `read` raises.
    """
    if since.size > checkpoint.tree_size:
        raise ValueError("the edge lies beyond the checkpoint")
    replay = _Replay(read, checkpoint, others, since)
    yield from replay.steps()


def check_written(read: TileReader, before: RightEdge, after: RightEdge) -> None:
    """Raise EvidenceInvalid unless the log holds, byte for byte, what makes one tree out of another.

    before: the edge whose checkpoint was signed last; after: the one that is to be signed. Every bundle and
    tile that the growth writes is read again and hashed from its entries: a bit that turned on the way is
    found before anybody signs. Reasons: those of bundles and tiles, and root_differs.
    """
    leaves: list[bytes] = []
    for bundle in tiles_of(after.size, ENTRIES, before.size // TILE_WIDTH):
        entries = find_entries(read, bundle)
        if entries is None:
            raise EvidenceInvalid("bundle_missing", bundle.path)
        leaves += leaf_hashes(entries)
    held_count = before.size % TILE_WIDTH
    growth = grown(before, leaves[held_count:])
    if tuple(leaves[:held_count]) != before.levels[0] or growth.edge != after:
        raise EvidenceInvalid("root_differs", "the bundles hold other entries")
    for tile, content in growth.tiles.items():
        written = read(tile)
        if written is None:
            raise EvidenceInvalid("tile_missing", tile.path)
        if written != content:
            raise EvidenceInvalid("tile_differs", tile.path)


class _Replay:
    """What is known amid a replay. edge: None from a gap on, when no root can be computed any more."""

    def __init__(
        self, read: TileReader, checkpoint: Checkpoint, others: Sequence[Checkpoint], since: RightEdge
    ) -> None:
        self.read = read
        self.checkpoint = checkpoint
        self.since = since
        self.edge: RightEdge | None = since
        self.found: list[Finding] = []
        # By size, the largest first: the next one to be passed is taken from the end.
        later = [one for one in dict.fromkeys(others) if one.tree_size >= since.size]
        self.waiting = sorted(later, key=lambda one: one.tree_size, reverse=True)

    def steps(self) -> Iterator[Step]:
        count = self.since.size
        self._pass_checkpoints((), count)
        for bundle in tiles_of(self.checkpoint.tree_size, ENTRIES, count // TILE_WIDTH):
            leaves = self._leaves(bundle)
            if leaves is None:
                self.edge = None
            else:
                leaves = self._behind_the_edge(bundle, leaves, count % TILE_WIDTH)
            self._grow(leaves, count)
            count = bundle.index * TILE_WIDTH + bundle.width
            yield Step(count, self._told())
        self._end()
        root_hash = None if self.edge is None else self.edge.root_hash
        yield Step(count, self._told(), True, root_hash)

    def _told(self) -> tuple[Finding, ...]:
        # An entry that differs may speak against its tile in two ways.
        told, self.found = tuple(dict.fromkeys(self.found)), []
        return told

    def _leaves(self, bundle: Tile) -> Sequence[bytes] | None:
        """Return the leaf hashes of a bundle: its entries', or the tile's where these are not to be had."""
        tile = Tile(0, bundle.index, bundle.width)
        held = self._hashes(tile)
        entries = self._entries(bundle)
        if entries is None:
            return held
        first = bundle.index * TILE_WIDTH
        for at, entry in enumerate(entries):
            try:
                checked_instant(entry)
            except EvidenceInvalid as broken:
                self.found.append(Finding(broken.reason, bundle.path, first + at, broken.detail))
        leaves = leaf_hashes(entries)
        if held is not None:
            self._compare(tile, held, leaves)
        return leaves

    def _behind_the_edge(self, bundle: Tile, leaves: Sequence[bytes], held_count: int) -> Sequence[bytes]:
        """Return the leaves of a bundle that are new; those that the edge holds must be the edge's."""
        if held_count:
            tile = Tile(0, bundle.index, bundle.width)
            self._compare(tile, leaves[:held_count], self.since.levels[0])
        return leaves[held_count:]

    def _entries(self, bundle: Tile) -> Sequence[bytes] | None:
        try:
            entries = find_entries(self.read, bundle)
        except EvidenceInvalid as broken:
            self.found.append(Finding(broken.reason, bundle.path, None, broken.detail))
            return None
        if entries is None:
            self.found.append(Finding("bundle_missing", bundle.path))
        return entries

    def _hashes(self, tile: Tile) -> Sequence[bytes] | None:
        try:
            hashes = find_hashes(self.read, tile)
        except EvidenceInvalid as broken:
            self.found.append(Finding(broken.reason, tile.path, None, broken.detail))
            return None
        if hashes is None:
            self.found.append(Finding("tile_missing", tile.path))
        return hashes

    def _compare(self, tile: Tile, held: Sequence[bytes], wanted: Sequence[bytes]) -> None:
        if tuple(held) == tuple(wanted):
            return
        for at, (one, other) in enumerate(zip(held, wanted, strict=True)):
            if one != other:
                self.found.append(Finding("tile_differs", tile.path, None, f"hash {at}"))

    def _grow(self, leaves: Sequence[bytes] | None, count: int) -> None:
        """Take the leaves of a bundle into the tree; compare the tiles above that are full with it."""
        if self.edge is None or leaves is None:
            return
        self._pass_checkpoints(leaves, count)
        growth = grown(self.edge, leaves)
        self.edge = growth.edge
        for tile, content in growth.tiles.items():
            if tile.level > 0 and tile.is_full:
                self._compare_built(tile, content)

    def _compare_built(self, tile: Tile, content: bytes) -> None:
        held = self._hashes(tile)
        if held is not None:
            wanted = [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]
            self._compare(tile, held, wanted)

    def _pass_checkpoints(self, leaves: Sequence[bytes], count: int) -> None:
        """Compare the other checkpoints whose size lies within these leaves with the root at that size."""
        while self.edge is not None and self.waiting:
            checkpoint = self.waiting[-1]
            if checkpoint.tree_size > count + len(leaves):
                return
            self.waiting.pop()
            root_hash = grown(self.edge, leaves[: checkpoint.tree_size - count]).root_hash
            self._judge(checkpoint, root_hash)

    def _judge(self, checkpoint: Checkpoint, root_hash: bytes) -> None:
        if checkpoint.origin != self.checkpoint.origin:
            self.found.append(Finding("origin_unknown", checkpoint.origin, checkpoint.tree_size))
        elif checkpoint.root_hash != root_hash:
            self.found.append(Finding("checkpoint_forked", checkpoint.origin, checkpoint.tree_size))

    def _end(self) -> None:
        """Compare the partial tiles above the entries, the root, and what checkpoints are left."""
        checkpoint = self.checkpoint
        for other in reversed(self.waiting):
            if other.tree_size > checkpoint.tree_size:
                self.found.append(Finding("checkpoint_beyond_log", other.origin, other.tree_size))
        if self.edge is None:
            return
        for level, hashes in enumerate(self.edge.levels):
            if level > 0 and hashes:
                index = checkpoint.tree_size >> (LEVEL_BITS * (level + 1))
                self._compare_built(Tile(level, index, len(hashes)), b"".join(hashes))
        if self.edge.root_hash != checkpoint.root_hash:
            self.found.append(Finding("root_differs", checkpoint.origin, checkpoint.tree_size))
