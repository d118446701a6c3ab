"""The doors of the sequencer: what it reads, writes and holds, as Protocols beside their consumer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from broker.evidence.sequencing import LogHead, Placed
from broker.evidence.signed_note import Sign, VerifierKey
from broker.evidence.tiles import Tile


class Lease(Protocol):
    """One sequencer at a time."""

    def hold(self) -> bool:
        """Return whether this process has the lease, after asking for it. Raises StoreUnavailable."""
        ...


class Positions(Protocol):
    """Which entry stands where; `broker.storage.log_positions` implements it."""

    def begin(self) -> None:
        """Make ready for the first shard; leave what is there. Raises StoreUnavailable."""
        ...

    def place(self, years: frozenset[int]) -> Placed:
        """Give the next entries their positions, durably. Raises LogStopped, StoreUnavailable."""
        ...

    def note_published(self, sizes: Mapping[int, int], complete_at: datetime) -> None:
        """Tell releases how much is published.

        sizes: of the published trees, by year. complete_at: all that was recorded before stands in one of
        them. Raises LogStopped, StoreUnavailable.
        """
        ...

    def size(self, year: int) -> int:
        """Return how many entries of a shard have positions. Raises StoreUnavailable."""
        ...

    def entries(self, year: int, first: int, most: int) -> Sequence[bytes]:
        """Return the entries at positions from first on. Raises LogStopped, StoreUnavailable."""
        ...


class Heads(Protocol):
    """What was signed last; `broker.storage.log_heads` implements it."""

    def find(self, host: str) -> Sequence[LogHead]:
        """Return the heads of a host's shards, the oldest year first. Raises StoreUnavailable."""
        ...

    def create(self, head: LogHead) -> bool:
        """Write the head of a shard that has none; return False if there is one. Raises StoreUnavailable."""
        ...

    def swap(self, before: LogHead, after: LogHead) -> bool:
        """Put one head in the place of another; return False if that is no longer it.

        Raises StoreUnavailable; it may then have happened nevertheless.
        """
        ...


class Files(Protocol):
    """What one shard publishes; `broker.storage.log_files` implements it."""

    def read(self, tile: Tile) -> bytes | None:
        """Return the bytes of a tile or bundle, or None where there is none. Raises StoreUnavailable."""
        ...

    def write(self, contents: Mapping[Tile, bytes]) -> None:
        """Write tiles and bundles durably, in the place of nothing else.

        Raises LogStopped, StoreUnavailable.
        """
        ...

    def checkpoint(self) -> bytes | None:
        """Return the published checkpoint, or None. Raises StoreUnavailable."""
        ...

    def publish(self, note: bytes) -> bool:
        """Put a checkpoint in the place of the one before; return False, and leave it, if that is larger.

        Raises StoreUnavailable.
        """
        ...

    def witnessed(self) -> bytes | None:
        """Return the newest checkpoint that witnesses cosigned, or None. Raises StoreUnavailable."""
        ...

    def publish_witnessed(self, note: bytes) -> None:
        """Publish a checkpoint with cosignatures, unless a newer or fuller one is there.

        Raises StoreUnavailable.
        """
        ...

    def renew_witnessed(self, note: bytes) -> None:
        """Put a checkpoint in the place of the same one that another key of the log signed.

        Raises StoreUnavailable.
        """
        ...

    def suspect(self) -> int | None:
        """Return the index of a bundle that was not what was signed when somebody looked, or None.

        Raises StoreUnavailable.
        """
        ...

    def mark_suspect(self, index: int | None) -> None:
        """Remember such a bundle beyond this process's end; None for none any more.

        Raises StoreUnavailable.
        """
        ...

    def drop_partial(self, full: Collection[Tile]) -> None:
        """Delete the narrower tiles in the places of full ones."""
        ...


class FilesOf(Protocol):
    """Gives the files of a shard."""

    def __call__(self, origin: str) -> Files:
        """Return the files of the shard with an origin."""
        ...


class Signer(Protocol):
    """The key of the log; a private key never comes here."""

    def __call__(self, origin: str) -> tuple[VerifierKey, Sign]:
        """Return the key that signs for an origin now, and what signs with it.

        Raises SigningKeyUnavailable, StoreUnavailable.
        """
        ...

    def keys(self, origin: str) -> Sequence[VerifierKey]:
        """Return the keys whose checkpoints count: the present one, its successors, earlier ones.

        Not those that were withdrawn. Raises StoreUnavailable.
        """
        ...


class WitnessDoor(Protocol):
    """The way to witnesses; `connectors.witnesses` implements it over HTTPS."""

    def add_checkpoint(self, url: str, content: bytes, seconds: float) -> tuple[int, bytes]:
        """Post the body of a request below a witness's address; return status and body of its answer.

        seconds: what it may take in all. Raises WitnessUnreachable.
        """
        ...


class Follower(Protocol):
    """Somebody who is told of a published checkpoint: witnesses, a timestamp authority (RFC 3161).

    Nothing waits for it: it must return at once, and never raise. `broker.cosigning` asks witnesses.
    """

    def published(self, head: LogHead) -> None:
        """Take note of what the log has published."""
        ...
