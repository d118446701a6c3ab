"""What a table is about: its release, its question, its agreement; and how its columns are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from broker.exports.words import MEAN, PERSONS, SUM, TOTAL, UNIT_PER_PERSON, UNITS
from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout, ReleaseManifest
from broker.statistics.output import TOTAL_CODE, OutputRow, OutputTable
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import StatisticsRefused

PERSONS_NAME: Final = "persons"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAbout:
    """Beside a table, for whoever reads it. Nothing of who asked: the same table has the same package.

    agreement: its id and revision, such as "ministry_of_health_statistics/1". title: of the agreement.
    owner: id of the data owner, such as "national_insurance_agency". owner_name: the same for readers.
    """

    manifest: ReleaseManifest
    plan: TablePlan
    agreement: str
    title: Label
    owner: str
    owner_name: Label


@dataclass(frozen=True, slots=True)
class Category:
    """A category of a column. parent: code of the coarser category that it lies in, "" at the coarsest."""

    code: str
    label: Label
    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionColumn:
    """A dimension that the table is cut by. levels: from the one of the table to the coarsest.

    categories: of each of these levels, in the registry's order, without the total; the table may have
    fewer, where it is filtered.
    """

    name: str
    label: Label
    levels: tuple[tuple[str, Label], ...]
    categories: tuple[tuple[Category, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A number that each cell has. measure: its place among the table's measures, 0 of persons."""

    name: str
    kind: Literal["persons", "sum", "mean"]
    measure: int
    unit: str
    unit_label: Label
    label: Label


def check_about(table: OutputTable, about: TableAbout) -> None:
    """Raise StatisticsRefused("cells_differ") unless a table is the one of its question and release."""
    names = tuple(name for name, _ in table.dimensions)
    if (
        table.question != about.plan.hash
        or table.measures != about.plan.measures
        or names != tuple(name for name, _ in about.plan.cut)
        or about.plan.release != about.manifest.release
    ):
        raise StatisticsRefused("cells_differ", "the table is not the one of this question and release")


def columns_of(about: TableAbout) -> tuple[DimensionColumn, ...]:
    """Return the dimensions of a table, in its order."""
    return tuple(_column(about, name, level) for name, level in about.plan.cut)


def indicators_of(about: TableAbout) -> tuple[Indicator, ...]:
    """Return what each cell has: persons, then the sum and the mean of each measure."""
    found = [
        Indicator(
            name=PERSONS_NAME,
            kind="persons",
            measure=0,
            unit=PERSONS_NAME,
            unit_label=UNITS[PERSONS_NAME],
            label=PERSONS,
        )
    ]
    for at, name in enumerate(about.plan.measures):
        found += _of_measure(at, measure_about(about.manifest, name))
    return tuple(found)


def filters_of(about: TableAbout) -> Iterator[tuple[Label, tuple[Label, ...]]]:
    """Yield each dimension by which the table is filtered, and the finest categories that are in it."""
    for name, leaves in about.plan.kept:
        words = _dimension_about(about.manifest, name)
        finest = about.manifest.registry.dimension(name).levels[0].name
        yield words.label, tuple(_label(words, finest, leaf) for leaf in leaves)


def measure_about(manifest: ReleaseManifest, name: str) -> MeasureAbout:
    """Return what is said of a measure; one of which nothing is said is called by its name."""
    for one in manifest.measures:
        if one.name == name:
            return one
    return MeasureAbout(name=name, unit="", label=Label(name, name), fields=())


def total_category() -> Category:
    """Return the category that every column has beside its own."""
    return Category(TOTAL_CODE, TOTAL, "")


def told_of(row: OutputRow, indicator: Indicator) -> float | None:
    """Return what a cell tells of an indicator, None where it is hidden."""
    if indicator.kind == "persons":
        return row.persons
    return (row.sums if indicator.kind == "sum" else row.means)[indicator.measure]


def _of_measure(at: int, measure: MeasureAbout) -> tuple[Indicator, Indicator]:
    unit = UNITS.get(measure.unit, Label(measure.unit, measure.unit))
    each = Label(UNIT_PER_PERSON.vi.format(unit=unit.vi), UNIT_PER_PERSON.en.format(unit=unit.en))
    called = measure.label
    return (
        Indicator(
            name=f"{measure.name}_sum",
            kind="sum",
            measure=at,
            unit=measure.unit,
            unit_label=unit,
            label=Label(SUM.vi.format(measure=called.vi), SUM.en.format(measure=called.en)),
        ),
        Indicator(
            name=f"{measure.name}_mean",
            kind="mean",
            measure=at,
            unit=f"{measure.unit}_per_person",
            unit_label=each,
            label=Label(MEAN.vi.format(measure=called.vi), MEAN.en.format(measure=called.en)),
        ),
    )


def _column(about: TableAbout, name: str, level: str) -> DimensionColumn:
    dimension = about.manifest.registry.dimension(name)
    words = _dimension_about(about.manifest, name)
    levels = dimension.levels[[one.name for one in dimension.levels].index(level) :]
    homes = [
        {leaf: code for code, leaves in one.categories for leaf in leaves}
        for one in (*levels[1:], levels[-1])
    ]
    return DimensionColumn(
        name=name,
        label=words.label,
        levels=tuple((one.name, words.levels.get(one.name, Label(one.name, one.name))) for one in levels),
        categories=tuple(
            tuple(
                Category(code, _label(words, one.name, code), "" if one is levels[-1] else home[leaves[0]])
                for code, leaves in one.categories
            )
            for one, home in zip(levels, homes, strict=True)
        ),
    )


def _dimension_about(manifest: ReleaseManifest, name: str) -> DimensionAbout:
    for one in manifest.dimensions:
        if one.name == name:
            return one
    return DimensionAbout(name=name, label=Label(name, name), fields=(), levels={}, categories={})


def _label(words: DimensionAbout, level: str, code: str) -> Label:
    return words.categories.get((level, code), Label(code, code))
