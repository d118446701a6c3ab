"""How many entries the sequencer orders on one core: made-up releases, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Final
from uuid import UUID

import psycopg

from broker.cli.embedded import EmbeddedCluster
from broker.cli.log_session import LogSession
from connectors.postgres import conninfo_of_url
from tests.bench.processes import cpu_us
from tests.evidence_entries import reference, release
from tests.log_world import LogWorld, log_databases

LARGE: Final = 1_000
"""Entries of one transaction, where they come from large ones."""
_ENTER: Final = "COPY evidence_entries (reference, kind, entry) FROM STDIN (FORMAT binary)"


@dataclass(frozen=True, slots=True)
class Ordered:
    """What ordering took, µs an entry: of the sequencer's process, of the database, and by the wall clock."""

    sequencer_us: float
    database_us: float
    wall_us: float

    @property
    def per_cpu_second(self) -> float:
        """Entries that one core would order in a second, the database's part on it too."""
        return 1_000_000 / (self.sequencer_us + self.database_us)


def enter(url: str, numbers: range, at_once: int) -> None:
    """Enter releases as the application does, so many in a transaction; nobody waits for the disk."""
    with psycopg.connect(conninfo_of_url(url), options="-c synchronous_commit=off") as connection:
        for first in range(numbers.start, numbers.stop, at_once):
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(_ENTER) as copy:
                copy.set_types(["uuid", "text", "bytea"])
                for number in range(first, min(first + at_once, numbers.stop)):
                    copy.write_row((UUID(reference(number)), "release", release(number)))


def order(session: LogSession, postmaster_pid: int, count: int) -> Ordered:
    """Do rounds until so many entries are merged; return what they took."""
    session.lease.hold()
    database, own, wall = cpu_us(postmaster_pid), process_time(), perf_counter()
    merged = 0
    while merged < count:
        merged += session.sequencer.run().entries
    own, wall = process_time() - own, perf_counter() - wall
    return Ordered(own * 1e6 / count, (cpu_us(postmaster_pid) - database) / count, wall * 1e6 / count)


def orderings(cluster: EmbeddedCluster, directory: Path, count: int) -> Iterator[tuple[str, Ordered]]:
    """Yield what ordering took: of releases, one a transaction, and of what large transactions entered."""
    with log_databases(cluster) as databases:
        world = LogWorld(databases, directory)
        try:
            world.created()
            with world.session() as session:
                for number, (name, at_once) in enumerate((("single", 1), ("large", LARGE))):
                    enter(databases.application_url, range(number * count, (number + 1) * count), at_once)
                    yield name, order(session, cluster.postmaster_pid, count)
            if world.findings():
                raise RuntimeError("what was ordered is no faultless log")
        finally:
            world.close()


def sequencing_figures(cluster: EmbeddedCluster, directory: Path, count: int) -> dict[str, float]:
    """Return what the artifact holds of the sequencer, over so many entries of each sort."""
    found = dict(orderings(cluster, directory, count))
    single, large = found["single"], found["large"]
    return {
        "sequenced_per_cpu_second": single.per_cpu_second,
        "sequencer_us_per_entry": single.sequencer_us,
        "sequencer_database_us_per_entry": single.database_us,
        "sequenced_per_second": 1_000_000 / single.wall_us,
        "sequenced_per_cpu_second_large": large.per_cpu_second,
        "sequenced_per_second_large": 1_000_000 / large.wall_us,
    }
