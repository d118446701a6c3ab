"""What was merged long ago, looked at again: rows, bundles and tiles against the root that was signed.

A round reads the right edge of its tree and what it writes itself; the rest of a log would be looked at by
auditors alone, and the rows of the database by nobody. So each round looks at some bundles more, the newest
first, then those before, and from the newest again. Where one is no longer what was signed, nothing more is,
whoever starts next, until that one is right again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from broker.actions.log_doors import Files, FilesOf, Positions
from broker.errors import LogStopped, StoreUnavailable
from broker.evidence.merkle import check_inclusion, leaf_hashes
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import LogHead
from broker.evidence.tiles import ENTRIES, TILE_WIDTH, Tile, find_entries, find_hashes, width_at
from broker.evidence.tree import LogTiles

PATROLLED: Final = 4
"""Bundles that one round looks at: 1,024 entries. A log that is not longer is looked at as a whole."""


class Patrol:
    """Remembers how far it has come; a process that starts begins with the newest bundles."""

    def __init__(self, bundles: int = PATROLLED) -> None:
        self._bundles = bundles
        self._left: Iterator[tuple[LogHead, int]] = iter(())

    def look(self, heads: Sequence[LogHead], positions: Positions, files: FilesOf) -> None:
        """Look at the next bundles of signed trees, and first at those that were not right before.

        Raises LogStopped where a row, a bundle or a tile is not what was signed, with its place;
        StoreUnavailable.
        """
        by_year = {head.year: head for head in heads}
        for head in heads:
            index = files(head.checkpoint.origin).suspect()
            if index is not None:
                _looked(head, index, positions, files)
                files(head.checkpoint.origin).mark_suspect(None)
        seen: set[tuple[int, int]] = set()
        for year, index in self._next(heads):
            if (year, index) in seen or year not in by_year:
                return
            seen.add((year, index))
            _looked(by_year[year], index, positions, files)

    def _next(self, heads: Sequence[LogHead]) -> Iterator[tuple[int, int]]:
        for _ in range(self._bundles):
            following = next(self._left, None)
            if following is None:
                self._left = _all_bundles(heads)
                following = next(self._left, None)
            if following is None:
                return
            yield following[0].year, following[1]


def _looked(head: LogHead, index: int, positions: Positions, files: FilesOf) -> None:
    """Check a bundle; remember it, for whoever starts next, where it is not right."""
    own = files(head.checkpoint.origin)
    try:
        check_bundle(head, index, positions, own)
    except LogStopped:
        _remember(own, index)
        raise


def _remember(files: Files, index: int) -> None:
    """Keep the index of a bundle, if that can be: on a full disk the log is stopped all the same."""
    try:
        files.mark_suspect(index)
    except StoreUnavailable:
        return


def check_bundle(head: LogHead, index: int, positions: Positions, files: Files) -> None:
    """Hold the rows, the bundle and the tiles of some entries against one another and the signed root.

    Raises LogStopped, StoreUnavailable.
    """
    signed = head.checkpoint
    width, first = width_at(0, index, signed.tree_size), index * TILE_WIDTH
    if not width:
        return
    bundle = Tile(ENTRIES, index, width)
    try:
        published = _published(head, bundle, files)
    except EvidenceInvalid as broken:
        raise LogStopped(
            f"what {signed.origin} has published around {bundle.path} is no longer what was signed "
            f"({broken}): a disk turned a bit, or somebody changed it. Bring the files back from a mirror"
        ) from None
    stored = tuple(positions.entries(head.year, first, width))
    if stored != published:
        at = first + _first_difference(stored, published)
        raise LogStopped(
            f"position {at} of {head.year} has another entry in the database than was signed: a disk turned "
            f"a bit, or somebody changed it. The signed one stands in {bundle.path}; look who could write to "
            "the database, and bring its row back"
        )


def _published(head: LogHead, bundle: Tile, files: Files) -> tuple[bytes, ...]:
    """Return the entries of a bundle, which lead to the signed root. Raises EvidenceInvalid."""
    signed, first = head.checkpoint, bundle.index * TILE_WIDTH
    tiles, tile = LogTiles(files.read, signed.tree_size), Tile(0, bundle.index, bundle.width)
    entries, hashes = find_entries(files.read, bundle), find_hashes(files.read, tile)
    if entries is None or hashes is None:
        raise EvidenceInvalid("tile_missing", (bundle if entries is None else tile).path)
    leaves = tuple(leaf_hashes(entries))
    if leaves != hashes:
        at = first + _first_difference(leaves, hashes)
        raise EvidenceInvalid("tile_differs", f"{bundle.path} and {tile.path}, entry {at}")
    # What leads from the first leaf to the root is made of all others of its tile.
    check_inclusion(leaves[0], first, signed.tree_size, tiles.inclusion_proof(first), signed.root_hash)
    return entries


def _all_bundles(heads: Sequence[LogHead]) -> Iterator[tuple[LogHead, int]]:
    """Yield head and index of every bundle of the signed trees, the newest of the newest year first."""
    for head in sorted(heads, key=lambda one: one.year, reverse=True):
        count = -(-head.checkpoint.tree_size // TILE_WIDTH)
        for index in range(count - 1, -1, -1):
            yield head, index


def _first_difference(some: Sequence[bytes], others: Sequence[bytes]) -> int:
    pairs = zip(some, others, strict=False)
    least = min(len(some), len(others))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), least)
