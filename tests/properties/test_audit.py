"""The auditor: what it calls safe no linear programme tells closely, and what one tells it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from broker.statistics import exact, moves
from broker.statistics.aggregate import aggregated
from broker.statistics.audit import check_audit, narrow_cells, narrowed
from broker.statistics.audit_rules import AuditRules
from broker.statistics.axes import Axis, Grid, on_grid
from broker.statistics.exact import can_be_exact, intervals
from broker.statistics.joined_transfers import joined_reach
from broker.statistics.moves import unsafe_cells
from broker.statistics.output import HIDDEN
from broker.statistics.protect import Protected, protected
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.rooms import rooms_of
from broker.statistics.steps import Step
from broker.statistics.transfers import transfer_bounds, transferable
from broker.statistics.views import Layout, Released, View, persons_view, sum_view
from tests.reference import margins as twin
from tests.statistics_world import AGE, PROVINCE, SECTOR, SEX, Population, method, population

RULES: Final = AuditRules()


def with_totals(inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cells with their totals at place 0 of each axis."""
    for axis in range(inner.ndim):
        inner = np.concatenate([inner.sum(axis=axis, keepdims=True), inner], axis=axis)
    return inner


def view_of(
    true: NDArray[np.float64],
    is_hidden: NDArray[np.bool_],
    *,
    width: float = 3,
    noise: NDArray[np.float64] | float = 0.0,
    bound: float = 0,
    several: frozenset[str] = frozenset(),
) -> View:
    names = [chr(ord("a") + axis) for axis in range(true.ndim)]
    leaves = {name: size - 1 for name, size in zip(names, true.shape, strict=True)}
    layout = Layout(
        tuple(names),
        {name: np.ones(size, dtype=bool) for name, size in leaves.items()},
        {name: np.arange(1, size + 1) for name, size in leaves.items()},
        several,
    )
    told = true + noise
    return View(
        layout=layout,
        true=true,
        low=np.where(is_hidden, 0.0, np.maximum(told - bound, 0)),
        high=np.where(is_hidden, np.inf, told + bound),
        is_hidden=is_hidden,
        width=np.full(true.shape, float(width)),
        is_count=True,
    )


# Counts, and what a usual programme of suppression hid: every row and every column hides at least two.
COUNTS: Final = np.array(
    [[30, 47, 64, 89], [90, 124, 5, 31], [92, 100, 59, 85], [800, 991, 651, 685]], dtype=np.float64
)
HIDDEN_CELLS: Final = ["wa", "wb", "wc", "xa", "xc", "yb", "yd", "zb", "zd"]


def suppressed(cells: list[str]) -> View:
    is_hidden = np.zeros((5, 5), dtype=bool)
    for cell in cells:
        is_hidden["wxyz".index(cell[0]) + 1, "abcd".index(cell[1]) + 1] = True
    return view_of(with_totals(COUNTS), is_hidden)


W_B: Final = 1 * 5 + 2


def test_a_cell_hidden_with_two_in_every_row_and_column_is_exactly_47_and_that_is_found() -> None:
    view = suppressed(HIDDEN_CELLS)
    assert intervals([view], 0, np.array([W_B])).tolist() == [[47, 47]]
    assert twin.interval(view.low, view.high, (1, 2), frozenset()) == (47, 47)
    assert W_B in unsafe_cells([view])[0]
    assert W_B in narrow_cells([view])[0]


def test_hiding_one_more_cell_leaves_78_possibilities() -> None:
    view = suppressed([*HIDDEN_CELLS, "xd"])
    assert intervals([view], 0, np.array([W_B])) == pytest.approx(np.array([[0, 78]]), abs=1e-6)
    assert twin.interval(view.low, view.high, (1, 2), frozenset()) == pytest.approx((0, 78), abs=1e-6)
    assert W_B not in narrow_cells([view])[0]


def test_dimensions_that_a_table_does_not_cut_leave_its_moves_as_many() -> None:
    # Totals are exact: only who moves between rows and columns at once keeps a hidden cell safe.
    view = suppressed([row + column for row in "wxyz" for column in "abcd"])
    assert unsafe_cells([view])[0].tolist() == []
    others = {f"_{number}": np.ones(3, dtype=bool) for number in range(12)}
    layout = replace(view.layout, kept={**others, **view.layout.kept})
    assert unsafe_cells([replace(view, layout=layout)])[0].tolist() == []


