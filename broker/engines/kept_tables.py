"""Perturbation tables for a release: those that are shipped, those made before, and, once, a solver."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from broker.engines.durable_files import private_directory, put
from broker.engines.shipped_tables import shipped_tables
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.methods import tables_needed
from broker.statistics.parameters import Parameters
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.table_csv import table_from_csv, table_name, table_to_csv


def kept_tables(parameters: DisclosureParameters, cache: Path) -> dict[str, str]:
    """Return table name → CSV for the parameters of a release.

    cache: directory in which tables that were made once are kept for all releases. Raises StatisticsRefused:
    table_unsolved; OSError.
    """
    return {table_name(one): _table(one, cache) for one in tables_needed(parameters)}


def _table(parameters: Parameters, cache: Path) -> str:
    name = table_name(parameters)
    if name in shipped_tables():
        return shipped_tables()[name]
    path = cache / f"{sha256(name.encode()).hexdigest()}.csv"
    kept = _kept(path, parameters)
    if kept is not None:
        return kept
    # The solver is slow to load, and mostly not needed.
    from broker.statistics.make_table import made_table

    text = table_to_csv(made_table(parameters))
    private_directory(cache)
    put(path, text.encode())
    return text


def _kept(path: Path, parameters: Parameters) -> str | None:
    """Return a table that was made before; None where none was, or it is not whole."""
    try:
        text = path.read_text("utf-8")
        table_from_csv(text, parameters)
    except (FileNotFoundError, UnicodeDecodeError, StatisticsRefused):
        return None
    return text
