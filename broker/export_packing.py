"""What a child answers an export with: the engine that is set, packages, and encryption to a recipient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.actions.answer_export import ExportDoors, ExportQuestion
from broker.exports.about import TableAbout
from broker.exports.package import Packed, packed
from broker.oauth.recipient_keys import encrypted_to
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import Label
from broker.statistics.output import OutputTable

ENGINE_MB_MIN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementWords:
    """How a package tells of the agreement under which it leaves; see `broker.exports.about.TableAbout`."""

    agreement: str
    title: Label
    owner: str
    owner_name: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDoors:
    """Makes the doors of a job in its own process: what is here is sent there.

    engine: as of the setting BROKER_STATISTICS_ENGINE.
    """

    engine: str
    words: AgreementWords

    def __call__(self, memory_mb: int) -> ExportDoors:
        """Return the doors. memory_mb: of the whole process; half of it is the engine's."""
        # It loads libraries that only this process needs.
        from broker.engines.choosing import engine_of

        engine = engine_of(self.engine, memory_mb=max(memory_mb // 2, ENGINE_MB_MIN))
        return ExportDoors(engine, self.pack, encrypted_to)

    def pack(self, table: OutputTable, release: FrozenRelease, question: ExportQuestion) -> Packed:
        """Return the package of a table in the format that is asked for."""
        about = TableAbout(
            manifest=release.manifest,
            plan=question.plan,
            agreement=self.words.agreement,
            title=self.words.title,
            owner=self.words.owner,
            owner_name=self.words.owner_name,
        )
        return packed(table, about, question.format)
