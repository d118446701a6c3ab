"""Made-up releases for tests of engines: rows in memory, as files with a manifest, and the twin's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from numpy.typing import NDArray

from broker.engines.mart import dimension_column, measure_column
from broker.statistics.aggregate import aggregated
from broker.statistics.cells import CellTable
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout, ReleaseFile, ReleaseManifest
from broker.statistics.plan import Filter, TablePlan, categories_of, planned
from broker.statistics.registry import Dimension, Level, Registry

RELEASE: Final = "2026-q3.1"
NOW: Final = datetime(2026, 10, 1, tzinfo=UTC)


def leaves(*codes: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((code, (code,)) for code in codes)


PERIOD: Final = Dimension(
    name="period",
    levels=(
        Level("month", leaves("2026-07", "2026-08", "2026-09")),
        Level("quarter", (("2026-q3", ("2026-07", "2026-08", "2026-09")),)),
    ),
    one_each=False,
)
PROVINCE: Final = Dimension(
    name="province",
    levels=(
        Level("province", leaves("p0", "p1", "p2", "p3", "p4")),
        # Neither in the order of their codes, nor each a single stretch of them.
        Level("region", (("south", ("p1", "p4")), ("north", ("p0", "p3")), ("middle", ("p2",)))),
    ),
)
SEX: Final = Dimension(name="sex", levels=(Level("sex", leaves("F", "M", "_U")),))
AGE: Final = Dimension(
    name="age",
    levels=(
        Level("age_band", leaves("a0", "a1", "a2", "a3")),
        Level("age_group", (("young", ("a0", "a1")), ("old", ("a2", "a3")))),
    ),
)
SECTOR: Final = Dimension(
    name="sector",
    levels=(
        Level("sector", leaves("A", "B", "C", "D", "_Z")),
        Level("sector_group", (("AC", ("A", "C")), ("BD", ("B", "D")), ("_Z", ("_Z",)))),
    ),
    one_each=False,
)
DIMENSIONS: Final = (PERIOD, PROVINCE, SEX, AGE, SECTOR)
MEASURES: Final = ("contributions", "salary", "benefits")
REGISTRY: Final = Registry(release=RELEASE, dimensions=DIMENSIONS, measures=MEASURES)


@dataclass(frozen=True)
class Rows:
    """Rows of a release. persons: (rows,), numbers into names and keys. codes, values: by column."""

    persons: NDArray[np.int64]
    codes: NDArray[np.int64]
    values: NDArray[np.int64]
    names: NDArray[np.int64]
    keys: NDArray[np.uint32]

    def table(self, chosen: NDArray[np.bool_] | None = None) -> pa.Table:
        rows = np.flatnonzero(np.ones(len(self.persons), dtype=bool) if chosen is None else chosen)
        rows = rows[np.argsort(self.names[self.persons[rows]], kind="stable")]
        columns: dict[str, NDArray[Any]] = {
            "person": self.names[self.persons[rows]],
            "rkey": self.keys[self.persons[rows]].astype(np.int64),
        }
        for at, dimension in enumerate(DIMENSIONS):
            columns[dimension_column(dimension.name)] = self.codes[rows, at].astype(np.int16)
        for at, name in enumerate(MEASURES):
            columns[measure_column(name)] = self.values[rows, at]
        return pa.table(columns)

    def counted(self, plan: TablePlan) -> CellTable:
        """Return what the twin counts."""
        kept = np.ones(len(self.persons), dtype=bool)
        columns = []
        for at, dimension in enumerate(DIMENSIONS):
            chosen = plan.kept_of(REGISTRY, dimension.name)
            kept &= np.isin(self.codes[:, at], [dimension.leaves.index(leaf) for leaf in chosen])
        for name, _ in plan.cut:
            numbers = enumerate(categories_of(REGISTRY, plan, name))
            place = {leaf: number for number, (_, members) in numbers for leaf in members}
            dimension = REGISTRY.dimension(name)
            places = np.array([place.get(leaf, -9) for leaf in dimension.leaves])
            columns.append(places[self.codes[:, DIMENSIONS.index(dimension)]])
        return aggregated(
            [name for name, _ in plan.cut],
            plan.measures,
            np.stack(columns, axis=1)[kept],
            self.persons[kept],
            self.values[:, [MEASURES.index(name) for name in plan.measures]][kept],
            self.keys,
        )


def people(seed: int, persons: int, largest: int = 10**12) -> Rows:
    """Return persons with some rows each, in several periods and sectors."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(persons), rng.integers(1, 6, persons))
    each = {
        dimension.name: rng.integers(0, len(dimension.leaves), persons)[whose]
        for dimension in DIMENSIONS
        if dimension.one_each
    }
    for dimension in (PERIOD, SECTOR):
        each[dimension.name] = rng.integers(0, len(dimension.leaves), len(whose))
    values = rng.integers(0, rng.choice([2, 50, largest], (len(whose), len(MEASURES))) + 1)
    return Rows(
        whose,
        np.stack([each[dimension.name] for dimension in DIMENSIONS], axis=1),
        values,
        rng.permutation(rng.integers(0, 2**63 - 1, persons)),
        rng.integers(0, 2**32, persons, dtype=np.uint32),
    )


