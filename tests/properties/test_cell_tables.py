"""Partial aggregates: against the slow twin, the same bytes over any shards, refused when they are wrong."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.statistics.aggregate import aggregated
from broker.statistics.axes import Axis, on_grid
from broker.statistics.cells import CellTable, cell_table, merged
from broker.statistics.grouped import TOTAL, distinct
from broker.statistics.keys import cell_keys, merged_keys
from broker.statistics.reasons import StatisticsRefused
from tests.reference import statistics as twin
from tests.reference.cell_keys import cell_key
from tests.statistics_world import AGE, PROVINCE, SECTOR, SEX, population

Row = tuple[tuple[int, int], int, tuple[int, int]]
PERSONS: Final = 12
KEYS: Final = np.random.default_rng(3).integers(0, 2**32, PERSONS, dtype=np.uint32)
rows_of = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 2), st.integers(0, 3)),
        st.integers(0, PERSONS - 1),
        st.tuples(st.integers(0, 50), st.integers(0, 10**14)),
    ),
    min_size=1,
    max_size=40,
)


def table_of_rows(rows: list[Row]) -> CellTable:
    return aggregated(
        ["a", "b"],
        ["wage", "benefit"],
        np.array([codes for codes, _, _ in rows]),
        np.array([person for _, person, _ in rows]),
        np.array([values for _, _, values in rows]),
        KEYS,
    )


@given(rows_of)
def test_aggregates_with_all_margins_are_the_twin_s(rows: list[Row]) -> None:
    table, cells = table_of_rows(rows), twin.cells_of(rows)
    assert [tuple(codes) for codes in table.codes.tolist()] == sorted(cells)
    for at, codes in enumerate(sorted(cells)):
        cell = cells[codes]
        assert table.persons[at] == len(cell.totals), "a person counts once"
        assert table.key_sums[at] == cell.key(KEYS.tolist())
        assert table.sums[at].tolist() == [cell.sum(0), cell.sum(1)]
        assert table.largest[at].tolist() == [cell.largest(0), cell.largest(1)]


@settings(max_examples=60)
@given(rows_of, st.lists(st.integers(0, 3), min_size=PERSONS, max_size=PERSONS), st.randoms())
def test_p10_any_sharding_by_person_merges_to_the_same_bytes(
    rows: list[Row], shard_of: list[int], random: Any
) -> None:
    shards = [[row for row in rows if shard_of[row[1]] == shard] for shard in range(4)]
    parts = [table_of_rows(shard) for shard in shards if shard]
    random.shuffle(parts)
    whole = table_of_rows(rows)
    assert merged(parts).content() == whole.content()
    assert merged([merged(parts[:1]), *parts[1:]]).content() == whole.content(), "in steps too"


def test_p10_four_shards_of_many_persons_merge_to_the_same_bytes() -> None:
    people = population(20_000)
    axes = (PROVINCE, SEX, AGE, SECTOR)
    shards = [people.cells(axes, people.persons % 4 == shard) for shard in range(4)]
    whole = people.cells(axes)
    assert len(whole.persons) > 15_000
    assert merged(shards).content() == whole.content()
    assert merged(shards[::-1]).content() == whole.content()


@given(rows_of)
def test_the_order_of_rows_and_of_cells_does_not_matter(rows: list[Row]) -> None:
    whole, back = table_of_rows(rows), table_of_rows(rows[::-1])
    assert whole.content() == back.content()
    mixed = np.random.default_rng(0).permutation(len(whole.persons))
    again = cell_table(
        whole.dimensions,
        whole.measures,
        whole.codes[mixed],
        whole.persons[mixed],
        whole.key_sums[mixed],
        whole.sums[mixed],
        whole.largest[mixed],
    )
    assert again.content() == whole.content()


def test_sums_of_keys_are_taken_as_engines_return_them() -> None:
    keys = [2**32 - 1, 2**32 - 2, 5]
    table = one_cell(persons=[3], sums=[[90]], key_sums=[sum(keys)])
    assert table.key_sums.tolist() == [cell_key(keys)] == [merged_keys(keys)]
    assert cell_keys(np.array([sum(keys)])).tolist() == [cell_key(keys)]


def one_cell(**changed: Any) -> CellTable:
    """One cell of four persons who earn 40, 30, 20 and 10, with some of it changed."""
    columns: dict[str, Any] = {
        "codes": [[0]],
        "persons": [4],
        "key_sums": [77],
        "sums": [[100]],
        "largest": [[[40, 30, 20]]],
        **changed,
    }
    return cell_table(["a"], ["wage"], **{name: np.array(value) for name, value in columns.items()})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"persons": [0]}, "so many persons"),
        ({"largest": [[[101, 0, 0]]]}, "a sum is too large, or smaller than one of its parts"),
        ({"sums": [[2**62]]}, "a sum is too large, or smaller than one of its parts"),
        ({"persons": [0], "key_sums": [0]}, "a cell without anybody is not told"),
        ({"key_sums": [-1]}, "sums of record keys are not those of so many persons"),
        ({"key_sums": [4 * 2**32]}, "sums of record keys are not those of so many persons"),
        ({"largest": [[[30, 40, 20]]]}, "the largest totals do not fall, or are negative"),
        ({"largest": [[[40, 30, -1]]]}, "the largest totals do not fall, or are negative"),
        ({"persons": [2]}, "there are more largest totals than persons"),
        ({"sums": [[80]]}, "a sum is not one of so many persons"),
        ({"sums": [[111]]}, "a sum is not one of so many persons"),
        ({"persons": [3]}, "a sum is not one of so many persons"),
        ({"codes": [[-2]]}, "a code is neither a category nor the total"),
        ({"sums": [[100, 1]]}, "sums is not an array of int64 of its shape"),
        ({"codes": [[0, 0]]}, "codes is not an array of int64 of its shape"),
    ],
)
def test_aggregates_that_no_persons_have_are_refused(changed: dict[str, Any], said: str) -> None:
    assert one_cell().persons.tolist() == [4]
    with pytest.raises(StatisticsRefused, match="cells_malformed") as refused:
        one_cell(**changed)
    assert said in refused.value.detail


def test_a_cell_that_stands_twice_is_refused() -> None:
    with pytest.raises(StatisticsRefused, match="cells_malformed: a cell stands twice, or out of its order"):
        cell_table(
            ["a"],
            [],
            np.array([[1], [1]]),
            np.array([3, 3]),
            np.array([5, 5]),
            np.zeros((2, 0), dtype=np.int64),
            np.zeros((2, 0, 3), dtype=np.int64),
        )


def test_cell_keys_have_32_bits() -> None:
    one = one_cell()
    with pytest.raises(StatisticsRefused, match="cells_malformed: a cell key lies outside of 32 bits"):
        CellTable(
            one.dimensions, one.measures, one.codes, one.persons, np.array([2**32]), one.sums, one.largest
        )


def test_values_are_never_negative() -> None:
    with pytest.raises(StatisticsRefused, match="cells_malformed: a value is negative"):
        aggregated(["a"], ["wage"], np.array([[0]]), np.array([0]), np.array([[-5]]), KEYS)


def test_only_shards_of_one_question_are_merged() -> None:
    one = one_cell()
    other = cell_table(["b"], ["wage"], one.codes, one.persons, one.key_sums, one.sums, one.largest)
    for shards in ([one, other], []):
        with pytest.raises(StatisticsRefused, match="cells_differ: shards are merged that answer one"):
            merged(shards)


def test_a_sum_that_would_overflow_is_refused() -> None:
    most = 2**61
    big = one_cell(persons=[1], sums=[[most]], largest=[[[most, 0, 0]]], key_sums=[1])
    with pytest.raises(StatisticsRefused, match="cells_malformed: a sum is too large to be exact"):
        merged([big, big])


@given(st.lists(st.lists(st.integers(TOTAL, 9), min_size=3, max_size=3), min_size=1, max_size=50))
def test_distinct_is_numpy_s_unique(rows: list[list[int]]) -> None:
    codes = np.array(rows)
    found, groups = distinct(codes)
    expected, inverse = np.unique(codes, axis=0, return_inverse=True)
    assert np.array_equal(found, expected)
    assert np.array_equal(groups, inverse.reshape(-1))


def test_codes_that_cannot_be_packed_are_refused() -> None:
    with pytest.raises(StatisticsRefused, match="cells_malformed: codes are too large for one table"):
        distinct(np.array([[2**31, 2**31]]))


A: Final = Axis(name="a", categories=("x", "y", "z"), one_each=False)
B: Final = Axis(name="b", categories=("p", "q", "r", "s"), one_each=False)


@given(rows_of)
def test_the_grid_has_every_cell_and_zeros_where_nobody_is(rows: list[Row]) -> None:
    grid, cells = on_grid(table_of_rows(rows), (A, B)), twin.cells_of(rows)
    assert grid.persons.shape == (4, 5)
    for at in np.ndindex(4, 5):
        cell = cells.get((at[0] - 1, at[1] - 1), twin.Cell())
        assert grid.persons[at] == len(cell.totals)
        assert [int(sums[at]) for sums in grid.sums] == [cell.sum(0), cell.sum(1)]
        assert grid.largest[(0, slice(None), *at)].tolist() == cell.largest(0)
        assert grid.keys[at] == cell.key(KEYS.tolist())


def tampered(table: CellTable, codes: list[int], **changed: Any) -> CellTable:
    """Return a table in which one cell has other aggregates, or (without any) is missing."""
    [at] = np.flatnonzero((table.codes == codes).all(axis=1))
    columns = {
        name: np.array(getattr(table, name)) for name in ("codes", "persons", "key_sums", "sums", "largest")
    }
    if not changed:
        columns = {name: np.delete(column, at, axis=0) for name, column in columns.items()}
    for name, value in changed.items():
        columns[name][at] = value
    return cell_table(table.dimensions, table.measures, **columns)


def test_what_an_engine_lost_or_counted_twice_is_found_in_the_margins() -> None:
    rows: list[Row] = [((at % 2, at % 3), at, (10 + at, 7)) for at in range(PERSONS)]
    table = table_of_rows(rows)
    one_each = (Axis(name="a", categories=("x", "y")), Axis(name="b", categories=("p", "q", "r")))
    on_grid(table, one_each)
    for wrong, said in [
        (tampered(table, [0, TOTAL]), "persons over a are not those of its cells"),
        (tampered(table, [0, 0]), "persons over a are not those of its cells"),
        (tampered(table, [0, 0], sums=[27, 14], largest=[[17, 10, 0], [7, 7, 0]]), "is another one"),
    ]:
        with pytest.raises(StatisticsRefused, match="cells_malformed") as refused:
            on_grid(wrong, one_each)
        assert said in refused.value.detail, refused.value
    twice = table_of_rows([*rows, ((1, 0), 0, (0, 0))])
    with pytest.raises(StatisticsRefused, match="cells_malformed: somebody is in two categories of a"):
        on_grid(twice, one_each)
    on_grid(twice, (Axis(name="a", categories=("x", "y"), one_each=False), one_each[1]))


def test_axes_are_the_dimensions_of_the_cells_and_have_every_code() -> None:
    table = table_of_rows([((2, 3), 0, (1, 1))])
    on_grid(table, (A, B))
    with pytest.raises(StatisticsRefused, match="cells_differ: the axes are not the dimensions"):
        on_grid(table, (B, A))
    with pytest.raises(StatisticsRefused, match="cells_malformed: a code is no registered category"):
        on_grid(table, (Axis(name="a", categories=("x", "y")), B))


def test_p9_true_numbers_do_not_even_stand_in_a_repr() -> None:
    table = table_of_rows([((0, 0), 0, (4711, 4712))])
    assert repr(table) == "CellTable(4 cells)"
    assert repr(on_grid(table, (A, B))) == "Grid(4x5)"
    with pytest.raises(ValueError, match="read-only"):
        table.persons[0] = 5
