"""`broker worker` as a process: it tells, ends when told to, and loses nothing when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import broker.cli.outbox
import broker.cli.serve
from broker.cli.serve import WORKER, run_server
from broker.consent.writing import QueuedNotice
from connectors.notify import EventPusher
from tests.doors import wait_until
from tests.key_host import Authority, key_host
from tests.oauth_world import Database, World
from tests.outbox_world import ACCEPTED, OutboxWorld
from tests.worker_machine import Machine


@pytest.fixture
def told(database: Database) -> OutboxWorld:
    """Notices to tell, at the instant that it is for other processes too."""
    world = World(database)
    world.clock.at = datetime.now(UTC)
    return OutboxWorld(world)


@pytest.fixture
def machine(tmp_path: Path, database: Database) -> Iterator[Machine]:
    authority = Authority()
    with key_host(authority.context(tmp_path, "localhost"), "localhost") as host:
        host.answer = ACCEPTED
        yield Machine(tmp_path, database, host, authority)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, _ = process.communicate(timeout=120)
    return [json.loads(line) for line in output.splitlines()]


class TestAsAProcess:
    def test_once_it_tells_what_waits_and_ends(
        self, told: OutboxWorld, machine: Machine, opened: ExitStack
    ) -> None:
        told.recipient("bank-a", machine.url)
        notice = told.queue("bank-a")
        process = machine.start(opened, "--once")
        [line] = lines(process)
        assert process.returncode == 0
        assert {**line, "at": ""} == {
            "at": "", "event": "job done", "job": "outbox", "taken": 1, "delivered": 1,
        }  # fmt: skip
        assert machine.pushed() == [notice.message_id]
        assert told.row(notice)["delivered_at"] is not None

    def test_two_processes_at_once_send_every_notice_once(
        self, told: OutboxWorld, machine: Machine, opened: ExitStack
    ) -> None:
        queued = []
        for number in range(4):
            client_id = f"bank-{number}"
            told.recipient(client_id, machine.url)
            consent = told.consent(client_id)
            queued += [told.queue(client_id, consent=consent).message_id for _ in range(10)]
        processes = [machine.start(opened) for _ in range(2)]
        wait_until(lambda: len(set(machine.pushed())) == len(queued), "all were told")
        for process in processes:
            process.send_signal(signal.SIGTERM)
        done = [line for process in processes for line in lines(process)]
        assert Counter(machine.pushed()) == Counter(queued)
        assert sum(line.get("delivered", 0) for line in done) == len(queued)

    def test_killed_in_the_middle_it_loses_nothing(
        self, told: OutboxWorld, machine: Machine, opened: ExitStack
    ) -> None:
        told.recipient("bank-a", machine.url)
        notice = told.queue("bank-a")
        let_go = Event()
        opened.callback(let_go.set)
        machine.host.answer = lambda request: ACCEPTED(request) if let_go.wait(60) else None
        process = machine.start(opened)
        wait_until(lambda: bool(machine.host.posted), "a push is under way")
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        row = told.row(notice)
        assert (row["delivered_at"], row["try_count"]) == (None, 1)
        let_go.set()
        job = told.job(EventPusher(authorities=machine.authority.pem, private_hosts=["localhost"]))
        clock = told.world.clock
        clock.at = row["next_try_at"]
        clock.move(-1)
        assert job.run() == {"taken": 0}, "within its lease nobody else sends it"
        clock.move(1)
        assert job.run() == {"taken": 1, "delivered": 1}
        assert machine.pushed() == [notice.message_id] * 2

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_signal_lets_the_push_under_way_end(
        self, told: OutboxWorld, machine: Machine, opened: ExitStack, number: signal.Signals
    ) -> None:
        told.recipient("bank-a", machine.url)
        notice = told.queue("bank-a")
        let_go = Event()
        opened.callback(let_go.set)

        def answer(request: BaseHTTPRequestHandler) -> None:
            let_go.wait(60)
            ACCEPTED(request)

        machine.host.answer = answer
        process = machine.start(opened)
        wait_until(lambda: bool(machine.host.posted), "a push is under way")
        process.send_signal(number)
        time.sleep(0.5)  # as long as one who does not wait for the push needs to end
        assert process.poll() is None
        let_go.set()
        told_lines = lines(process)
        assert process.returncode == 0
        assert [line["event"] for line in told_lines] == ["heartbeat", "job done", "stopped"]
        assert told_lines[0]["waiting"] == 1
        assert told.row(notice)["delivered_at"] is not None

    def test_without_a_store_once_fails_and_says_so(self, machine: Machine, opened: ExitStack) -> None:
        machine.environ["BROKER_DATABASE_URL"] = "postgresql://broker_app@127.0.0.1:9/broker"
        process = machine.start(opened, "--once")
        told_lines = lines(process)
        assert process.returncode == 1
        failed = {"at": "", "event": "job failed", "kind": "store_unavailable"}
        expected = [{**failed, "job": job} for job in ("outbox", "consents", "ends")]
        assert [{**line, "at": ""} for line in told_lines] == expected

    def test_beside_a_server_it_tells_and_ends_with_the_server(
        self, told: OutboxWorld, machine: Machine, capfd: pytest.CaptureFixture[str]
    ) -> None:
        told.recipient("bank-a", machine.url)
        notice = told.queue("bank-a")
        run_beside_a_server(machine, lambda: wait_until_told(told, notice))
        told_lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert told_lines[-1]["event"] == "stopped"
        assert machine.pushed() == [notice.message_id]

    def test_a_reload_of_the_server_starts_the_worker_anew(
        self,
        told: OutboxWorld,
        machine: Machine,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        told.recipient("bank-a", machine.url)
        notices, started = [told.queue("bank-a")], []
        start = broker.cli.serve._started

        def counted(*arguments: Any) -> subprocess.Popen[bytes]:
            started.append(start(*arguments))
            return started[-1]

        monkeypatch.setattr(broker.cli.serve, "_started", counted)
        monkeypatch.setattr(broker.cli.serve, "LOOK_SECONDS", 0.1)

        def reload_and_tell_more() -> None:
            wait_until_told(told, notices[0])
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: len(started) == 2, "another worker was started")
            notices.append(told.queue("bank-a"))
            wait_until_told(told, notices[1])

        run_beside_a_server(machine, reload_and_tell_more)
        assert [process.returncode for process in started] == [0, 0]
        told_lines = [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()]
        assert told_lines == ["heartbeat", "job done", "stopped"] * 2
        assert machine.pushed() == [notice.message_id for notice in notices]


def wait_until_told(told: OutboxWorld, notice: QueuedNotice) -> None:
    wait_until(lambda: told.row(notice)["delivered_at"] is not None, "the recipient was told")


def run_beside_a_server(machine: Machine, watch: Callable[[], None]) -> None:
    """Run a server that knows no signal, with a worker beside it, and end it when watch returns."""
    ended = machine.directory / "ended"
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"while not os.path.exists({str(ended)!r}): time.sleep(0.1)\n"
        "sys.exit(7)"
    )
    faults: list[BaseException] = []

    def end_afterwards() -> None:
        try:
            watch()
        except BaseException as fault:
            faults.append(fault)
        ended.touch()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    thread = Thread(target=end_afterwards)
    thread.start()
    try:
        assert run_server([sys.executable, "-c", script], machine.environ, (WORKER,)) == 7
    finally:
        ended.touch()
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert faults == []
