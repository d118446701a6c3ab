"""Attacks on statistical tables by somebody who looks for one planted person.

Each is tried on an exporter that does what seems enough, which it breaks, and on protected tables. What these
do withstand is a matter of chance, so attacks are repeated under many secrets, and how often they succeed is
held against what guessing would do. docs/statistics.md says what is not withstood.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest

from broker.statistics.aggregate import aggregated
from broker.statistics.audit import check_audit, narrowed
from broker.statistics.audit_rules import AuditRules
from broker.statistics.axes import Axis, Grid, on_grid
from broker.statistics.draws import keyed_draw
from broker.statistics.exact import intervals
from broker.statistics.keys import record_keys
from broker.statistics.output import HIDDEN, OutputTable
from broker.statistics.plan import Filter, TablePlan, planned
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.plan_parse import parse_plan
from broker.statistics.protect import protected
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Dimension, Level, Registry
from broker.statistics.release_cap import may_release
from broker.statistics.views import Released, View, persons_view
from tests.naive_exporters import exact_counts, exact_sums, fresh_noise, only_nonempty
from tests.statistics_world import AGE, PROVINCE, SECTOR, SEX, WAGE, Population, method, population

SECRETS: Final = 150
LAST: Final = len(PROVINCE.categories) - 1
"""A province where nobody lives but the planted person."""
WAGE_OF_THE_PLANTED: Final = 11_000_000
GUESS: Final = 0.175
"""How often the public median is within 10 % of a wage (docs/statistics.md)."""
LUCK: Final = 0.35
"""How often a difference of two perturbed counts is the true one, at most: their noise has variance 6."""


def dimension(axis: Axis) -> Dimension:
    return Dimension(
        name=axis.name,
        levels=(Level(axis.name, tuple((code, (code,)) for code in axis.categories)),),
        one_each=axis.one_each,
    )


REGISTRY: Final = Registry(
    release="2026-q3",
    dimensions=tuple(dimension(axis) for axis in (PROVINCE, SEX, AGE, SECTOR)),
    measures=(WAGE,),
)


@cache
def people(*, with_planted: bool = True, wage: int = WAGE_OF_THE_PLANTED) -> Population:
    """A population in whose last province nobody lives, or the planted person alone: 35-39, F, sector C."""
    base = population(20_000)
    codes = base.codes.copy()
    codes[codes[:, 0] == LAST, 0] = 0
    if not with_planted:
        return replace(base, codes=codes)
    return Population(
        np.vstack([codes, [[LAST, 0, 4, 2]]]),
        np.append(base.persons, 20_000),
        np.append(base.wages, wage),
        np.append(base.keys, np.uint32(123_456_789)),
    )


def keyed(persons: Population, number: int) -> Population:
    """Return the population with the record keys of another release."""
    rng = np.random.default_rng(number)
    return replace(persons, keys=rng.integers(0, 2**32, len(persons.keys), dtype=np.uint32))


def asked(cut: tuple[Axis, ...], *filters: Filter) -> TablePlan:
    return planned(REGISTRY, tuple((axis.name, axis.name) for axis in cut), filters, (WAGE,))


def grid_of(persons: Population, plan: TablePlan) -> Grid:
    """Return the true aggregates of a plan's table."""
    layout, rows = layout_of(REGISTRY, plan), np.ones(len(persons.persons), dtype=bool)
    columns = {name: at for at, name in enumerate(("province", "sex", "age", "sector"))}
    for name, kept in layout.kept.items():
        rows &= kept[persons.codes[:, columns[name]]]
    codes = [layout.places[name][persons.codes[rows, columns[name]]] - 1 for name in layout.axes]
    cells = aggregated(
        layout.axes,
        [WAGE],
        np.stack(codes, axis=1),
        persons.persons[rows],
        persons.wages[rows][:, None],
        persons.keys,
    )
    return on_grid(cells, axes_of(REGISTRY, plan))


