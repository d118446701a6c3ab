"""Perturbation tables: those that R's ptable computed, their moments, their CSV, parameters without one."""

from __future__ import annotations

from dataclasses import replace

import cvxpy
import numpy as np
import pytest

from broker.statistics import entropy
from broker.statistics.lookup import Lookup, count_noise
from broker.statistics.make_table import made_table
from broker.statistics.parameters import CountParameters, MagnitudeParameters
from broker.statistics.perturbation_table import PARTS, PerturbationTable
from broker.statistics.reasons import ALL_REASONS, REASONS, StatisticsRefused
from broker.statistics.table_csv import table_from_csv, table_hash, table_name, table_to_csv
from tests.oracles import COUNTS, D5V3, TABLES, oracle_lookups, oracle_rows, table_of


@pytest.mark.parametrize("name", TABLES)
def test_every_probability_is_the_oracle_s(name: str) -> None:
    table, oracle = table_of(TABLES[name]), oracle_rows(name)
    assert [row.category for row in table.rows] == sorted(oracle)
    step = table.parameters.step
    for row in table.rows:
        there = oracle[row.category]
        assert [noise / step for noise in row.steps] == [v for v, _, _ in there]
        assert [parts / PARTS for parts in row.parts] == pytest.approx([p for _, p, _ in there], abs=1e-5)
        assert [bound / PARTS for bound in row.bounds] == pytest.approx([ub for _, _, ub in there], abs=1e-5)


@pytest.mark.parametrize("name", TABLES)
def test_p5_every_row_sums_to_one_has_mean_0_and_variance_v_or_is_listed(name: str) -> None:
    table = table_of(TABLES[name])
    for row in table.rows[1:]:
        assert sum(row.parts) == PARTS
        assert abs(row.mean(table.parameters.step)) < 1e-7
        variance = row.variance(table.parameters.step)
        if row.category in table.unreached:
            assert table.unreached[row.category] == variance < table.parameters.variance
        else:
            assert variance == pytest.approx(table.parameters.variance, abs=1e-6)


def test_rows_that_cannot_reach_the_variance_are_reported_not_refused() -> None:
    unreached = table_of(COUNTS["cnt_D10V10js4"]).unreached
    assert unreached.keys() == {1}
    assert unreached[1] == pytest.approx(5.66279, abs=1e-4)
    assert table_of(COUNTS["cnt_D10V12js4"]).unreached.keys() == {1, 2}
    assert table_of(D5V3).unreached == {}


@pytest.mark.parametrize("name", COUNTS)
def test_p2_p3_and_p4_hold_in_every_table_for_counts(name: str) -> None:
    parameters = COUNTS[name]
    rows = table_of(parameters).rows
    assert (rows[0].steps, rows[0].parts) == ((0,), (PARTS,)), "0 stays 0"
    for row in rows:
        shown = {row.category + noise for noise in row.steps}
        assert min(shown) >= 0
        assert not shown & set(range(1, parameters.barred + 1)), "1 to js are never shown"
        assert max(abs(noise) for noise in row.steps) <= parameters.bound


def test_all_2000_lookups_are_the_oracle_s() -> None:
    lookups = oracle_lookups()
    assert len(lookups) == 2000
    counts = np.array([n for n, _, _, _ in lookups])
    draws = np.array([u for _, u, _, _ in lookups])
    noise = count_noise(Lookup(table_of(D5V3)), counts, draws)
    assert noise.tolist() == [v for _, _, v, _ in lookups]
    assert (counts + noise).tolist() == [out for _, _, _, out in lookups]


@pytest.mark.parametrize(
    ("bound", "variance", "barred", "stay", "said"),
    [
        (5, 2, 2, 0, "V must be larger than 2 for js = 2"),
        (10, 6, 4, 0, "V must be larger than 6 for js = 4"),
        (20, 25, 9, 0, "V must be larger than 25 for js = 9"),
        (2, 3, 2, 0, "D must be larger than js: counts of 3 could not be told"),
        (0, 1, 0, 0, "D lies between 1 and 100"),
        (101, 1, 0, 0, "D lies between 1 and 100"),
        (5, 0, 0, 0, "V is larger than 0 and not larger than D squared"),
        (5, 26, 0, 0, "V is larger than 0 and not larger than D squared"),
        (5, float("nan"), 0, 0, "V is larger than 0 and not larger than D squared"),
        (5, float("inf"), 0, 0, "V is larger than 0 and not larger than D squared"),
        (5, 3, -1, 0, "js is 0 or more"),
        (5, 3, 2, 0.99, "pstay lies between 0 and 0.95"),
    ],
)
def test_p8_parameters_without_a_table_are_refused_with_the_reason(
    bound: int, variance: float, barred: int, stay: float, said: str
) -> None:
    with pytest.raises(StatisticsRefused) as refused:
        CountParameters(bound=bound, variance=variance, barred=barred, stay=stay)
    assert (refused.value.reason, refused.value.detail) == ("parameters_infeasible", said)


@pytest.mark.parametrize(
    ("step", "icat", "said"),
    [
        (0, (1, 3, 5), "there are 1 to 100 steps to a unit"),
        (4, (), "rows rise from 1 to at most D"),
        (4, (2, 5), "rows rise from 1 to at most D"),
        (4, (1, 6), "rows rise from 1 to at most D"),
        (4, (1, 3, 3), "rows rise from 1 to at most D"),
    ],
)
def test_p8_sums_too(step: int, icat: tuple[int, ...], said: str) -> None:
    with pytest.raises(StatisticsRefused, match=f"parameters_infeasible: {said}"):
        MagnitudeParameters(bound=5, variance=2, step=step, icat=icat)


