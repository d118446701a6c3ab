"""A small log in memory: keys, tiles, checkpoints, witnesses, proof files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from broker.evidence.cosignature import cosigned
from broker.evidence.merkle import leaf_hashes
from broker.evidence.proof_file import ProofFile
from broker.evidence.signed_note import COSIGNATURE, LOG_SIGNATURE, Note, VerifierKey
from broker.evidence.tiles import TILE_WIDTH, Tile
from broker.evidence.tree import LogTiles, RightEdge, grown, grown_bundles
from tests.evidence_entries import release

ORIGIN: Final = "audit.broker.example.vn/2026"


def key_of(seed: int, name: str, kind: int) -> tuple[Ed25519PrivateKey, VerifierKey]:
    """Return a key made from one byte, and what verifies it."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return private, VerifierKey(name, kind, private.public_key().public_bytes_raw())


LOG_PRIVATE, LOG_KEY = key_of(1, ORIGIN, LOG_SIGNATURE)
WITNESSES: Final = [key_of(10 + at, f"witness.example/w{at}", COSIGNATURE) for at in range(3)]
WITNESS_KEYS: Final = [key for _, key in WITNESSES]


@dataclass
class MemoryLog:
    """A log that grows as a sequencer would let it: from its right edge, its last bundle and new entries."""

    edge: RightEdge = field(default_factory=RightEdge)
    entries: list[bytes] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    origin: str = ORIGIN

    def read(self, tile: Tile) -> bytes | None:
        return self.kept.get(tile.path)

    def append(self, entries: Sequence[bytes]) -> Checkpoint:
        """Take entries in; return the checkpoint after them."""
        size = self.edge.size
        last = self.entries[size - size % TILE_WIDTH :]
        growth = grown(self.edge, leaf_hashes(entries))
        written = {**growth.tiles, **grown_bundles(size, last, entries)}
        self.kept.update({tile.path: content for tile, content in written.items()})
        self.edge = growth.edge
        self.entries += entries
        return self.checkpoint()

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.origin, self.edge.size, self.edge.root_hash)

    def note(self, witness_count: int = 0, at_seconds: int = 1_790_000_000) -> Note:
        """Return the checkpoint as published: signed by the log, cosigned by so many witnesses."""
        checkpoint = self.checkpoint()
        lines = [cosigned(checkpoint, key, at_seconds, own.sign) for own, key in WITNESSES[:witness_count]]
        return signed_checkpoint(checkpoint, LOG_KEY, LOG_PRIVATE.sign).with_signatures(lines)

    def tiles(self) -> LogTiles:
        return LogTiles(self.read, self.edge.size)

    def proof_file(self, leaf_index: int, witness_count: int = 0) -> bytes:
        """Return the proof file of an entry."""
        proof = self.tiles().inclusion_proof(leaf_index)
        return ProofFile(leaf_index, proof, self.note(witness_count).content).content


def log_of(count: int) -> MemoryLog:
    """Return a log of releases."""
    log = MemoryLog()
    log.append([release(at) for at in range(count)])
    return log


def write_log(log: MemoryLog, directory: Path, witness_count: int = 0) -> Path:
    """Write a log's files as they would be published; return the directory."""
    for path, content in {**log.kept, "checkpoint": log.note(witness_count).content}.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return directory
