"""`broker worker` as a process: it tells, ends when told to, and loses nothing when it is killed."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

import broker.cli.outbox
import broker.cli.serve
from broker.cli import main
from broker.cli.serve import WORKER, run_server
from broker.cli.session import Session
from broker.cli.worker import Job, Worker, ending_job, settling_job
from broker.consent.writing import QueuedNotice
from broker.errors import StoreUnavailable
from broker.storage.event_polls import PostgresEventPolls
from broker.storage.outbox import LEASE
from connectors.notify import PUSH_SECONDS, EventPusher
from tests.doors import wait_until
from tests.key_host import Authority, KeyHost, key_host
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY, Database, World
from tests.outbox_world import ACCEPTED, OutboxWorld, refusing


@pytest.fixture
def told(database: Database) -> OutboxWorld:
    return OutboxWorld(World(database))


class Machine:
    """A machine of the broker that runs workers, and a recipient's host that it can reach."""

    def __init__(self, directory: Path, database: Database, host: KeyHost, authority: Authority) -> None:
        self.directory = directory
        self.host = host
        self.url = f"https://localhost:{host.port}/events"
        self.authority = authority
        others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
        self.environ = {
            **others,
            "BROKER_ISSUER": "https://broker.example",
            "BROKER_DATABASE_URL": database.application_url,
            "BROKER_SOURCE_URL": database.application_url,
            "BROKER_KEY_ENCRYPTION_KEY_FILE": secret(directory / "a", KEY_ENCRYPTION_KEY),
            "BROKER_PSEUDONYM_KEY_FILE": secret(directory / "b", PSEUDONYM_KEY),
            "BROKER_CLIENT_KEYS_CA_FILE": str(directory / "authority.pem"),
            "BROKER_CLIENT_KEYS_PRIVATE_HOSTS": "localhost",
        }
        (directory / "authority.pem").write_text(authority.pem)

    def start(self, opened: ExitStack, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "broker.cli", "worker", "--json", *options]
        process = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True)
        opened.enter_context(process)
        opened.callback(process.kill)
        return process

    def pushed(self) -> list[str]:
        """Return the jti of everything that came, in order."""
        bodies = [body.decode() for _, body in self.host.posted]
        claims = [base64.urlsafe_b64decode(one.split(".")[1] + "==") for one in bodies]
        return [json.loads(one)["jti"] for one in claims]


def secret(path: Path, value: bytes) -> str:
    path.write_bytes(base64.urlsafe_b64encode(value))
    path.chmod(0o600)
    return str(path)


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


class TestTheLoop:
    def run(self, worker: Worker) -> Thread:
        thread = Thread(target=worker.run)
        thread.start()
        return thread

    def test_a_job_that_fails_is_told_and_the_others_go_on(self) -> None:
        told: list[dict[str, object]] = []
        rounds: Counter[str] = Counter()

        def broken() -> dict[str, int]:
            rounds["broken"] += 1
            raise StoreUnavailable("gone")

        def good() -> dict[str, int]:
            rounds["good"] += 1
            return {"done": rounds["good"] % 2}

        def never(_: object) -> bool:
            return False

        jobs = [Job("broken", 0.01, broken, never), Job("good", 0.01, good, never)]
        worker = Worker(jobs, lambda line: told.append(dict(line)), lambda: {"waiting": 0})
        thread = self.run(worker)
        wait_until(lambda: rounds["broken"] > 2 and rounds["good"] > 2, "both came round")
        worker.stop.set()
        thread.join(5)
        assert not thread.is_alive()
        assert {"event": "job failed", "job": "broken", "kind": "store_unavailable"} in told
        assert told.count({"event": "job done", "job": "good", "done": 1}) >= 1
        assert {"event": "job done", "job": "good", "done": 0} not in told
        assert told[0] == {"event": "heartbeat", "waiting": 0}

    def test_consents_whose_time_has_come_are_settled_at_the_instant_that_it_is(
        self, told: OutboxWorld
    ) -> None:
        asked: list[object] = []

        def settle_due(now: object) -> int:
            asked.append(now)
            return 2 if len(asked) == 1 else 0

        lines: list[dict[str, object]] = []
        job = settling_job(settle_due, told.world.clock)
        worker = Worker([job], lambda line: lines.append(dict(line)), dict)
        assert worker.run_once()
        assert asked == [told.world.clock()] * 2, "a round that settled some is followed by another"
        assert lines == [{"event": "job done", "job": "consents", "settled": 2}]

    def test_what_has_ended_otherwise_is_written_down_until_nothing_is_left(self, told: OutboxWorld) -> None:
        rounds = iter([{"used_up": 1, "inapplicable": 0}, {"used_up": 0, "inapplicable": 0}])
        asked: list[object] = []

        def run(now: object) -> dict[str, int]:
            asked.append(now)
            return next(rounds)

        lines: list[dict[str, object]] = []
        worker = Worker([ending_job(run, told.world.clock)], lambda line: lines.append(dict(line)), dict)
        assert worker.run_once()
        assert asked == [told.world.clock()] * 2
        assert lines == [{"event": "job done", "job": "ends", "used_up": 1, "inapplicable": 0}]