def with_exact(view: View, *places: tuple[int, ...]) -> View:
    """Return a view that tells the truth of some of its cells."""
    low, high = view.low.copy(), view.high.copy()
    for place in places:
        low[place] = high[place] = view.true[place]
    return replace(view, low=low, high=high)


def test_who_is_in_one_other_cell_alone_keeps_an_empty_one_safe() -> None:
    # Nobody is at the crossings; the grand total is exact.
    true = with_totals(np.array([[0.0, 0.0], [0.0, 50.0]]))
    hidden = np.zeros(true.shape, dtype=bool)
    hidden[1, 1] = True
    view = with_exact(view_of(true, hidden, bound=5), (0, 0))
    assert intervals([view], 0, np.array([4]))[0, 1] >= 3
    assert unsafe_cells([view])[0].tolist() == []
    # Where there is nobody to come from, an empty cell stays told.
    nobody = replace(view, high=np.where(true == 50, 50, view.high), low=np.where(true == 50, 50, view.low))
    assert unsafe_cells([nobody])[0].tolist() == [4]


def test_a_transfer_from_nowhere_shows_nothing() -> None:
    view = suppressed(HIDDEN_CELLS)
    gains, nobody = np.array([0]), np.array([-1])
    steps = {name: Step(gains, nobody) for name in view.layout.kept}
    assert [bound.tolist() for bound in transfer_bounds(transferable([view]), steps)] == [[0], [0]]
    assert [able.tolist() for able in joined_reach(transferable([view]), [steps], np.ones(1))] == [
        [False]
    ] * 2


def test_one_person_from_each_of_several_cells_keeps_an_empty_one_safe() -> None:
    true = with_totals(np.array([[0.0, 1.0, 1.0, 1.0], [9.0, 9.0, 9.0, 9.0]]))
    hidden = np.zeros(true.shape, dtype=bool)
    hidden[1, 1] = True
    told = view_of(true, hidden, bound=5)
    view = with_exact(told, (0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4))
    place = int(np.ravel_multi_index((1, 1), true.shape))
    assert intervals([view], 0, np.array([place]))[0].tolist() == pytest.approx([0, 3], abs=1e-6)
    assert unsafe_cells([view])[0].tolist() == []
    fewer = with_exact(view, (1, 2))
    assert unsafe_cells([fewer])[0].tolist() == [place]


small_tables = st.integers(0, 2**32).map(np.random.default_rng)


@settings(max_examples=12)
@given(small_tables, st.sampled_from([0, 1, 3]), st.sampled_from([(3, 3), (4, 2), (2, 2, 3)]))
def test_what_moves_show_safe_no_linear_programme_tells_closely(
    rng: np.random.Generator, bound: int, shape: tuple[int, ...]
) -> None:
    true = with_totals(rng.integers(0, 12, shape).astype(np.float64))
    noise = rng.integers(-bound, bound + 1, true.shape).astype(np.float64)
    is_hidden = (true < 8) | (rng.random(true.shape) < 0.2)
    view = view_of(true, is_hidden, noise=noise, bound=bound)
    unsafe = set(unsafe_cells([view])[0].tolist())
    hidden = np.flatnonzero(is_hidden)
    ends = intervals([view], 0, hidden)
    for cell, (low, high) in zip(hidden.tolist(), ends.tolist(), strict=True):
        place = tuple(int(one) for one in np.unravel_index(cell, true.shape))
        assert (low, high) == pytest.approx(twin.interval(view.low, view.high, place, frozenset()), abs=1e-5)
        assert low - 1e-6 <= true[place] <= high + 1e-6
        if cell not in unsafe:
            assert high - low >= 3 - 1e-6


