"""Shared fixtures: one real PostgreSQL per test process, with the broker's database migrated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from broker.cli.prepare import prepare
from broker.cli.session import embedded_environment
from broker.settings import Settings, read_settings


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A PostgreSQL cluster of this test process, with the four roles and two databases."""
    with embedded_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="session")
def environ(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a broker on that cluster."""
    directory: Path = tmp_path_factory.mktemp("state")
    others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    return embedded_environment(cluster, directory, others)


@pytest.fixture(scope="session")
def settings(cluster: EmbeddedCluster, environ: dict[str, str]) -> Settings:
    """Settings of a broker on that cluster, whose database is migrated, keyed and has its agreements."""
    read = read_settings(environ)
    prepare(cluster.owner_url, read)
    return read
