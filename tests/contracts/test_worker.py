"""What a worker does again and again, and notices that nobody took: listed, and tried once more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

import broker.cli.outbox
import broker.cli.serve
from broker.cli import main
from broker.cli.session import Session
from broker.cli.worker import Job, Worker, ending_job, settling_job
from broker.errors import StoreUnavailable
from broker.storage.event_polls import PostgresEventPolls
from broker.storage.outbox import LEASE
from connectors.notify import PUSH_SECONDS, EventPusher
from tests.doors import wait_until
from tests.key_host import Authority, key_host
from tests.oauth_world import Database, World
from tests.outbox_world import ACCEPTED, OutboxWorld, refusing
from tests.worker_machine import Machine


@pytest.fixture
def told(database: Database) -> OutboxWorld:
    return OutboxWorld(World(database))


@pytest.fixture
def machine(tmp_path: Path, database: Database) -> Iterator[Machine]:
    authority = Authority()
    with key_host(authority.context(tmp_path, "localhost"), "localhost") as host:
        host.answer = ACCEPTED
        yield Machine(tmp_path, database, host, authority)


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
