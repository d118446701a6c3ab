"""Protection against its slow twin, and what is never shown, however the numbers are."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.statistics.aggregate import aggregated
from broker.statistics.axes import Axis, Grid, on_grid
from broker.statistics.draws import contributor, keyed_draw, plain_draw
from broker.statistics.magnitudes import MagnitudeNoise, SmallCells, SumNoise, shares
from broker.statistics.output import HIDDEN, OutputRow, OutputTable
from broker.statistics.protect import Method, Rules, is_dominated, protected, rounded
from broker.statistics.reasons import StatisticsRefused
from tests.oracles import D5V3, MAGNITUDES, table_of
from tests.reference import cell_keys
from tests.reference import statistics as twin
from tests.statistics_world import AGE, PROVINCE, SECRET_TABLE, SEX, SUMS, WAGE, method, population

SMALL_RULES: Final = Rules(threshold=3, dominance_percent=15, digits=4)
PERSONS: Final = 30
KEYS: Final = np.random.default_rng(5).integers(0, 2**32, PERSONS, dtype=np.uint32)
A: Final = Axis(name="a", categories=("x", "y"), one_each=False)
B: Final = Axis(name="b", categories=("p", "q", "r"), one_each=False)
Row = tuple[tuple[int, int], int, tuple[int]]
rows_of = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 1), st.integers(0, 2)),
        st.integers(0, PERSONS - 1),
        st.tuples(st.sampled_from([0, 1, 7]) | st.integers(0, 10**9)),
    ),
    min_size=1,
    max_size=60,
)


def grid_of(rows: list[Row], axes: tuple[Axis, Axis] = (A, B)) -> Grid:
    cells = aggregated(
        ["a", "b"],
        [WAGE],
        np.array([codes for codes, _, _ in rows]),
        np.array([person for _, person, _ in rows]),
        np.array([values for _, _, values in rows]),
        KEYS,
    )
    return on_grid(cells, axes)


def flex_method(**changed: Any) -> Method:
    noise = MagnitudeNoise(table=table_of(SUMS), **changed)
    return replace(method(rules=SMALL_RULES), sums={WAGE: noise})


@settings(max_examples=150)
@given(rows_of, st.sampled_from([0, 1000, 10**8]))
def test_counts_and_sums_are_the_twin_s(rows: list[Row], flex_point: int) -> None:
    made = flex_method(flex_point=flex_point, share_small=0.25)
    table = protected(grid_of(rows), made, "q").table
    cells = twin.cells_of(rows)
    flex = {"p_small": 0.25, "p_large": 0.10, "fp": float(flex_point), "q": 3.0}
    for at in np.ndindex(3, 4):
        cell = cells.get((at[0] - 1, at[1] - 1), twin.Cell())
        key = cell.key(KEYS.tolist())
        count = twin.shown_count(
            table_of(D5V3), len(cell.totals), cell_keys.keyed_draw(SECRET_TABLE, key, "n"), 3
        )
        assert table.persons[at] == (HIDDEN if count is None else count)

        def draw(rank: int, key: int = key) -> Fraction:
            return cell_keys.keyed_draw(SECRET_TABLE, key, contributor(WAGE, rank))

        expected = twin.shown_sum(cell, 0, table_of(SUMS), draw, flex, percent=15, digits=4)
        told = int(table.sums[(0, *at)])
        if count is None or expected is None:
            assert told == HIDDEN
        else:
            # The order of floating-point steps may move a half over the edge of the last digit.
            assert told == pytest.approx(expected, rel=1.1e-3)
            assert len(str(told).rstrip("0")) <= 4


def test_p1_the_same_persons_have_the_same_numbers_in_every_table() -> None:
    people = population(20_000)
    made = method()
    wide = protected(people.grid((PROVINCE, SEX, AGE)), made, "one").table
    turned = protected(people.grid((AGE, PROVINCE)), made, "other").table
    assert np.array_equal(wide.persons[:, 0, :], turned.persons.T)
    assert np.array_equal(wide.sums[0][:, 0, :], turned.sums[0].T)
    of_women = people.codes[:, 1] == 0
    filtered = protected(people.grid((PROVINCE, AGE), of_women), made, "filtered").table
    assert np.array_equal(wide.persons[:, 1, :], filtered.persons)
    assert np.array_equal(wide.sums[0][:, 1, :], filtered.sums[0])
    assert np.count_nonzero(wide.persons != HIDDEN) > 500


@settings(max_examples=60)
@given(rows_of)
def test_p2_p3_and_p4_no_noise_on_nobody_nothing_from_1_to_js_never_more_than_d(rows: list[Row]) -> None:
    grid = grid_of(rows)
    shown = protected(grid, flex_method(), "q").table.persons
    assert np.all(shown[grid.persons == 0] == HIDDEN), "zeros are hidden as small ones are"
    told = shown != HIDDEN
    assert np.all(np.abs(shown[told] - grid.persons[told]) <= D5V3.bound)
    assert not np.isin(shown, (1, 2)).any()
    assert np.all(shown[told] >= SMALL_RULES.threshold)


def test_the_threshold_looks_at_the_perturbed_count() -> None:
    people = population(20_000)
    grid = people.grid((PROVINCE, SEX, AGE))
    shown = protected(grid, method(), "q").table.persons
    nine, eleven = grid.persons == 9, grid.persons == 11
    assert np.any(shown[nine] != HIDDEN), "a true nine that became ten or more is shown"
    assert np.any(shown[eleven] == HIDDEN), "a true eleven that became nine or less is not"
    assert np.all(shown[grid.persons < 10 - D5V3.bound] == HIDDEN)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(1, 100))
@example([100, 15], 15)
@example([100, 50, 15], 15)
@example([100, 50, 14], 15)
@example([0, 0, 0], 15)
def test_dominance_is_the_p_percent_rule(totals: list[int], percent: int) -> None:
    x1, x2, *others = [*sorted(totals, reverse=True), 0, 0]
    largest = np.array([[x1], [x2], [0]])
    found = is_dominated(np.array([sum(totals)]), largest, percent)
    assert found.tolist() == [x1 == 0 or Fraction(sum(others)) < Fraction(percent, 100) * x1]


def of_persons(wages: list[int], cell: tuple[int, int] = (0, 0)) -> list[Row]:
    return [(cell, person, (wage,)) for person, wage in enumerate(wages)]


def test_a_dominated_sum_is_hidden_and_its_count_is_not() -> None:
    made = flex_method()
    fair = protected(grid_of(of_persons([100] * 20)), made, "q")
    assert fair.table.sums[0, 1, 1] != HIDDEN
    one = protected(grid_of(of_persons([10_000] + [10] * 19)), made, "q")
    assert one.table.persons[1, 1] == fair.table.persons[1, 1] != HIDDEN
    assert one.table.sums[0, 1, 1] == HIDDEN
    assert one.notes.sums[0, 1, 1] == "O"
    nobody = protected(grid_of(of_persons([0] * 20)), made, "q")
    assert nobody.table.sums[0, 1, 1] == HIDDEN, "an exact nothing would say it of each of them"


def test_a_group_of_whom_only_one_category_would_be_shown_is_hidden_whole() -> None:
    ill = Axis(name="b", categories=("p", "q", "r"), is_sensitive=True, one_each=False)
    alike = [((0, 1), person, (100,)) for person in range(20)]
    mixed = [((1, person % 2), person, (100,)) for person in range(30)]
    grid = grid_of([*alike, *mixed], (A, ill))
    found = protected(grid, flex_method(), "q")
    open_ = protected(grid_of([*alike, *mixed]), flex_method(), "q")
    assert open_.table.persons[1, 2] != HIDDEN
    assert found.table.persons[1, 1:].tolist() == [HIDDEN] * 3
    assert found.table.sums[0, 1, 1:].tolist() == [HIDDEN] * 3
    assert found.notes.persons[1, 1:].tolist() == ["A", "M", "A"]
    assert found.table.persons[1, 0] == open_.table.persons[1, 0] != HIDDEN, "how many they are is told"
    assert np.array_equal(found.table.persons[2], open_.table.persons[2]), "the mixed group is told"


def test_hiding_one_group_can_leave_another_one_alike() -> None:
    both = tuple(replace(axis, is_sensitive=True) for axis in (A, B))
    # (x, p) is alone in its row; then (y, p) is alone in its column, then (y, q) in its row.
    cells = [(0, 0), (1, 0), (1, 1)]
    rows: list[Row] = [(cell, person, (100,)) for cell in cells for person in range(20)]
    found = protected(grid_of(rows, (both[0], both[1])), flex_method(), "q")
    assert np.all(found.table.persons[1:, 1:] == HIDDEN)
    assert np.count_nonzero(found.notes.persons[1:, 1:] == "M") == 3


@settings(max_examples=80)
@given(rows_of)
def test_what_is_hidden_leaves_no_trace_and_notes_say_why(rows: list[Row]) -> None:
    made = flex_method()
    found = protected(grid_of(rows), made, "q")
    assert {field.name for field in fields(OutputTable)} == {
        "question",
        "dimensions",
        "measures",
        "persons",
        "sums",
    }, "P9: no key, no true number, no noise, no reason"
    assert np.array_equal(found.table.persons == HIDDEN, found.notes.persons != "F")
    assert np.array_equal(found.table.sums == HIDDEN, found.notes.sums != "F")
    assert set(found.notes.counted()) <= {"F", "A", "O", "M"}
    for row in found.table.rows():
        assert set(OutputRow.__slots__) == {"codes", "persons", "sums", "means"}
        if row.persons is None:
            assert (row.sums, row.means) == ((None,), (None,))


def test_means_are_of_what_is_told_and_rows_are_in_order() -> None:
    people = population(20_000)
    table = protected(people.grid((SEX, AGE)), method(), "q").table
    rows = list(table.rows())
    assert [row.codes for row in rows[:3]] == [("_T", "_T"), ("_T", "15-19"), ("_T", "20-24")]
    assert len(rows) == table.cells == 3 * 11
    for row in rows:
        if row.persons is not None and row.sums[0] is not None:
            assert row.means == (row.sums[0] / row.persons,)
    assert rows[0].persons == table.persons[0, 0] != 20_000, "the whole has noise too"
    assert table.hidden_permille == -(-1000 * sum(row.persons is None for row in rows) // len(rows))


def test_margins_have_noise_of_their_own() -> None:
    people = population(20_000)
    table = protected(people.grid((PROVINCE, SEX)), method(), "q").table
    summed = table.persons[1:, :].sum(axis=0)
    assert not np.array_equal(summed, table.persons[0, :])
    assert np.all(np.abs(summed - table.persons[0, :]) <= 64 * D5V3.bound)


@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=10), st.integers(1, 6))
@example([0.0, 0.4, 9.5, 10_000.0, 99_999.0, 123_456_789.0], 4)
def test_sums_have_so_many_digits(sums: list[float], digits: int) -> None:
    found = rounded(np.array(sums), digits)
    for exact, told in zip(sums, found.tolist(), strict=True):
        assert len(str(told).rstrip("0")) <= digits
        assert told == pytest.approx(exact, rel=0.5001 * 10.0 ** (1 - digits), abs=0.5001)


def noise_of(noise: MagnitudeNoise, sums: list[int], largest: list[list[int]], **drawn: Any) -> Any:
    return SumNoise(WAGE, noise).of_cells(
        np.array(sums),
        np.array(largest),
        drawn.get("keys", np.arange(len(sums), dtype=np.uint32)),
        np.array(drawn.get("is_sensitive", [False] * len(sums))),
        drawn.get("draw", keyed_draw(SECRET_TABLE)),
    )


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.integers(0, 10**7), min_size=1, max_size=8), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0, 10**4, 10**7]),
)
def test_noise_of_sums_is_the_twin_s_and_within_its_bounds(
    cells: list[list[int]], extra: float, flex_point: int
) -> None:
    noise = MagnitudeNoise(
        table=table_of(SUMS), share_small=0.3, share_large=0.1, flex_point=flex_point, flex=2.0, extra=extra
    )
    tops = [[*sorted(cell, reverse=True), 0, 0][:3] for cell in cells]
    sums, keys = [sum(cell) for cell in cells], np.arange(len(cells), dtype=np.uint32) + 77
    found = noise_of(noise, sums, tops, keys=keys, is_sensitive=[True] * len(cells))
    flex = {"p_small": 0.3, "p_large": 0.1, "fp": float(flex_point), "q": 2.0}
    for at, total in enumerate(sums):
        draws = [cell_keys.keyed_draw(SECRET_TABLE, int(keys[at]), contributor(WAGE, r)) for r in (1, 2, 3)]
        expected = cell_keys.sum_noise(
            table_of(SUMS), total, tops[at], draws, flex, epsilon=(1, 0.5, 0.2), mu=extra
        )
        assert found[at] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert found[at] >= -total
        assert abs(found[at]) <= noise.bound_share * tops[at][0] + 1e-6


def test_extra_noise_is_for_sensitive_cells_alone() -> None:
    noise = MagnitudeNoise(table=table_of(SUMS), extra=2.0)
    sums, tops = [1000] * 50, [[100, 90, 80]] * 50
    calm = noise_of(noise, sums, tops)
    alert = noise_of(noise, sums, tops, is_sensitive=[True] * 50)
    assert np.abs(alert).mean() > np.abs(calm).mean() + 10
    plain = noise_of(replace(noise, extra=0.0), sums, tops, is_sensitive=[True] * 50)
    assert np.array_equal(calm, plain)


def test_the_share_falls_from_p_small_to_p_large() -> None:
    noise = MagnitudeNoise(table=table_of(SUMS), share_small=0.4, share_large=0.1, flex_point=1000, flex=3.0)
    at = shares(noise, np.array([0.0, 999.9, 1000.0, 5000.0, 1e9]))
    assert at[0] == at[1] == 0.4
    assert at[2] == pytest.approx(0.4)
    assert 0.1 < at[3] < 0.4
    assert at[4] == pytest.approx(0.1, abs=1e-5)
    assert np.all(shares(replace(noise, flex_point=0), np.array([0.0, 1e9])) == 0.1)


def test_small_sums_have_noise_in_whole_units_from_their_own_table() -> None:
    small = SmallCells(table=table_of(MAGNITUDES["num_sep_small_cells"]), unit=1000)
    noise = MagnitudeNoise(table=table_of(SUMS), share_small=0.2, flex_point=10**6, small_cells=small)
    edge = 1000 / (0.2 * np.sqrt(1 + 0.25 + 0.04))
    assert noise.separation == pytest.approx(edge)
    assert replace(noise, flex_point=0).separation == pytest.approx(2 * edge)
    assert replace(noise, small_cells=None).separation == 0
    below, above = [int(edge)] * 40, [int(edge) + 1] * 40
    found = noise_of(noise, below, [[int(edge), 0, 0]] * 40)
    assert len(set(found.tolist())) > 5
    assert np.all(np.abs(found) <= noise.bound_small)
    assert np.all(found >= -np.array(below))
    assert not np.allclose(found, noise_of(replace(noise, small_cells=None), below, [[int(edge), 0, 0]] * 40))
    same = noise_of(noise, above, [[int(edge), 0, 0]] * 40)
    assert np.array_equal(same, noise_of(replace(noise, small_cells=None), above, [[int(edge), 0, 0]] * 40))


def test_plain_draws_can_be_used_for_comparison() -> None:
    grid = grid_of(of_persons([100] * 30))
    plain = protected(grid, replace(flex_method(), draw=plain_draw), "q").table
    key = cell_keys.cell_key(KEYS.tolist())
    draw = cell_keys.plain_draw(key)
    assert plain.persons[1, 1] == 30 + cell_keys.count_noise(table_of(D5V3), 30, draw)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"share_large": 0.09}, "shares lie between 0.1 and 1"),
        ({"share_small": 0.1, "share_large": 0.2}, "shares lie between 0.1 and 1"),
        ({"share_small": 1.1}, "shares lie between 0.1 and 1"),
        ({"epsilon": (0.9, 0.5, 0.2)}, "epsilon begins with 1"),
        ({"epsilon": (1.0, 0.2, 0.5)}, "epsilon begins with 1"),
        ({"epsilon": (1.0, 0.2, -0.5)}, "epsilon begins with 1"),
        ({"flex_point": -1}, "the flex point is 0 or more"),
        ({"flex": 0.5}, "q lies between 1 and 10"),
        ({"extra": -1.0}, "mu between 0 and 5"),
    ],
)
def test_weaker_noise_than_measured_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed") as refused:
        MagnitudeNoise(table=table_of(SUMS), **changed)
    assert said in refused.value.detail


def test_a_unit_of_small_sums_is_at_least_one() -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed: a unit is 1 or more"):
        MagnitudeNoise(table=table_of(SUMS), small_cells=SmallCells(table=table_of(SUMS), unit=0))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"threshold": 2}, "the threshold lies between 3 and 1000 persons"),
        ({"dominance_percent": 0}, "p% lies between 1 and 100"),
        ({"digits": 7}, "digits between 1 and 6"),
    ],
)
def test_weaker_rules_are_refused(changed: dict[str, int], said: str) -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed") as refused:
        Rules(**changed)
    assert said in refused.value.detail


def test_a_method_goes_together() -> None:
    with pytest.raises(StatisticsRefused, match="rule_malformed: no noise is set for wage"):
        protected(grid_of(of_persons([1] * 30)), replace(method(), sums={}), "q")
    with pytest.raises(StatisticsRefused, match="rule_malformed: counts have a table for counts"):
        replace(method(), counts=table_of(SUMS))
    wide = replace(D5V3, bound=8, variance=10.0, barred=3)
    with pytest.raises(StatisticsRefused, match="rule_malformed: js lies below the threshold"):
        replace(method(), counts=table_of(wide), rules=Rules(threshold=3))


def test_a_hash_tells_tables_apart() -> None:
    people = population(20_000)
    one = protected(people.grid((SEX, AGE)), method(), "q").table
    assert one.hash() == protected(people.grid((SEX, AGE)), method(), "q").table.hash()
    assert one.hash() != protected(people.grid((SEX, AGE)), method(), "r").table.hash()
    other = method(keyed_draw(bytes(32)))
    assert one.hash() != protected(people.grid((SEX, AGE)), other, "q").table.hash()
