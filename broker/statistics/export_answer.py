"""What a worker made of a question: bytes as they are downloaded, and what is true of the table within."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from broker.statistics.cells import CellTable
from broker.statistics.export_job import ExportResult
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import Reason

JobFault: TypeAlias = Literal[
    "engine_away",
    "release_away",
    "memory_exceeded",
    "deadline_exceeded",
    "answer_failed",
    "worker_lost",
]
"""Why a job failed, after it was tried again: nothing about its table, which may be asked for again."""

AUDITORS: Final[frozenset[Reason]] = frozenset({"cell_narrowed", "audit_unsolved"})
"""Refusals that stand: what was released before stays released, so the same table is refused again."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeptTable:
    """A table that was released, by its plan, and its true aggregates. The second ones never leave."""

    plan: TablePlan
    cells: CellTable

    def __repr__(self) -> str:
        return f"KeptTable({self.plan.hash[:12]})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ExportAnswer:
    """The answer to a job. content: bytes as they are downloaded.

    table_hash: of the protected table. cells: what is true of a table that is released for the first time,
    None where it was released before.
    """

    content: bytes
    media_type: str
    file_name: str
    table_hash: str
    cell_count: int
    suppressed_permille: int
    cells: CellTable | None

    def __repr__(self) -> str:
        return f"ExportAnswer({self.file_name})"

    def result(self) -> ExportResult:
        """Return what is told of it."""
        return ExportResult(
            media_type=self.media_type,
            file_name=self.file_name,
            bytes_count=len(self.content),
            content_hash=sha256(self.content).hexdigest(),
            table_hash=self.table_hash,
            cell_count=self.cell_count,
            suppressed_permille=self.suppressed_permille,
        )