def test_what_no_inequality_tells_the_solver_tells() -> None:
    # Just feasible for noise of two values, and the least probabilities of the others make it impossible.
    tight = CountParameters(bound=50, variance=25.0000001, barred=9)
    with pytest.raises(
        StatisticsRefused, match=r"parameters_infeasible: no noise within -5\.\.50 has mean 0"
    ):
        made_table(tight)


def test_a_variance_that_cannot_be_reached_exactly_is_an_upper_bound_there() -> None:
    # Row 1 of these can have no variance of 10; the others reach it.
    exact = made_table(replace(COUNTS["cnt_D10V10js4"], reaches=True))
    assert exact.unreached.keys() == {1}
    assert exact.unreached[1] == pytest.approx(5.66279, abs=1e-4)


def test_a_solver_that_fails_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise cvxpy.SolverError("5")

    monkeypatch.setattr(cvxpy.Problem, "solve", fail)
    with pytest.raises(StatisticsRefused, match="table_unsolved: the solver failed"):
        made_table(D5V3)


def test_a_solver_that_finds_nothing_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy, "_solve", lambda *_: "user_limit")
    with pytest.raises(StatisticsRefused, match="table_unsolved"):
        made_table(D5V3)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_same_after_its_csv(name: str) -> None:
    table = table_of(TABLES[name])
    text = table_to_csv(table)
    again = table_from_csv(text, table.parameters)
    assert again == table
    assert table_hash(again) == table_hash(table)
    assert text.startswith(f"# {table_name(table.parameters)}\ni,j,v,p,ub\n0,0,0,1,1\n1,0,-1,")
    assert text.endswith(",1\n")


def test_every_set_of_parameters_has_a_name_of_its_own() -> None:
    others = [*TABLES.values(), replace(D5V3, stay=0.1), replace(D5V3, reaches=True)]
    assert len({table_name(one) for one in others}) == len(others)


def test_a_csv_that_somebody_changed_is_refused() -> None:
    table = table_of(D5V3)
    text = table_to_csv(table)
    lines = text.splitlines(keepends=True)
    for changed, said in [
        (text.replace("V=3", "V=4", 1), "other parameters"),
        ("".join(lines[:-1]), "another support|sum to 1"),
        ("".join([*lines[:3], *lines[4:]]), "another support"),
        (text.replace("1,0,-1,0.7", "1,0,-1,0.8", 1), "sum to 1"),
        (text.replace("0,0,0,1,1", "0,1,1,1,1", 1), "row 0 is no noise"),
        (text + "9,9,0,1,1\n", "rows are 0 and the categories"),
        (text.replace("\n1,0,", "\n1,1,", 1), "do not belong together"),
        (text.replace("i,j,v,p,ub", "i,j,v,q,ub", 1), "not of its form"),
        (text.replace("0,0,0,1,1", "0,0,x,1,1", 1), "not of its form"),
        (text.replace("0,0,0,1,1", "0,0,0.5,1,1", 1), "not of its form"),
        (text.replace("0,0,0,1,1", "0,0,NaN,1,1", 1), "not of its form"),
        ("", "other parameters"),
    ]:
        with pytest.raises(StatisticsRefused, match="table_malformed") as refused:
            table_from_csv(changed, D5V3)
        assert any(one in refused.value.detail for one in said.split("|")), refused.value


def moved(table: PerturbationTable, category: int, parts: dict[int, int]) -> PerturbationTable:
    """Return the table with parts of one row taken from some steps and given to others."""
    rows = tuple(
        replace(
            row, parts=tuple(had + parts.get(step, 0) for step, had in zip(row.steps, row.parts, strict=True))
        )
        if row.category == category
        else row
        for row in table.rows
    )
    return PerturbationTable(table.parameters, rows)


@pytest.mark.parametrize(
    ("category", "parts", "said"),
    [
        (8, {-5: -(10**9), 5: 10**9}, "the mean of row 8 is not 0"),
        (8, {-5: 10**9, 5: 10**9, 0: -2 * 10**9}, "the variance of row 8 is larger than V"),
        (8, {-5: -(10**13)}, "row 8 does not sum to 1"),
    ],
)
def test_rows_with_other_moments_are_no_table(category: int, parts: dict[int, int], said: str) -> None:
    with pytest.raises(StatisticsRefused, match=f"table_malformed: {said}"):
        moved(table_of(D5V3), category, parts)


def test_a_row_that_does_not_rise_or_does_not_stay_is_no_table() -> None:
    # Moved evenly to both sides, so that the mean stays, under a larger V than the rows have.
    aside = {-1: 10**11, 1: 10**11, 0: -2 * 10**11}
    wide = PerturbationTable(replace(D5V3, variance=4), table_of(D5V3).rows)
    with pytest.raises(StatisticsRefused, match="table_malformed: row 8 does not rise towards no noise"):
        moved(wide, 8, aside)
    calm = replace(D5V3, stay=0.5)
    staying = PerturbationTable(replace(calm, variance=4), table_of(calm).rows)
    with pytest.raises(StatisticsRefused, match="table_malformed: row 8 stays less often than pstay"):
        moved(staying, 8, {-2: 10**9, 2: 10**9, 0: -2 * 10**9})


def test_every_reason_is_explained() -> None:
    assert tuple(REASONS) == ALL_REASONS
    assert str(StatisticsRefused("plan_malformed", "a\x1bb")) == "plan_malformed: a?b"
    assert len(StatisticsRefused("plan_malformed", "a" * 5000).detail) == 400
