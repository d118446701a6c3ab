"""What a witness remembers, in a directory: of each log its keys, and the checkpoint that it cosigned last.

    logs/<SHA-256 of the origin>/origin      the log's name
    logs/<SHA-256 of the origin>/keys        its verifier keys, one a line
    logs/<SHA-256 of the origin>/latest      its checkpoint that was cosigned last, as the log signed it
    logs/<SHA-256 of the origin>/lock        held while `latest` is compared and exchanged
    logs/<SHA-256 of the origin>/contradictions/<SHA-256>
                                             a request that proves a fork, beside what was cosigned

A file that is gone is never taken for a beginning: a log is begun by `watch` alone. On a local disk only;
locks and renames of network file systems promise less.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.merkle import EMPTY_ROOT
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.signed_note import LOG_SIGNATURE, NOTE_BYTES_MAX, VerifierKey, parse_vkey
from broker.evidence.witness import WitnessState

CONTRADICTIONS_MAX: Final = 1_000
_KEYS_BYTES_MAX: Final = 65_536


class StateBroken(Exception):
    """What is kept of a log is not there, or is not what this witness wrote: it must not cosign that log."""


class StateMoved(Exception):
    """Somebody else cosigned for this log meanwhile; what was decided is to be decided again."""


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """A log that this witness watches. keys: several while one is exchanged."""

    origin: str
    keys: tuple[VerifierKey, ...]
    state: WitnessState


class WitnessStore:
    """Safe for many threads and many processes of one machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def watch(self, key: VerifierKey) -> bool:
        """Begin to watch a log, or add a further key of one; return whether the log is new.

        Raises StateBroken where something of the log is there, but not whole; ValueError for a witness's key.
        """
        if key.kind != LOG_SIGNATURE:
            raise ValueError("this is no key of a log")
        place = self._place(key.name)
        self._make(place)
        with self._locked(place):
            if not (place / "keys").exists():
                beginning = Checkpoint(key.name, 0, EMPTY_ROOT).text.encode()
                if _read(place / "latest", NOTE_BYTES_MAX) not in (None, beginning):
                    raise StateBroken("the keys of a log are gone, though it was cosigned")
                # The keys last: a log that has keys is served, and must have a state.
                _write(place / "origin", key.name.encode() + b"\n")
                _write(place / "latest", beginning)
                _write(place / "keys", key.vkey.encode() + b"\n")
                return True
            keys = self.find_keys(key.name)
            self._state(place, key.name, keys)
            if key not in keys:
                _write(place / "keys", "".join(one.vkey + "\n" for one in (*keys, key)).encode())
            return False

    def find_keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """Return the keys of a log, none where it is not watched. Raises StateBroken."""
        content = _read(self._place(origin) / "keys", _KEYS_BYTES_MAX)
        if content is None:
            return ()
        try:
            keys = tuple(parse_vkey(line) for line in content.decode("utf-8").splitlines())
        except (EvidenceInvalid, UnicodeDecodeError):
            raise StateBroken("the keys of a log are no keys") from None
        if not keys or any(key.kind != LOG_SIGNATURE or key.name != origin for key in keys):
            raise StateBroken("the keys of a log are another's")
        return keys

    def latest(self, origin: str, keys: Sequence[VerifierKey]) -> WitnessState:
        """Return what was cosigned last of a log that is watched. Raises StateBroken."""
        return self._state(self._place(origin), origin, keys)

    def exchange(
        self, origin: str, keys: Sequence[VerifierKey], before: WitnessState, after: WitnessState, note: bytes
    ) -> None:
        """Make `after` what was cosigned last, if `before` still is; it is on disk when this returns.

        note: the checkpoint as the log signed it. Raises StateMoved, StateBroken, OSError (disk full …).
        """
        place = self._place(origin)
        with self._locked(place):
            if self._state(place, origin, keys) != before:
                raise StateMoved(origin)
            if after != before:
                _write(place / "latest", note)

    def keep_contradiction(self, origin: str, content: bytes) -> None:
        """Keep a request that contradicts what was cosigned: with it anybody can show that the log forked.

        A thousand of a log at most: one is enough. Raises OSError.
        """
        log = self._place(origin)
        with self._locked(log):
            place = log / "contradictions"
            place.mkdir(exist_ok=True)
            if sum(1 for _ in place.iterdir()) < CONTRADICTIONS_MAX:
                _write(place / hashlib.sha256(content).hexdigest(), content)

    def watched(self) -> Iterator[WatchedLog]:
        """Yield every log that is watched, by name. Raises StateBroken, OSError."""
        origins = []
        for place in (self._directory / "logs").iterdir():
            content = _read(place / "origin", NOTE_BYTES_MAX)
            if content is None:
                raise StateBroken("the name of a log is gone")
            origins.append(content.decode("utf-8", "replace").removesuffix("\n"))
        for origin in sorted(origins):
            keys = self.find_keys(origin)
            yield WatchedLog(origin, keys, self.latest(origin, keys))

    def _make(self, place: Path) -> None:
        """Make a log's directory, so that no crash takes it away again."""
        place.mkdir(parents=True, exist_ok=True)
        for directory in (place.parent, self._directory):
            _sync_directory(directory)

    def _place(self, origin: str) -> Path:
        return self._directory / "logs" / hashlib.sha256(origin.encode("utf-8", "replace")).hexdigest()

    def _state(self, place: Path, origin: str, keys: Sequence[VerifierKey]) -> WitnessState:
        content = _read(place / "latest", NOTE_BYTES_MAX)
        if content is None:
            raise StateBroken("what was cosigned last of a log is gone")
        if content == Checkpoint(origin, 0, EMPTY_ROOT).text.encode():
            return WitnessState()
        try:
            checkpoint = open_checkpoint(content, keys).checkpoint
        except EvidenceInvalid as broken:
            raise StateBroken(f"what was cosigned last of a log cannot be read: {broken.reason}") from None
        if checkpoint.origin != origin:
            raise StateBroken("what was cosigned last of a log is another's")
        return WitnessState(checkpoint.tree_size, checkpoint.root_hash)

    @contextmanager
    def _locked(self, place: Path) -> Iterator[None]:
        """Hold a log alone, among threads and processes; whoever is killed lets go."""
        handle = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _read(path: Path, most: int) -> bytes | None:
    """Return a file's content, None where there is none. Raises StateBroken for a longer one, OSError."""
    try:
        with path.open("rb") as opened:
            content = opened.read(most + 1)
    except FileNotFoundError:
        return None
    if len(content) > most:
        raise StateBroken("a file is longer than this witness writes")
    return content


def _write(path: Path, content: bytes) -> None:
    """Put content in a file's place, whole or not at all; after it no crash brings the old back."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
