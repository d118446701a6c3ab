"""`broker synthesize`: fill an insurance database with a population in which nobody is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from broker.cli.progress import progress_bar
from broker.settings import companion
from connectors.national_insurance.cases import find_cases
from connectors.national_insurance.schema import grant_reader

if TYPE_CHECKING:
    from connectors.national_insurance.synthetic import Manifest

OWNER_VARIABLE = "BROKER_SOURCE_OWNER_URL"


class _NotEmpty(click.ClickException):
    """Nothing was done: the tables already hold rows."""

    exit_code = 3


@click.command(
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the tables already hold rows. "
    'Example: broker synthesize --persons 100000 --dsn "postgresql://owner@/insurance?host=/run/postgresql"'
)
@click.option(
    "--persons", type=click.IntRange(1, 100_000_000), required=True, help="How many persons to make."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same rows.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Day the population is true for [2026-11-01]."
)
@click.option("--dsn", help=f"URL of the insurance database, as its owner [{OWNER_VARIABLE}].")
@click.option("--reader", help="PostgreSQL role that may read the tables from then on.")
@click.option("--replace", is_flag=True, help="Empty the tables first; without it rows are never touched.")
@click.option(
    "--manifest", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the manifest."
)
@click.option(
    "--examples", type=click.Path(dir_okay=False, path_type=Path), help="Where to write example cases."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def synthesize_command(
    persons: int,
    seed: int,
    as_of: datetime | None,
    dsn: str | None,
    reader: str | None,
    replace: bool,
    manifest: Path | None,
    examples: Path | None,
    as_json: bool,
    progress: bool,
) -> None:
    """Make a synthetic population and write it into an insurance database, all of it or nothing."""
    url = dsn or companion(OWNER_VARIABLE)
    if not url:
        raise click.UsageError(f"say --dsn, or set {OWNER_VARIABLE}")
    try:
        from connectors.national_insurance import synthetic
    except ModuleNotFoundError:
        raise click.ClickException(
            "NumPy is missing: install the broker with the extra `synthetic`"
        ) from None
    wanted = synthetic.Manifest(persons, seed, as_of.date() if as_of else synthetic.DEFAULT_AS_OF)
    with _failures():
        seconds = _load(url, wanted, replace, progress)
        if reader:
            _grant(url, reader)
        if examples:
            _write_examples(url, examples)
    if manifest:
        _write(manifest, wanted.as_dict())
    _report(wanted, seconds, as_json)


def _load(url: str, wanted: Manifest, replace: bool, progress: bool) -> float:
    """Load the population, complete its manifest, and return the seconds that it took, COPY included."""
    from connectors.national_insurance.synthetic_load import TablesNotEmpty, load_population

    started = perf_counter()
    with progress_bar(wanted.persons, "persons", progress) as advance:
        try:
            load_population(url, wanted, replace=replace, on_progress=advance)
        except TablesNotEmpty as fault:
            raise _NotEmpty(str(fault)) from None
    return perf_counter() - started


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what databases raise into one plain line; their own texts may quote rows."""
    try:
        yield
    except psycopg.Error as fault:
        raise click.ClickException(
            f"the database refused: {type(fault).__name__} {fault.sqlstate or ''}"
        ) from None
    except SQLAlchemyError as fault:
        origin = getattr(fault, "orig", None)
        raise click.ClickException(f"the database refused: {type(origin or fault).__name__}") from None
    except ValueError as fault:
        raise click.UsageError(str(fault)) from None


def _grant(url: str, reader: str) -> None:
    engine = create_engine(url)
    try:
        grant_reader(engine, reader)
    finally:
        engine.dispose()


def _write_examples(url: str, path: Path) -> None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = find_cases(connection, per_case=3)
    finally:
        engine.dispose()
    _write(path, {name: [asdict(person) for person in persons] for name, persons in found.items()})


def _write(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _report(wanted: Manifest, seconds: float, as_json: bool) -> None:
    rate = int(wanted.persons / seconds)
    if as_json:
        measured = {"seconds": round(seconds, 3), "persons_per_second": rate}
        click.echo(json.dumps({**wanted.as_dict(), **measured}, ensure_ascii=False, indent=2))
        return
    rows = sum(wanted.tables.values())
    click.echo(f"{wanted.persons:,} persons, {rows:,} rows in {seconds:.1f} s: {rate:,} persons/s")
    click.echo(f"sha256 {wanted.sha256}")
