"""Record keys, cell keys, draws and lookups against the slow twin, and as uniform as they should be."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from broker.statistics.draws import COUNT, contributor, keyed_draw, plain_draw
from broker.statistics.keys import cell_keys, merged_keys, record_key, record_keys
from broker.statistics.lookup import Lookup, count_noise, magnitude_noise
from broker.statistics.parameters import CountParameters, MagnitudeParameters
from broker.statistics.perturbation_table import PARTS
from broker.statistics.reasons import StatisticsRefused
from tests.oracles import D5V3, table_of
from tests.reference import cell_keys as twin

SECRET: Final = bytes(range(32))
OTHER: Final = bytes(range(1, 33))
SUMS: Final = MagnitudeParameters(bound=5, variance=2, step=4, icat=(1, 3, 5))
keys = st.integers(0, 2**32 - 1)
draws = st.integers(0, 2**53 - 1).map(lambda bits: bits / 2**53)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_record_keys_are_the_first_bytes_of_an_hmac(persons: list[str]) -> None:
    found = record_keys(SECRET, persons)
    assert found.dtype == np.uint32
    assert found.tolist() == [twin.record_key(SECRET, person) for person in persons]
    assert found.tolist() == [record_key(SECRET, person) for person in persons]


def test_the_record_key_of_one_person_is_what_it_was() -> None:
    # Changing this breaks every release that is out: the same persons would have other noise.
    assert record_key(SECRET, "079203001234") == twin.record_key(SECRET, "079203001234") == 3513153214
    assert record_key(OTHER, "079203001234") != record_key(SECRET, "079203001234")


@given(st.lists(keys, max_size=40), st.data())
def test_p10_cell_keys_merge_exactly_over_any_shards_in_any_order(
    all_keys: list[int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(all_keys))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(all_keys)), max_size=5)))
    shards = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    sums = np.array([sum(shard) for shard in shards], dtype=np.int64)
    merged = merged_keys(cell_keys(sums).tolist())
    assert merged == twin.cell_key(all_keys)


def test_the_keys_of_all_persons_of_the_country_do_not_overflow() -> None:
    most = 98_000_000 * (2**32 - 1)
    assert most < 2**63
    assert cell_keys(np.array([most]))[0] == most % 2**32


def test_an_engine_that_overflowed_is_refused() -> None:
    with pytest.raises(StatisticsRefused, match="cells_malformed: a sum of record keys is negative"):
        cell_keys(np.array([5, -1]))


@given(st.lists(keys, min_size=1, max_size=20), st.sampled_from([COUNT, "wage|1", "wage|3", "benefit|2"]))
def test_keyed_draws_are_53_bits_of_an_hmac_under_key_and_use(many: list[int], what: str) -> None:
    found = keyed_draw(SECRET)(np.array(many, dtype=np.uint32), what)
    assert [Fraction(one) for one in found.tolist()] == [twin.keyed_draw(SECRET, k, what) for k in many]
    assert found.max() < 1
    assert found.min() >= 0


@given(st.lists(keys, min_size=1, max_size=20))
def test_plain_draws_are_the_key_over_2_to_the_32nd(many: list[int]) -> None:
    found = plain_draw(np.array(many, dtype=np.uint32), COUNT)
    assert [Fraction(one) for one in found.tolist()] == [twin.plain_draw(key) for key in many]


def test_each_use_and_each_secret_has_draws_of_its_own() -> None:
    many = record_keys(SECRET, [f"person {n}" for n in range(5000)])
    uses = [COUNT, contributor("wage", 1), contributor("wage", 2), contributor("benefit", 1)]
    columns = [keyed_draw(SECRET)(many, what) for what in uses] + [keyed_draw(OTHER)(many, COUNT)]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 5 / np.sqrt(len(many))


def test_keyed_draws_of_parts_say_nothing_of_the_draw_of_the_whole() -> None:
    first = record_keys(SECRET, [f"a {n}" for n in range(5000)])
    second = record_keys(SECRET, [f"b {n}" for n in range(5000)])
    plain = (plain_draw(first, COUNT) + plain_draw(second, COUNT)) % 1
    assert np.array_equal(plain, plain_draw(first + second, COUNT)), "the published method's weakness"
    draw = keyed_draw(SECRET)
    summed = (draw(first, COUNT) + draw(second, COUNT)) % 1
    together = draw(first + second, COUNT)
    assert abs(np.corrcoef(summed, together)[0, 1]) < 5 / np.sqrt(len(first))


def test_p7_draws_are_uniform_on_real_keys() -> None:
    rng = np.random.default_rng(7)
    records = record_keys(SECRET, [f"{n:012d}" for n in range(40_000)]).astype(np.int64)
    # Cells as tables have them: of one person, of a few, of many.
    sizes = rng.integers(1, 60, 30_000)
    sums = np.array([records[rng.integers(0, len(records), size)].sum() for size in sizes])
    cells = cell_keys(sums)
    for draws in (
        plain_draw(records.astype(np.uint32), COUNT),
        plain_draw(cells, COUNT),
        keyed_draw(SECRET)(cells, COUNT),
        keyed_draw(SECRET)(cells, contributor("wage", 1)),
    ):
        assert stats.kstest(draws, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_32_bytes(size: int) -> None:
    for use in (keyed_draw, lambda secret: record_keys(secret, []), lambda secret: record_key(secret, "")):
        with pytest.raises(StatisticsRefused, match="secret_malformed"):
            use(bytes(size))


@given(st.lists(st.tuples(st.integers(0, 50), draws), min_size=1, max_size=30))
@example([(8, 1 - 2**-53), (1, 0.0), (0, 0.5), (10**12, 0.999)])
def test_lookups_of_counts_are_the_twin_s(cells: list[tuple[int, float]]) -> None:
    table = table_of(D5V3)
    found = count_noise(
        Lookup(table), np.array([n for n, _ in cells]), np.array([u for _, u in cells], dtype=np.float64)
    )
    assert found.tolist() == [twin.count_noise(table, n, Fraction(u)) for n, u in cells]


def test_a_draw_on_a_bound_belongs_to_the_next_value() -> None:
    row = table_of(D5V3).rows[8]
    on_bounds = np.array([bound / PARTS for bound in row.bounds[:-1]])
    found = count_noise(Lookup(table_of(D5V3)), np.full(len(on_bounds), 8), on_bounds)
    assert found.tolist() == list(row.steps[1:])


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 20), draws), min_size=1, max_size=20))
@example([(1.0, 0.3), (3.0, 0.3), (5.0, 0.3), (0.0, 0.3), (2.0, 0.3), (4.999, 1 - 2**-53)])
def test_lookups_of_sums_interpolate_as_the_twin_does(cells: list[tuple[float, float]]) -> None:
    table = table_of(SUMS)
    found = magnitude_noise(Lookup(table), np.array([a for a, _ in cells]), np.array([u for _, u in cells]))
    assert found.tolist() == pytest.approx(
        [twin.magnitude_noise(table, a, Fraction(u)) for a, u in cells], abs=1e-12
    )


@pytest.mark.parametrize("parameters", [D5V3, CountParameters(bound=10, variance=10, barred=4)])
def test_p6_mean_and_variance_over_30_000_cells_are_those_of_the_table(parameters: CountParameters) -> None:
    table = table_of(parameters)
    cells = 40_000
    rng = np.random.default_rng(6)
    counts = rng.integers(1, 40, cells)
    keys = rng.integers(0, 2**32, cells, dtype=np.uint32)
    noise = count_noise(Lookup(table), counts, keyed_draw(SECRET)(keys, COUNT)).astype(np.float64)
    rows = [table.rows[min(count, table.rows[-1].category)] for count in counts.tolist()]
    spread = np.array([row.variance(1) for row in rows])
    fourth = np.array([sum(v**4 * p for v, p in zip(r.steps, r.parts, strict=True)) / PARTS for r in rows])
    assert abs(noise.mean()) < 4 * np.sqrt(spread.mean() / cells)
    assert abs((noise**2).mean() - spread.mean()) < 4 * np.sqrt((fourth - spread**2).mean() / cells)
    assert np.abs(noise).max() <= parameters.bound
    assert not np.isin(counts + noise, range(1, parameters.barred + 1)).any()
