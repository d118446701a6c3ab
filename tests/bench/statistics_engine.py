"""What of the product the bench runs: the engine and the package that a worker would take."""

from __future__ import annotations

from pathlib import Path

from broker.actions.statistics_doors import FrozenRelease
from broker.statistics.answering import Answered
from broker.statistics.cells import CellTable
from broker.statistics.plan import TablePlan
from tests.bench.statistics_raw import as_cells, connected, fetched, raw_query


def prepared() -> None:
    """Load what an export needs, once, as a worker does."""


def counted_cells(release: FrozenRelease, plan: TablePlan) -> CellTable:
    """Return the aggregates of a plan."""
    directory = Path(release.directory)
    query = raw_query(release.manifest.registry, plan, directory)
    with connected(directory) as connection:
        return as_cells(plan, fetched(connection, query.whole))


def packed_bytes(release: FrozenRelease, answer: Answered) -> bytes:
    """Return the package of an answer."""
    return answer.released.protected.table.content()
