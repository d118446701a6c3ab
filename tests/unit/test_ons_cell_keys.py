"""The cell-key package of the UK's Office for National Statistics perturbs the same cells by the same.

Its tables look keys up in whole numbers (0 to 255 here) and counts up to 750; ours draws from [0, 1). A table
of ours is written into its form, its record keys are ours modulo 256, and both count the same rows.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from cell_key_perturbation.create_perturbed_table import create_perturbed_table

from broker.statistics.aggregate import aggregated
from broker.statistics.lookup import Lookup, count_noise
from broker.statistics.parameters import CountParameters
from tests.oracles import COUNTS, table_of

KEYS: Final = 256
ROWS: Final = 750
PERSONS: Final = 6000


def ons_table(parameters: CountParameters) -> Any:
    """Return our table as theirs: the noise of every count and every key."""
    counts, keys = (one.reshape(-1) for one in np.meshgrid(np.arange(1, ROWS + 1), np.arange(KEYS)))
    noise = count_noise(Lookup(table_of(parameters)), counts, keys / KEYS)
    return pd.DataFrame({"pcv": counts, "ckey": keys, "pvalue": noise})


@pytest.mark.parametrize("name", ["cnt_D5V3js2", "cnt_D10V10js4", "cnt_D5V2js0"])
@pytest.mark.parametrize("threshold", [0, 10])
def test_counts_are_theirs(name: str, threshold: int) -> None:
    rng = np.random.default_rng(11)
    places = rng.choice(6, PERSONS, p=[0.5, 0.3, 0.15, 0.04, 0.008, 0.002])
    ages, keys = rng.integers(0, 40, PERSONS), rng.integers(0, KEYS, PERSONS)
    rows = pd.DataFrame({"place": places, "age": ages, "record_key": keys})
    theirs = create_perturbed_table(
        rows, ons_table(COUNTS[name]), ["place"], ["age"], "record_key", threshold=threshold
    )
    ours = aggregated(
        ["place", "age"],
        [],
        np.stack([places, ages], axis=1),
        np.arange(PERSONS),
        np.zeros((PERSONS, 0), dtype=np.int64),
        keys.astype(np.uint32),
    )
    inner = (ours.codes >= 0).all(axis=1)
    cells = ours.key_sums[inner] % KEYS
    counts = ours.persons[inner]
    shown = counts + count_noise(Lookup(table_of(COUNTS[name])), counts, cells / KEYS)
    found = dict(zip(map(tuple, ours.codes[inner].tolist()), shown.tolist(), strict=True))
    assert len(theirs) == 6 * 40
    assert counts.min() < 5
    for place, age, count in zip(theirs["place"], theirs["age"], theirs["count"], strict=True):
        told = found.get((place, age), 0)
        assert (told < threshold) if pd.isna(count) else (told == count >= threshold)
