"""Somebody who looks at the published checkpoint again and again, and keeps all that was there."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from broker.evidence.reasons import EvidenceInvalid
from broker.storage.log_files import CHECKPOINT, size_of

LOOK_SECONDS = 0.005


class Watcher:
    """Looks at one shard's checkpoint 200 times a second. notes: each that differs from the one before."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / CHECKPOINT
        self.notes: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with suppress(OSError):
                content = self._path.read_bytes()
                if not self.notes or self.notes[-1] != content:
                    self.notes.append(content)

    @property
    def sizes(self) -> list[int]:
        """Return the sizes, in the order in which they were seen; -1 for what is no checkpoint."""
        found = []
        for note in self.notes:
            try:
                found.append(size_of(note))
            except EvidenceInvalid:
                found.append(-1)
        return found

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
