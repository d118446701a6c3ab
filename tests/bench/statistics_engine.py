"""What of the product the bench runs: the engine and the package that a worker would take."""

from __future__ import annotations

from importlib import import_module

from broker.engines.duckdb_engine import DuckDBEngine
from broker.exports.about import TableAbout
from broker.exports.package import packed
from broker.statistics.answering import Answered
from broker.statistics.cells import CellTable
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import Label
from broker.statistics.plan import TablePlan
from tests.bench.statistics_raw import MEMORY_MB, THREADS


def prepared() -> None:
    """Load what an export needs, once, as a worker does."""
    for name in ("duckdb", "broker.exports.sdmx_csv", "broker.exports.sdmx_structure"):
        import_module(name)


def counted_cells(release: FrozenRelease, plan: TablePlan) -> CellTable:
    """Return the aggregates of a plan, the release's files checked against its manifest first."""
    engine = DuckDBEngine(memory_mb=MEMORY_MB, threads=THREADS)
    return engine.count(release, plan, _unheard)


def _unheard(share: float) -> None:
    del share


def packed_bytes(release: FrozenRelease, answer: Answered) -> bytes:
    """Return the package of an answer, as SDMX-CSV with its structure."""
    about = TableAbout(
        manifest=release.manifest,
        plan=answer.plan,
        agreement="bench_statistics/1",
        title=Label("Đo", "Bench"),
        owner="national_insurance_agency",
        owner_name=Label("Cơ quan", "Agency"),
    )
    return packed(answer.released.protected.table, about, "sdmx-csv").content
