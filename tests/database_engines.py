"""Databases that count: on the PostgreSQL of the tests, emptied and filled with a release."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from sqlalchemy import create_engine

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.engines.loaded import mark_table, rows_table
from broker.engines.sql_load import load_release
from broker.statistics.frozen import FrozenRelease
from tests.engine_world import quiet

OWNER = "insurance_owner"


def counting_databases(cluster: EmbeddedCluster, count: int) -> list[str]:
    """Return the URLs of databases that hold nothing but releases."""
    urls = []
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        for number in range(count):
            name = f"counting_{number}"
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if found is None:
                made = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(made.format(sql.Identifier(name), sql.Identifier(OWNER)))
            urls.append(url_of(cluster.administrator_url, OWNER, name))
    return urls


def emptied(release: FrozenRelease, urls: Sequence[str]) -> None:
    """Take a release out of databases."""
    for url in urls:
        engine = create_engine(url)
        with engine.begin() as connection:
            for table in (rows_table(release.manifest.registry), mark_table(release.manifest.release)):
                table.drop(connection, checkfirst=True)
        engine.dispose()


def filled(release: FrozenRelease, urls: Sequence[str]) -> int:
    """Load a release into emptied databases; return how many were filled."""
    emptied(release, urls)
    return load_release(release, urls, quiet)
