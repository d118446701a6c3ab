"""What one look-up costs over libpq, and through SQLAlchemy Core: `python -m tests.bench.statements`.

The same statement, the same persons, interleaved rounds in one process; CPU microseconds of this process
and of PostgreSQL's. Kept: a connection held all the time; lent: one taken from the pool for each look-up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from sqlalchemy import create_engine, text

from broker.cli.embedded import embedded_cluster
from connectors.national_insurance.postgres_reader import _DIALECT, _SESSION
from connectors.national_insurance.statements import KEY_PARAMETER, named_fields, reading
from connectors.postgres import PreparedConnections, PreparedStatement, conninfo_of_url
from tests.bench.processes import cpu_us
from tests.contracts.source_fixtures import loaded_database
from tests.doors import cluster_directory

FIELDS: Final = (
    "personal_id", "old_id", "si_number", "full_name", "birth_date", "birth_precision", "sex", "ethnicity",
    "hi_card", "hi_card_15", "subject_type", "benefit_level",
)  # fmt: skip
ROUNDS: Final = 7
REPEATED: Final = 3

Way = Callable[[str], Sequence[object]]


def ways(url: str, opened: ExitStack) -> Mapping[str, Way]:
    """Return the three ways to look one person up; opened: closes what they hold."""
    read = reading("personal_id", *named_fields(FIELDS))
    sql = str(read.statement.compile(dialect=_DIALECT))
    prepared = PreparedStatement("bench_look_up", sql, repeatable=True)
    connections = PreparedConnections(conninfo_of_url(url), session_settings=_SESSION)
    opened.callback(connections.close)
    engine = create_engine(url)
    opened.callback(engine.dispose)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    kept = opened.enter_context(autocommit.connect())

    def lent(personal_id: str) -> Sequence[object]:
        with autocommit.connect() as connection:
            return connection.execute(read.statement, {KEY_PARAMETER: personal_id}).all()

    return {
        "libpq": lambda one: connections.execute(prepared, (one.encode(),), 2.0),
        "core, kept": lambda one: kept.execute(read.statement, {KEY_PARAMETER: one}).all(),
        "core, lent": lent,
    }


def main() -> None:
    """Measure, and print the median of the rounds for each way."""
    with ExitStack() as opened:
        directory = opened.enter_context(cluster_directory())
        cluster = opened.enter_context(embedded_cluster(directory))
        url = loaded_database(cluster).reader_url
        look_ups = ways(url, opened)
        engine = create_engine(url)
        with engine.connect() as connection:
            ids = list(connection.execute(text("SELECT personal_id FROM person LIMIT 1000")).scalars())
        engine.dispose()
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in look_ups}
        for number in range(ROUNDS + 1):
            for name, look_up in look_ups.items():
                server, client = cpu_us(cluster.postmaster_pid), time.process_time()
                for personal_id in ids * REPEATED:
                    look_up(personal_id)
                client_us = (time.process_time() - client) * 1e6
                server_us = cpu_us(cluster.postmaster_pid) - server
                if number:  # the first round warms up
                    count = len(ids) * REPEATED
                    figures[name].append((client_us / count, server_us / count))
    for name, rounds in figures.items():
        client_us, server_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:<12} client {client_us:6.1f}  server {server_us:6.1f}  sum {client_us + server_us:6.1f}"
        )


if __name__ == "__main__":
    main()
