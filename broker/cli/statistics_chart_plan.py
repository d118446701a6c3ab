"""Where the bars of a chart go: rows down the page, groups side by side, panels beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from textwrap import shorten
from typing import Final

from broker.cli.statistics_shown import TOTAL, ShownAxis, ShownTable

AXES_MAX: Final = 3
BARS_MAX: Final = 600
GROUPS_MAX: Final = 4
"""More colours than these are told apart badly."""
LETTERS_MAX: Final = 44
LETTERS_OF_TWO: Final = 26
"""How long a name may be, alone and before or behind another one."""
IN_ORDER: Final = ("period",)
"""Dimensions that are read from left to right, and so make the rows where they can."""


class ChartTooLarge(ValueError):
    """A table has more than a chart can show. key: of the word that says so; count, most: how much."""

    def __init__(self, key: str, count: int, most: int) -> None:
        super().__init__(key)
        self.key, self.count, self.most = key, count, most


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. row, group, panel: its place. value: None where hidden. width: of its band, either way."""

    row: int
    group: int
    panel: int
    value: int | None
    width: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChartPlan:
    """All bars of a chart. groups, panels: names, one nameless one where there are none."""

    rows: tuple[str, ...]
    groups: tuple[str, ...]
    panels: tuple[str, ...]
    bars: tuple[Bar, ...]

    @property
    def hidden(self) -> int:
        """How many bars are not told."""
        return sum(one.value is None for one in self.bars)

    @property
    def largest(self) -> Bar | None:
        """The bar that tells most, if any tells something."""
        told = [one for one in self.bars if one.value is not None]
        return max(told, key=lambda one: one.value or 0, default=None)


def chart_plan(table: ShownTable, measure: int) -> ChartPlan:
    """Return where the cells of a table stand, margins left out. Raises ChartTooLarge."""
    if len(table.axes) > AXES_MAX:
        raise ChartTooLarge("too_many_axes", len(table.axes), AXES_MAX)
    places = _places(table.axes)
    count = prod(len(axis.categories) for axis in table.axes)
    if count > BARS_MAX:
        raise ChartTooLarge("too_many_bars", count, BARS_MAX)
    return ChartPlan(
        rows=_names(table.axes, places.rows),
        groups=_names(table.axes, places.groups),
        panels=_names(table.axes, places.panels),
        bars=tuple(_bars(table, measure, places)),
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """Which axes, by their number, make rows, groups and panels."""

    rows: tuple[int, ...]
    groups: tuple[int, ...] = ()
    panels: tuple[int, ...] = ()


def _places(axes: tuple[ShownAxis, ...]) -> _Places:
    """Return what the axes make: the longest one rows, the shortest one groups if colours tell them apart.

    Of three axes without a short one two make rows together.
    """
    order = sorted(
        range(len(axes)), key=lambda one: (axes[one].name not in IN_ORDER, -len(axes[one].categories))
    )
    first, *others = order
    others.sort(key=lambda one: len(axes[one].categories))
    if not others:
        return _Places((first,))
    shortest, *middle = others
    if len(axes[shortest].categories) <= GROUPS_MAX:
        return _Places((first,), (shortest,), tuple(middle))
    return _Places((first, *middle), (), (shortest,))


def _bars(table: ShownTable, measure: int, places: _Places) -> Iterator[Bar]:
    at = [{code: n for n, (code, _) in enumerate(axis.categories)} for axis in table.axes]

    def place(codes: tuple[str, ...], made_of: tuple[int, ...]) -> int:
        number = 0
        for one in made_of:
            number = number * len(at[one]) + at[one][codes[one]]
        return number

    for codes in table.cells:
        if TOTAL in codes:
            continue
        yield Bar(
            row=place(codes, places.rows),
            group=place(codes, places.groups),
            panel=place(codes, places.panels),
            value=table.value(codes, measure),
            width=table.width(codes, measure),
            names=tuple(axis.named(code, "") for axis, code in zip(table.axes, codes, strict=True)),
        )


def _names(axes: tuple[ShownAxis, ...], made_of: tuple[int, ...]) -> tuple[str, ...]:
    """Return what the places of some axes are called; one nameless place where there are none."""
    letters = LETTERS_MAX if len(made_of) < 2 else LETTERS_OF_TWO
    names = (
        (shorten(name, letters, placeholder=" …") for _, name in axes[one].categories) for one in made_of
    )
    return tuple(" · ".join(one) for one in product(*names))