def frozen(rows: Rows, directory: Path) -> FrozenRelease:
    """Write rows as a release."""
    files = []
    for period in range(len(PERIOD.leaves)):
        for province in range(len(PROVINCE.leaves)):
            chosen = (rows.codes[:, 0] == period) & (rows.codes[:, 1] == province)
            if chosen.any():
                files.append(written(directory, rows.table(chosen), period, province))
    manifest = ReleaseManifest(
        release=RELEASE,
        period="2026-q3",
        revision=1,
        supersedes="",
        frozen_at=NOW,
        as_of=NOW,
        registry=REGISTRY,
        dimensions=tuple(about(dimension) for dimension in DIMENSIONS),
        measures=tuple(
            MeasureAbout(name=name, unit="VND", label=Label(name, name), fields=()) for name in MEASURES
        ),
        parameters=DisclosureParameters(),
        perturbation={},
        files=tuple(files),
        persons_count=len(np.unique(rows.persons)),
        rows_count=len(rows.persons),
    )
    return FrozenRelease(manifest, str(directory), is_open=True, secret_table=bytes(32), perturbation={})


def about(dimension: Dimension) -> DimensionAbout:
    return DimensionAbout(
        name=dimension.name,
        label=Label(dimension.name, dimension.name),
        fields=(),
        levels={level.name: Label(level.name, level.name) for level in dimension.levels},
        categories={
            (level.name, code): Label(code, code)
            for level in dimension.levels
            for code, _ in level.categories
        },
    )


def written(directory: Path, table: pa.Table, period: int, province: int, **options: Any) -> ReleaseFile:
    codes = PERIOD.leaves[period], PROVINCE.leaves[province]
    path = f"period={codes[0]}/province={codes[1]}/part-0.parquet"
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, directory / path, **options)
    content = (directory / path).read_bytes()
    return ReleaseFile(
        path=path,
        sha256=sha256(content).hexdigest(),
        bytes_count=len(content),
        rows_count=table.num_rows,
        period=codes[0],
        province=codes[1],
    )


def with_file(release: FrozenRelease, table: pa.Table, **options: Any) -> FrozenRelease:
    """Return a release whose first file has other rows, of which its manifest knows."""
    first, *others = release.manifest.files
    period, province = PERIOD.leaves.index(first.period), PROVINCE.leaves.index(first.province)
    file = written(Path(release.directory), table, period, province, **options)
    return with_files(release, file, *others)


def with_files(release: FrozenRelease, *files: ReleaseFile) -> FrozenRelease:
    """Return a release whose manifest names these files."""
    return replace(release, manifest=replace(release.manifest, files=files))


@st.composite
def plans(draw: st.DrawFn) -> TablePlan:
    names = draw(
        st.lists(st.sampled_from([one.name for one in DIMENSIONS]), min_size=1, max_size=4, unique=True)
    )
    cut = tuple(
        (name, draw(st.sampled_from([level.name for level in REGISTRY.dimension(name).levels])))
        for name in names
    )
    filters = []
    for name in draw(st.lists(st.sampled_from([one.name for one in DIMENSIONS]), max_size=3, unique=True)):
        level = dict(cut).get(name, REGISTRY.dimension(name).levels[0].name)
        codes = [code for code, _ in REGISTRY.dimension(name).level(level).categories]
        chosen = draw(st.lists(st.sampled_from(codes), min_size=1, unique=True))
        filters.append(Filter(name, level, tuple(chosen)))
    measures = draw(st.lists(st.sampled_from(MEASURES), unique=True))
    return planned(REGISTRY, cut, tuple(filters), tuple(measures))


def plan_of(*cut: tuple[str, str], measures: Sequence[str] = (), filters: Sequence[Filter] = ()) -> TablePlan:
    return planned(REGISTRY, cut, tuple(filters), tuple(measures))


def quiet(share: float) -> None:
    """Whoever is told, and does nothing."""
