"""A table of a release as people are shown it: names instead of codes, and what noise may have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

TOTAL: Final = "_T"
"""SDMX's code of a total, as in `broker.statistics.output`."""
PERSONS: Final = "persons"

Band: TypeAlias = Callable[[int, int], float]
"""What is told of a measure, and of persons, in one cell → how far noise usually moved it, either way."""


@dataclass(frozen=True, slots=True)
class ShownAxis:
    """A dimension that the table is cut by. label: its name; categories: codes with their names, in order."""

    name: str
    label: str
    categories: tuple[tuple[str, str], ...]

    def named(self, code: str, total: str) -> str:
        """Return a category's name; total: what the total is called."""
        return total if code == TOTAL else dict(self.categories).get(code, code)


@dataclass(frozen=True, slots=True)
class ShownMeasure:
    """What is told of each cell. unit: as people read it. band: None where none is known."""

    name: str
    label: str
    unit: str
    band: Band | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTable:
    """A table. measures: persons first. cells: codes of each axis → what is told, None where hidden.

    filters: of each filtered dimension its name, and the names of the categories that are in.
    """

    release: str
    axes: tuple[ShownAxis, ...]
    measures: tuple[ShownMeasure, ...]
    cells: Mapping[tuple[str, ...], tuple[int | None, ...]]
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def value(self, codes: tuple[str, ...], measure: int) -> int | None:
        """Return what is told of a cell, None where it is hidden or absent."""
        told = self.cells.get(codes)
        return None if told is None else told[measure]

    def width(self, codes: tuple[str, ...], measure: int) -> float:
        """Return how far noise usually moved what a cell tells; 0 where nothing is told or known of it."""
        band, value, persons = self.measures[measure].band, self.value(codes, measure), self.value(codes, 0)
        return 0.0 if band is None or value is None or persons is None else band(value, persons)

    @property
    def hidden(self) -> int:
        """How many cells tell nobody's count."""
        return sum(told[0] is None for told in self.cells.values())
