"""A release in words, questions to it, and tables of made-up numbers: what packages are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Final
from zipfile import ZipFile

import numpy as np

from broker.exports.about import TableAbout
from broker.exports.package import packed
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout, ReleaseManifest
from broker.statistics.output import HIDDEN, OutputTable
from broker.statistics.plan import Filter, TablePlan, categories_of, planned
from broker.statistics.registry import Dimension, Level, Limits, Registry

OWNER: Final = "national_insurance_agency"
FROZEN_AT: Final = datetime(2026, 10, 5, 7, 30, 12, tzinfo=UTC)


def leaves(codes: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((code, (code,)) for code in codes)


PROVINCES: Final = ("01", "02", "31", "79", "_U")
REGIONS: Final = (("north", ("01", "02", "31")), ("south", ("79",)), ("_U", ("_U",)))
AGES: Final = ("0-14", "15-64", "65+")
REGISTRY: Final = Registry(
    release="2026-q3.1",
    dimensions=(
        Dimension(name="province", levels=(Level("province", leaves(PROVINCES)), Level("region", REGIONS))),
        Dimension(name="sex", levels=(Level("sex", leaves(("F", "M"))),)),
        Dimension(name="age", levels=(Level("age_group", leaves(AGES)),)),
        Dimension(name="sector", levels=(Level("sector", leaves(("A", "B", "_Z"))),), one_each=False),
    ),
    measures=("contributions", "months"),
)
DIMENSIONS: Final = (
    DimensionAbout(
        name="province",
        label=Label("Tỉnh, thành phố", "Province"),
        fields=("province",),
        levels={"province": Label("Tỉnh", "Province"), "region": Label("Vùng", "Region")},
        categories={
            ("province", "01"): Label("Hà Nội", "Hanoi"),
            ("province", "02"): Label("Hà Giang", "Ha Giang"),
            ("province", "31"): Label("Hải Phòng", "Haiphong"),
            ("province", "79"): Label("Thành phố Hồ Chí Minh", "Ho Chi Minh City"),
            ("province", "_U"): Label("Không rõ", "Unknown"),
            ("region", "north"): Label("Miền Bắc", "The north"),
            ("region", "south"): Label("Miền Nam", "The south"),
            ("region", "_U"): Label("Không rõ", "Unknown"),
        },
    ),
    DimensionAbout(
        name="sex",
        label=Label("Giới tính", "Sex"),
        fields=("sex",),
        levels={"sex": Label("Giới tính", "Sex")},
        categories={("sex", "F"): Label("Nữ", "Female"), ("sex", "M"): Label("Nam", "Male")},
    ),
    DimensionAbout(
        name="age",
        label=Label("Tuổi", "Age"),
        fields=("birth_date",),
        levels={"age_group": Label("Nhóm tuổi", "Age group")},
        categories={
            ("age_group", "0-14"): Label("0 đến 14", "0 to 14"),
            ("age_group", "15-64"): Label("15 đến 64", "15 to 64"),
            ("age_group", "65+"): Label("65 trở lên", "65 and over"),
        },
    ),
)
"""The sector has no words: it is called by its name and its codes."""
MEASURES: Final = (
    MeasureAbout(
        name="contributions", unit="VND", label=Label("Tiền đóng", "Contributions"), fields=("contribution",)
    ),
    MeasureAbout(name="months", unit="months", label=Label("Số tháng", "Months"), fields=("months",)),
)


def manifest_of(
    registry: Registry = REGISTRY,
    dimensions: tuple[DimensionAbout, ...] = DIMENSIONS,
    measures: tuple[MeasureAbout, ...] = MEASURES,
    parameters: DisclosureParameters | None = None,
) -> ReleaseManifest:
    return ReleaseManifest(
        release=registry.release,
        period="2026-q3",
        revision=1,
        supersedes="",
        frozen_at=FROZEN_AT,
        as_of=datetime(2026, 9, 30, 17, tzinfo=UTC),
        registry=registry,
        dimensions=dimensions,
        measures=measures,
        parameters=parameters or DisclosureParameters(),
        perturbation={},
        files=(),
        persons_count=0,
        rows_count=0,
    )


MANIFEST: Final = manifest_of()


def asked(
    *cut: str, measures: tuple[str, ...] = ("contributions",), filters: tuple[Filter, ...] = ()
) -> TablePlan:
    """Return a plan that is cut by dimensions, each at its finest level or at `dimension:level`."""
    pairs = [name.partition(":") for name in cut]
    finest = {one.name: one.levels[0].name for one in REGISTRY.dimensions}
    return planned(
        REGISTRY, tuple((name, level or finest[name]) for name, _, level in pairs), filters, measures
    )


def about_of(plan: TablePlan, manifest: ReleaseManifest = MANIFEST) -> TableAbout:
    return TableAbout(
        manifest=manifest,
        plan=plan,
        agreement="ministry_of_health_statistics/1",
        title=Label("Thống kê cho Bộ Y tế", "Statistics for the Ministry of Health"),
        owner=OWNER,
        owner_name=Label("Cơ quan bảo hiểm xã hội", "The social insurance agency"),
    )


def table_of(plan: TablePlan, registry: Registry = REGISTRY, seed: int = 1) -> OutputTable:
    """Return a table of a plan with numbers made up; a fifth of it is hidden, sums of shown counts too."""
    rng = np.random.default_rng(seed)
    dimensions = tuple(
        (name, tuple(code for code, _ in categories_of(registry, plan, name))) for name, _ in plan.cut
    )
    shape = tuple(len(codes) + 1 for _, codes in dimensions)
    persons = np.where(rng.random(shape) < 0.2, HIDDEN, rng.integers(10, 90_000, shape))
    sums = rng.integers(1, 10**4, (len(plan.measures), *shape)) * 10 ** rng.integers(0, 11, shape)
    sums = np.where((persons == HIDDEN) | (rng.random(sums.shape) < 0.1), HIDDEN, sums)
    return OutputTable(plan.hash, dimensions, plan.measures, persons, sums)


WHOLE: Final = asked("province", "sex", measures=("contributions", "months"))


def large_registry() -> Registry:
    """Return one whose largest table has 46,464 cells: 63 provinces, 2 sexes, 10 ages, 21 sectors."""
    counts = {"province": 63, "sex": 2, "age": 10, "sector": 21}
    return Registry(
        release="2026-q3.1",
        dimensions=tuple(
            Dimension(name=name, levels=(Level(name, leaves([f"{n:02d}" for n in range(count)])),))
            for name, count in counts.items()
        ),
        measures=("contributions", "months", "salary"),
        limits=Limits(cells=50_000),
    )


def unpacked(table: OutputTable, about: TableAbout, format_code: str) -> dict[str, bytes]:
    """Return the files of a package."""
    with ZipFile(BytesIO(packed(table, about, format_code).content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
