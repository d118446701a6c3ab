"""A log on databases of its own, for what is done to the sequencer and to what it keeps."""

from __future__ import annotations

import base64
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from broker.cli.embedded import EmbeddedCluster
from broker.storage.log_files import size_of
from tests.chaos.judging import judge
from tests.chaos.processes import Spawned
from tests.chaos.report import Fault
from tests.chaos.watching import Watcher
from tests.doors import wait_until
from tests.log_world import HOST, LogDatabases, LogWorld
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY
from tests.worker_machine import secret

_KEEP_HEADS = (
    "CREATE TABLE IF NOT EXISTS chaos_heads (note bytea NOT NULL)",
    """CREATE OR REPLACE FUNCTION chaos_keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO chaos_heads VALUES (NEW.note); RETURN NULL; END $$""",
    """CREATE OR REPLACE TRIGGER chaos_keep AFTER INSERT OR UPDATE ON log_heads
    FOR EACH ROW EXECUTE FUNCTION chaos_keep()""",
    "TRUNCATE chaos_heads",
)


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where logs are kept: a cluster with the two databases of a log."""

    cluster: EmbeddedCluster
    databases: LogDatabases

    def administrator(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.cluster.administrator_url, autocommit=True)


class LogStage:
    """One log, its key, and the sequencers that are let loose on it. It begins with an empty shard."""

    def __init__(self, place: LogPlace, directory: Path) -> None:
        self.directory = directory
        self.place = place
        self.databases = databases = place.databases
        self.world = LogWorld(databases, directory / "log")
        with databases.head_owner.begin() as connection:
            for statement in _KEEP_HEADS:
                connection.execute(text(statement))
        others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
        self.environ = {
            **others,
            "BROKER_ISSUER": f"https://{HOST}",
            "BROKER_DATABASE_URL": databases.application_url,
            "BROKER_SOURCE_URL": databases.application_url,
            "BROKER_SEQUENCER_DATABASE_URL": databases.sequencer_url,
            "BROKER_LOG_HEAD_URL": databases.head_url,
            "BROKER_LOG_DIRECTORY": str(directory / "log"),
            "BROKER_KEY_ENCRYPTION_KEY_FILE": secret(directory / "a", KEY_ENCRYPTION_KEY),
            "BROKER_PSEUDONYM_KEY_FILE": secret(directory / "b", PSEUDONYM_KEY),
        }
        self._signed = directory / "signed"
        self._numbers = itertools.count()
        self._names = itertools.count()
        self._running: list[Spawned] = []
        self.world.created()
        self.watcher = Watcher(self.world.files().directory)

    def record(self, count: int) -> list[str]:
        """Record so many releases as the application does, each few of them in a transaction."""
        numbers = list(itertools.islice(self._numbers, count))
        found: list[str] = []
        for start in range(0, count, 50):
            found += self.world.record(numbers[start : start + 50])
        return found

    def sequencer(self, *options: str, at: str = "", act: str = "kill", clock: float = 0.0) -> Spawned:
        """Start one. at: the step at which it kills or stops itself."""
        words = ["-m", "tests.chaos.stepped", "--signed", str(self._signed), "--act", act]
        words += ["--at", at] if at else []
        words += ["--clock", str(clock)] if clock else []
        words += ["--", "sequencer", "--json", *options]
        said = self.directory / f"sequencer-{next(self._names)}.log"
        started = Spawned(words, self.environ, said)
        self._running.append(started)
        return started

    @property
    def published_size(self) -> int:
        content = self.world.files().checkpoint()
        return -1 if content is None else size_of(content)

    @property
    def recorded_count(self) -> int:
        return len(self.world.recorded())

    def settled(self, running: Spawned | None = None) -> None:
        """Wait until all that is recorded is published. running: who is to do it; another one otherwise."""
        one = running or self.sequencer()

        def is_done() -> bool:
            assert one.is_alive, f"the sequencer ended with {one.process.returncode}: {one.said[-2000:]}"
            return self.published_size == self.recorded_count

        one.wait_event("heartbeat", 120)  # told after its first whole round
        wait_until(is_done, "all that was recorded is published", 120)
        if running is None:
            assert one.end() == 0, one.said

    def signed(self) -> list[bytes]:
        """Return all checkpoints that a sequencer of this stage has signed, published or not."""
        found: list[bytes] = []
        with suppress(FileNotFoundError):
            found += [base64.b64decode(line) for line in self._signed.read_bytes().splitlines()]
        with self.databases.head_owner.connect() as connection:
            found += [
                bytes(one) for one in connection.execute(text("SELECT note FROM chaos_heads")).scalars()
            ]
        return found

    def judge(self, fault: Fault, taken_back: int = 0) -> None:
        """Say what is wrong with the log as it is now: it must be at rest, and hold all that was recorded."""
        published = self.world.published()
        told = judge(
            fault,
            self.world.files(),
            self.world.key(),
            published,
            self.watcher.notes,
            self.signed(),
            taken_back,
        )
        recorded = self.recorded_count
        fault.note(entries_recorded=recorded)
        lost = recorded - int(told["entries_read"])
        fault.note(entries_lost=lost)
        fault.expect(lost == 0, f"{lost} entries are in the database and not in the log")
        self.world.check()

    def close(self) -> None:
        for one in self._running:
            if one.is_alive:
                one.kill()
        with self.databases.head_owner.begin() as connection:
            connection.execute(text("DROP TRIGGER chaos_keep ON log_heads"))
            connection.execute(text("DROP FUNCTION chaos_keep"))
            connection.execute(text("DROP TABLE chaos_heads"))
        self.world.close()


@contextmanager
def log_stage(place: LogPlace) -> Iterator[LogStage]:
    """Give a log with nothing in it; whatever was started for it has ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="chaos-log-") as directory:
        stage = LogStage(place, Path(directory))
        try:
            with stage.watcher:
                yield stage
        finally:
            stage.close()
