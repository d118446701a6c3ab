"""How wide bands around told numbers are: held against noise as it is drawn."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.draws import keyed_draw
from broker.statistics.magnitudes import SumNoise
from broker.statistics.noise_band import (
    count_band,
    count_deviation,
    margin_band,
    sum_band,
    sum_share,
)
from broker.statistics.parameters import CountParameters
from broker.statistics.protect import perturbed_counts, perturbed_sums
from tests.statistics_world import WAGE, method

CELLS = 40_000
PARAMETERS = DisclosureParameters()


def keys() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.random.default_rng(7).integers(0, 2**32, CELLS, dtype=np.uint32)


def test_about_95_of_100_counts_lie_within_their_band() -> None:
    persons = np.full(CELLS, 1000, dtype=np.int64)
    noise = perturbed_counts(method(keyed_draw(bytes(32))), persons, keys()) - persons
    assert noise.std() == pytest.approx(count_deviation(PARAMETERS), rel=0.02)
    within = np.mean(np.abs(noise) <= count_band(PARAMETERS))
    assert 0.94 <= within <= 0.97


def test_about_95_of_100_sums_lie_within_their_band() -> None:
    # Of a thousand persons, the three largest have five times the mean, as the band takes it.
    total, largest = 1_000_000_000, 5_000_000
    sums = np.full(CELLS, total, dtype=np.int64)
    tops = np.full((CELLS, 3), largest, dtype=np.int64)
    noise = SumNoise(WAGE, method().sums[WAGE])
    calm = np.zeros(CELLS, dtype=bool)
    moved = perturbed_sums(noise, sums, tops, keys(), calm, keyed_draw(bytes(32))) - sums
    assert moved.std() == pytest.approx(sum_share(PARAMETERS) * largest, rel=0.03)
    band = sum_band(PARAMETERS, total, 1000)
    assert 0.93 <= np.mean(np.abs(moved) <= band) <= 0.98


def test_a_count_s_band_is_never_wider_than_its_bound() -> None:
    wide = replace(PARAMETERS, counts=CountParameters(bound=2, variance=3.9))
    assert count_band(wide) == 2.0


def test_a_sum_s_band_goes_by_its_mean_and_by_its_rounding() -> None:
    noise = sum_band(PARAMETERS, 1_234_000_000, 1000)
    assert noise == pytest.approx(1.959964 * sqrt((0.1606237 * 6_170_000) ** 2 + 1e12 / 12), rel=1e-4)
    assert sum_band(PARAMETERS, 12_340_000_000, 10_000) < 10 * noise
    assert sum_band(replace(PARAMETERS, digits=1), 1_234_000_000, 1000) > 100 * noise


def test_the_largest_contributor_is_no_more_than_dominance_leaves_it() -> None:
    assert sum_band(PARAMETERS, 1_000_000, 2) == pytest.approx(
        1.959964 * sqrt((sum_share(PARAMETERS) * 1_000_000 / 1.15) ** 2 + 1e6 / 12)
    )


@pytest.mark.parametrize(("total", "persons"), [(0, 10), (10, 0)])
def test_nothing_has_no_band(total: int, persons: int) -> None:
    assert sum_band(PARAMETERS, total, persons) == 0.0


def test_a_margin_is_off_from_its_parts_by_the_noise_of_all_of_them() -> None:
    assert margin_band(PARAMETERS, 63) == pytest.approx(1.959964 * sqrt(3 * 64))
