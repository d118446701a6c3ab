"""What a published log shows, read from its files: newest trees, proofs of inclusion and of consistency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.errors import CheckpointWithdrawn
from broker.evidence.checkpoint import Checkpoint, parse_checkpoint, shard_origin
from broker.evidence.evidence_file import EvidenceFile, Sealed
from broker.evidence.merkle import HASH_BYTES
from broker.evidence.proof_file import ProofFile, check_proof_file
from broker.evidence.signed_note import LOG_SIGNATURE, VerifierKey, parse_note
from broker.evidence.tiles import ENTRIES, Tile, width_at
from broker.evidence.tree import LogTiles


class ShardFiles(Protocol):
    """What one shard has published; `broker.storage.log_files` implements it. Raises StoreUnavailable."""

    def read(self, tile: Tile) -> bytes | None:
        """Return the bytes of a tile or bundle, or None where there is none."""
        ...

    def checkpoint(self) -> bytes | None:
        """Return the published checkpoint, or None."""
        ...

    def witnessed(self) -> bytes | None:
        """Return the newest checkpoint that witnesses cosigned, or None."""
        ...


class ShardStamps(Protocol):
    """What of a shard is stamped; `broker.storage.log_timestamps` implements it. Raises StoreUnavailable."""

    def newest(self) -> bytes | None:
        """Return the newest checkpoint with a token, or None."""
        ...

    def note(self, tree_size: int) -> bytes | None:
        """Return the stamped checkpoint of a size, or None."""
        ...

    def token(self, tree_size: int) -> bytes | None:
        """Return the token over it, or None."""
        ...


class Places(Protocol):
    """Which entry stands where; `broker.storage.log_positions` implements it."""

    def find(self, reference: str) -> tuple[int, int] | None:
        """Return shard and index of an entry, or None while it has no position. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedTree:
    """The tree of a published checkpoint. note: the checkpoint as it is published, with its signatures.

    stamps: of its shard.
    """

    checkpoint: Checkpoint
    note: bytes
    files: ShardFiles
    stamps: ShardStamps

    @property
    def size(self) -> int:
        """How many entries the checkpoint tells of."""
        return self.checkpoint.tree_size

    def holds(self, tile: Tile) -> bool:
        """Return whether a tile is one of this tree: what lies beyond it may still be written."""
        return width_at(tile.level, tile.index, self.size) >= tile.width

    def shown(self, leaf_index: int, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, bytes]:
        """Return the checkpoint, and its note, under which a leaf is best proven: a cosigned one if any.

        keys: of the log, as they count now. A checkpoint that names none of them as its signer proves
        nothing any more; each newer one holds what it held. Raises CheckpointWithdrawn where no other is
        there yet, EvidenceInvalid for what is no checkpoint.
        """
        for content in (self.files.witnessed(), self.note):
            if content is None:
                continue
            note = parse_note(content)
            checkpoint = parse_checkpoint(note.text)
            is_wide = leaf_index < checkpoint.tree_size <= self.size
            if is_wide and any(note.by(key) for key in keys):
                return checkpoint, content
        raise CheckpointWithdrawn

    def tiles(self, tree_size: int) -> LogTiles:
        """Return the tree of its first tree_size leaves, 0 to its own size.

        Partial tiles of sizes that were never published are cut from the wider ones that are there.
        """
        return LogTiles(self._read, tree_size)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...] | None:
        """Return the proof that the tree of `new` entries begins with the one of `old` (RFC 6962, 2.1.2).

        None where this tree is not as large, or old is larger than new. Raises EvidenceInvalid where the
        published files do not hold it, StoreUnavailable.
        """
        return self.tiles(new).consistency_proof(old) if 0 <= old <= new <= self.size else None

    def _read(self, tile: Tile) -> bytes | None:
        content = self.files.read(tile)
        if content is None and tile.level != ENTRIES:
            wider = Tile(tile.level, tile.index, width_at(tile.level, tile.index, self.size))
            content = self.files.read(wider)
            content = None if content is None else content[: tile.width * HASH_BYTES]
        return content


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """The shards of one host. host: of their origins, "" where no log is kept.

    public_keys: gives the keys of the log, 32 bytes each, those of earlier checkpoints too.
    """

    host: str
    files: Callable[[str], ShardFiles]
    stamps: Callable[[str], ShardStamps]
    places: Places
    public_keys: Callable[[], Sequence[bytes]]

    @property
    def is_kept(self) -> bool:
        """Whether there is a log here."""
        return bool(self.host)

    def tree(self, year: int) -> PublishedTree | None:
        """Return the newest published tree of a year, or None where there is none.

        Its signature is not looked at. Raises EvidenceInvalid for a checkpoint that is none,
        StoreUnavailable.
        """
        if not self.host or not 2000 <= year <= 2999:
            return None
        origin = shard_origin(self.host, year)
        files = self.files(origin)
        note = files.checkpoint()
        if note is None:
            return None
        return PublishedTree(parse_checkpoint(parse_note(note).text), note, files, self.stamps(origin))

    def keys(self, tree: PublishedTree) -> tuple[VerifierKey, ...]:
        """Return the log's keys under the name of a tree's shard. Raises StoreUnavailable."""
        origin = tree.checkpoint.origin
        return tuple(VerifierKey(origin, LOG_SIGNATURE, key) for key in self.public_keys())

    def prove(self, reference: str, entry: bytes) -> Evidence | None:
        """Return an entry with the proof that it stands in a published tree; None while it does not.

        reference: text of a UUID. The tree is the one that witnesses cosigned last, or the newest where that
        one is older than the entry. The proof is checked as anybody would, and so is the log's signature.
        Raises CheckpointWithdrawn while it stands only under a key that was withdrawn, EvidenceInvalid where
        the published files do not prove it, StoreUnavailable.
        """
        place = self.places.find(reference) if self.host else None
        if place is None:
            return None
        year, leaf_index = place
        tree = self.tree(year)
        if tree is None or tree.size <= leaf_index:
            return None
        keys = self.keys(tree)
        checkpoint, note = tree.shown(leaf_index, keys)
        path = tree.tiles(checkpoint.tree_size).inclusion_proof(leaf_index)
        proof = ProofFile(leaf_index, path, note)
        check_proof_file(proof, entry, keys)
        return Evidence(entry, proof, checkpoint, keys)


@dataclass(frozen=True, slots=True)
class Evidence:
    """An entry and the proof that it stands in a signed tree. entry: RFC 8785 bytes. keys: of the log."""

    entry: bytes
    proof: ProofFile
    checkpoint: Checkpoint
    keys: tuple[VerifierKey, ...]

    def file(self, data_subject: Sealed | None = None, payload: Sealed | None = None) -> bytes:
        """Return it as an evidence file, with what opens the commitments where that is given."""
        return EvidenceFile(self.entry, self.proof.content, data_subject, payload, log_keys=self.keys).content