@settings(max_examples=12)
@given(small_tables, st.sampled_from([0, 1, 3]), st.sampled_from([(3, 3), (2, 2, 3)]))
def test_where_persons_are_in_several_categories_too(
    rng: np.random.Generator, bound: int, shape: tuple[int, ...]
) -> None:
    last = len(shape) - 1
    people = rng.random((rng.integers(5, 60), *shape)) < 0.12
    # Everybody is in one cell of the first axes, and there in one or more of the last one.
    for person in people:
        keep = rng.integers(0, shape[:-1])
        spared = person[tuple(keep)].copy()
        person[...] = False
        person[tuple(keep)] = spared
    places = np.stack([_with_any(totals) for totals in people])
    true = places.sum(axis=0).astype(np.float64)
    noise = rng.integers(-bound, bound + 1, true.shape).astype(np.float64)
    is_hidden = (true < 6) | (rng.random(true.shape) < 0.2)
    name = chr(ord("a") + last)
    view = view_of(true, is_hidden, noise=noise, bound=bound, several=frozenset({name}))
    unsafe = set(unsafe_cells([view])[0].tolist())
    for cell in np.flatnonzero(is_hidden).tolist():
        place = tuple(int(one) for one in np.unravel_index(cell, true.shape))
        low, high = twin.interval(view.low, view.high, place, frozenset({last}))
        if cell not in unsafe:
            assert high - low >= 3 - 1e-6, (place, low, high)


@settings(max_examples=12)
@given(small_tables, st.sampled_from([0, 1, 3]))
def test_cells_that_are_not_tried_are_those_that_no_move_shows_safe(
    rng: np.random.Generator, bound: int
) -> None:
    true = with_totals(rng.integers(0, 12, (4, 3)).astype(np.float64))
    noise = rng.integers(-bound, bound + 1, true.shape).astype(np.float64)
    view = view_of(true, (true < 8) | (rng.random(true.shape) < 0.3), noise=noise, bound=bound)
    high = np.where(rng.random(true.shape) < 0.5, true + 1, view.high)
    view = replace(view, high=high, low=np.where(view.is_hidden, np.maximum(true - 2, 0), view.low))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "_is_hopeless", lambda *given: np.zeros(len(given[2]), dtype=bool))
        tried = unsafe_cells([view])[0].tolist()
    assert unsafe_cells([view])[0].tolist() == tried


