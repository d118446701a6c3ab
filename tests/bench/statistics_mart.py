"""A made-up release in the layout of `broker/engines/mart.py`, written province by province in flat memory.

Dimensions and measures are those that releases are frozen with. Every person has one row a month; provinces,
ages and sectors are of very different sizes; who is of working age mostly works, one in twenty changes the
sector, and nothing is unknown. Wages are spread as many people's are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column
from broker.engines.shipped_tables import shipped_tables
from broker.statistics.dimension_making import NONE
from broker.statistics.dimensions import MEASURES, registry_of, words_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseFile, ReleaseManifest
from broker.statistics.methods import hashes_of, tables_needed
from broker.statistics.periods import parse_quarter
from broker.statistics.table_csv import table_name

SECRET_TABLE: Final = bytes(range(32))
QUARTER: Final = parse_quarter("2026-q3")
REGISTRY: Final = registry_of(QUARTER, 1)
MONTHS: Final = REGISTRY.dimension("period").leaves
SECTORS: Final = 21
_WORKING_AGES: Final = (3, 13)
"""Age bands of five years: from 15 to below 65."""
Columns = dict[str, NDArray[np.integer]]


def made_release(
    directory: Path, persons: int, seed: int, on_share: Callable[[float], None]
) -> FrozenRelease:
    """Write so many persons, three rows each, and return the release that holds them."""
    files: list[ReleaseFile] = []
    shares = _shares(persons)
    for province, count in enumerate(shares):
        rng = np.random.default_rng([seed, province])
        people = _people(rng, province, int(count))
        files += [
            _written(directory, month, province, _month(rng, people, month)) for month in range(len(MONTHS))
        ]
        on_share((province + 1) / len(shares))
    parameters = DisclosureParameters()
    shipped = shipped_tables()
    perturbation = {table_name(one): shipped[table_name(one)] for one in tables_needed(parameters)}
    manifest = ReleaseManifest(
        release=REGISTRY.release,
        period="2026-q3",
        revision=1,
        supersedes="",
        frozen_at=datetime(2026, 10, 20, tzinfo=UTC),
        as_of=datetime(2026, 10, 1, tzinfo=UTC),
        registry=REGISTRY,
        dimensions=words_of(QUARTER),
        measures=MEASURES,
        parameters=parameters,
        perturbation=hashes_of(perturbation),
        files=tuple(files),
        persons_count=persons,
        rows_count=persons * len(MONTHS),
    )
    return FrozenRelease(
        manifest=manifest,
        directory=str(directory),
        is_open=True,
        secret_table=SECRET_TABLE,
        perturbation=perturbation,
    )


def _falling(count: int, power: float) -> NDArray[np.float64]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -power
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _number(name: str, code: str) -> int:
    return REGISTRY.dimension(name).leaves.index(code)


def _shares(persons: int) -> NDArray[np.int64]:
    """Return how many live in each province that there is: whole numbers that sum to all."""
    known = len(REGISTRY.dimension("province").leaves) - 1
    bounds = np.rint(np.cumsum(_falling(known, 0.6)) * persons).astype(np.int64)
    return np.diff(bounds, prepend=0)


def _people(rng: np.random.Generator, province: int, count: int) -> Columns:
    """Return persons of a province with what stays the same in all their rows, sorted by their keys."""
    ages = rng.choice(18, count, p=_falling(18, 0.4))
    works = (ages >= _WORKING_AGES[0]) & (ages < _WORKING_AGES[1]) & (rng.random(count) < 0.9)
    sector = np.where(works, rng.choice(SECTORS, count, p=_falling(SECTORS, 0.8)), _number("sector", NONE))
    places = len(REGISTRY.dimension("facility").leaves) - 2
    near = (province * 2 + rng.integers(0, 2, count)) % places
    facility = np.where(rng.random(count) < 0.9, near, rng.integers(0, places, count))
    return {
        # The province's number is in the key: no two persons are one, and none is in two provinces.
        PERSON: (np.int64(province) << np.int64(50)) + np.cumsum(rng.integers(1, 2**24, count)),
        RECORD_KEY: rng.integers(0, 2**32, count),
        "province": np.full(count, province),
        "sex": rng.integers(0, 2, count),
        "age": ages,
        "sector": sector,
        "payer": rng.choice(5, count, p=_falling(5, 0.5)),
        "benefit": rng.choice(5, count, p=_falling(5, 1.0)),
        "facility": facility,
        "salary": np.rint(np.exp(rng.normal(16, 0.5, count))).astype(np.int64),
        "benefits": np.where(rng.random(count) < 0.08, rng.integers(10**5, 10**7, count), 0),
    }


def _month(rng: np.random.Generator, people: Columns, month: int) -> Columns:
    """Return the rows of one month; whoever changes the sector of work does so for good."""
    count = len(people[PERSON])
    if month:
        moves = (rng.random(count) < 0.025) & (people["sector"] < SECTORS)
        people["sector"] = np.where(moves, rng.integers(0, SECTORS, count), people["sector"])
    works = people["sector"] < SECTORS
    salary = np.where(works, people["salary"], 0)
    amounts = {
        "contributions": salary * 32 // 100,
        "salary": salary,
        "benefits": people["benefits"],
        "months": works.astype(np.int64),
    }
    columns: Columns = {PERSON: people[PERSON], RECORD_KEY: people[RECORD_KEY]}
    for dimension in REGISTRY.dimensions:
        own = np.full(count, month) if dimension.name == "period" else people[dimension.name]
        columns[dimension_column(dimension.name)] = own
    for measure in REGISTRY.measures:
        columns[measure_column(measure)] = amounts[measure]
    return columns


def _written(directory: Path, month: int, province: int, columns: Columns) -> ReleaseFile:
    code = REGISTRY.dimension("province").leaves[province]
    path = Path(f"period={MONTHS[month]}") / f"province={code}" / "part-0.parquet"
    arrays = {
        name: pyarrow.array(values.astype(np.int16 if name.startswith("d_") else np.int64))
        for name, values in columns.items()
    }
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(arrays), directory / path, compression="zstd")
    content = (directory / path).read_bytes()
    return ReleaseFile(
        path=str(path),
        sha256=sha256(content).hexdigest(),
        bytes_count=len(content),
        rows_count=len(columns[PERSON]),
        period=MONTHS[month],
        province=code,
    )
