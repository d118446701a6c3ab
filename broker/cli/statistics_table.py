"""A table in the terminal: totals first, hidden cells as a dash, and beneath it what must stand beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from math import ceil
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.cli.demo_steps import Lang
from broker.cli.statistics_shown import TOTAL, ShownAxis, ShownMeasure, ShownTable
from broker.cli.statistics_words import TABLE, heading, number

ACROSS_MAX: Final = 7
"""Columns that still stand beside each other in a terminal, the total's too."""


def show_table(table: ShownTable, lang: Lang, console: Console, rows_most: int) -> None:
    """Print a table and what must be known of it. rows_most: of each part; 0 for all."""
    has_across = len(table.axes) > 1 and len(table.axes[-1].categories) < ACROSS_MAX
    parts = range(len(table.measures)) if has_across else (None,)
    for measure in parts:
        _print_part(table, lang, console, rows_most, measure)
    for line in notes(table, lang):
        console.print(Text(line), soft_wrap=True)


def notes(table: ShownTable, lang: Lang) -> Iterator[str]:
    """Yield what must stand beside a table: what is hidden, what noise does, and that nothing adds up."""
    if table.hidden:
        hidden, cells = number(table.hidden, lang), number(len(table.cells), lang)
        yield TABLE["hidden"].say(lang).format(hidden=hidden, cells=cells)
    else:
        yield TABLE["none_hidden"].say(lang)
    for place, measure in enumerate(table.measures):
        if widths := _widths(table, place):
            least, most = number(widths[0], lang), number(widths[-1], lang)
            words = TABLE["same" if least == most else "varied"].say(lang)
            about = words.format(least=least, most=most, unit=measure.unit)
            yield TABLE["band"].say(lang).format(measure=measure.label, about=about)
    yield TABLE["margins"].say(lang)


def _print_part(table: ShownTable, lang: Lang, console: Console, rows_most: int, measure: int | None) -> None:
    """Print the table of one measure with its last dimension across, or of all measures, None, in a list."""
    down = table.axes if measure is None else table.axes[:-1]
    label = table.measures[measure or 0].label
    console.print(Text(_title(table, label, lang), style="bold"), soft_wrap=True)
    drawn = Table(box=SIMPLE_HEAD)
    for axis in down:
        drawn.add_column(Text(axis.label), overflow="fold")
    for name in _column_names(table, lang, measure):
        drawn.add_column(Text(name), justify="right", no_wrap=True)
    rows = [*islice(product(*(_codes(axis) for axis in down)), rows_most or None)]
    for codes in rows:
        values = [number(value, lang) for value in _row(table, codes, measure)]
        names = [axis.named(code, TABLE["total"].say(lang)) for axis, code in zip(down, codes, strict=True)]
        style = "bold" if set(codes) == {TOTAL} else None
        drawn.add_row(*(Text(one) for one in (*names, *values)), style=style)
    console.print(drawn)
    left = _length(down) - len(rows)
    if left:
        console.print(Text(TABLE["cut_off"].say(lang).format(count=number(left, lang))), soft_wrap=True)


def _title(table: ShownTable, label: str, lang: Lang) -> str:
    release = TABLE["release"].say(lang).format(release=table.release)
    only = [
        TABLE["only"].say(lang).format(name=name, categories=", ".join(names))
        for name, names in table.filters
    ]
    return " · ".join([heading(label, [axis.label for axis in table.axes], lang), release, *only])


def _column_names(table: ShownTable, lang: Lang, measure: int | None) -> list[str]:
    if measure is None:
        return [_with_unit(one) for one in table.measures]
    return [TABLE["total"].say(lang), *(name for _, name in table.axes[-1].categories)]


def _with_unit(measure: ShownMeasure) -> str:
    return measure.label if measure.name == "persons" else f"{measure.label} ({measure.unit})"


def _row(table: ShownTable, codes: tuple[str, ...], measure: int | None) -> list[int | None]:
    if measure is None:
        return [table.value(codes, place) for place in range(len(table.measures))]
    return [table.value((*codes, across), measure) for across in _codes(table.axes[-1])]


def _codes(axis: ShownAxis) -> tuple[str, ...]:
    return (TOTAL, *(code for code, _ in axis.categories))


def _length(axes: tuple[ShownAxis, ...]) -> int:
    length = 1
    for axis in axes:
        length *= len(axis.categories) + 1
    return length


def _widths(table: ShownTable, measure: int) -> list[int]:
    """Return how far noise usually moved the told values of a measure, whole and rising."""
    if table.measures[measure].band is None:
        return []
    told = [codes for codes, values in table.cells.items() if values[measure] is not None]
    return sorted({ceil(table.width(codes, measure)) for codes in told})
