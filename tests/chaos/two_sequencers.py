"""Two sequencers at once, and one that slept while another had its lease: one history, and one that signs."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any, Final

import psycopg

from broker.cli.output import LOG_STOPPED
from tests.chaos.log_stage import LogPlace, LogStage, log_stage
from tests.chaos.processes import Spawned
from tests.chaos.report import Fault
from tests.doors import wait_until

ENTRIES: Final = 300
ENDS_AT: Final = frozenset({"states compared", "positions committed", "read again", "signed"})
"""Whoever slept here comes to give positions, or to swap, what another one has meanwhile: fatal. Who slept
amid its files may find that narrower ones were deleted, and tries again, without the lease.
"""
SLEEPS: Final = (
    "signed",
    "checkpoint beside its place",
    "states compared",
    "positions not committed",
    "positions committed",
    "all files in place",
    "head not committed",
    "head swapped",
)
QUICK: Final = 2
"""So many of these; the others take their 15 s where a transaction is open."""


def run(fault: Fault, place: LogPlace, *, quick: bool) -> None:
    _at_once(fault, place)
    for step in SLEEPS[:QUICK] if quick else SLEEPS:
        _asleep(fault, place, step)


def _merged(one: Spawned) -> int:
    return sum(int(line["entries"]) for line in one.events() if line.get("event") == "merged")


def _at_once(fault: Fault, place: LogPlace) -> None:
    with log_stage(place) as stage:
        first = stage.sequencer()
        first.wait_event("at work")
        second = stage.sequencer()
        second.wait_event("another sequencer is at work")
        for _ in range(3):
            stage.record(ENTRIES)
            stage.settled(first)
        wait_until(lambda: _merged(first) == 3 * ENTRIES, "the first has told so")
        fault.note(merged_by_the_first=_merged(first), merged_by_the_other_beside_it=_merged(second))
        fault.expect(_merged(second) == 0, "both were at work")
        first.kill()
        second.wait_event("at work")
        stage.record(ENTRIES)
        stage.settled(second)
        fault.note(merged_by_the_other_afterwards=_merged(second))
        second.end()
        stage.judge(fault)


def _asleep(fault: Fault, place: LogPlace, step: str) -> None:
    """Stop one at a step, take its lease away, let another do all of it and more, and wake the first."""
    with log_stage(place) as stage:
        stage.record(40)
        stage.settled()
        stage.record(ENTRIES)
        sleeper = stage.sequencer(at=step, act="stop")
        wait_until(lambda: sleeper.is_stopped, f"it sleeps at {step!r}")
        _take_the_lease(place)
        other = stage.sequencer()
        stage.settled(other)
        stage.record(ENTRIES)
        stage.settled(other)
        os.kill(sleeper.pid, signal.SIGCONT)
        outcome = _outcome(stage, sleeper)
        outcomes = Counter(fault.counts.get("sleepers", {}))
        outcomes[outcome] += 1
        fault.note(sleepers=dict(outcomes))
        fault.say(f"slept at {step!r}: {outcome}")
        if step in ENDS_AT:
            fault.expect(outcome == "ended with code 5", f"at {step!r}: {outcome}: {sleeper.said[-500:]}")
        fault.expect(_merged(sleeper) == 0 or step not in ENDS_AT, f"at {step!r} the sleeper merged too")
        again = stage.sequencer()
        again.wait_event("another sequencer is at work")
        stage.record(10)
        stage.settled(other)
        other.end()
        stage.record(10)
        if outcome == "waits":
            sleeper.end()
        stage.settled(again)
        again.end()
        stage.judge(fault)


def _outcome(stage: LogStage, sleeper: Spawned) -> str:
    def is_decided() -> bool:
        return not sleeper.is_alive or sleeper.has_said("another sequencer is at work")

    wait_until(is_decided, "the sleeper knows what happened", 120)
    if sleeper.is_alive:
        return "waits"
    code = sleeper.wait()
    told = sleeper.has_said("log stopped")
    return f"ended with code {code}" if code != LOG_STOPPED or told else "ended without a sentence"


def _take_the_lease(place: LogPlace) -> None:
    """End the sleeper's connection to the head store, as a server does when a machine is gone."""
    with place.administrator() as administrator:
        pids = _leases(administrator)
        for pid in pids:
            administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: not _leases(administrator) & pids, "the lease is free")


def _leases(administrator: psycopg.Connection[Any]) -> set[int]:
    rows = administrator.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'broker-lease'"
    ).fetchall()
    return {int(row[0]) for row in rows}
