"""How a release is made: begun in PostgreSQL, read from the source, put together, looked at, frozen.

Needs the extra `statistics`: the command loads this module when it is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from broker.cli.output import CommandRefused
from broker.cli.progress import progress_bar
from broker.cli.session import Session
from broker.clock import system_clock
from broker.engines.kept_tables import kept_tables
from broker.engines.release_change import change_between
from broker.engines.release_freeze import (
    Freezing,
    ReleaseUnmade,
    Step,
    assemble,
    close,
    discard,
    find_made,
)
from broker.oauth.release_secrets import ReleaseSeal
from broker.statistics.agreed import asked_parameters
from broker.statistics.dimensions import registry_of
from broker.statistics.disclosure import strictest
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.periods import Quarter
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.revision import RevisionPolicy, check_change
from broker.storage.acts import Acts
from broker.storage.statistics_making import BegunRelease, PostgresReleaseMaking, ReleaseIsThere
from broker.storage.statistics_releases import load_release
from connectors.base import ConnectorError
from connectors.national_insurance.statistics_rows import InsuranceStatistics, StatisticsRun
from policies.load import SHIPPED, load_directory
from policies.model import PolicyError

IS_THERE = 3
"""Exit code: the quarter has a release already."""
POLICY = RevisionPolicy()


def made_release(
    session: Session, acts: Acts, quarter: Quarter, *, supersede: bool, is_shown: bool
) -> ReleaseManifest:
    """Make a release of a quarter, or go on with one that was begun, and return its manifest.

    is_shown: show progress even where nobody watches. Whatever is in the way ends the command with a plain
    message.
    """
    directory = Path(session.settings.statistics_directory)
    making = PostgresReleaseMaking(
        session.engine, ReleaseSeal(session.settings.key_encryption_key_file.reveal()), acts
    )
    try:
        with only_one(directory, quarter):
            check_known(directory, quarter, {one.release for one in making.list_all(quarter.code)})
            begun = making.begin(quarter, POLICY, supersede=supersede)
            return _frozen(session, directory, quarter, making, begun, is_shown)
    except ReleaseIsThere as fault:
        raise CommandRefused(str(fault), IS_THERE) from None
    except StatisticsRefused as refused:
        raise CommandRefused(f"{refused.reason}: {refused.detail}") from None
    except (ConnectorError, PolicyError, ReleaseUnmade) as fault:
        raise CommandRefused(str(fault)) from None
    except OSError as fault:
        raise CommandRefused(f"the disk of {directory} does not answer: {fault.strerror}") from None


@contextmanager
def only_one(directory: Path, quarter: Quarter) -> Iterator[None]:
    """Let one process alone make releases of a quarter on this machine."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / f".{quarter.code}.lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise CommandRefused(f"a release of {quarter.code} is being made by another process") from None
        yield


def check_known(directory: Path, quarter: Quarter, known: Set[str]) -> None:
    """Refuse to make a release where one lies that the database has forgotten, as after a restore.

    Its tables may be out: under a new secret the same persons would have a second noise in tables of the same
    release, and its cap would begin anew. Raises ReleaseUnmade.
    """
    there = sorted(path.name for path in directory.glob(f"{quarter.code}.*") if path.is_dir())
    for release in there:
        if release not in known:
            raise ReleaseUnmade(
                f"{directory / release} lies there, and the database knows of no such release: was it "
                "restored to an earlier state? Tables that it does not know of may be out"
            )


def _frozen(
    session: Session,
    directory: Path,
    quarter: Quarter,
    making: PostgresReleaseMaking,
    begun: BegunRelease,
    is_shown: bool,
) -> ReleaseManifest:
    freezing = _freezing(session, directory, quarter, begun)
    if not begun.is_resumed:
        # Parts that lie there are of a release of which the database has forgotten the secrets.
        discard(freezing)
    manifest = find_made(freezing)
    if manifest is None:
        manifest = _assembled(session, freezing, is_shown)
        _check_revision(making, freezing, manifest)
        close(freezing)
    discard(freezing)
    making.freeze(begun.release, manifest_hash(manifest_bytes(manifest)), manifest.frozen_at)
    return manifest


def _freezing(session: Session, directory: Path, quarter: Quarter, begun: BegunRelease) -> Freezing:
    policies = load_directory(Path(session.settings.policy_directory or SHIPPED))
    parameters = strictest(asked_parameters(policies.agreements))
    return Freezing(
        directory=directory,
        quarter=quarter,
        registry=registry_of(quarter, begun.revision),
        revision=begun.revision,
        supersedes=begun.supersedes,
        secret_persons=begun.secret_persons,
        parameters=parameters,
        perturbation=kept_tables(parameters, directory / "perturbation"),
    )


def _assembled(session: Session, freezing: Freezing, is_shown: bool) -> ReleaseManifest:
    with (
        closing(InsuranceStatistics(session.settings.source_url)) as source,
        source.open_run() as run,
        _bars(run, freezing, is_shown) as on_step,
    ):
        return assemble(replace(freezing, on_step=on_step), run, system_clock())


@contextmanager
def _bars(run: StatisticsRun, freezing: Freezing, is_shown: bool) -> Iterator[Callable[[Step, int], None]]:
    """Yield what is told how far it is, with a bar for each step where somebody watches."""
    registry = freezing.registry
    places = len(registry.dimension("period").leaves) * len(registry.dimension("province").leaves)
    totals = {"read": (run.count_persons(), "persons read"), "sort": (places, "months and provinces sorted")}
    with ExitStack() as bars:
        begun: dict[str, Callable[[int], None]] = {}

        def on_step(step: Step, done: int) -> None:
            if step not in begun:
                bars.close()
                begun[step] = bars.enter_context(progress_bar(*totals[step], is_shown))
            begun[step](done)

        yield on_step


def _check_revision(making: PostgresReleaseMaking, freezing: Freezing, manifest: ReleaseManifest) -> None:
    """Hold a further release against the former; what is refused is deleted, and begun anew the next time."""
    if not freezing.supersedes:
        return
    [former] = [one for one in making.list_all(manifest.period) if one.release == freezing.supersedes]
    home = freezing.directory / former.release
    known, _ = load_release(home, former.release, former.manifest_hash)
    try:
        change = change_between(
            (home, known), (freezing.partial, manifest), freezing.spool / "scratch", freezing.memory_mb
        )
        check_change(POLICY, change)
    except StatisticsRefused:
        discard(freezing)
        raise
