"""Before the demo's first scene: database, population, hospital, server; and all of it undone at the end."""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from broker.app import load_policies
from broker.cli.caller import Caller, ClientKey
from broker.cli.demo_borrowing import Borrowing
from broker.cli.demo_browser import Browser
from broker.cli.demo_cast import ADULT, Cast, Staff, invented_personal_id
from broker.cli.demo_desk import Desk
from broker.cli.demo_lender import lender, open_account, redirect_uri
from broker.cli.demo_log import DemoLog, ordered_log
from broker.cli.demo_ministry import COUNTING, Ministry
from broker.cli.demo_play import Play
from broker.cli.demo_release import RELEASES, freeze_release, worker_command
from broker.cli.demo_server import (
    HOST,
    WORKER_PID_FILE,
    check_port,
    end_leftover,
    running,
    running_server,
)
from broker.cli.demo_stage import AGREEMENT, BANK, HOSPITAL, MINISTRY, Stage, populate
from broker.cli.demo_steps import Lang
from broker.cli.demo_words import FAULTS, START
from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from broker.cli.maintain import sweep
from broker.cli.prepare import prepare
from broker.cli.serve import server_command, with_metrics
from broker.cli.session import COMMAND_SECONDS, Session, embedded_environment, settings_of
from broker.cli.statistics_door import SCOPE, StatisticsDoor
from broker.clock import system_clock
from broker.oauth.scopes import REQUEST_CONSENT, REVOKE_GRANTS
from broker.oauth.stored_keys import generate_private_key
from broker.settings import Settings
from broker.storage.session import open_store
from connectors.national_insurance.cases import SyntheticPerson
from policies.catalogue import Catalogue
from policies.civil_time import VIET_NAM, civil_date


@dataclass(frozen=True, slots=True)
class Options:
    """directory: for databases, keys and files. command: how this program is called, for lines to paste.

    persons: how many to make where there are none.
    """

    directory: Path
    command: str
    port: int
    persons: int
    lang: Lang


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything runs: the play can begin. key_file: the hospital's private key. log: of the server."""

    play: Play
    server: subprocess.Popen[bytes]
    issuer: str
    key_file: Path
    log: Path
    catalogue: Catalogue
    ordered: DemoLog


@contextmanager
def opened(options: Options, console: Console, say: Callable[..., None]) -> Iterator[Opened]:
    """Start PostgreSQL and the server, register the hospital, and stop all of it at the end.

    say(name, **values): tells the audience one of the sentences of START. Raises click.ClickException,
    BrokerError, RevisionNotNewer, AlreadyRegistered, CaseMissing, OSError, psycopg and SQLAlchemy errors.
    """
    issuer = f"http://{HOST}:{options.port}"
    own = {
        "BROKER_ISSUER": issuer,
        "BROKER_BIND": f"{HOST}:{options.port}",
        # A sequencer runs beside the story: what needs a log may need it here too.
        "BROKER_LOG_REQUIRED": "yes",
        "BROKER_STATISTICS_DIRECTORY": str(options.directory.resolve() / RELEASES),
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    with ExitStack() as stack:
        stack.enter_context(_alone_in(options))
        end_leftover(options.directory)
        check_port(options.port, options.command, options.lang)
        cluster = stack.enter_context(embedded_cluster(options.directory))
        environ = embedded_environment(cluster, options.directory.resolve(), {**others, **own})
        settings = settings_of(environ)
        prepare(cluster.owner_url, settings)
        say("database", directory=options.directory)
        candidates = _population(cluster, options, console, say)
        stage, catalogue = _stage(stack, cluster, settings)
        ordered = stack.enter_context(ordered_log(cluster, settings, stage.store, options.directory))
        metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="broker-metrics-"))
        log = options.directory / "server.log"
        command = server_command(settings, "gunicorn")
        server = stack.enter_context(
            running_server(command, with_metrics(environ, Path(metrics)), options.port, log, options.lang)
        )
        stack.enter_context(_working(stage, environ, options, say))
        stack.callback(stage.turn_source_on)
        play, key_file = _play(stage, candidates, options, issuer, say)
        stack.callback(play.close)
        yield Opened(play, server, issuer, key_file, log, catalogue, ordered)


@contextmanager
def _working(
    stage: Stage, environ: Mapping[str, str], options: Options, say: Callable[..., None]
) -> Iterator[None]:
    """Freeze a statistical release, and let a worker answer who asks of it."""
    freeze_release(Session(stage.settings, stage.store), say)
    log, pid_file = options.directory / "worker.log", options.directory / WORKER_PID_FILE
    with running(worker_command(), environ, log, pid_file):
        yield


