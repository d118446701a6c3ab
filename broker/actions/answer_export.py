"""The verb that answers a job: a frozen release and a question in, bytes for whoever asked out, or a refusal.

It is run beside everything else, in a process of its own: it sees no store, no client and no token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from broker.actions.statistics_doors import Engine
from broker.statistics.answering import Answered, answered
from broker.statistics.axes import on_grid
from broker.statistics.cells import CellTable
from broker.statistics.export_answer import ExportAnswer, KeptTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.methods import method_of
from broker.statistics.output import OutputTable
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.protect import Method, protected
from broker.statistics.views import Released

COUNTED: Final = 0.8
"""The share of the work that counting is; protecting, auditing and packing are the rest."""
ENCRYPTED: Final = "application/jose"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportQuestion:
    """What is asked for.

    agreement: its id, beside the hash of its revision. recipient_key: public JWK to encrypt to, or None.
    """

    plan: TablePlan
    format: str
    agreement: str
    agreement_revision: str
    recipient_key: Mapping[str, Any] | None


class PackedTable(Protocol):
    """A package; `broker.exports.package.Packed` is one."""

    @property
    def media_type(self) -> str:
        """Its media type."""
        ...

    @property
    def file_name(self) -> str:
        """What it is called where it is saved."""
        ...

    @property
    def content(self) -> bytes:
        """Its bytes: the same for the same table, format and release."""
        ...


Packer: TypeAlias = Callable[[OutputTable, FrozenRelease, ExportQuestion], PackedTable]
Encrypter: TypeAlias = Callable[[Mapping[str, Any], bytes, str], bytes]
"""JWK, content and its media type → JWE in compact form."""


@dataclass(frozen=True, slots=True)
class ExportDoors:
    """What the verb needs of others. encrypt: to a recipient's key."""

    engine: Engine
    pack: Packer
    encrypt: Encrypter


def answer_export(
    question: ExportQuestion,
    release: FrozenRelease,
    earlier: Sequence[KeptTable],
    doors: ExportDoors,
    on_share: Callable[[float], None],
) -> ExportAnswer:
    """Return the answer to a question, given all tables that its release has released.

    earlier: with what is true of them, however many; a question that is among them is answered from there,
    without an engine, with the same bytes. on_share: told from 0 to 1 how much is done; whatever it raises
    ends the work. Nothing is kept here: what is returned must be released, in one transaction, by whoever
    calls, before anybody else answers a question to this release.
    Raises StatisticsRefused: of the cap, of the auditor, of aggregates that contradict themselves; and what
    the engine raises, SourceUnavailable where it is away.
    """
    plan, registry = question.plan, release.manifest.registry
    parameters = release.manifest.parameters
    method = method_of(parameters, registry.measures, release.perturbation, release.secret_table)
    out = [_again(release, one, method) for one in earlier]
    known = next((one for one in earlier if one.plan == plan), None)
    cells = known.cells if known else _counted(release, plan, doors.engine, on_share)
    on_share(COUNTED)
    found = answered(registry, plan, cells, method, out, parameters.audit)
    table = found.released.protected.table
    packed = doors.pack(table, release, question)
    content, media_type, file_name = packed.content, packed.media_type, packed.file_name
    if question.recipient_key is not None:
        content = doors.encrypt(question.recipient_key, content, media_type)
        media_type, file_name = ENCRYPTED, f"{file_name}.jwe"
    on_share(1.0)
    return ExportAnswer(
        content=content,
        media_type=media_type,
        file_name=file_name,
        table_hash=table.hash(),
        cell_count=table.cells,
        suppressed_permille=table.hidden_permille,
        cells=None if known else cells,
    )


def _counted(
    release: FrozenRelease, plan: TablePlan, engine: Engine, on_share: Callable[[float], None]
) -> CellTable:
    return engine.count(release, plan, lambda share: on_share(COUNTED * min(max(share, 0.0), 1.0)))


def _again(release: FrozenRelease, kept: KeptTable, method: Method) -> Answered:
    """Return an earlier answer as it was: noise depends on who is in a cell, and on nothing else."""
    registry = release.manifest.registry
    grid = on_grid(kept.cells, axes_of(registry, kept.plan))
    table = protected(grid, method, kept.plan.hash)
    return Answered(kept.plan, Released(grid, table, layout_of(registry, kept.plan)))
