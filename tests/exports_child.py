"""Doors of child processes that wait, crash or need too much; sent to them, so of plain values alone."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from broker.actions.answer_export import ExportDoors, ExportQuestion
from broker.statistics.cells import CellTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.output import OutputTable
from broker.statistics.plan import TablePlan
from connectors.base import SourceUnavailable

WAIT_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Package:
    """A package of plain text."""

    media_type: str
    file_name: str
    content: bytes


@dataclass(frozen=True)
class ScriptedEngine:
    """An engine that tells of cells it was given, once it has done what a test wants. See `ScriptedDoors`."""

    doors: ScriptedDoors

    def count(
        self, _release: FrozenRelease, _plan: TablePlan, on_share: Callable[[float], None]
    ) -> CellTable:
        on_share(0.5)
        told = [
            os.getpid(),
            tempfile.gettempdir(),
            *(name for name in os.environ if name.startswith("BROKER_")),
        ]
        written = self.doors.directory / "written"
        written.write_text(" ".join(map(str, told)))
        # Who looks for it finds all of it.
        written.rename(self.doors.directory / "begun")
        match self.doors.script:
            case "wait":
                while not (self.doors.directory / "go").exists():
                    signal.sigtimedwait([], WAIT_SECONDS)
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                np.ones(4 * 1024**3, dtype=np.uint8)
            case "away":
                raise SourceUnavailable("the engine is away")
            case "defect":
                raise ZeroDivisionError("4711 persons")
        return self.doors.cells


@dataclass(frozen=True)
class ScriptedDoors:
    """What a child is sent. script: "wait" for a file `go` in the directory, or how it fails, or "answer"."""

    script: str
    directory: Path
    cells: CellTable

    def __call__(self, _memory_mb: int) -> ExportDoors:
        return ExportDoors(ScriptedEngine(self), pack, encrypt)


def pack(table: OutputTable, release: FrozenRelease, question: ExportQuestion) -> Package:
    """Return every told number in plain text."""
    told = "\n".join(repr(row) for row in table.rows())
    return Package("application/zip", f"{release.manifest.release}.{question.format}", told.encode())


def encrypt(jwk: Mapping[str, Any], content: bytes, media_type: str) -> bytes:
    """Return something else than the content."""
    return f"{jwk['kid']} {media_type} ".encode() + content[::-1]
