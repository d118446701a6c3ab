"""What a release may be asked for: registered dimensions with whole categories, measures, and limits.

A dimension has a finest level (its leaves) and may have coarser ones; each level's categories are groups of
leaves that lie in one category of the next coarser level. There is nothing between: no free cut points.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from broker.statistics.output import TOTAL_CODE
from broker.statistics.reasons import StatisticsRefused

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
CODE: Final = re.compile(r"[A-Za-z0-9_+.-]{1,32}")
LEAVES_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a dimension. categories: codes with the leaves of each, in order."""

    name: str
    categories: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A registered dimension. levels: finest first, each a partition of the leaves.

    is_sensitive, one_each: as of `axes.Axis`. Raises StatisticsRefused("rule_malformed").
    """

    name: str
    levels: tuple[Level, ...]
    is_sensitive: bool = False
    one_each: bool = True

    def __post_init__(self) -> None:
        if not self.levels or not NAME.fullmatch(self.name):
            raise _malformed(f"dimension {self.name!r} has a name and at least one level")
        if len({level.name for level in self.levels}) != len(self.levels):
            raise _malformed(f"levels of {self.name} have names of their own")
        if not 1 <= len(self.leaves) <= LEAVES_MAX:
            raise _malformed(f"{self.name} has 1 to {LEAVES_MAX} finest categories")
        if any(members != (code,) for code, members in self.levels[0].categories):
            raise _malformed(f"the first level of {self.name} is its finest: each category is itself")
        for level in self.levels:
            self._check_level(level)
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            home = {leaf: code for code, members in coarser.categories for leaf in members}
            if any(len({home[leaf] for leaf in members}) != 1 for _, members in finer.categories):
                raise _malformed(f"{finer.name} of {self.name} does not lie within {coarser.name}")

    def _check_level(self, level: Level) -> None:
        codes = [code for code, _ in level.categories]
        members = [leaf for _, leaves in level.categories for leaf in leaves]
        if not NAME.fullmatch(level.name) or not all(CODE.fullmatch(code) for code in codes):
            raise _malformed(f"names and codes of {self.name} are short and plain")
        if len(set(codes)) != len(codes) or TOTAL_CODE in codes:
            raise _malformed(f"codes of {self.name} stand once, and {TOTAL_CODE} is the total's")
        if sorted(members) != sorted(self.leaves) or not all(leaves for _, leaves in level.categories):
            raise _malformed(f"{level.name} of {self.name} has each finest category once")

    @property
    def leaves(self) -> tuple[str, ...]:
        """The finest categories, in order."""
        return tuple(code for code, _ in self.levels[0].categories)

    def level(self, name: str) -> Level:
        """Return a level. Raises StatisticsRefused("name_unregistered") that names those there are."""
        for level in self.levels:
            if level.name == name:
                return level
        raise unregistered(f"level of {self.name}", name, [level.name for level in self.levels])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one table asks for, and how many tables one release answers.

    tables: distinct tables in all, for all clients together. differences: of these, how many may differ from
    a new one by a filter in one dimension alone, or have a cell that does; tables that differ in what they
    sum alone are one.
    """

    dimensions: int = 4
    filters: int = 3
    measures: int = 3
    cells: int = 80_000
    tables: int = 64
    differences: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Of one frozen release: what may be asked. Raises StatisticsRefused("rule_malformed")."""

    release: str
    dimensions: tuple[Dimension, ...]
    measures: tuple[str, ...]
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        names = [dimension.name for dimension in self.dimensions]
        if not CODE.fullmatch(self.release) or len(set(names)) != len(names):
            raise _malformed("a release has a code, and its dimensions names of their own")
        if len(set(self.measures)) != len(self.measures) or not all(map(NAME.fullmatch, self.measures)):
            raise _malformed("measures have names of their own")
        if "persons" in self.measures:
            raise _malformed("persons are always counted, and are no measure")
        told = {"persons", *(f"{name}_{what}" for name in self.measures for what in ("sum", "mean"))}
        if told.intersection(names):
            raise _malformed("a dimension is called as none of the numbers that a cell has")

    def dimension(self, name: str) -> Dimension:
        """Return a dimension. Raises StatisticsRefused("name_unregistered") that names those there are."""
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        raise unregistered("dimension", name, [dimension.name for dimension in self.dimensions])


def unregistered(kind: str, name: str, allowed: list[str]) -> StatisticsRefused:
    """Return the refusal of a name, with those that are registered."""
    listed = ", ".join(allowed[:12]) + (", …" if len(allowed) > 12 else "")
    return StatisticsRefused("name_unregistered", f"{kind} {name[:40]!r}; registered: {listed}")


def _malformed(detail: str) -> StatisticsRefused:
    return StatisticsRefused("rule_malformed", detail)
