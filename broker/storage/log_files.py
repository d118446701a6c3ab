"""The published files of one shard: tiles and bundles that never change, and the checkpoint that does.

A file is written aside, forced to disk, and then linked into its place: it is there whole or not at all, and
what is there is never replaced by anything else, whoever else writes at the same time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from broker.errors import LogStopped, StoreUnavailable
from broker.evidence.checkpoint import parse_checkpoint, shard_of, shard_origin
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import parse_note
from broker.evidence.tiles import Tile
from broker.storage.whole_files import place_all, read_file, replaced

CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "witnessed-checkpoint"
"""Of the newest tree that witnesses cosigned: it may be some seconds behind the newest one of all."""
ASIDE: Final = ".new"
"""Directory of files that are not in their places yet: nobody reads there."""
_SUSPECT: Final = ".suspect"


def shard_directory(log_directory: str, origin: str) -> Path:
    """Return where a shard's files lie: DIRECTORY/HOST/YEAR. Raises EvidenceInvalid (origin_malformed)."""
    host, year = shard_of(origin)
    return Path(log_directory) / host / str(year)


def log_host(issuer: str) -> str:
    """Return the host under which an issuer's log is known. Raises EvidenceInvalid (origin_malformed)."""
    host = urlsplit(issuer).hostname or ""
    shard_origin(host, 2000)
    return host


def published_sizes(log_directory: str, host: str) -> Mapping[int, int]:
    """Return how many entries the published checkpoints of a host's shards tell of, by year.

    Signatures are not looked at. Raises EvidenceInvalid for a checkpoint that is none, StoreUnavailable.
    """
    try:
        years = sorted(
            int(one.name) for one in (Path(log_directory) / host).iterdir() if one.name.isdecimal()
        )
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise StoreUnavailable(f"the log's files cannot be read: {fault.strerror}") from None
    shards = {year: LogFiles(shard_directory(log_directory, shard_origin(host, year))) for year in years}
    found = {year: files.checkpoint() for year, files in shards.items()}
    return {year: size_of(content) for year, content in found.items() if content is not None}


def size_of(content: bytes) -> int:
    """Return how many entries a published checkpoint tells of; its signature is not looked at."""
    return parse_checkpoint(parse_note(content).text).tree_size


class LogFiles:
    """Implements `broker.actions.log_doors.Files`. directory: of the shard; made when first written to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, tile: Tile) -> bytes | None:
        """Return the bytes of a tile or bundle, or None where there is none. Raises StoreUnavailable."""
        return self._read(self.directory / tile.path)

    def write(self, contents: Mapping[Tile, bytes]) -> None:
        """Write tiles and bundles, some hundreds at once, so that they outlast a power cut.

        Raises LogStopped where other bytes lie in the place of one, StoreUnavailable.
        """
        given = {self.directory / tile.path: content for tile, content in contents.items()}
        try:
            for path in place_all(given, self.directory / ASIDE):
                if path.read_bytes() != given[path]:
                    raise LogStopped(
                        f"{path} holds other bytes than the log must have there: a disk turned a bit, or "
                        "files or head are of another state. If no signed tree reaches it, remove it and "
                        "start again"
                    )
        except OSError as fault:
            raise StoreUnavailable(f"the log's files cannot be written: {fault.strerror}") from None

    def checkpoint(self) -> bytes | None:
        """Return the published checkpoint, or None. Raises StoreUnavailable."""
        return self._read(self.directory / CHECKPOINT)

    def publish(self, note: bytes) -> bool:
        """Put a checkpoint in the place of the one before; return False, and leave it, if that is larger.

        A sequencer that slept while another one had its lease must not take the published log back. It looks
        at the last instant; should it sleep again right there, the next round of the other puts it right.
        Raises StoreUnavailable.
        """

        def is_ahead() -> bool:
            held = self.checkpoint()
            return held is not None and _fullness(held)[0] > _fullness(note)[0]

        return self._replace(CHECKPOINT, note, unless=is_ahead)

    def witnessed(self) -> bytes | None:
        """Return the newest checkpoint that witnesses cosigned, or None. Raises StoreUnavailable."""
        return self._read(self.directory / WITNESSED)

    def publish_witnessed(self, note: bytes) -> None:
        """Publish a checkpoint with cosignatures, unless a newer one is there, or one with more of them.

        Raises StoreUnavailable.
        """
        held = self.witnessed()
        if held is None or _fullness(held) < _fullness(note):
            self._replace(WITNESSED, note)

    def renew_witnessed(self, note: bytes) -> None:
        """Put a checkpoint in the place of the same one that another key of the log signed.

        Raises StoreUnavailable.
        """
        self._replace(WITNESSED, note)

    def suspect(self) -> int | None:
        """Return the index of a bundle that was not what was signed when somebody looked, or None.

        Raises StoreUnavailable.
        """
        content = self._read(self.directory / _SUSPECT)
        return int(content) if content and content.isdigit() else None

    def mark_suspect(self, index: int | None) -> None:
        """Remember such a bundle beyond this process's end; None for none any more.

        Raises StoreUnavailable.
        """
        if index is not None:
            self._replace(_SUSPECT, str(index).encode())
            return
        try:
            (self.directory / _SUSPECT).unlink(missing_ok=True)
        except OSError as fault:
            raise StoreUnavailable(f"the log's files cannot be written: {fault.strerror}") from None

    def drop_partial(self, full: Collection[Tile]) -> None:
        """Delete the narrower tiles in the places of full ones; readers fall back to these (tlog-tiles)."""
        for tile in full:
            place = self.directory / tile.full.path
            shutil.rmtree(place.with_name(place.name + ".p"), ignore_errors=True)

    def _replace(self, name: str, content: bytes, unless: Callable[[], bool] = lambda: False) -> bool:
        try:
            return replaced(self.directory / name, content, unless)
        except OSError as fault:
            raise StoreUnavailable(f"the log's files cannot be written: {fault.strerror}") from None

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_file(path)
        except OSError as fault:
            raise StoreUnavailable(f"the log's files cannot be read: {fault.strerror}") from None


def _fullness(content: bytes) -> tuple[int, int]:
    """Return how many entries and how many signatures a checkpoint has; less than any for what is none."""
    try:
        note = parse_note(content)
        return parse_checkpoint(note.text).tree_size, len(note.signatures)
    except EvidenceInvalid:
        return -1, 0