def _with_any(member: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return one person's cells with totals: a person counts once."""
    counted = member.astype(np.int64)
    for axis in range(member.ndim):
        counted = np.concatenate([counted.max(axis=axis, keepdims=True), counted], axis=axis)
    return counted


def released(people: Population, axes: tuple[Axis, ...], question: str) -> Released:
    grid = people.grid(axes)
    return Released(grid, protected(grid, method(), question), layout_of(axes))


def layout_of(axes: tuple[Axis, ...]) -> Layout:
    every = (PROVINCE, SEX, AGE, SECTOR)
    return Layout(
        tuple(axis.name for axis in axes),
        {axis.name: np.ones(len(axis.categories), dtype=bool) for axis in every},
        {axis.name: np.arange(1, len(axis.categories) + 1) for axis in axes},
        frozenset({"sector"}),
    )


def test_what_is_told_holds_of_the_truth() -> None:
    one = released(population(20_000), (PROVINCE, SEX, SECTOR), "q")
    for view in (persons_view(one, method(), 3), sum_view(one, method(), "wage", 15)):
        assert np.all(view.low <= view.true)
        assert np.all(view.true <= view.high)
        assert view.is_hidden.any()


def test_tables_of_a_release_that_belong_together_pass() -> None:
    people = population(20_000)
    tables = [
        released(people, axes, f"q{at}")
        for at, axes in enumerate([(PROVINCE, SEX), (PROVINCE, SECTOR), (PROVINCE, SEX, AGE)])
    ]
    assert narrowed(tables, method(), RULES) == []
    check_audit(tables, method(), RULES)
    assert sum(np.count_nonzero(one.protected.table.persons == HIDDEN) for one in tables) > 500


def hiding(one: Released, place: tuple[int, ...]) -> Released:
    """Return a table in which one cell more is hidden, for no reason that is told."""
    table, notes = one.protected.table, one.protected.notes
    persons, why = table.persons.copy(), notes.persons.copy()
    persons[place], why[place] = HIDDEN, "D"
    return replace(one, protected=Protected(replace(table, persons=persons), replace(notes, persons=why)))


def test_what_another_table_of_the_release_tells_is_not_hidden() -> None:
    people = population(20_000)
    one = hiding(released(people, (PROVINCE, SEX), "aaaa"), (5, 1))
    other = released(people, (SEX, PROVINCE), "bbbb")
    alone = narrowed([one], method(), RULES)
    assert alone == []
    # The other table tells the very cell to within 2 D = 10 persons.
    wide = AuditRules(persons=11)
    found = narrowed([one, other], method(), wide)
    assert (5 * 3 + 1) in [cell for each in found if each.question == "aaaa" for cell in each.cells.tolist()]
    with pytest.raises(StatisticsRefused, match=r"cell_narrowed: \d+ of persons in aaaa"):
        check_audit([one, other], method(), wide)


def told_exactly(layout: Layout, true: NDArray[np.float64]) -> View:
    """A table that hides nothing and has no noise."""
    nothing, width = np.zeros(true.shape, dtype=bool), np.full(true.shape, 3.0)
    return View(layout=layout, true=true, low=true, high=true, is_hidden=nothing, width=width, is_count=True)


def linked(width: float) -> list[View]:
    """Two tables without noise: a x b hides (1, 1) and all totals; b alone tells what a x b hides."""
    true = with_totals(np.array([[4.0, 20.0], [30.0, 40.0]]))
    is_hidden = np.zeros((3, 3), dtype=bool)
    is_hidden[1, 1] = is_hidden[0, :] = is_hidden[:, 0] = True
    one = view_of(true, is_hidden, width=width)
    columns = replace(one.layout, axes=("b",), places={"b": one.layout.places["b"]})
    other = told_exactly(columns, true[0])
    return [one, other]


def test_linked_tables_are_looked_at_together() -> None:
    views = linked(3)
    cell = np.array([1 * 3 + 1])
    assert intervals(views[:1], 0, cell).tolist() == [[0, np.inf]]
    assert 4 not in unsafe_cells(views[:1])[0]
    assert intervals(views, 0, cell).tolist() == [[4, 4]]
    assert 4 in unsafe_cells(views)[0]


def test_filters_and_levels_link_tables_too() -> None:
    true = with_totals(np.array([4.0, 20.0, 30.0]))
    is_hidden = np.array([True, True, False, False])
    by_leaf = view_of(true, is_hidden)
    kept = by_leaf.layout.kept["a"]
    groups = Layout(("a",), {"a": kept}, {"a": np.array([1, 1, 2])})
    coarse = np.array([54.0, 24.0, 30.0])
    level = told_exactly(groups, coarse)
    assert 1 not in unsafe_cells([by_leaf])[0]
    assert intervals([by_leaf, level], 0, np.array([1])).tolist() == [[4, 4]]
    assert 1 in unsafe_cells([by_leaf, level])[0]
    part = Layout((), {"a": np.array([True, True, False])}, {})
    filtered = told_exactly(part, np.array(24.0))
    assert intervals([by_leaf, filtered], 0, np.array([1])).tolist() == [[4, 4]]
    assert 1 in unsafe_cells([by_leaf, filtered])[0]


def test_several_levels_of_a_dimension_with_persons_in_several_are_refused_rather_than_guessed() -> None:
    people = population(20_000)
    fine = released(people, (PROVINCE, SECTOR), "fine")
    coarse_places = np.repeat(np.arange(1, 8), 3)
    coarse_axis = Axis(name="sector", categories=tuple("ABCDEFG"), one_each=False)
    coded = replace(people, codes=np.where(np.arange(4) == 3, people.codes // 3, people.codes))
    grid: Grid = _coarse_grid(coded, coarse_axis)
    layout = layout_of((PROVINCE, SECTOR))
    coarse = Released(
        grid,
        protected(grid, method(), "coarse"),
        replace(layout, places={**layout.places, "sector": coarse_places}),
    )
    assert narrowed([fine], method(), RULES) == []
    found = narrowed([fine, coarse], method(), RULES)
    assert {one.quantity for one in found} == {"persons"}


def test_a_filter_of_such_a_dimension_is_looked_at_with_the_same_caution() -> None:
    people = population(20_000)
    fine = released(people, (PROVINCE, SECTOR), "fine")
    layout = layout_of((PROVINCE,))
    kept = {**layout.kept, "sector": np.arange(len(SECTOR.categories)) != 2}
    rows = people.codes[:, 3] != 2
    grid = people.grid((PROVINCE,), rows)
    filtered = Released(grid, protected(grid, method(), "part"), replace(layout, kept=kept))
    views = [persons_view(one, method(), 3) for one in (fine, filtered)]
    rooms = rooms_of(views[0], views)
    assert not rooms.together[1].any(), "nothing is taken away where it is not followed what that does"
    assert rooms.alone == {}
    assert narrowed([fine], method(), RULES) == []
    with pytest.raises(StatisticsRefused, match=r"cell_narrowed: \d+ of persons in fine"):
        check_audit([fine, filtered], method(), RULES)


def _coarse_grid(people: Population, axis: Axis) -> Grid:
    cells = aggregated(
        ["province", "sector"],
        ["wage"],
        people.codes[:, [0, 3]],
        people.persons,
        people.wages[:, None],
        people.keys,
    )
    return on_grid(cells, (PROVINCE, axis))


def test_large_tables_and_those_that_do_not_add_up_are_not_solved_exactly() -> None:
    one = released(population(20_000), (PROVINCE, SEX, SECTOR), "q")
    assert not can_be_exact([persons_view(one, method(), 3)])
    assert can_be_exact([suppressed(HIDDEN_CELLS)])


def test_a_solver_that_comes_to_no_result_lets_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        status = 4

    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: Lost())
    with pytest.raises(StatisticsRefused, match="audit_unsolved: the solver said 4"):
        exact.intervals([suppressed(HIDDEN_CELLS)], 0, np.array([W_B]))


@pytest.mark.parametrize(("persons", "percent"), [(0, 15), (101, 15), (3, 0), (3, 101)])
def test_intervals_have_a_width(persons: int, percent: int) -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed: intervals are 1 to 100 persons"):
        AuditRules(persons=persons, percent=percent)


def test_nothing_true_stands_in_a_repr() -> None:
    one = released(population(20_000), (SEX, AGE), "q")
    assert repr(one) == "Released(q)"
    assert repr(persons_view(one, method(), 3)) == "View(33 cells)"


LEAVES: Final = {"a": 4, "b": 3, "c": 2}
COARSE: Final = np.array([1, 1, 2, 2])


def table_of_leaves(rng: np.random.Generator, finest: NDArray[np.float64], bound: int) -> View:
    """Return a table of finest cells as somebody might ask for it: cut, filtered, coarse."""
    names = list(LEAVES)
    axes = tuple(sorted(rng.choice(names, rng.integers(1, 4), replace=False).tolist()))
    kept = {name: np.ones(size, dtype=bool) for name, size in LEAVES.items()}
    if rng.random() < 0.4:
        filtered = rng.choice(names)
        kept[filtered] = rng.random(LEAVES[filtered]) < 0.6
        kept[filtered][rng.integers(LEAVES[filtered])] = True
    places = {}
    for name in axes:
        is_coarse = name == "a" and kept["a"].all() and rng.random() < 0.5
        numbers = COARSE if is_coarse else np.cumsum(kept[name])
        places[name] = np.where(kept[name], numbers, 0)
    true = finest
    for at, name in enumerate(names):
        true = np.compress(kept[name], true, axis=at)
        if name in axes:
            own = places[name][kept[name]]
            sums = [
                np.compress(own == place, true, axis=at).sum(axis=at) for place in range(1, own.max() + 1)
            ]
            true = np.stack([true.sum(axis=at), *sums], axis=at)
        else:
            true = true.sum(axis=at, keepdims=True)
    true = true.reshape([size for size, name in zip(true.shape, names, strict=True) if name in axes])
    told = true + rng.integers(-bound, bound + 1, true.shape)
    is_hidden = (true < 6) | (rng.random(true.shape) < 0.2)
    return View(
        layout=Layout(axes, kept, places),
        true=true,
        low=np.where(is_hidden, 0.0, np.maximum(told - bound, 0)),
        high=np.where(is_hidden, np.inf, told + bound),
        is_hidden=is_hidden,
        width=np.full(true.shape, 3.0),
        is_count=True,
    )


@settings(max_examples=15)
@given(small_tables, st.sampled_from([0, 1, 3]), st.integers(1, 4))
def test_what_moves_show_safe_over_linked_tables_no_linear_programme_tells_closely(
    rng: np.random.Generator, bound: int, count: int
) -> None:
    finest = rng.integers(0, 6, tuple(LEAVES.values())).astype(np.float64)
    views = [table_of_leaves(rng, finest, bound) for _ in range(count)]
    for at, unsafe in enumerate(unsafe_cells(views)):
        safe = np.setdiff1d(np.flatnonzero(views[at].is_hidden), unsafe)
        ends = intervals(views, at, safe)
        true = views[at].true.reshape(-1)[safe]
        assert np.all(ends[:, 0] - 1e-6 <= true)
        assert np.all(true <= ends[:, 1] + 1e-6)
        assert np.all(ends[:, 1] - ends[:, 0] >= 3 - 1e-6), (at, safe, ends)


def test_moves_settle_most_cells_of_linked_tables() -> None:
    rng = np.random.default_rng(8)
    hidden = unsettled = 0
    for _ in range(8):
        finest = rng.integers(0, 6, tuple(LEAVES.values())).astype(np.float64)
        views = [table_of_leaves(rng, finest, 3) for _ in range(3)]
        for view, unsafe in zip(views, unsafe_cells(views), strict=True):
            hidden += int(view.is_hidden.sum())
            unsettled += len(unsafe)
    assert hidden > 60
    assert unsettled < 0.35 * hidden


def faces(rng: np.random.Generator, cube: NDArray[np.float64], bound: int, count: int) -> list[View]:
    """Return tables of a cube with its totals, of some axes each; persons are in several of axis c."""
    views = []
    every = {name: np.ones(size - 1, dtype=bool) for name, size in zip("abc", cube.shape, strict=True)}
    for _ in range(count):
        chosen = rng.random(3) < 0.6
        axes = tuple(name for name, is_cut in zip("abc", chosen, strict=True) if is_cut)
        true = cube[tuple(slice(None) if is_cut else 0 for is_cut in chosen)]
        told = true + rng.integers(-bound, bound + 1, true.shape)
        is_hidden = (true < 6) | (rng.random(true.shape) < 0.2)
        views.append(
            View(
                layout=Layout(
                    axes, every, {name: np.arange(1, len(every[name]) + 1) for name in axes}, frozenset({"c"})
                ),
                true=true,
                low=np.where(is_hidden, 0.0, np.maximum(told - bound, 0)),
                high=np.where(is_hidden, np.inf, told + bound),
                is_hidden=is_hidden,
                width=np.full(true.shape, 3.0),
                is_count=True,
            )
        )
    return views


@settings(max_examples=20)
@given(small_tables, st.sampled_from([0, 1, 3]), st.integers(2, 4))
def test_linked_tables_with_persons_in_several_categories_too(
    rng: np.random.Generator, bound: int, count: int
) -> None:
    check_faces_of_a_cube(rng, bound, count)


@pytest.mark.parametrize("seed", [8, 20])
def test_a_total_that_changes_alone_changes_in_every_table(seed: int) -> None:
    check_faces_of_a_cube(np.random.default_rng(seed), 1, 2)


def check_faces_of_a_cube(rng: np.random.Generator, bound: int, count: int) -> None:
    """Hold what moves show safe in some tables against the programme over the cube of all dimensions."""
    shape = (2, 2, 3)
    cube = np.zeros((3, 3, 4), dtype=np.int64)
    for _ in range(int(rng.integers(5, 60))):
        member = np.zeros(shape, dtype=bool)
        member[rng.integers(2), rng.integers(2)] = rng.random(3) < 0.5
        cube += _with_any(member)
    views = faces(rng, cube.astype(np.float64), bound, count)
    low, high = np.zeros(cube.shape), np.full(cube.shape, np.inf)
    places = [_places_in_cube(view, cube.shape) for view in views]
    for view, at in zip(views, places, strict=True):
        low[at] = np.maximum(low[at], view.low)
        high[at] = np.minimum(high[at], view.high)
    for view, at, unsafe in zip(views, places, unsafe_cells(views), strict=True):
        cells = np.stack([one.reshape(-1) for one in np.broadcast_arrays(*at)], axis=1)
        for flat in np.setdiff1d(np.flatnonzero(view.is_hidden), unsafe).tolist():
            place = tuple(int(one) for one in cells[flat])
            least, most = twin.interval(low, high, place, frozenset({2}))
            assert most - least >= 3 - 1e-6, (view.layout.axes, place, least, most)


def _places_in_cube(view: View, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """Return the places of a table's cells in the cube of all dimensions."""
    cut = [size if name in view.layout.axes else 1 for name, size in zip("abc", shape, strict=True)]
    return tuple(one.reshape(view.true.shape) for one in np.indices(cut))
