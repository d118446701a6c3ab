"""Insurance databases for the tests: small synthetic populations on PostgreSQL and on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import create_engine

from broker.cli.embedded import EmbeddedCluster, url_of
from connectors.national_insurance.cases import SyntheticPerson, find_cases
from connectors.national_insurance.schema import create_schema, grant_reader
from connectors.national_insurance.source import InsuranceSource
from connectors.national_insurance.synthetic import Manifest
from connectors.national_insurance.synthetic_load import load_population
from connectors.postgres import PreparedConnections, PreparedStatement, conninfo_of_url

AS_OF = date(2026, 11, 1)
CARD_CHECK = (
    "si_number", "personal_id", "full_name", "birth_date", "birth_precision", "sex", "hi_card", "hi_card_15",
    "subject_type", "benefit_level", "living_area", "primary_facility", "valid_from", "valid_to",
    "five_year_date", "card_status", "managed_by",
)  # fmt: skip
"""What a hospital's check reads: fields of the person, and rows of one group."""


@dataclass(frozen=True, slots=True)
class InsuranceDatabase:
    """A loaded database: URLs of its owner and its reader, what it holds, and examples of each case."""

    owner_url: str
    reader_url: str
    manifest: Manifest
    cases: dict[str, list[SyntheticPerson]]


_databases: dict[str, InsuranceDatabase] = {}


def fresh_database(cluster: EmbeddedCluster, name: str) -> tuple[str, str]:
    """Make an empty database owned by insurance_owner; return the URLs of owner and reader."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER insurance_owner").format(sql.Identifier(name)))
    return (
        url_of(cluster.administrator_url, "insurance_owner", name),
        url_of(cluster.administrator_url, "insurance_reader", name),
    )


def loaded_database(cluster: EmbeddedCluster) -> InsuranceDatabase:
    """Return the PostgreSQL database that tests only read; made once per test process."""
    known = _databases.get(cluster.administrator_url)
    if known is None:
        known = load(*fresh_database(cluster, "source_tests"))
        _databases[cluster.administrator_url] = known
    return known


def sqlite_database(directory: Path) -> InsuranceDatabase:
    """Return a new SQLite database with a small population."""
    url = f"sqlite:///{directory}/insurance.db"
    return load(url, url, persons=300)


def load(owner_url: str, reader_url: str, persons: int = 3000) -> InsuranceDatabase:
    """Load a population, let the reader read it, and find its cases."""
    manifest = load_population(owner_url, Manifest(persons, 11, AS_OF))
    engine = create_engine(owner_url)
    create_schema(engine)
    if engine.dialect.name == "postgresql":
        grant_reader(engine, "insurance_reader")
    with engine.connect() as connection:
        cases = find_cases(connection, 3)
    engine.dispose()
    return InsuranceDatabase(owner_url, reader_url, manifest, cases)


@contextmanager
def reading(url: str, **options: float) -> Iterator[InsuranceSource]:
    """Give a source on a URL, and close it afterwards."""
    source = InsuranceSource(url, **options)  # type: ignore[arg-type] # concurrency is a whole number
    try:
        yield source
    finally:
        source.close()


@contextmanager
def prepared(url: str, **settings: str) -> Iterator[PreparedConnections]:
    """Give prepared connections to a URL, and close them afterwards."""
    connections = PreparedConnections(
        conninfo_of_url(url), session_settings=settings, connect_timeout_seconds=60.0
    )
    try:
        yield connections
    finally:
        connections.close()


BACKEND = PreparedStatement("backend", "SELECT pg_backend_pid()")


def backend_pids(administrator_url: str, application: str) -> list[int]:
    """Return the process ids of the server that serve connections of one application name."""
    with psycopg.connect(administrator_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s", (application,)
        )
        return [row[0] for row in rows]
