"""`broker statistics export` and `catalogue`: tables for a ministry's people, with the ministry's key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import click

from broker.cli.demo_steps import Lang
from broker.cli.output import CommandRefused
from broker.cli.statistics_answer import Wanted, fetched, show_answer
from broker.cli.statistics_catalogue import NotRegistered, find_dimension, find_release, question_of
from broker.cli.statistics_catalogue_show import show_catalogue
from broker.cli.statistics_chart_plan import AXES_MAX
from broker.cli.statistics_door import CANCELLED, REFUSED
from broker.cli.statistics_options import Client, client_options, open_door
from broker.cli.statistics_words import EXPORT

FORMATS: Final = ("sdmx-csv", "csv", "parquet", "xlsx")
_EXPORT_EPILOG: Final = """Exit codes: 0 done; 1 no answer, or no extra `statistics`; 2 wrong usage; 3 the
question is refused, and what is allowed is said; 4 the client may not ask; 5 the broker failed; 6 the job
came to nothing; 130 Ctrl-C, and the job is cancelled.

\b
How many women have a card, by province and age group, as SDMX:
  broker statistics export --issuer https://chiase.bhxh.example --key health.jwk \\
    --by province --by age:age_group --where sex=F
Contributions by region and sector, as a spreadsheet, with a chart to hand on:
  broker statistics export --issuer https://chiase.bhxh.example --key finance.jwk \\
    --by sector --by province:region --measure contributions \\
    --format xlsx --out contributions.xlsx.zip --chart contributions.svg --lang en
What may be asked for, and which codes a dimension has:
  broker statistics catalogue --issuer https://chiase.bhxh.example --key health.jwk --dimension province
"""
_CATALOGUE_EPILOG: Final = """Exit codes: 0 done; 1 no answer; 2 wrong usage; 3 not registered; 4 the client
may not ask; 5 the broker failed.
"""


@click.command(epilog=_EXPORT_EPILOG)
@client_options
@click.option("--release", help="Release to count; default: the newest that is open.")
@click.option(
    "--by",
    multiple=True,
    required=True,
    metavar="NAME[:LEVEL]",
    help="Dimension to cut by, and its level; without one the level of the same name, else the finest. "
    "Repeatable; the last one stands across.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="NAME[:LEVEL]=CODE,...",
    help="Only these whole categories of a dimension; repeatable.",
)
@click.option("--measure", "measures", multiple=True, help="Sum beside the number of persons; repeatable.")
@click.option(
    "--format", "format_code", type=click.Choice(FORMATS), default="sdmx-csv", show_default=True,
    help="Format of the data in the package.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the package, a ZIP; "
    "default: its own name, here."
)  # fmt: skip
@click.option(
    "--chart", type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the table too, up to three dimensions: FILE.png or FILE.svg; of the first --measure, "
    "else of persons.",
)  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(0), default=40, show_default=True,
    help="Rows of the table to show; 0 for all.",
)  # fmt: skip
def export_command(
    issuer: str,
    key_file: Path,
    client_id: str | None,
    ca: Path | None,
    lang: Lang,
    release: str | None,
    by: tuple[str, ...],
    where: tuple[str, ...],
    measures: tuple[str, ...],
    **wanted: Any,
) -> None:
    """Ask for a table, wait for it, fetch it, show it.

    The package in FILE has the data, what they mean, and the method note in both languages: read it before
    using a number. The same question is free and has the same answer, byte for byte. Ctrl-C cancels the job;
    a download that broke off goes on where it stopped when the same is asked again.
    """
    plan = Wanted(**wanted)
    _check_chart(plan.chart, len(by))
    with open_door(Client(issuer, key_file, client_id, ca, lang)) as door, _interrupted(lang):
        with _registered():
            found = find_release(door.catalogue(), release)
            question = question_of(found, by, where, measures)
        file, job = fetched(door, question, plan)
        show_answer(found, question, plan, file, job, lang)


@click.command(epilog=_CATALOGUE_EPILOG)
@client_options
@click.option("--release", help="Release to show; default: the newest that is open.")
@click.option("--dimension", help="Show the codes of this dimension, level by level.")
def catalogue_command(
    issuer: str,
    key_file: Path,
    client_id: str | None,
    ca: Path | None,
    lang: Lang,
    as_json: bool,
    release: str | None,
    dimension: str | None,
) -> None:
    """Show the releases, and what one of them may be asked for."""
    with open_door(Client(issuer, key_file, client_id, ca, lang)) as door:
        catalogue = door.catalogue()
    if as_json:
        click.echo(json.dumps(catalogue, ensure_ascii=False, indent=2))
        return
    with _registered():
        found = find_release(catalogue, release)
        shown = None if dimension is None else find_dimension(found, dimension)
    show_catalogue(catalogue, found, shown, lang)


def _check_chart(chart: Path | None, dimensions: int) -> None:
    """Refuse a chart that cannot be drawn before anything is asked."""
    if chart is None:
        return
    if chart.suffix not in (".png", ".svg"):
        raise click.UsageError("--chart must end in .png or .svg")
    if dimensions > AXES_MAX:
        raise click.UsageError(f"--chart shows at most {AXES_MAX} dimensions")
    if find_spec("matplotlib") is None:
        raise CommandRefused(
            "--chart needs the extra `statistics`: pip install 'insurance-data-broker[statistics]'"
        )


@contextmanager
def _registered() -> Iterator[None]:
    """Say what there is where a question names what there is not."""
    try:
        yield
    except NotRegistered as fault:
        raise CommandRefused(str(fault), REFUSED) from None
    except ValueError as fault:
        raise click.UsageError(str(fault)) from None


@contextmanager
def _interrupted(lang: Lang) -> Iterator[None]:
    """End quietly on Ctrl-C: whoever waited for a job has cancelled it by then."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(EXPORT["interrupted"].say(lang), err=True)
        raise SystemExit(CANCELLED) from None
