"""The small release that other tests count on: its files hold the rows that it has in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from broker.engines import mart
from broker.statistics.plan import Filter, planned
from broker.statistics.plan_layout import axes_of
from broker.statistics.protect import protected
from tests.frozen_release import NAMES, frozen_release


def test_a_small_release_is_laid_out_as_the_mart_says(tmp_path: Path) -> None:
    release = frozen_release(tmp_path, persons=400, seed=3)
    manifest = release.frozen.manifest
    rows = 0
    for one in manifest.files:
        table = pq.read_table(Path(release.frozen.directory) / one.path, partitioning=None)
        assert table.column_names == [
            mart.PERSON,
            mart.RECORD_KEY,
            *map(mart.dimension_column, NAMES),
            *map(mart.measure_column, manifest.registry.measures),
        ]
        persons = table[mart.PERSON].to_numpy()
        assert np.all(np.diff(persons) >= 0)
        assert one.path == f"period={one.period}/province={one.province}/part-0.parquet"
        rows += table.num_rows
    assert rows == manifest.rows_count == len(release.persons)


def test_its_cells_make_a_protected_table(tmp_path: Path) -> None:
    release = frozen_release(tmp_path, persons=400)
    plan = planned(
        release.registry,
        (("province", "region"), ("sex", "sex")),
        (Filter("period", "month", ("2026-08",)),),
        ("salary",),
    )
    grid = release.grid(plan, axes_of(release.registry, plan))
    assert int(grid.persons[0, 0]) == 400
    table = protected(grid, release.method, plan.hash).table
    assert abs(int(table.persons[0, 0]) - 400) <= 5


def test_the_same_arguments_make_the_same_release(tmp_path: Path) -> None:
    first = frozen_release(tmp_path / "a", persons=50)
    again = frozen_release(tmp_path / "b", persons=50)
    assert first.frozen.manifest == again.frozen.manifest
