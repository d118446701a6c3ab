"""Linear programmes over what tables can tell apart: the same ends as over all finest cells, and in reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.statistics.audit import narrow_cells
from broker.statistics.axes import on_grid
from broker.statistics.draws import keyed_draw
from broker.statistics.exact import FEW, FINEST_MAX, can_be_exact, intervals
from broker.statistics.moves import unsafe_cells
from broker.statistics.plan import planned
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.protect import protected
from broker.statistics.views import Layout, Released, View, persons_view
from tests.frozen_release import SmallRelease, frozen_release

CUT: Final = (("age", "age_band"), ("province", "province"), ("sex", "sex"))


def table(true: np.ndarray, axes: tuple[str, ...], layout: Layout, noise: int) -> View:
    hidden = np.zeros(true.shape, dtype=bool)
    hidden[1, 1] = True
    return View(
        layout=layout,
        true=true,
        low=np.where(hidden, 0.0, np.maximum(true - noise, 0.0)),
        high=np.where(hidden, np.inf, true + noise),
        is_hidden=hidden,
        width=np.full(true.shape, 3.0),
        is_count=True,
    )


@given(
    counts=st.lists(st.integers(0, 20), min_size=12, max_size=12),
    noise=st.integers(0, 3),
    turned=st.booleans(),
)
@settings(max_examples=15)
def test_what_no_table_tells_apart_changes_no_interval(counts: list[int], noise: int, turned: bool) -> None:
    inner = np.array(counts, dtype=np.float64).reshape(3, 4)
    true = np.block([[inner.sum(), inner.sum(axis=0)], [inner.sum(axis=1)[:, None], inner]])
    kept = {"a": np.ones(3, dtype=bool), "b": np.ones(4, dtype=bool)}
    places = {"a": np.arange(1, 4), "b": np.arange(1, 5)}
    axes = ("a", "b")
    if turned:
        # Axes need not stand in the order of their names.
        true, axes = true.T, ("b", "a")
    plain = table(true, axes, Layout(axes, kept, places), noise)
    # Each row is two finest categories, and there are three dimensions that the table does not have.
    many = {name: np.ones(30, dtype=bool) for name in ("_x", "aa", "z")}
    finer = Layout(
        axes,
        {**many, "a": np.ones(6, dtype=bool), "b": kept["b"]},
        {"a": np.repeat(np.arange(1, 4), 2), "b": places["b"]},
    )
    other = replace(plain, layout=finer)
    assert can_be_exact([other], cells=10**6)
    cells = np.array([0, 1, 6, true.size - 1])
    assert intervals([other], 0, cells) == pytest.approx(intervals([plain], 0, cells), abs=1e-6)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    directory: Path = tmp_path_factory.mktemp("release")
    return frozen_release(directory, persons=3_000)


def view_of(release: SmallRelease, secret: bytes) -> View:
    plan = planned(release.registry, CUT)
    grid = on_grid(release.cells(plan), axes_of(release.registry, plan))
    method = replace(release.method, draw=keyed_draw(secret))
    told = protected(grid, method, plan.hash)
    return persons_view(Released(grid, told, layout_of(release.registry, plan)), method, 3)


def test_a_table_of_a_real_release_is_solved_where_moves_settle_all_but_a_few(release: SmallRelease) -> None:
    open_cells = 0
    for number in range(4):
        view = view_of(release, bytes([number]) * 32)
        [left] = unsafe_cells([view])
        open_cells += len(left)
        assert [cells.tolist() for cells in narrow_cells([view])] == [[]]
    # Otherwise this would say nothing of the programmes.
    assert open_cells > 0


def test_how_much_is_solved_has_its_bounds(release: SmallRelease) -> None:
    view = view_of(release, bytes(32))
    assert can_be_exact([view], cells=10**6)
    plan = planned(release.registry, (*CUT, ("benefit", "benefit_level")))
    wide = replace(view, layout=layout_of(release.registry, plan))
    finest = 1
    for name, level in plan.cut:
        finest *= len(release.registry.dimension(name).level(level).categories)
    assert finest > FINEST_MAX
    assert can_be_exact([wide], cells=FEW)
    assert not can_be_exact([wide], cells=FEW + 1)
