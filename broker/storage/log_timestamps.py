"""The time stamps of one shard: the checkpoints that were stamped and their tokens, which never change.

timestamp/<size>.checkpoint holds the bytes that were stamped, timestamp/<size>.tsr the authority's answer
over them (RFC 3161, DER); timestamped-checkpoint is the newest of them, whose size tells its files' names.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from broker.errors import StoreUnavailable
from broker.evidence.reasons import EvidenceInvalid
from broker.storage.log_files import size_of
from broker.storage.whole_files import force, made, placed, read_file, replaced

NEWEST: Final = "timestamped-checkpoint"
DIRECTORY: Final = "timestamp"
_TOKEN: Final = re.compile(r"(0|[1-9][0-9]{0,18})\.tsr", re.ASCII)


def note_path(tree_size: int) -> str:
    """Return where the stamped checkpoint of a size lies, below its shard."""
    return f"{DIRECTORY}/{tree_size}.checkpoint"


def token_path(tree_size: int) -> str:
    """Return where the token over it lies."""
    return f"{DIRECTORY}/{tree_size}.tsr"


def stamped_sizes(directory: Path) -> list[int]:
    """Return the sizes of a shard's checkpoints that have tokens, the smallest first. Raises OSError."""
    with suppress(FileNotFoundError):
        names = (_TOKEN.fullmatch(one.name) for one in (directory / DIRECTORY).iterdir())
        return sorted(int(name[1]) for name in names if name)
    return []


class TimestampFiles:
    """Implements `broker.stamping.StampStore`. directory: of the shard."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def newest(self) -> bytes | None:
        """Return the newest checkpoint with a token, or None. Raises StoreUnavailable."""
        return self._read(NEWEST)

    def note(self, tree_size: int) -> bytes | None:
        """Return the checkpoint of a size that was to be stamped, or None. Raises StoreUnavailable."""
        return self._read(note_path(tree_size))

    def token(self, tree_size: int) -> bytes | None:
        """Return the token over the checkpoint of a size, or None. Raises StoreUnavailable."""
        return self._read(token_path(tree_size))

    def keep(self, tree_size: int, note: bytes, token: bytes) -> None:
        """Keep a checkpoint with its token so that they outlast a power cut; the first of a size stays.

        The checkpoint is there before its token, and both before the newest is told of. Raises
        StoreUnavailable, also where another checkpoint lies in its place.
        """
        try:
            for directory in made(self.directory / DIRECTORY):
                force(directory)
            if not placed(self.directory / note_path(tree_size), note) and self.note(tree_size) != note:
                raise StoreUnavailable("another checkpoint was to be stamped in its place")
            placed(self.directory / token_path(tree_size), token)
            force(self.directory / DIRECTORY)
            if self._newest_size() < tree_size:
                replaced(self.directory / NEWEST, note)
        except OSError as fault:
            raise StoreUnavailable(f"time stamps cannot be written: {fault.strerror}") from None

    def _newest_size(self) -> int:
        held = self.newest()
        try:
            return -1 if held is None else size_of(held)
        except EvidenceInvalid:
            return -1

    def _read(self, name: str) -> bytes | None:
        try:
            return read_file(self.directory / name)
        except OSError as fault:
            raise StoreUnavailable(f"time stamps cannot be read: {fault.strerror}") from None
