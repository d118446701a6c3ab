"""`broker statistics release load`: puts a release into the databases that count it."""

from __future__ import annotations

import click

from broker.cli.output import CommandRefused, refusals, show
from broker.cli.progress import progress_bar
from broker.cli.session import open_session
from broker.cli.statistics_release import directory_of
from broker.oauth.release_secrets import ReleaseSeal
from broker.setting_readers import read_engine

EMBEDDED = "duckdb"
_PARTS = 1000


@click.command(
    epilog="Exit codes: 0 loaded or there already, 1 failed or refused, 2 wrong usage, 4 no such release. "
    "Example: broker statistics release load 2026-q3.1 --engine postgresql://counting_owner@db/counting"
)
@click.argument("release")
@click.option(
    "--engine",
    "urls",
    metavar="URLS",
    help="Databases as in BROKER_STATISTICS_ENGINE, with a role that may create tables. Default: that.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def load_command(release: str, urls: str | None, as_json: bool, progress: bool) -> None:
    """Put RELEASE into the databases that count it: PostgreSQL gets a copy, Spark looks at the files.

    Several databases get the rows of a share of all persons each, in their order. One that has the release
    stays as it is; one that has something else under its name is refused. DuckDB needs no loading.
    """
    from broker.engines.sql_load import load_release
    from broker.statistics.reasons import StatisticsRefused
    from broker.storage.statistics_releases import PostgresReleaseShelf
    from connectors.base import SourceUnavailable

    with refusals(), open_session() as session:
        settings = session.settings
        chosen = _databases(urls or settings.statistics_engine)
        seal = ReleaseSeal(settings.key_encryption_key_file.reveal())
        found = PostgresReleaseShelf(session.engine, directory_of(session), seal).find_release(release)
        if found is None:
            raise CommandRefused(f"there is no frozen release {release}", 4)
        with progress_bar(_PARTS, "thousandths loaded", progress) as advance:
            try:
                filled = load_release(found, chosen, lambda share: advance(int(share * _PARTS)))
            except StatisticsRefused as fault:
                raise CommandRefused(f"{fault.reason}: {fault.detail}") from None
            except SourceUnavailable as fault:
                raise CommandRefused(f"{fault.kind}: {fault}") from None
        show([{"release": release, "databases": len(chosen), "loaded_now": filled}], as_json)


def _databases(text: str) -> list[str]:
    """Return URLs of databases; what is none is wrong usage, and is not repeated."""
    try:
        read = read_engine(text)
    except ValueError as fault:
        raise click.UsageError(f"--engine must be {fault}") from None
    if read == EMBEDDED:
        raise click.UsageError("duckdb reads the release where it lies: give --engine with URLs of databases")
    return read.split()