@contextmanager
def _alone_in(options: Options) -> Iterator[None]:
    """Keep a second demo out of the directory. Raises click.ClickException."""
    options.directory.mkdir(parents=True, exist_ok=True)
    with (options.directory / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = FAULTS["busy"].say(options.lang).format(directory=options.directory)
            raise click.ClickException(text) from None
        yield


def _population(
    cluster: EmbeddedCluster, options: Options, console: Console, say: Callable[..., None]
) -> dict[str, list[SyntheticPerson]]:
    today = civil_date(system_clock())
    columns = (
        TextColumn("{task.completed:,.0f} / {task.total:,.0f} {task.description}"),
        BarColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(START["populating"].say(options.lang), total=options.persons)

    def advance(persons: int) -> None:
        bar.start()
        bar.update(task, completed=persons)

    try:
        candidates, is_made = populate(cluster, options.persons, today, advance)
    finally:
        if bar.live.is_started:
            bar.stop()
    say("made" if is_made else "kept", day=today)
    return candidates


def _stage(stack: ExitStack, cluster: EmbeddedCluster, settings: Settings) -> tuple[Stage, Catalogue]:
    policy_set = load_policies(settings)
    agreement = policy_set.find_agreement(AGREEMENT)
    if agreement is None:
        raise click.ClickException(f"there is no agreement {AGREEMENT}")
    store = open_store(settings.database_url, deadline_seconds=COMMAND_SECONDS)
    stack.callback(store.close)
    stage = Stage(cluster, settings, store, agreement)
    stage.end_earlier_runs()
    sweep(Session(settings, store))
    return stage, policy_set.catalogue


def _play(
    stage: Stage,
    candidates: dict[str, list[SyntheticPerson]],
    options: Options,
    issuer: str,
    say: Callable[..., None],
) -> tuple[Play, Path]:
    """Register hospital, bank and staff for this run alone: no counter of an earlier run is theirs."""
    now = system_clock()
    run = f"{now.astimezone(VIET_NAM):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    desks: list[Desk] = []
    for organisation, name in ((HOSPITAL, "hospital"), (BANK, "bank")):
        client_id = f"{organisation.organisation_id}-{run}"
        key = ClientKey.read(
            stage.register_client(organisation, client_id, options.directory / f"{name}.jwk")
        )
        desks.append(Desk(Caller(issuer, client_id, key, "verify_entitlement"), options.lang))
    staff = Staff("Nguyễn Thị Tiếp Đón", invented_personal_id())
    stage.register_staff(staff, f"PC-{run}")
    organisation_name = HOSPITAL.name_vi if options.lang == "vi" else HOSPITAL.name_en
    say("hospital", organisation=organisation_name, client=desks[0].caller.client_id)
    asked = stage.asked_counts(person for persons in candidates.values() for person in persons)
    cast = Cast(candidates, asked, civil_date(now), staff, run)
    stranger = generate_private_key("ES256")
    thief = ClientKey(stranger, "ES256", stranger.thumbprint())
    borrowing = _borrowing(stage, cast, options, issuer)
    ministry = _ministry(stage, run, options, issuer)
    play = Play(stage, cast, desks[0], desks[1], thief, borrowing, ministry)
    return play, options.directory / "hospital.jwk"


def _ministry(stage: Stage, run: str, options: Options, issuer: str) -> Ministry:
    """Register the ministry's program, which asks for tables and for nothing else."""
    client_id, key_file = f"demo-ministry-{run}", options.directory / "ministry.jwk"
    key = ClientKey.read(stage.register_client(MINISTRY, client_id, key_file, COUNTING))
    caller = Caller(issuer, client_id, key, SCOPE)
    return Ministry(stage, StatisticsDoor(caller, options.lang), options.directory)


def _borrowing(stage: Stage, cast: Cast, options: Options, issuer: str) -> Borrowing:
    """Register the bank's program for lending, and open an account for whoever wants a loan."""
    client_id, key_file = f"demo-lender-{cast.run}", options.directory / "lender.jwk"
    role = lender(redirect_uri(options.port))
    key = ClientKey.read(stage.register_client(BANK, client_id, key_file, role))
    borrower = open_account(stage, cast.person("borrower", ADULT).personal_id)
    caller = Caller(issuer, client_id, key, f"{REVOKE_GRANTS} {REQUEST_CONSENT}")
    return Borrowing(caller, borrower, Browser(issuer), redirect_uri(options.port))