class TestDeadLetters:
    @pytest.fixture
    def run(self, told: OutboxWorld, database: Database, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Give a function that runs one command on the world's store."""

        class Opened:
            def __enter__(self) -> Session:
                return Session(told.world.settings, database.store)

            def __exit__(self, *_: object) -> None:
                """The store is the test's."""

        monkeypatch.setattr(broker.cli.outbox, "open_session", Opened)

        def command(*words: str, expect: int = 0) -> Result:
            result = CliRunner().invoke(main, ["outbox", *words])
            assert result.exit_code == expect, (result.output, result.exception)
            return result

        return command

    def kill(self, told: OutboxWorld, machine: Machine) -> str:
        """Have a notice refused; return its id."""
        machine.host.answer = refusing("invalid_audience")
        notice = told.queue("bank-a")
        pusher = EventPusher(authorities=machine.authority.pem, private_hosts=["localhost"])
        assert told.job(pusher).run() == {"taken": 1, "dead": 1}
        return notice.message_id

    def test_they_are_listed_with_their_reason_and_tried_again(
        self, told: OutboxWorld, machine: Machine, run: Callable[..., Result]
    ) -> None:
        told.recipient("bank-a", machine.url)
        assert json.loads(run("list", "--json").stdout) == []
        first, second = self.kill(told, machine), self.kill(told, machine)
        listed = json.loads(run("list", "--json").stdout)
        assert {row["message_id"] for row in listed} == {first, second}
        assert {row["last_fault"] for row in listed} == {"the recipient refuses it: invalid_audience"}
        assert set(listed[0]) == {
            "message_id", "client_id", "consent_id", "kind", "queued_at", "dead_at", "try_count",
            "last_fault",
        }  # fmt: skip
        assert run("retry", first).stdout == "notices to try again: 1\n"
        assert [row["message_id"] for row in json.loads(run("list", "--json").stdout)] == [second]
        assert run("retry", "--all").stdout == "notices to try again: 1\n"
        assert told.outbox.backlog(told.world.clock()) == {"waiting": 2, "oldest_seconds": 0, "dead": 0}

    def test_withdrawals_that_nobody_acknowledged_are_listed_while_their_time_runs_out(
        self, told: OutboxWorld, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told.recipient("bank-a")
        told.recipient("bank-b")
        withdrawn = told.queue("bank-a", kind="consent_withdrawn")
        done = told.queue("bank-b", kind="consent_withdrawn")
        told.queue("bank-a", kind="consent_paused")
        at = told.world.clock()
        PostgresEventPolls(told.world.engine).acknowledge(
            "bank-b", done.message_id, deletion_attested=True, at=at
        )

        def listed(days: float, *words: str) -> list[dict[str, Any]]:
            monkeypatch.setattr(broker.cli.outbox, "system_clock", lambda: at + timedelta(days=days))
            found: list[dict[str, Any]] = json.loads(run("list", *words, "--json").stdout)
            return found

        assert listed(14.9, "--unacknowledged") == []
        [row] = listed(15.1, "--unacknowledged")
        assert row == {
            "message_id": withdrawn.message_id,
            "client_id": "bank-a",
            "consent_id": withdrawn.consent_id,
            "kind": "consent_withdrawn",
            "queued_at": row["queued_at"],
            "obey_by": withdrawn.payload["obey_by"],
            "told_at": None,
            "dead_at": None,
        }
        assert listed(19.9, "--unacknowledged", "0") == []
        assert listed(20.1, "--unacknowledged", "0") == listed(40, "--unacknowledged", "0") == [row]
        assert listed(40) == [], "it is not dead"
        assert "is not in the range" in run("list", "--unacknowledged", "21", expect=2).output

    def test_what_is_not_dead_is_not_tried_again(
        self, told: OutboxWorld, machine: Machine, run: Callable[..., Result]
    ) -> None:
        told.recipient("bank-a", machine.url)
        waiting = told.queue("bank-a").message_id
        assert run("retry", waiting, expect=4).output == f"Error: there is no dead notice {waiting}\n"

    def test_one_or_all_must_be_said(self, run: Callable[..., Result]) -> None:
        assert "give MESSAGE_ID or --all" in run("retry", expect=2).output


def test_a_lease_is_far_longer_than_a_push() -> None:
    assert LEASE.total_seconds() > 10 * PUSH_SECONDS
