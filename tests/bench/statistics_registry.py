"""What the bench's made-up release may be asked: dimensions and measures like a real one's, codes alone."""

from __future__ import annotations

from typing import Final

from broker.statistics.manifest import DimensionAbout, Label, MeasureAbout
from broker.statistics.registry import Dimension, Level, Limits, Registry

PROVINCES: Final = 63
SECTORS: Final = 21
MONTHS: Final = ("2026-07", "2026-08", "2026-09")
RELEASE: Final = "2026-q3.1"
NOT_APPLICABLE: Final = "_Z"
MEASURES: Final = ("contributions", "salary")

_PROVINCES_NOW: Final = 34
_REGIONS: Final = 6


def codes(prefix: str, count: int) -> tuple[str, ...]:
    """Return so many codes, in order."""
    return tuple(f"{prefix}{number:02d}" for number in range(1, count + 1))


def finest(name: str, leaves: tuple[str, ...]) -> Level:
    """Return the level in which each category is itself."""
    return Level(name, tuple((leaf, (leaf,)) for leaf in leaves))


def grouped(
    name: str, leaves: tuple[str, ...], prefix: str, count: int, apart: tuple[str, ...] = ()
) -> Level:
    """Return a coarser level of so many groups of neighbours; leaves that stand apart keep their codes."""
    names, together = codes(prefix, count), [leaf for leaf in leaves if leaf not in apart]
    members: dict[str, list[str]] = {one: [] for one in names}
    for at, leaf in enumerate(together):
        members[names[at * count // len(together)]].append(leaf)
    return Level(
        name,
        (*((one, tuple(inside)) for one, inside in members.items()), *((leaf, (leaf,)) for leaf in apart)),
    )


def _province(name: str, levels: tuple[str, str, str]) -> Dimension:
    leaves = codes("", PROVINCES)
    now = grouped(levels[1], leaves, "P", _PROVINCES_NOW)
    # Regions are of provinces as they are now: each level lies within the next.
    regions: dict[str, tuple[str, ...]] = dict.fromkeys(codes("R", _REGIONS), ())
    for at, (_, inside) in enumerate(now.categories):
        regions[f"R{at * _REGIONS // _PROVINCES_NOW + 1:02d}"] += inside
    return Dimension(
        name=name, levels=(finest(levels[0], leaves), now, Level(levels[2], tuple(regions.items())))
    )


def _dimensions() -> tuple[Dimension, ...]:
    ages, sectors = codes("A", 10), (*codes("S", SECTORS), NOT_APPLICABLE)
    return (
        Dimension(
            name="period",
            levels=(finest("month", MONTHS), Level("quarter", (("2026-q3", MONTHS),))),
            one_each=False,
        ),
        _province("province", ("province_old", "province", "region")),
        Dimension(name="sex", levels=(finest("sex", ("F", "M")),)),
        Dimension(name="age", levels=(finest("age_band", ages), grouped("age_group", ages, "G", 3))),
        Dimension(
            name="sector",
            levels=(finest("sector", sectors), grouped("sector_group", sectors, "T", 4, (NOT_APPLICABLE,))),
            one_each=False,
        ),
        Dimension(name="payer", levels=(finest("payer_group", codes("Q", 4)),)),
        Dimension(name="benefit", levels=(finest("benefit_level", codes("B", 5)),)),
        _province("facility", ("facility_old", "facility_province", "facility_region")),
    )


REGISTRY: Final = Registry(release=RELEASE, dimensions=_dimensions(), measures=MEASURES, limits=Limits())


def dimensions_about() -> tuple[DimensionAbout, ...]:
    """Return words for everything: the codes themselves."""
    return tuple(
        DimensionAbout(
            name=dimension.name,
            label=Label(dimension.name, dimension.name),
            fields=(dimension.name,),
            levels={level.name: Label(level.name, level.name) for level in dimension.levels},
            categories={
                (level.name, code): Label(code, code)
                for level in dimension.levels
                for code, _ in level.categories
            },
        )
        for dimension in REGISTRY.dimensions
    )


def measures_about() -> tuple[MeasureAbout, ...]:
    """Return words for the measures: amounts in VND."""
    return tuple(
        MeasureAbout(name=name, unit="VND", label=Label(name, name), fields=(name,)) for name in MEASURES
    )
