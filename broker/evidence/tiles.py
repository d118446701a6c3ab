"""Tiles of a log (C2SP tlog-tiles): their names, how wide they are, and bundles of entries.

A tile holds up to 256 hashes of one level, 8 levels of the tree apart from the next; a bundle holds the
entries of one tile of level 0. Both lie at a path that tells what is in them, and never change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from broker.evidence.canonical import ENTRY_BYTES_MAX
from broker.evidence.merkle import HASH_BYTES, SIZE_MAX
from broker.evidence.reasons import EvidenceInvalid

TILE_WIDTH: Final = 256
LEVEL_BITS: Final = 8
LEVELS: Final = 8
"""Levels of tiles in a tree of up to 2^63 - 1 entries."""
ENTRIES: Final = -1
"""In the place of a level: the bundles of entries."""

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9]\d?)/(?P<index>(?:x\d{3}/)*\d{3})(?:\.p/(?P<width>[1-9]\d{0,2}))?",
    re.ASCII,
)
_PATH_LENGTH_MAX: Final = 64


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile or, at level ENTRIES, one bundle. width: hashes or entries in it, 256 for a full one."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (ENTRIES <= self.level < LEVELS and self.index >= 0 and 1 <= self.width <= TILE_WIDTH):
            raise ValueError("there is no such tile")

    @property
    def path(self) -> str:
        """The place below the log's prefix: tile/0/x001/234, tile/entries/007.p/12."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{number}" + ("" if self.is_full else f".p/{self.width}")

    @property
    def is_full(self) -> bool:
        """Whether it holds 256 and will never be followed by a wider one."""
        return self.width == TILE_WIDTH

    @property
    def full(self) -> Tile:
        """The full tile of the same place."""
        return Tile(self.level, self.index)


TileReader: TypeAlias = Callable[[Tile], bytes | None]
"""Gives the bytes of a tile as they lie in the log, or None where there is none."""


def tile_at(path: str) -> Tile:
    """Return the tile that lies at a path. Raises EvidenceInvalid (tile_malformed) for any other spelling."""
    match = _PATH.fullmatch(path) if len(path) <= _PATH_LENGTH_MAX else None
    if match is None:
        raise EvidenceInvalid("tile_malformed", "the path is none of a tile")
    level = ENTRIES if match["level"] == "entries" else int(match["level"])
    number, width = int(match["index"].replace("x", "").replace("/", "")), int(match["width"] or TILE_WIDTH)
    is_tile = level < LEVELS and width <= TILE_WIDTH
    if not is_tile or (tile := Tile(level, number, width)).path != path:
        raise EvidenceInvalid("tile_malformed", "the path is none of a tile")
    return tile


def width_at(level: int, index: int, tree_size: int) -> int:
    """Return how many hashes (or entries) a tile holds in a tree of a size, 0 where there is no such tile."""
    complete = tree_size >> (LEVEL_BITS * max(level, 0))
    return max(0, min(TILE_WIDTH, complete - index * TILE_WIDTH))


def tiles_of(tree_size: int, level: int, first: int = 0) -> Iterator[Tile]:
    """Yield the tiles of one level (or the bundles) of a tree of a size, from left to right, from an index.

    Raises ValueError for a size that no tree has.
    """
    if not 0 <= tree_size <= SIZE_MAX:
        raise ValueError("there is no tree of that size")
    complete = tree_size >> (LEVEL_BITS * max(level, 0))
    for index in range(first, complete // TILE_WIDTH):
        yield Tile(level, index)
    if complete % TILE_WIDTH and first <= complete // TILE_WIDTH:
        yield Tile(level, complete // TILE_WIDTH, complete % TILE_WIDTH)


def find_hashes(read: TileReader, tile: Tile) -> tuple[bytes, ...] | None:
    """Return the hashes of a tile, or None where neither it nor the full tile of its place is there.

    Raises EvidenceInvalid (tile_malformed) for a tile of another length.
    """
    wanted = tile
    content = read(tile)
    if content is None and not tile.is_full:
        # A log may delete a partial tile as soon as the full one is there.
        wanted = tile.full
        content = read(wanted)
    if content is None:
        return None
    if len(content) != wanted.width * HASH_BYTES:
        raise EvidenceInvalid("tile_malformed", f"{wanted.path} has another length")
    return tuple(content[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES))


def find_entries(read: TileReader, bundle: Tile) -> tuple[bytes, ...] | None:
    """Return the entries of a bundle, or None where neither it nor the full one of its place is there.

    Raises EvidenceInvalid (bundle_malformed) for a bundle that does not hold what its name tells.
    """
    wanted = bundle
    content = read(bundle)
    if content is None and not bundle.is_full:
        wanted = bundle.full
        content = read(wanted)
    if content is None:
        return None
    return split_bundle(content, wanted)[: bundle.width]


def bundle_bytes(entries: Sequence[bytes]) -> bytes:
    """Return 1 to 256 entries as a bundle: each with its length before it, 16 bits, big-endian.

    Raises EvidenceInvalid (entry_too_long) for an entry over 65,535 bytes; ValueError for another count.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise ValueError("a bundle holds 1 to 256 entries")
    if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
        raise EvidenceInvalid("entry_too_long")
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])


def split_bundle(content: bytes, bundle: Tile) -> tuple[bytes, ...]:
    """Return the entries of a bundle's bytes.

    Raises EvidenceInvalid (bundle_malformed) when it holds more or fewer than its width, or bytes behind.
    """
    entries: list[bytes] = []
    at, end = 0, len(content)
    for _ in range(bundle.width):
        start = at + 2
        at = start + int.from_bytes(content[at:start], "big")
        if start > end or at > end:
            raise EvidenceInvalid("bundle_malformed", f"{bundle.path} ends too early")
        entries.append(content[start:at])
    if at != end:
        raise EvidenceInvalid("bundle_malformed", f"{bundle.path} goes on behind its entries")
    return tuple(entries)