def released(persons: Population, plan: TablePlan, secret: int = 0) -> Released:
    grid = grid_of(persons, plan)
    found = protected(grid, method(keyed_draw(secret.to_bytes(32, "big"))), plan.hash)
    return Released(grid, found, layout_of(REGISTRY, plan))


def retold(grid: Grid, secret: int, keys: np.random.Generator) -> OutputTable:
    """Return a table as another release would tell it: other keys, another secret, the same truth."""
    other = replace(grid, keys=keys.integers(0, 2**32, grid.keys.shape))
    return protected(other, method(keyed_draw(secret.to_bytes(32, "big"))), "q").table


@cache
def usual_wages() -> tuple[int, ...]:
    """Wages from low to high, as many people have them: one is not like another when sums are rounded."""
    quantiles = np.quantile(people(with_planted=False).wages, np.linspace(0.05, 0.95, 10))
    return tuple(int(wage) for wage in quantiles)


WHOLE: Final = asked((SEX, AGE))
WITHOUT: Final = asked((SEX, AGE), Filter("province", "province", PROVINCE.categories[:-1]))
CELL: Final = (5, 1)
"""35-39 and female, on axes age and sex: plans order dimensions by name."""


def test_differencing_tells_a_naive_exporter_s_wage_and_not_ours() -> None:
    whole, without = grid_of(people(), WHOLE), grid_of(people(), WITHOUT)
    assert exact_counts(whole)[CELL] - exact_counts(without)[CELL] == 1
    assert exact_sums(whole)[CELL] - exact_sums(without)[CELL] == WAGE_OF_THE_PLANTED
    rng, near = np.random.default_rng(1), 0
    for wage in usual_wages():
        whole = grid_of(people(wage=wage), WHOLE)
        for secret in range(SECRETS // 5):
            told, other = retold(whole, secret, rng), retold(without, secret, rng)
            near += abs(int(told.sums[(0, *CELL)] - other.sums[(0, *CELL)]) - wage) <= 0.1 * wage
    assert near / (len(usual_wages()) * (SECRETS // 5)) <= GUESS


def test_a_tracker_counts_a_naive_exporter_s_hidden_cell_and_not_ours() -> None:
    # The hidden cell is what is left of a shown total when the shown others are taken away.
    plan = asked((PROVINCE, SEX))
    grid = grid_of(people(), plan)
    last = LAST + 1
    naive = exact_counts(grid)
    assert naive[last, 1] == HIDDEN
    assert naive[0, 1] - naive[1:last, 1].sum() == grid.persons[last, 1] == 1
    rng, hits = np.random.default_rng(2), 0
    for secret in range(SECRETS):
        told = retold(grid, secret, rng).persons
        assert told[last, 1] == HIDDEN
        hits += int(told[0, 1] - told[1:last, 1].sum()) == 1
    assert hits / SECRETS <= 0.1, "62 cells' noise lies on the difference"


def test_a_cohort_minus_one_cannot_be_asked_for_and_minus_a_category_only_a_few_times() -> None:
    question = {"release": "2026-q3", "dimensions": [{"name": "sex", "level": "sex"}], "measures": [WAGE]}
    for cohort in (
        {"persons": ["079203001234"]},
        {"exclude": ["079203001234"]},
        {"any_of": [{"sex": "F"}, {"age": "35-39"}]},
        {"filters": [{"dimension": "age", "level": "age", "categories": ["37-38"]}]},
    ):
        with pytest.raises(StatisticsRefused) as refused:
            parse_plan({**question, **cohort}, REGISTRY)
        assert refused.value.reason in ("plan_malformed", "name_unregistered")
    out = [WHOLE]
    for number in range(1, REGISTRY.limits.differences):
        may_release(REGISTRY, without_one(number), out)
        out.append(without_one(number))
    with pytest.raises(StatisticsRefused, match="overlap_exhausted: 4 tables that differ by a filter"):
        may_release(REGISTRY, without_one(0), out)


def without_one(number: int) -> TablePlan:
    kept = tuple(code for at, code in enumerate(PROVINCE.categories) if at != number)
    return asked((SEX, AGE), Filter("province", "province", kept))


def test_drift_between_releases_shows_who_came_only_where_keys_stay() -> None:
    plan = asked((PROVINCE, SEX))
    before, after = people(with_planted=False), people()
    same = released(before, plan).protected.table, released(after, plan).protected.table
    changed = np.argwhere(same[0].persons != same[1].persons)
    assert 0 < len(changed) <= 2, "with one secret for all time only the cells of who came change"
    assert {tuple(place) for place in changed.tolist()} <= {(0, 0), (0, 1)}
    fresh = released(keyed(before, 1), plan, 1), released(keyed(after, 2), plan, 2)
    first, second = (one.protected.table.persons for one in fresh)
    shown = (first != HIDDEN) & (second != HIDDEN)
    assert (first != second)[shown].mean() > 0.6
    hits, rng = 0, np.random.default_rng(3)
    grids = grid_of(before, plan), grid_of(after, plan)
    for secret in range(SECRETS):
        old, new = (retold(grid, 2 * secret + at, rng).persons for at, grid in enumerate(grids))
        hits += int(new[0, 1] - old[0, 1]) == 1
    assert hits / SECRETS <= LUCK


def test_record_keys_of_two_releases_have_nothing_in_common() -> None:
    persons = [f"{number:012d}" for number in range(5000)]
    one, other = record_keys(bytes(32), persons), record_keys(bytes([1] * 32), persons)
    assert abs(np.corrcoef(one.astype(float), other.astype(float))[0, 1]) < 5 / np.sqrt(len(persons))


def test_an_empty_cell_looks_like_one_with_somebody_in_it() -> None:
    plan = asked((PROVINCE, SEX))
    grids = grid_of(people(), plan), grid_of(people(with_planted=False), plan)
    place = (LAST + 1, 1)
    assert place in only_nonempty(grids[0])
    assert place not in only_nonempty(grids[1]), "a naive exporter says that nobody is there"
    with_her, without_her = (list(protected(grid, method(), "q").table.rows()) for grid in grids)
    assert [row.codes for row in with_her] == [row.codes for row in without_her]
    [row] = [row for row in with_her if row.codes == (PROVINCE.categories[LAST], "F")]
    assert row in without_her
    assert row.persons is None


def exact_view(one: Released) -> View:
    """Return what a naive exporter tells: counts without noise, and nothing of those below the threshold."""
    view, told = persons_view(one, method(), 3), exact_counts(one.grid)
    low, high = np.where(told == HIDDEN, 0, told), np.where(told == HIDDEN, 9, told)
    return replace(view, is_hidden=told == HIDDEN, low=low.astype(float), high=high.astype(float))


def test_margins_tell_a_naive_exporter_s_hidden_cell_by_linear_programming_and_not_ours() -> None:
    plan = asked((PROVINCE, SEX))
    one = released(people(), plan)
    hers = np.array([np.ravel_multi_index((LAST + 1, 1), one.grid.persons.shape)])
    small = replace(one, layout=layout_of(small_registry(), plan))
    [[low, high]] = intervals([exact_view(small)], 0, hers).tolist()
    assert (low, high) == pytest.approx((1, 1), abs=1e-6)
    [[low, high]] = intervals([persons_view(small, method(), 3)], 0, hers).tolist()
    assert low <= 1e-6
    assert high >= 10
    assert narrowed([one], method(), AuditRules()) == []


def small_registry() -> Registry:
    """The two dimensions of that table alone: few enough finest cells for exact programmes."""
    return replace(REGISTRY, dimensions=REGISTRY.dimensions[:2])


def test_linked_tables_tell_a_naive_exporter_s_hidden_cell_and_not_ours() -> None:
    # Her cell is hidden in province x sex, and her province is a filter of other tables.
    cells, filtered = asked((PROVINCE, SEX)), asked((SEX,), WITHOUT_LAST)
    whole = asked((SEX,))
    naive = [exact_counts(grid_of(people(), plan)) for plan in (whole, filtered)]
    assert naive[0][1] - naive[1][1] == 1
    rng, hits = np.random.default_rng(4), 0
    grids = [grid_of(people(), plan) for plan in (whole, filtered)]
    for secret in range(SECRETS):
        told = [retold(grid, secret, rng).persons for grid in grids]
        hits += int(told[0][1] - told[1][1]) == 1
    assert hits / SECRETS <= LUCK
    check_audit([released(people(), plan) for plan in (cells, whole, filtered)], method(), AuditRules())


WITHOUT_LAST: Final = Filter("province", "province", PROVINCE.categories[:-1])


def test_who_earns_second_most_learns_the_most_of_a_naive_exporter_and_not_of_ours() -> None:
    rows = np.arange(30)
    wages = np.full(30, 100_000)
    wages[0], wages[1] = 50_000_000, 2_000_000
    cells = aggregated(
        ["sex"],
        [WAGE],
        np.zeros((30, 1), dtype=np.int64),
        rows,
        wages[:, None],
        record_keys(bytes(32), map(str, rows)),
    )
    grid = on_grid(cells, (SEX,))
    told = int(exact_sums(grid)[1]) - 2_000_000
    assert abs(told - 50_000_000) <= 0.15 * 50_000_000
    table = protected(grid, method(), "q").table
    assert table.persons[1] != HIDDEN
    assert table.sums[0, 1] == table.sums[0, 0] == HIDDEN


def test_the_largest_contributor_of_a_sum_is_told_by_a_naive_exporter_to_anybody_and_not_by_ours() -> None:
    # An outsider knows nothing but the sum, and that one factory's owner earns nearly all of it.
    rows = np.arange(30)
    wages = np.full(30, 100_000)
    wages[0] = 50_000_000
    cells = aggregated(
        ["sex"],
        [WAGE],
        np.zeros((30, 1), dtype=np.int64),
        rows,
        wages[:, None],
        record_keys(bytes(32), map(str, rows)),
    )
    grid = on_grid(cells, (SEX,))
    assert abs(int(exact_sums(grid)[1]) - 50_000_000) <= 0.15 * 50_000_000
    table = protected(grid, method(), "q").table
    assert table.persons[1] != HIDDEN
    assert table.sums[0, 1] == table.sums[0, 0] == HIDDEN


def test_asking_again_averages_a_naive_exporter_s_noise_away_and_not_ours() -> None:
    grid = grid_of(people(), WHOLE)
    rng = np.random.default_rng(5)
    average = np.mean([fresh_noise(grid, rng) for _ in range(2000)], axis=0)
    assert np.all(np.rint(average) == grid.persons)
    answers = {released(people(), WHOLE).protected.table.content() for _ in range(3)}
    assert len(answers) == 1, "a thousand answers tell what one tells"
    assert may_release(REGISTRY, WHOLE, [WHOLE]).is_new is False


def test_asking_in_other_splits_averages_less_than_the_cap_allows() -> None:
    # Each table that differs by the one category tells her wage once more, with noise of its own.
    cuts = [(SEX, AGE), (SEX,), (AGE,), (SEX, SECTOR), (AGE, SECTOR), (SECTOR,)]
    places = [(5, 1), (1,), (5,), (3, 1), (5, 3), (3,)]
    out = list[TablePlan]()
    for cut in cuts:
        pair = [asked(cut), asked(cut, WITHOUT_LAST)]
        if not all(allowed(plan, out) for plan in pair):
            break
        out += pair
    taken = len(out) // 2
    assert 2 <= taken < len(cuts)
    rng, near, naive = np.random.default_rng(6), 0, 0
    for wage in usual_wages():
        pairs = [
            (grid_of(people(wage=wage), asked(cut)), grid_of(people(wage=wage), asked(cut, WITHOUT_LAST)))
            for cut in cuts[:taken]
        ]
        exact = [exact_sums(a)[at] - exact_sums(b)[at] for (a, b), at in zip(pairs, places, strict=False)]
        naive += all(one == wage for one in exact)
        for secret in range(SECRETS // 10):
            told = [
                retold(a, secret, rng).sums[(0, *at)] - retold(b, secret, rng).sums[(0, *at)]
                for (a, b), at in zip(pairs, places, strict=False)
            ]
            near += bool(abs(np.mean(told) - wage) <= 0.1 * wage)
    assert naive == len(usual_wages())
    assert near / (len(usual_wages()) * (SECRETS // 10)) <= GUESS


@cache
def crowd(count: int) -> Population:
    """A population in whose last province so few live that they are hidden."""
    base = people(with_planted=False)
    more = np.array([[LAST, at % 2, 4, 2] for at in range(count)], dtype=np.int64)
    keys = np.random.default_rng(9).integers(0, 2**32, count, dtype=np.uint32)
    return Population(
        np.vstack([base.codes, more]),
        np.append(base.persons, 20_000 + np.arange(count)),
        np.append(base.wages, np.full(count, WAGE_OF_THE_PLANTED)),
        np.append(base.keys, keys),
    )


def beside(other: int, ages: int) -> TablePlan:
    """Persons alone, in the last province and one other; of two ages at least, among them all of the last."""
    codes = tuple(PROVINCE.categories[at] for at in (other, LAST))
    filters = [Filter("province", "province", codes)]
    if ages:
        bands = (AGE.categories[4], AGE.categories[4 + ages])
        filters.append(Filter("age", "age", bands))
    cut = (("province", "province"), ("age", "age"))
    return planned(REGISTRY, cut, tuple(filters), ())


@pytest.mark.parametrize("varied", [False, True], ids=["one filter", "another second filter each time"])
def test_a_hidden_count_is_not_averaged_from_tables_of_persons_alone(*, varied: bool) -> None:
    # The total less the one shown province tells the hidden one, each time with another noise.
    # Ages by which the table is cut do not make it another question: the cell of one age is in each.
    plans = [beside(at, 1 + at % 5 if varied else 0) for at in range(40)]
    out = list[TablePlan]()
    for plan in plans:
        if not allowed(plan, out):
            break
        out.append(plan)
    assert len(out) == REGISTRY.limits.differences
    right, tries, many = 0, 0, 0
    for count in (2, 4, 6):
        tables = [grid_of(crowd(count), plan) for plan in plans]
        band = [list(grid.axes[0].categories).index(AGE.categories[4]) + 1 for grid in tables]
        for secret in range(12):
            noise = method(keyed_draw(secret.to_bytes(32, "big")))
            cells = [
                protected(grid, noise, "q").table.persons[at] for grid, at in zip(tables, band, strict=True)
            ]
            assert all(hidden == HIDDEN for _, _, hidden in cells)
            looks = [total - other if other != HIDDEN else None for total, other, _ in cells]
            few = [look for look in looks[: len(out)] if look is not None]
            all_looks = [look for look in looks if look is not None]
            right += round(float(np.mean(few))) == count
            many += round(float(np.mean(all_looks))) == count
            tries += 1
    assert many >= 0.6 * tries, "all forty tables would tell it"
    assert right <= 0.45 * tries


def allowed(plan: TablePlan, out: list[TablePlan]) -> bool:
    try:
        return may_release(REGISTRY, plan, out).is_new
    except StatisticsRefused as refused:
        return refused.reason != "overlap_exhausted"


def test_tables_stay_useful() -> None:
    many = population(200_000, seed=2)
    grid = many.grid((PROVINCE, SEX, AGE))
    table = protected(grid, method(), "q").table
    shown = table.persons != HIDDEN
    errors = np.abs(table.persons[shown] - grid.persons[shown]) / grid.persons[shown]
    assert np.median(errors) <= 0.02
    inner = (slice(1, None),) * 3
    hidden = grid.persons[inner][~shown[inner]].sum() / grid.persons[inner].sum()
    assert hidden <= 0.01
    told = table.sums[0] != HIDDEN
    assert np.median(np.abs(table.sums[0][told] - grid.sums[0][told]) / grid.sums[0][told]) <= 0.02
    assert np.count_nonzero(shown & ~told) <= 0.01 * np.count_nonzero(shown)
