"""`broker sequencer`: orders entries into the log, signs and publishes it, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from typing import Final

import click

from broker.actions.sequence_log import Round
from broker.cli.log_session import LogSession, open_log_session
from broker.cli.log_timestamps import with_timestamps
from broker.cli.log_witnesses import with_witnesses
from broker.cli.output import CommandRefused, refusals
from broker.cli.standing import json_line, plain_line, stopped_by_signals
from broker.clock import countdown, system_clock
from broker.errors import BrokerError, LogStopped
from broker.evidence.sequencing import MERGE_DELAY_SECONDS, Waiting

HEARTBEAT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5
"""From the beginning of a round to the next one's, when nothing more waits: an entry is published within a
second of being recorded, where no older transaction still runs."""


class Standing:
    """Rounds, one after the other. tell: called with each line, as members. stop: set from anywhere.

    waiting: says what stands in no signed tree.
    """

    def __init__(
        self,
        run: Callable[[], Round],
        waiting: Callable[[], Waiting],
        tell: Callable[[Mapping[str, object]], None],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._run = run
        self._waiting = waiting
        self._tell = tell
        self._pause_seconds = pause_seconds
        self._has_lease: bool | None = None
        self.stop = Event()

    def run(self) -> None:
        """Go on until stop is set; a store that does not answer is told and tried again.

        Raises LogStopped.
        """
        heart = countdown(0)
        while not self.stop.is_set():
            rest = countdown(self._pause_seconds)
            has_more = self._round()
            if self._has_lease and not heart():
                self._beat()
                heart = countdown(HEARTBEAT_SECONDS)
            if not has_more:
                self.stop.wait(rest())

    def run_once(self) -> bool:
        """Go on until nothing waits; return whether this process had the lease.

        Raises LogStopped, StoreUnavailable, SigningKeyUnavailable.
        """
        while not self.stop.is_set():
            done = self._told(self._run())
            if not done.has_lease:
                return False
            if not done.has_more:
                break
        return True

    def _round(self) -> bool:
        try:
            return self._told(self._run()).has_more
        except LogStopped:
            raise
        except BrokerError as fault:
            self._tell({"event": "round failed", "kind": fault.kind})
            return False

    def _told(self, done: Round) -> Round:
        if done.has_lease != self._has_lease:
            self._has_lease = done.has_lease
            self._tell({"event": "at work" if done.has_lease else "another sequencer is at work"})
        for one in done.strange:
            self._tell({"event": "no entry of its kind", "reference": one.reference, "reason": one.reason})
        if done.entries:
            self._tell({"event": "merged", "entries": done.entries, "checkpoints": done.checkpoints})
        return done

    def _beat(self) -> None:
        try:
            waiting = self._waiting()
        except BrokerError as fault:
            self._tell({"event": "heartbeat", "kind": fault.kind})
            return
        age = waiting.age_seconds(system_clock())
        late = {"alarm": "an entry waits too long"} if age > MERGE_DELAY_SECONDS else {}
        self._tell({"event": "heartbeat", "waiting": waiting.count, "oldest_seconds": int(age), **late})


@click.command()
@click.option("--once", is_flag=True, help="Order what waits now, then end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def sequencer_command(once: bool, as_json: bool) -> None:
    """Order entries of the evidence into the log, sign it, and publish its files.

    One is at work at a time; another one on another machine waits until it may. SIGTERM, SIGINT and SIGHUP
    end it after the round under way. Killed at any instant, it goes on from what lies there. Exit codes: 0
    ended as told, 1 failed or another one is at work (--once), 2 wrong usage, 5 nothing may be signed until
    somebody has looked: the sentence says at what.
    """
    tell = json_line if as_json else plain_line
    with (
        refusals(),
        open_log_session() as session,
        with_witnesses(session, tell) as witnessed,
        with_timestamps(session, witnessed, tell) as sequencer,
    ):
        standing = Standing(sequencer.run, lambda: waiting_in(session), tell)
        with stopped_by_signals(standing.stop):
            try:
                if once:
                    if not standing.run_once():
                        raise CommandRefused("another sequencer is at work")
                    return
                standing.run()
            except LogStopped as fault:
                tell({"event": "log stopped", "detail": fault.detail})
                raise
            tell({"event": "stopped"})


def waiting_in(session: LogSession) -> Waiting:
    """Return what stands in no signed tree of a log. Raises StoreUnavailable."""
    heads = session.heads.find(session.sequencer.host)
    return session.positions.waiting({head.year: head.checkpoint.tree_size for head in heads})
