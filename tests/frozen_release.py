"""A small frozen release on disk, of nobody: files as `broker.engines.mart` lays them, with what is true.

release = frozen_release(tmp_path, persons=2_000)
engine.count(release.frozen, plan, ...) == release.cells(plan)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from broker.engines import mart
from broker.engines.shipped_tables import shipped_tables
from broker.statistics.aggregate import aggregated
from broker.statistics.axes import Axis, Grid, on_grid
from broker.statistics.cells import CellTable
from broker.statistics.dimensions import MEASURES, registry_of, words_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.frozen import FrozenRelease
from broker.statistics.make_table import made_table
from broker.statistics.manifest import ReleaseFile, ReleaseManifest
from broker.statistics.manifest_json import manifest_bytes
from broker.statistics.methods import hashes_of, method_of, tables_needed
from broker.statistics.periods import parse_quarter
from broker.statistics.plan import TablePlan, categories_of
from broker.statistics.protect import Method
from broker.statistics.registry import Limits, Registry
from broker.statistics.release_layout import MANIFEST, perturbation_path, rows_path
from broker.statistics.table_csv import table_name, table_to_csv

SECRET_TABLE: Final = bytes(range(32))
FROZEN_AT: Final = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)
AS_OF: Final = datetime(2026, 10, 15, 22, 0, 0, tzinfo=UTC)
NAMES: Final = ("period", "province", "sex", "age", "sector", "payer", "benefit", "facility")
_NOT_WORKING: Final = 0.6


@dataclass(frozen=True, eq=False)
class SmallRelease:
    """A release with its rows in memory: codes (rows, dimensions), values (rows, measures).

    persons: of each row the position of its person in `keys`.
    """

    frozen: FrozenRelease
    codes: NDArray[np.int64]
    values: NDArray[np.int64]
    persons: NDArray[np.int64]
    keys: NDArray[np.uint32]

    @property
    def registry(self) -> Registry:
        return self.frozen.manifest.registry

    @property
    def method(self) -> Method:
        """The method that answers are protected with."""
        manifest = self.frozen.manifest
        return method_of(
            manifest.parameters, self.registry.measures, self.frozen.perturbation, self.frozen.secret_table
        )

    def cells(self, plan: TablePlan) -> CellTable:
        """Return what an engine has to tell of a plan, counted by the slow, obvious way."""
        registry, chosen = self.registry, np.ones(len(self.persons), dtype=bool)
        for name, kept in plan.kept:
            leaves = registry.dimension(name).leaves
            chosen &= np.isin(self.codes[:, NAMES.index(name)], [leaves.index(one) for one in kept])
        columns = []
        for name, _ in plan.cut:
            leaves = registry.dimension(name).leaves
            numbers = np.full(len(leaves), -1, dtype=np.int64)
            for number, (_, members) in enumerate(categories_of(registry, plan, name)):
                numbers[[leaves.index(one) for one in members]] = number
            column = numbers[self.codes[:, NAMES.index(name)]]
            chosen &= column >= 0
            columns.append(column)
        measures = [registry.measures.index(one) for one in plan.measures]
        return aggregated(
            [name for name, _ in plan.cut],
            list(plan.measures),
            np.stack(columns, axis=1)[chosen],
            self.persons[chosen],
            self.values[chosen][:, measures],
            self.keys,
        )

    def grid(self, plan: TablePlan, axes: tuple[Axis, ...]) -> Grid:
        """Return the same on its grid."""
        return on_grid(self.cells(plan), axes)


def frozen_release(
    directory: Path,
    persons: int = 2_000,
    seed: int = 1,
    *,
    period: str = "2026-q3",
    revision: int = 1,
    limits: Limits | None = None,
    parameters: DisclosureParameters | None = None,
) -> SmallRelease:
    """Make a release below a directory, in the subdirectory of its code. The same arguments: the same bytes.

    parameters: with others than the default tables of noise, a solver makes them.
    """
    quarter, settled = parse_quarter(period), parameters or DisclosureParameters()
    registry = registry_of(quarter, revision, limits)
    codes, values, whose, keys = _rows(registry, persons, seed)
    rng = np.random.default_rng(seed + 1_000)
    person_keys = rng.choice(2**62, persons, replace=False).astype(np.int64)
    home = directory / registry.release
    files = _write(home, registry, codes, values, person_keys[whose], keys[whose].astype(np.int64))
    perturbation = _perturbation(settled)
    manifest = ReleaseManifest(
        release=registry.release,
        period=period,
        revision=revision,
        supersedes="" if revision == 1 else f"{period}.{revision - 1}",
        frozen_at=FROZEN_AT,
        as_of=AS_OF,
        registry=registry,
        dimensions=words_of(quarter),
        measures=MEASURES,
        parameters=settled,
        perturbation=hashes_of(perturbation),
        files=files,
        persons_count=persons,
        rows_count=len(whose),
    )
    for name, one in manifest.perturbation.items():
        (home / perturbation_path(one)).parent.mkdir(exist_ok=True)
        (home / perturbation_path(one)).write_text(perturbation[name], "utf-8")
    (home / MANIFEST).write_bytes(manifest_bytes(manifest))
    frozen = FrozenRelease(
        manifest=manifest,
        directory=str(home),
        is_open=True,
        secret_table=SECRET_TABLE,
        perturbation=perturbation,
    )
    return SmallRelease(frozen, codes, values, whose, keys)


def closed(release: SmallRelease) -> SmallRelease:
    """Return a release that takes no new tables any more."""
    return replace(release, frozen=replace(release.frozen, is_open=False))


def _perturbation(parameters: DisclosureParameters) -> dict[str, str]:
    kept = shipped_tables()
    return {
        table_name(one): kept.get(table_name(one)) or table_to_csv(made_table(one))
        for one in tables_needed(parameters)
    }


def _rows(
    registry: Registry, persons: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Return codes, values, persons' positions, record keys: a row each month, two for some workers."""
    rng = np.random.default_rng(seed)
    sizes = {name: len(registry.dimension(name).leaves) for name in NAMES}
    steady = {
        name: rng.choice(sizes[name], persons, p=_falling(sizes[name]))
        for name in NAMES
        if name not in ("period", "sector")
    }
    none = registry.dimension("sector").leaves.index("_Z")
    is_working = rng.random(persons) > _NOT_WORKING
    sector = np.where(is_working, rng.choice(21, persons, p=_falling(21)), none)
    second = rng.choice(21, persons, p=_falling(21))
    has_second = is_working & (rng.random(persons) < 0.05) & (second != sector)
    base = np.exp(rng.normal(16, 0.5, persons)).astype(np.int64) // 1000 * 1000
    benefit = np.where(rng.random(persons) < 0.08, np.exp(rng.normal(14, 1, persons)).astype(np.int64), 0)
    parts = []
    for month in range(sizes["period"]):
        for which, chosen in ((sector, np.ones(persons, dtype=bool)), (second, has_second)):
            whose = np.flatnonzero(chosen)
            works = (which[whose] != none).astype(np.int64)
            columns = [
                np.full(len(whose), month)
                if name == "period"
                else which[whose]
                if name == "sector"
                else steady[name][whose]
                for name in NAMES
            ]
            salary = base[whose] * works
            paid = benefit[whose] * (which is sector)
            values = np.stack([salary * 32 // 100, salary, paid, works], axis=1)
            parts.append((np.stack(columns, axis=1), values, whose))
    codes, values, whose = (np.concatenate(one).astype(np.int64) for one in zip(*parts, strict=True))
    return codes, values, whose, rng.integers(0, 2**32, persons, dtype=np.uint32)


def _write(
    home: Path,
    registry: Registry,
    codes: NDArray[np.int64],
    values: NDArray[np.int64],
    persons: NDArray[np.int64],
    keys: NDArray[np.int64],
) -> tuple[ReleaseFile, ...]:
    files = []
    for period, month in enumerate(registry.dimension("period").leaves):
        for province, code in enumerate(registry.dimension("province").leaves):
            rows = np.flatnonzero((codes[:, 0] == period) & (codes[:, 1] == province))
            if not len(rows):
                continue
            rows = rows[np.lexsort((codes[rows, NAMES.index("sector")], persons[rows]))]
            columns = {mart.PERSON: pa.array(persons[rows]), mart.RECORD_KEY: pa.array(keys[rows])}
            for at, name in enumerate(NAMES):
                columns[mart.dimension_column(name)] = pa.array(codes[rows, at].astype(np.int16))
            for at, measure in enumerate(registry.measures):
                columns[mart.measure_column(measure)] = pa.array(values[rows, at])
            path = rows_path(month, code)
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), home / path)
            content = (home / path).read_bytes()
            files.append(
                ReleaseFile(
                    path=path,
                    sha256=sha256(content).hexdigest(),
                    bytes_count=len(content),
                    rows_count=len(rows),
                    period=month,
                    province=code,
                )
            )
    return tuple(files)


def _falling(count: int) -> NDArray[np.float64]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -0.7
    return np.asarray(weights / weights.sum(), dtype=np.float64)
