"""The catalogue in the terminal: releases, and what one of them may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.cli.demo_steps import Lang
from broker.cli.statistics_catalogue import Document, label_of
from broker.cli.statistics_words import CATALOGUE


def show_catalogue(catalogue: Document, release: Document, dimension: Document | None, lang: Lang) -> None:
    """Print all releases and one of them, or the codes of one of its dimensions."""
    console = Console(highlight=False)
    if dimension is not None:
        _show_codes(dimension, lang, console)
        return
    for one in catalogue["releases"]:
        state = CATALOGUE["open" if one["is_open"] else "closed"].say(lang)
        click.echo(f"{one['release']}  {one['period']}  {state}")
    click.echo()
    _print(
        console,
        CATALOGUE["dimensions"].say(lang).format(release=release["release"]),
        ("--by", "level", ""),
        [
            (str(one["name"]), str(level["name"]), _called(one, level, lang))
            for one in release["dimensions"]
            for level in one["levels"]
        ],
    )
    _print(
        console,
        CATALOGUE["measures"].say(lang),
        ("--measure", "", ""),
        [(str(one["name"]), str(one["unit"]), label_of(one, lang)) for one in release["measures"]],
    )


def _show_codes(dimension: Document, lang: Lang, console: Console) -> None:
    for level in dimension["levels"]:
        rows = [(str(one["code"]), label_of(one, lang)) for one in level["categories"]]
        _print(console, f"{dimension['name']}:{level['name']}", ("code", ""), rows)


def _called(dimension: Document, level: Document, lang: Lang) -> str:
    """Return what a level is called, how many categories it has, and whether one may filter by it."""
    names = dict.fromkeys((label_of(dimension, lang), label_of(level, lang)))
    count = CATALOGUE["categories"].say(lang).format(count=len(level["categories"]))
    note = f"; {CATALOGUE['sensitive'].say(lang)}" if dimension["is_sensitive"] else ""
    return f"{', '.join(names)} ({count}{note})"


def _print(console: Console, title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    console.print(Text(title, style="bold"), soft_wrap=True)
    drawn = Table(*heads, box=SIMPLE_HEAD)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
