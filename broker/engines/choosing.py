"""Which engine counts, by one setting: DuckDB in this process, or the databases that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from broker.engines.duckdb_engine import MEMORY_MB, DuckDBEngine
from broker.engines.sql_engine import SqlEngine

DUCKDB: Final = "duckdb"


def engine_of(
    setting: str, *, memory_mb: int = MEMORY_MB, threads: int = 0, temporary: Path | None = None
) -> DuckDBEngine | SqlEngine:
    """Return the engine that `BROKER_STATISTICS_ENGINE` names. The other arguments are for DuckDB.

    Raises SourceUnavailable where no driver for a URL is installed.
    """
    if setting == DUCKDB:
        return DuckDBEngine(memory_mb=memory_mb, threads=threads, temporary=temporary)
    return SqlEngine(setting.split())
