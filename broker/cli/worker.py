"""`broker worker`: tells recipients and does what time brings about, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Final

import click

from broker.app import load_policies, new_salt
from broker.cli.outbox_job import BATCH, OutboxJob
from broker.cli.session import Session, open_session
from broker.cli.standing import json_line, plain_line, stopped_by_signals
from broker.cli.statistics_standing import Tell, exports_backlog, exports_job
from broker.clock import Clock, countdown, system_clock
from broker.consent_wiring import ConsentWiring, source_people
from broker.errors import BrokerError
from broker.keys import KeyRing
from broker.storage.outbox import PostgresOutbox
from broker.storage.signing_keys import PostgresSigningKeys
from connectors.national_insurance.source import InsuranceSource
from connectors.notify import EventPusher

if TYPE_CHECKING:
    from broker.cli.statistics_worker import ExportsJob

HEARTBEAT_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something that comes round again. run: does one round and returns counts in its own words.

    has_more: whether counts say that the next round is due at once. end: lets go of what is in hand from one
    round to the next, when the worker ends.
    """

    name: str
    every_seconds: float
    run: Callable[[], Mapping[str, int]]
    has_more: Callable[[Mapping[str, int]], bool]
    end: Callable[[], None] = lambda: None


def standing_jobs(
    session: Session, clock: Clock = system_clock, tell: Tell = lambda _line: None
) -> Sequence[Job]:
    """Return the jobs of every worker. tell: called with lines of their own, as members."""
    settings = session.settings
    ring = KeyRing(PostgresSigningKeys(session.engine), settings.key_encryption_key_file.reveal(), clock)
    pusher = EventPusher(
        authorities=settings.client_keys_ca_file, private_hosts=settings.client_keys_private_hosts
    )
    outbox = OutboxJob(
        PostgresOutbox(session.engine), ring.sign_security_event, pusher, settings.issuer, clock
    )
    policies = load_policies(settings)
    source = InsuranceSource(settings.source_url, settings.source_deadline_seconds, concurrency=1)
    people = source_people(settings, session.store, source)
    consents = ConsentWiring(settings, session.store, ring, policies, people, new_salt)
    exports = exports_job(session, policies, clock, tell)
    return [
        Job("outbox", 1.0, outbox.run, lambda counts: counts["taken"] == BATCH),
        settling_job(consents.verbs().settle_due, clock),
        ending_job(consents.ends().run, clock),
        *([] if exports is None else [answering_job(exports)]),
    ]


def answering_job(exports: ExportsJob) -> Job:
    """Return the job that answers statistical exports: while one is in hand, each round looks after it."""
    return Job("statistics", 1.0, exports.run, lambda counts: exports.is_busy or bool(counts), exports.end)


def settling_job(settle_due: Callable[[datetime], int], clock: Clock) -> Job:
    """Return the job that settles consents whose time has come, until a round settles none.

    settle_due: settles some that are due at an instant and returns how many.
    """
    return Job(
        "consents", 30.0, lambda: {"settled": settle_due(clock())}, lambda counts: bool(counts["settled"])
    )


def ending_job(run: Callable[[datetime], Mapping[str, int]], clock: Clock) -> Job:
    """Return the job that ends consents whose uses are used up or whose agreement has ended, until none is.

    run: ends some at an instant and returns how many, by kind.
    """
    return Job("ends", 30.0, lambda: run(clock()), lambda counts: any(counts.values()))


class Worker:
    """Runs jobs one after the other in one thread. tell: called with each line, as members.

    stop: set from anywhere, it ends run() after the round under way.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        tell: Callable[[Mapping[str, object]], None],
        backlog: Callable[[], Mapping[str, int]],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._tell = tell
        self._backlog = backlog
        self._heartbeat_seconds = heartbeat_seconds
        self.stop = Event()

    def run(self) -> None:
        """Run every job whenever it is due, until stop is set; a failed round is told and tried again."""
        left = {job.name: countdown(0) for job in self._jobs}
        heart = countdown(0)
        try:
            while not self.stop.is_set():
                if not heart():
                    self._beat()
                    heart = countdown(self._heartbeat_seconds)
                for job in self._jobs:
                    if not left[job.name]() and not self.stop.is_set():
                        has_more = self._round(job)
                        left[job.name] = countdown(0 if has_more else job.every_seconds)
                self.stop.wait(min(LONGEST_PAUSE_SECONDS, heart(), *(wait() for wait in left.values())))
        finally:
            self._end()

    def run_once(self) -> bool:
        """Run every job until nothing more is due; return whether no round failed."""
        failed = False
        for job in self._jobs:
            try:
                while not self.stop.is_set() and job.has_more(self._done(job)):
                    pass
            except BrokerError as fault:
                self._tell({"event": "job failed", "job": job.name, "kind": fault.kind})
                failed = True
            finally:
                job.end()
        return not failed

    def _end(self) -> None:
        for job in self._jobs:
            job.end()

    def _round(self, job: Job) -> bool:
        try:
            return job.has_more(self._done(job))
        except BrokerError as fault:
            self._tell({"event": "job failed", "job": job.name, "kind": fault.kind})
            return False

    def _done(self, job: Job) -> Mapping[str, int]:
        counts = job.run()
        if any(counts.values()):
            self._tell({"event": "job done", "job": job.name, **counts})
        return counts

    def _beat(self) -> None:
        try:
            self._tell({"event": "heartbeat", **self._backlog()})
        except BrokerError as fault:
            self._tell({"event": "heartbeat", "kind": fault.kind})


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, then end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def worker_command(once: bool, as_json: bool) -> None:
    """Tell recipients what became of consents, settle consents, and answer statistical exports.

    Any number of workers may run, on any machine. SIGTERM and SIGINT end it after the round under way, a few
    seconds, and SIGHUP too: whoever runs it starts it anew, with the policies of then. What a killed worker
    had in hand is taken up again by another within a minute.
    """
    with open_session() as session:
        outbox = PostgresOutbox(session.engine)
        tell = json_line if as_json else plain_line
        jobs = standing_jobs(session, tell=tell)
        worker = Worker(
            jobs,
            tell,
            lambda: {**outbox.backlog(system_clock()), **exports_backlog(session, system_clock)},
        )
        with stopped_by_signals(worker.stop):
            if once:
                if not worker.run_once():
                    raise click.ClickException("a job failed")
                return
            worker.run()
            tell({"event": "stopped"})
