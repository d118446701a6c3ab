"""Engines against the twin in numpy: the same bytes for every population and plan."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.engines.duckdb_engine import DuckDBEngine
from broker.statistics.plan import TablePlan
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
