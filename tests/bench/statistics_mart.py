"""A made-up release in the layout of `broker/engines/mart.py`, written province by province in flat memory.

Every person has one row a month. Provinces, ages and sectors are of very different sizes; one person in
twenty changes the sector of work, one in ten has none. Wages are spread as many people's are.
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

from broker.actions.statistics_doors import FrozenRelease
from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.make_table import made_table
from broker.statistics.manifest import ReleaseFile, ReleaseManifest
from broker.statistics.table_csv import table_hash, table_name, table_to_csv
from tests.bench.statistics_registry import (
    MONTHS,
    PROVINCES,
    REGISTRY,
    RELEASE,
    SECTORS,
    dimensions_about,
    measures_about,
)

SECRET_TABLE: Final = bytes(range(32))
Columns = dict[str, NDArray[np.integer]]


def made_release(
    directory: Path, persons: int, seed: int, on_share: Callable[[float], None]
) -> FrozenRelease:
    """Write so many persons, three rows each, and return the release that holds them."""
    files: list[ReleaseFile] = []
    for province, count in enumerate(_shares(persons)):
        rng = np.random.default_rng([seed, province])
        people = _people(rng, province, int(count))
        files += [
            _written(directory, month, province, _month(rng, people, month)) for month in range(len(MONTHS))
        ]
        on_share((province + 1) / PROVINCES)
    parameters = DisclosureParameters()
    tables = [made_table(parameters.counts), made_table(parameters.sums)]
    manifest = ReleaseManifest(
        release=RELEASE,
        period="2026-q3",
        revision=1,
        supersedes="",
        frozen_at=datetime(2026, 10, 20, tzinfo=UTC),
        as_of=datetime(2026, 10, 1, tzinfo=UTC),
        registry=REGISTRY,
        dimensions=dimensions_about(),
        measures=measures_about(),
        parameters=parameters,
        perturbation={table_name(table.parameters): table_hash(table) for table in tables},
        files=tuple(files),
        persons_count=persons,
        rows_count=persons * len(MONTHS),
    )
    return FrozenRelease(
        manifest=manifest,
        directory=str(directory),
        is_open=True,
        secret_table=SECRET_TABLE,
        perturbation={table_name(table.parameters): table_to_csv(table) for table in tables},
    )


def _falling(count: int, power: float) -> NDArray[np.float64]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -power
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _shares(persons: int) -> NDArray[np.int64]:
    """Return how many live in each province: whole numbers that sum to all."""
    bounds = np.rint(np.cumsum(_falling(PROVINCES, 0.6)) * persons).astype(np.int64)
    return np.diff(bounds, prepend=0)


def _people(rng: np.random.Generator, province: int, count: int) -> Columns:
    """Return persons of a province with what stays the same in all their rows, sorted by their keys."""
    # The province's number is in the key: no two persons are one, and none is in two provinces.
    low = np.cumsum(rng.integers(1, 2**24, count))
    return {
        PERSON: (np.int64(province) << np.int64(50)) + low,
        RECORD_KEY: rng.integers(0, 2**32, count),
        "province": np.full(count, province),
        "sex": rng.integers(0, 2, count),
        "age": rng.choice(10, count, p=_falling(10, 0.4)),
        "sector": np.where(
            rng.random(count) < 0.1, SECTORS, rng.choice(SECTORS, count, p=_falling(SECTORS, 0.8))
        ),
        "payer": rng.choice(4, count, p=_falling(4, 0.5)),
        "benefit": rng.choice(5, count, p=_falling(5, 1.0)),
        "facility": np.where(rng.random(count) < 0.9, province, rng.integers(0, PROVINCES, count)),
        "salary": np.rint(np.exp(rng.normal(16, 0.5, count))).astype(np.int64),
    }


def _month(rng: np.random.Generator, people: Columns, month: int) -> Columns:
    """Return the rows of one month; whoever changes the sector of work does so for good."""
    count = len(people[PERSON])
    if month:
        moves = (rng.random(count) < 0.025) & (people["sector"] < SECTORS)
        people["sector"] = np.where(moves, rng.integers(0, SECTORS, count), people["sector"])
    works = people["sector"] < SECTORS
    salary = np.where(works, people["salary"], 0)
    columns: Columns = {PERSON: people[PERSON], RECORD_KEY: people[RECORD_KEY]}
    columns[dimension_column("period")] = np.full(count, month)
    for name in ("province", "sex", "age", "sector", "payer", "benefit", "facility"):
        columns[dimension_column(name)] = people[name]
    columns[measure_column("contributions")] = salary * 32 // 100
    columns[measure_column("salary")] = salary
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
