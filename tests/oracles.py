"""Numbers that other programs computed: perturbation tables and lookups (tests/data/oracles/README.md)."""

from __future__ import annotations

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

from broker.statistics.make_table import made_table
from broker.statistics.parameters import CountParameters, MagnitudeParameters, Parameters
from broker.statistics.perturbation_table import PerturbationTable

ORACLES: Final = Path(__file__).parent / "data" / "oracles"

COUNTS: Final[dict[str, CountParameters]] = {
    "cnt_D10V10js4": CountParameters(bound=10, variance=10, barred=4),
    "cnt_D10V12js4": CountParameters(bound=10, variance=12, barred=4),
    "cnt_D20V30js9": CountParameters(bound=20, variance=30, barred=9),
    "cnt_D25V40js9": CountParameters(bound=25, variance=40, barred=9),
    "cnt_D2V09": CountParameters(bound=2, variance=0.9),
    "cnt_D2V1": CountParameters(bound=2, variance=1),
    "cnt_D3V1js0": CountParameters(bound=3, variance=1),
    "cnt_D4V1pstay05": CountParameters(bound=4, variance=1, stay=0.5),
    "cnt_D5V2.5js2": CountParameters(bound=5, variance=2.5, barred=2),
    "cnt_D5V2js0": CountParameters(bound=5, variance=2),
    "cnt_D5V3js2": CountParameters(bound=5, variance=3, barred=2),
    "cnt_D5V3js2pstay05": CountParameters(bound=5, variance=3, barred=2, stay=0.5),
    "cnt_D6V2js1": CountParameters(bound=6, variance=2, barred=1),
    "cnt_D7V3js0": CountParameters(bound=7, variance=3),
    "ex_cnts": CountParameters(bound=2, variance=1.05, barred=1, reaches=True, free_rows=(3,)),
}
MAGNITUDES: Final[dict[str, MagnitudeParameters]] = {
    "num_D5V2s4": MagnitudeParameters(bound=5, variance=2, step=4, icat=(1, 3, 5)),
    "num_ex": MagnitudeParameters(bound=10, variance=3, step=2, icat=(1, 5, 10), reaches=True),
    "num_sep_even": MagnitudeParameters(bound=8, variance=1, step=2, icat=(1, 5, 8), reaches=True),
    "num_sep_odd": MagnitudeParameters(bound=10, variance=2, step=2, icat=(1, 10), reaches=True),
    "num_sep_small_cells": MagnitudeParameters(bound=5, variance=1, step=5, icat=(1, 3, 5), reaches=True),
}
TABLES: Final[dict[str, Parameters]] = {**COUNTS, **MAGNITUDES}


D5V3: Final = COUNTS["cnt_D5V3js2"]
"""The parameters that exports have unless an operator chooses others."""


@cache
def table_of(parameters: Parameters) -> PerturbationTable:
    """Return the table of parameters, made once in a run of tests."""
    return made_table(parameters)


def oracle_rows(name: str) -> dict[int, list[tuple[float, float, float]]]:
    """Return of each row (i) its noise, its probabilities and their upper bounds."""
    rows = defaultdict(list)
    with (ORACLES / f"oracle_{name}.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            rows[int(line["i"])].append((float(line["v"]), float(line["p"]), float(line["p_int_ub"])))
    return dict(rows)


def oracle_lookups() -> list[tuple[int, float, int, int]]:
    """Return counts, draws, noise and what is shown."""
    with (ORACLES / "oracle_counts.csv").open(encoding="utf-8", newline="") as file:
        return [
            (int(line["n"]), float(line["ck"]), int(line["pert"]), int(line["out"]))
            for line in csv.DictReader(file)
        ]
