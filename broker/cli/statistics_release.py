"""`broker statistics release`: freezes what tables are counted from, and says how releases stand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broker.cli.output import CommandRefused, refusals, show
from broker.cli.progress import progress_bar
from broker.cli.session import Session, open_session
from broker.oauth.release_secrets import ReleaseSeal
from broker.setting_readers import Secret
from broker.statistics.periods import Quarter, parse_quarter
from broker.statistics.reasons import StatisticsRefused
from broker.storage.statistics_making import PostgresReleaseMaking, ReleaseStanding

if TYPE_CHECKING:
    # What knows of tables needs the extra `statistics`; all other commands run without.
    from broker.statistics.manifest import ReleaseManifest

NOT_WHOLE = 5
"""Exit code: what lies on disk is not what was frozen."""


class QuarterType(click.ParamType[Quarter]):
    """A quarter of a year, as 2026-q3."""

    name = "quarter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Quarter:
        """Return the quarter; a text that names none is wrong usage."""
        try:
            return value if isinstance(value, Quarter) else parse_quarter(value)
        except StatisticsRefused as refused:
            self.fail(refused.detail, param, ctx)


@click.group()
def release_group() -> None:
    """Freeze releases, which tables are counted from, and look after them.

    A release is of one quarter: rows of all persons in numbers, without name and key, below
    BROKER_STATISTICS_DIRECTORY. It never changes. What was declared late comes into a second release of the
    quarter, which closes the first one for new tables.
    """


@release_group.command(
    "create",
    epilog="Exit codes: 0 frozen, 1 failed or refused, 2 wrong usage, 3 the quarter has a release. "
    "Example: broker statistics release create --period 2026-q3",
)
@click.option("--period", "quarter", type=QuarterType(), required=True, help="Quarter, such as 2026-q3.")
@click.option("--supersede", is_flag=True, help="Make a further release of a quarter that has one.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def create_command(quarter: Quarter, supersede: bool, as_json: bool, progress: bool) -> None:
    """Read all persons from the source and freeze a release of a quarter that is over.

    Reads BROKER_SOURCE_URL in one snapshot, by ranges of keys: let it be a replica. A run that was stopped is
    simply run again: it goes on with what it had read, unless the source was synchronised since. The release
    keeps the strictest disclosure control that any agreement asks for. A further release of a quarter
    (--supersede) has new secrets and is refused where too little or too much of the former changed, or where
    the quarter has three.
    """
    _check_extra()
    from broker.cli.statistics_release_make import made_release

    with refusals(), open_session() as session:
        directory_of(session)
        made = made_release(session, session.acts, quarter, supersede=supersede, is_shown=progress)
        show([_about(made)], as_json)


@release_group.command("list")
@click.option("--period", "quarter", type=QuarterType(), help="Only those of this quarter.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_command(quarter: Quarter | None, as_json: bool) -> None:
    """Say how releases stand, newest first: creating, frozen (open for new tables) or superseded.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    with refusals(), open_session() as session:
        show([_row(one) for one in looking(session).list_all(quarter.code if quarter else None)], as_json)


@release_group.command("show")
@click.argument("release")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show_command(release: str, as_json: bool) -> None:
    """Show what RELEASE has: dimensions, measures, noise, size. Its manifest is held against its hash.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 4 no such release.
    """
    _check_extra()
    from broker.storage.statistics_releases import load_release

    with refusals(), open_session() as session:
        standing = _frozen(session, release)
        manifest, _ = load_release(directory_of(session) / release, release, standing.manifest_hash)
        show([{**_row(standing), **_about(manifest)}], as_json)


@release_group.command("verify")
@click.argument("release")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--progress", is_flag=True, help="Show progress even where nobody watches.")
def verify_command(release: str, as_json: bool, progress: bool) -> None:
    """Read every file of RELEASE and hold it against what was frozen.

    The hash of the manifest is in the database and in the evidence; the manifest has those of all files. Exit
    codes: 0 all is as it was frozen, 1 failed, 2 wrong usage, 4 no such release, 5 something was changed, is
    missing, or lies there besides.
    """
    _check_extra()
    from broker.engines.release_verify import faults_of

    with refusals(), open_session() as session:
        standing = _frozen(session, release)
        home = directory_of(session) / release
        total = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        with progress_bar(total, "bytes read", progress) as advance:
            faults = list(faults_of(home, release, standing.manifest_hash, advance))
        show([{"release": release, "whole": not faults, "faults": faults}], as_json)
    if faults:
        raise CommandRefused(f"{release} is not as it was frozen: {faults[0]}", NOT_WHOLE)


def directory_of(session: Session) -> Path:
    """Return where releases lie; without the setting the command ends with a plain message."""
    if not session.settings.statistics_directory:
        raise click.ClickException("BROKER_STATISTICS_DIRECTORY is missing: the directory of releases")
    return Path(session.settings.statistics_directory)


def looking(session: Session) -> PostgresReleaseMaking:
    """Return what says how releases stand, and changes nothing."""
    return PostgresReleaseMaking(session.engine, _seal(session.settings.key_encryption_key_file))


def _check_extra() -> None:
    if any(find_spec(name) is None for name in ("duckdb", "numpy", "pyarrow")):
        raise click.ClickException(
            "releases need the extra `statistics`: pip install 'insurance-data-broker[statistics]'"
        )


def _seal(key: Secret) -> ReleaseSeal:
    return ReleaseSeal(key.reveal())


def _frozen(session: Session, release: str) -> ReleaseStanding:
    """Return a release that was frozen."""
    for one in looking(session).list_all():
        if one.release == release and one.state != "creating":
            return one
    raise CommandRefused(f"there is no frozen release {release[:40]!r}", 4)


def _row(one: ReleaseStanding) -> dict[str, Any]:
    return {
        "release": one.release,
        "state": one.state,
        "supersedes": one.supersedes or None,
        "created_at": one.created_at,
        "frozen_at": one.frozen_at,
        "manifest_hash": one.manifest_hash or None,
    }


def _about(manifest: ReleaseManifest) -> dict[str, Any]:
    counts, sums = manifest.parameters.counts, manifest.parameters.sums
    return {
        "release": manifest.release,
        "as_of": manifest.as_of,
        "persons": manifest.persons_count,
        "rows": manifest.rows_count,
        "files": len(manifest.files),
        "bytes": sum(one.bytes_count for one in manifest.files),
        "dimensions": [
            f"{one.name} ({', '.join(level.name for level in one.levels)})"
            for one in manifest.registry.dimensions
        ],
        "measures": list(manifest.registry.measures),
        "noise_of_counts": f"D={counts.bound} V={counts.variance} js={counts.barred}",
        "noise_of_sums": f"D={sums.bound} V={sums.variance} share={manifest.parameters.share_large}",
        "threshold": manifest.parameters.threshold,
        "tables": manifest.registry.limits.tables,
    }
