"""How long a proof of inclusion takes from the tiles of a large tree: made-up leaf hashes, and no entries."""

from __future__ import annotations

import random
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

from broker.evidence.merkle import HASH_BYTES, check_inclusion, tree_hash
from broker.evidence.tiles import TILE_WIDTH, Tile
from broker.evidence.tree import LogTiles
from broker.storage.log_files import LogFiles

PROOFS: Final = 1_000
SEED: Final = 20261122


def write_tree(directory: Path, size: int) -> None:
    """Write the tiles of a tree of so many leaves, whose hashes are drawn, level by level."""
    dice, level, width = random.Random(SEED), 0, size
    above: list[bytes] = []
    while width:
        below, above = above, []
        for index in range(-(-width // TILE_WIDTH)):
            count = min(TILE_WIDTH, width - index * TILE_WIDTH)
            first = index * TILE_WIDTH
            row = (
                [dice.randbytes(HASH_BYTES) for _ in range(count)]
                if level == 0
                else below[first : first + count]
            )
            path = directory / Tile(level, index, count).path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(row))
            if count == TILE_WIDTH:
                above.append(tree_hash(row))
        level, width = level + 1, width // TILE_WIDTH


def measure_proofs(directory: Path, size: int) -> tuple[list[float], list[float]]:
    """Return sorted ms of processor time and of the wall clock for proofs of drawn leaves.

    Each reads its tiles anew, as the server does for each that asks; each is verified afterwards.
    """
    read, dice = LogFiles(directory).read, random.Random(SEED + 1)
    root_hash = LogTiles(read, size).root_hash()
    processor: list[float] = []
    wall: list[float] = []
    for leaf_index in [dice.randrange(size) for _ in range(PROOFS)]:
        at, on_processor = perf_counter(), process_time()
        proof = LogTiles(read, size).inclusion_proof(leaf_index)
        processor.append((process_time() - on_processor) * 1000)
        wall.append((perf_counter() - at) * 1000)
        check_inclusion(LogTiles(read, size).leaf(leaf_index), leaf_index, size, proof, root_hash)
    return sorted(processor), sorted(wall)


def proof_figures(directory: Path, size: int) -> dict[str, float]:
    """Return what the artifact holds of proofs in a tree of so many leaves."""
    write_tree(directory, size)
    processor, wall = measure_proofs(directory, size)
    at = int(PROOFS * 0.99)
    return {
        "proof_ms": processor[PROOFS // 2],
        "proof_p99_ms": processor[at],
        "proof_wall_ms": wall[PROOFS // 2],
        "proof_wall_p99_ms": wall[at],
    }
