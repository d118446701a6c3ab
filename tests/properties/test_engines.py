"""Engines against the twin in numpy: the same bytes for every population and plan."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.cli.embedded import EmbeddedCluster
from broker.engines.duckdb_engine import DuckDBEngine
from broker.engines.sql_engine import SqlEngine
from broker.statistics.plan import TablePlan
from tests.database_engines import counting_databases, filled
from tests.engine_world import frozen, people, plans, quiet


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 60), st.lists(plans(), min_size=1, max_size=3))
def test_duckdb_counts_what_the_twin_counts(seed: int, persons: int, wanted: list[TablePlan]) -> None:
    rows = people(seed, persons)
    engine = DuckDBEngine(memory_mb=200, threads=1)
    with tempfile.TemporaryDirectory() as directory:
        release = frozen(rows, Path(directory))
        for plan in wanted:
            counted = engine.count(release, plan, quiet)
            assert counted.content() == rows.counted(plan).content()


@pytest.fixture(scope="module")
def urls(cluster: EmbeddedCluster) -> list[str]:
    return counting_databases(cluster, 4)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 60), st.lists(plans(), min_size=3, max_size=6))
def test_postgresql_counts_what_the_twin_counts_on_one_server_and_over_shards(
    urls: list[str], seed: int, persons: int, wanted: list[TablePlan]
) -> None:
    rows = people(seed, persons)
    one, three = SqlEngine(urls[:1]), SqlEngine(urls[1:])
    with tempfile.TemporaryDirectory() as directory:
        release = frozen(rows, Path(directory))
        filled(release, urls[:1])
        filled(release, urls[1:])
        for plan in wanted:
            twin = rows.counted(plan).content()
            assert one.count(release, plan, quiet).content() == twin
            assert three.count(release, plan, quiet).content() == twin
