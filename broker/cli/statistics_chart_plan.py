"""Where the bars of a chart go: rows down the page, groups side by side, panels beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.cli.statistics_shown import TOTAL, ShownAxis, ShownTable

AXES_MAX: Final = 3
BARS_MAX: Final = 600
GROUPS_MAX: Final = 4
"""More colours than these are told apart badly."""
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
    rows, groups, panels = (None if one is None else table.axes[one] for one in places)
    bars = tuple(_bars(table, measure, places))
    if len(bars) > BARS_MAX:
        raise ChartTooLarge("too_many_bars", len(bars), BARS_MAX)
    return ChartPlan(rows=_names(rows), groups=_names(groups), panels=_names(panels), bars=bars)


def _places(axes: tuple[ShownAxis, ...]) -> tuple[int, int | None, int | None]:
    """Return which axis makes rows, which groups, and which panels; few categories make groups."""
    order = sorted(
        range(len(axes)), key=lambda one: (axes[one].name not in IN_ORDER, -len(axes[one].categories))
    )
    rows, *others = order
    others.sort(key=lambda one: len(axes[one].categories))
    if not others:
        return rows, None, None
    if len(axes[others[0]].categories) <= GROUPS_MAX:
        return rows, others[0], others[1] if len(others) > 1 else None
    if len(others) > 1:
        raise ChartTooLarge("too_many_bars", len(axes[others[0]].categories), GROUPS_MAX)
    return rows, None, others[0]


def _bars(table: ShownTable, measure: int, places: tuple[int, int | None, int | None]) -> Iterator[Bar]:
    at = [{code: n for n, (code, _) in enumerate(axis.categories)} for axis in table.axes]
    for codes in table.cells:
        if TOTAL in codes:
            continue
        row, group, panel = (0 if one is None else at[one][codes[one]] for one in places)
        value, width = table.value(codes, measure), table.width(codes, measure)
        names = tuple(axis.named(code, "") for axis, code in zip(table.axes, codes, strict=True))
        yield Bar(row, group, panel, value, width, names)


def _names(axis: ShownAxis | None) -> tuple[str, ...]:
    return ("",) if axis is None else tuple(name for _, name in axis.categories)
