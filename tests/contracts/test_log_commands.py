"""`broker log` and `broker sequencer`: as processes, killed at any instant, and what they say."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

import broker.cli.log
from broker.actions.sequence_log import Round
from broker.cli import main
from broker.cli.sequencer import Standing
from broker.clock import system_clock
from broker.errors import StoreUnavailable
from broker.evidence.checkpoint import open_checkpoint
from broker.evidence.cosignature import witnesses_of
from broker.evidence.sequencing import MERGE_DELAY_SECONDS, Strange, Waiting, year_of
from broker.storage.log_delay import LogDelay
from broker.storage.log_positions import PostgresLogPositions
from broker.storage.log_timestamps import TimestampFiles
from broker.storage.session import open_store
from tests.acting import entries, without_entries
from tests.doors import wait_until
from tests.log_world import HOST, YEAR, LogDatabases, LogWorld, put_checkpoint
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY
from tests.witness_place import WitnessPlace


@pytest.fixture
def environ(log: LogWorld, tmp_path: Path) -> dict[str, str]:
    """The environment of the commands on that log."""

    def secret(name: str, value: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(base64.urlsafe_b64encode(value))
        path.chmod(0o600)
        return str(path)

    return {
        "BROKER_ISSUER": f"https://{HOST}",
        "BROKER_DATABASE_URL": log.databases.application_url,
        "BROKER_SOURCE_URL": log.databases.application_url,
        "BROKER_KEY_ENCRYPTION_KEY_FILE": secret("a", KEY_ENCRYPTION_KEY),
        "BROKER_PSEUDONYM_KEY_FILE": secret("b", PSEUDONYM_KEY),
        "BROKER_LOG_DIRECTORY": str(log.directory),
        "BROKER_SEQUENCER_DATABASE_URL": log.databases.sequencer_url,
        "BROKER_LOG_HEAD_URL": log.databases.head_url,
    }


@pytest.fixture
def run(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that runs one command in this process."""
    monkeypatch.setattr(broker.cli.log, "system_clock", lambda: system_clock().replace(year=YEAR))

    def command(*words: str, expect: int = 0, without: str = "") -> Result:
        given = {**environ, **({without: None} if without else {})}
        result = CliRunner().invoke(main, [*words], env=given)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return command


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(environ: dict[str, str], opened: ExitStack, *options: str) -> subprocess.Popen[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    command = [sys.executable, "-m", "broker.cli", "sequencer", "--json", *options]
    process = subprocess.Popen(
        command, env={**others, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    opened.enter_context(process)
    opened.callback(process.kill)
    return process


def tile_fault(error: str) -> str:
    """Return what the sentence says of the tile that is missing."""
    return error.split("(tile_missing: ")[-1].split("): the published")[0]


def lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, _ = process.communicate(timeout=30)
    return [json.loads(line) for line in output.splitlines()]


class TestShards:
    def test_a_shard_is_made_signed_and_published_once(self, log: LogWorld, run: Any) -> None:
        with without_entries(log.databases.owner), pytest.raises(AssertionError, match="no entry can be"):
            run("log", "create")
        with log.session() as session:
            assert session.heads.find(HOST) == []
        [row] = json.loads(run("log", "create", "--json").stdout)
        [made] = entries(log.store.engine, "administration")
        assert (made["act"], made["target"], made["actor"]) == ("log_created", str(YEAR), "operator")
        assert row["origin"] == f"audit.{HOST}/{YEAR}"
        assert (row["tree_size"], row["published_size"]) == (0, 0)
        assert row["root_hash"] == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        assert row["verifier_key"] == log.key().vkey
        assert Path(row["directory"]) == log.directory / HOST / str(YEAR)
        assert log.published().tree_size == 0
        assert row["stamped_size"] is None
        TimestampFiles(log.files().directory).keep(0, log.files().checkpoint() or b"", b"token")
        assert json.loads(run("log", "status", "--json").stdout)[0]["stamped_size"] == 0
        again = run("log", "create", expect=3)
        assert again.stderr == f"Error: the log of {YEAR} is there already\n"
        assert entries(log.store.engine, "administration") == [made], "what is there already is no act"

    def test_next_year_s_can_be_made_ahead_and_no_later_one(self, log: LogWorld, run: Any) -> None:
        run("log", "create", "--year", str(YEAR + 1))
        assert log.published(YEAR + 1).tree_size == 0
        refused = run("log", "create", "--year", str(YEAR + 2), expect=2)
        assert "at most next year's log can be made" in refused.stderr

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("BROKER_SEQUENCER_DATABASE_URL", "BROKER_SEQUENCER_DATABASE_URL is missing"),
            ("BROKER_LOG_HEAD_URL", "BROKER_LOG_HEAD_URL is missing"),
            ("BROKER_LOG_DIRECTORY", "BROKER_LOG_DIRECTORY is missing"),
        ],
    )
    def test_what_is_not_told_is_named(self, run: Any, name: str, sentence: str) -> None:
        assert sentence in run("log", "status", expect=2, without=name).stderr

    def test_status_tells_of_every_shard_and_of_what_waits(self, log: LogWorld, run: Any) -> None:
        assert json.loads(run("log", "status", "--json").stdout) == [{"waiting": 0, "oldest_seconds": 0}]
        log.created()
        log.created(YEAR + 1)
        log.record(range(3))
        log.order()
        log.record([3])
        rows = json.loads(run("log", "status", "--json").stdout)
        assert [(row["origin"], row["tree_size"], row["published_size"]) for row in rows] == [
            (log.origin(), 3, 3), (log.origin(YEAR + 1), 0, 0),
        ]  # fmt: skip
        assert {row["waiting"] for row in rows} == {1}
        assert set(rows[0]) == {
            "origin", "tree_size", "root_hash", "signed_at", "published_size", "stamped_size",
            "verifier_key", "directory", "waiting", "oldest_seconds",
        }  # fmt: skip

    def test_an_entry_that_waits_too_long_is_an_alarm(
        self, log: LogWorld, run: Any, databases: LogDatabases
    ) -> None:
        log.created()
        log.record(range(2))
        with databases.owner.begin() as connection:
            connection.execute(text("UPDATE evidence_entries SET recorded_at = now() - interval '500 s'"))
        late = run("log", "status", expect=6)
        assert "an entry has waited for 50" in late.stderr
        assert "oldest_seconds  50" in late.stdout
        log.order()
        run("log", "status")

    def test_what_has_a_position_and_no_signed_tree_waits_too(self, log: LogWorld, run: Any) -> None:
        log.created()
        log.record(range(2))
        with log.session() as session:
            wait_until(
                lambda: session.positions.place(frozenset([YEAR])).count == 2 or log.has_positions(2),
                "they have positions",
                60,
            )
        [row] = json.loads(run("log", "status", "--json").stdout)
        assert (row["tree_size"], row["waiting"]) == (0, 2)


def writes(log: LogWorld, size: int) -> bool:
    """Return whether a file is being written, or the log is larger than it was."""
    return log.published().tree_size > size or any(log.directory.rglob(".*"))


class TestAsAProcess:
    def test_once_it_orders_what_waits_and_ends(
        self, log: LogWorld, environ: dict[str, str], opened: ExitStack
    ) -> None:
        log.created()
        log.record(range(5))
        told: list[dict[str, Any]] = []

        def is_done() -> bool:
            process = start(environ, opened, "--once")
            told.extend(lines(process))
            assert process.returncode == 0
            return log.published().tree_size == 5

        wait_until(is_done, "the log has five entries", 60)
        assert {**told[0], "at": ""} == {"at": "", "event": "at work"}
        assert sum(line.get("entries", 0) for line in told if line["event"] == "merged") == 5
        log.check()

    def test_it_goes_on_until_it_is_told_to_stop(
        self, log: LogWorld, environ: dict[str, str], opened: ExitStack
    ) -> None:
        log.created()
        process = start(environ, opened)
        log.record(range(3))
        wait_until(lambda: log.published().tree_size == 3, "they are published", 60)
        log.record(range(3, 5))
        wait_until(lambda: log.published().tree_size == 5, "the others too", 60)
        process.send_signal(signal.SIGTERM)
        told = lines(process)
        assert process.returncode == 0
        assert [line["event"] for line in told if line["event"] in ("at work", "heartbeat", "stopped")] == [
            "at work", "heartbeat", "stopped",
        ]  # fmt: skip

    @pytest.mark.slow
    def test_killed_at_any_instant_it_goes_on_from_what_lies_there(
        self, log: LogWorld, environ: dict[str, str], opened: ExitStack
    ) -> None:
        log.created()
        recorded = 0
        for turn in range(4):
            process = start(environ, opened)
            before = log.published().tree_size
            # Something else is under way each time: nobody knows what.
            log.record(range(recorded, recorded + 400))
            recorded += 400
            wait_until(partial(writes, log, before), "it writes", 60)
            process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL, turn
        log.order()
        assert log.published().tree_size == recorded
        log.check()

    def test_a_second_one_waits_and_takes_over(
        self, log: LogWorld, environ: dict[str, str], opened: ExitStack
    ) -> None:
        log.created()
        first = start(environ, opened)
        log.record(range(2))
        wait_until(lambda: log.published().tree_size == 2, "the first one works", 60)
        refused = start(environ, opened, "--once")
        assert refused.wait(30) == 1
        assert refused.stderr is not None
        assert refused.stderr.read() == "Error: another sequencer is at work\n"
        second = start(environ, opened)
        assert second.stdout is not None
        assert json.loads(second.stdout.readline())["event"] == "another sequencer is at work"
        first.kill()
        first.wait(10)
        log.record(range(2, 4))
        wait_until(lambda: log.published().tree_size == 4, "the second one works", 60)
        log.check()

    def test_what_must_be_looked_at_ends_it_with_the_sentence(
        self, environ: dict[str, str], opened: ExitStack
    ) -> None:
        process = start(environ, opened)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 5
        assert error == f"Error: there is no log of {HOST}: broker log create\n"

    @pytest.mark.parametrize("epoch", ["", "vn-1"])
    def test_an_older_state_of_the_database_or_of_the_files_ends_the_start(
        self, log: LogWorld, environ: dict[str, str], opened: ExitStack, tmp_path: Path, epoch: str
    ) -> None:
        """What the head store knows is more than what was restored: nothing is signed, at each start."""
        log.settings = replace(log.settings, log_epoch=epoch)
        given = {**environ, "BROKER_LOG_EPOCH": epoch}
        log.created()
        log.record(range(10))
        log.order()
        shutil.copytree(log.directory, tmp_path / "yesterday")
        log.record(range(10, 25))
        log.order()
        shutil.copytree(log.directory, tmp_path / "today")
        shutil.rmtree(log.directory)
        shutil.copytree(tmp_path / "yesterday", log.directory)
        process = start(given, opened)
        _, error = process.communicate(timeout=60)
        told = (
            f"Error: the tiles of audit.{HOST}/{YEAR} do not hold the 25 entries that were signed "
            f"(tile_missing: {tile_fault(error)}): the published files were restored from an older state, or "
            "changed. Bring them back from a mirror\n"
        )
        assert (process.returncode, error) == (5, told)
        shutil.rmtree(log.directory)
        shutil.copytree(tmp_path / "today", log.directory)
        with log.databases.owner.begin() as connection:
            connection.execute(text("DELETE FROM log_positions WHERE leaf_index >= 10"))
        told = (
            f"Error: audit.{HOST}/{YEAR} has signed 25 entries, but only 10 have positions: the broker's "
            "database was restored from an older state, and entries are missing. Bring its newest state "
            "back, or end this shard and note the gap\n"
        )
        for _ in range(2):
            process = start(given, opened)
            _, error = process.communicate(timeout=60)
            assert (process.returncode, error) == (5, told)
        assert log.published().tree_size == 25


class TestRounds:
    """The loop, with rounds that a test makes up."""

    def standing(self, rounds: list[Any], waiting: Waiting) -> tuple[Standing, list[dict[str, object]]]:
        told: list[dict[str, object]] = []

        def run() -> Round:
            done = rounds.pop(0)
            if not rounds:
                standing.stop.set()
            if isinstance(done, Exception):
                raise done
            assert isinstance(done, Round)
            return done

        standing = Standing(run, lambda: waiting, lambda line: told.append(dict(line)), pause_seconds=0)
        return standing, told

    def test_a_store_that_does_not_answer_is_told_and_tried_again(self) -> None:
        done = Round(True, 3, 1, strange=(Strange("r-1", "entry_schema"),))
        standing, told = self.standing([StoreUnavailable("x"), done], Waiting(0, None))
        standing.run()
        assert told == [
            {"event": "round failed", "kind": "store_unavailable"},
            {"event": "at work"},
            {"event": "no entry of its kind", "reference": "r-1", "reason": "entry_schema"},
            {"event": "merged", "entries": 3, "checkpoints": 1},
            {"event": "heartbeat", "waiting": 0, "oldest_seconds": 0},
        ]

    def test_the_heartbeat_is_an_alarm_when_an_entry_waits_too_long(self) -> None:
        oldest = system_clock() - timedelta(seconds=MERGE_DELAY_SECONDS + 60)
        standing, told = self.standing([Round(True)], Waiting(4, oldest))
        standing.run()
        beat = told[-1]
        assert (beat["event"], beat["waiting"], beat["alarm"]) == ("heartbeat", 4, "an entry waits too long")
        assert int(str(beat["oldest_seconds"])) >= MERGE_DELAY_SECONDS + 60

    def test_once_goes_on_while_there_is_more(self) -> None:
        rounds = [Round(True, 8, 1, has_more=True), Round(True, 2, 1), Round(False)]
        standing, _ = self.standing(rounds, Waiting(0, None))
        assert standing.run_once()
        assert len(rounds) == 1
        assert not standing.run_once()


class TestWhatTheServerSees:
    """As the application role, from the published files: it cannot read the heads."""

    def delay(self, log: LogWorld, moved_seconds: float = 0.0) -> LogDelay:
        positions = PostgresLogPositions(log.store.engine, year_of)
        later = timedelta(seconds=moved_seconds)
        return LogDelay(positions, str(log.directory), f"https://{HOST}", lambda: system_clock() + later)

    def test_without_a_log_there_is_no_delay(self, log: LogWorld) -> None:
        log.record(range(2))
        assert (self.delay(log).seconds(), self.delay(log).fault()) == (None, "none")

    def test_an_entry_that_waits_too_long_is_told_until_it_is_published(self, log: LogWorld) -> None:
        log.created()
        assert (self.delay(log, 999).seconds(), self.delay(log, 999).fault()) == (0.0, None)
        log.record(range(2))
        assert self.delay(log).fault() is None
        late = self.delay(log, MERGE_DELAY_SECONDS + 1)
        assert late.fault() == "late"
        assert (late.seconds() or 0) > MERGE_DELAY_SECONDS
        log.order()
        assert (late.seconds(), late.fault()) == (0.0, None)

    def test_what_is_signed_and_not_published_waits(self, log: LogWorld) -> None:
        log.created()
        empty = log.files().checkpoint()
        assert empty is not None
        log.record(range(2))
        log.order()
        put_checkpoint(log.files(), empty)
        assert self.delay(log, MERGE_DELAY_SECONDS + 1).fault() == "late"
        put_checkpoint(log.files(), b"no note")
        assert self.delay(log).fault() == "unreadable"

    def test_a_store_that_does_not_answer_is_told(self, log: LogWorld) -> None:
        log.created()
        store = open_store("postgresql+psycopg://broker_app@127.0.0.1:9/broker", deadline_seconds=1.0)
        positions = PostgresLogPositions(store.engine, year_of)
        delay = LogDelay(positions, str(log.directory), f"https://{HOST}", system_clock)
        assert delay.fault() == "unreachable"
        store.close()

    def test_what_it_may_not_read_is_told_and_nothing_fails(
        self, log: LogWorld, databases: LogDatabases
    ) -> None:
        log.created()
        with databases.owner.begin() as connection:
            connection.execute(text("REVOKE SELECT ON log_horizon FROM broker_app"))
        try:
            assert self.delay(log).fault() == "unreachable"
        finally:
            with databases.owner.begin() as connection:
                connection.execute(text("GRANT SELECT ON log_horizon TO broker_app"))
        assert self.delay(log).fault() is None


class TestWitnesses:
    """`BROKER_LOG_WITNESSES_FILE`: whom the sequencer asks (more in test_log_witnesses.py)."""

    def test_a_file_that_names_none_is_refused_before_anything_is_signed(
        self, log: LogWorld, run: Any, environ: dict[str, str], tmp_path: Path
    ) -> None:
        log.created()
        path = tmp_path / "witnesses.toml"
        path.write_text("needed = 1", encoding="utf-8")
        environ["BROKER_LOG_WITNESSES_FILE"] = str(path)
        told = run("sequencer", "--once", expect=2)
        assert "BROKER_LOG_WITNESSES_FILE: it holds needed, ca_file and one table" in told.stderr

    def test_once_asks_about_what_it_published(
        self, log: LogWorld, run: Any, environ: dict[str, str], tmp_path: Path
    ) -> None:
        log.created()
        (tmp_path / "w").mkdir()
        place = WitnessPlace(tmp_path / "w", logs=(log.key(),))
        place.start()
        try:
            path = tmp_path / "witnesses.toml"
            table = f'[witnesses.one]\nvkey = "{place.vkey.vkey}"\nurl = "{place.url}"\n'
            path.write_text(table, encoding="utf-8")
            environ["BROKER_LOG_WITNESSES_FILE"] = str(path)
            run("sequencer", "--once")
            content = log.files().witnessed()
            assert content is not None
            opened = open_checkpoint(content, [log.key()])
            assert [one.witness for one in witnesses_of(opened.note, [place.vkey])] == [place.vkey]
        finally:
            place.stop()

    def test_a_round_begins_so_long_after_the_beginning_of_the_one_before(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that stands still but in rounds; a round that takes longer is followed at once."""
        now = 0.0
        began: list[float] = []
        lengths = [0.125, 0.25, 2.0, 0.125]

        def fake_countdown(seconds: float) -> Callable[[], float]:
            until = now + seconds
            return lambda: max(0.0, until - now)

        def run() -> Round:
            nonlocal now
            began.append(now)
            now += lengths[len(began) - 1]
            if len(began) == len(lengths):
                standing.stop.set()
            return Round(True, has_more=len(began) == 1)

        def wait(seconds: float) -> bool:
            nonlocal now
            now += seconds
            return False

        monkeypatch.setattr("broker.cli.sequencer.countdown", fake_countdown)
        standing = Standing(run, lambda: Waiting(0, None), lambda _: None, pause_seconds=0.5)
        monkeypatch.setattr(standing.stop, "wait", wait)
        standing.run()
        assert began == [0.0, 0.125, 0.625, 2.625], "at once behind a round that left something"
