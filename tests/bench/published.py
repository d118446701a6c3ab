"""The log beside a loaded server: how soon an entry is published, and what each entry takes on the disk."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, Final

import psycopg

from broker.cli.log_session import log_session
from broker.cli.session import settings_of
from broker.evidence.checkpoint import shard_origin
from broker.storage.log_files import LogFiles, log_host, shard_directory, size_of
from broker.storage.log_heads import create_head_store
from connectors.postgres import conninfo_of_url
from tests.bench.load import run_load
from tests.bench.release import CONNECTIONS, Bench
from tests.bench.stage import Server, Stage

LOOK_SECONDS: Final = 0.002
MERGED_SECONDS: Final = 120.0
YEAR: Final = datetime.now(UTC).year
_PLACED: Final = """SELECT p.leaf_index, extract(epoch FROM e.recorded_at)::float8
    FROM evidence_entries e JOIN log_positions p USING (reference)
    WHERE e.recorded_at >= to_timestamp(%s) ORDER BY p.leaf_index"""
# A row's own bytes, less the entry's; with indexes, free space map and whatever pages leave empty.
_TABLES: Final = """SELECT relation, pg_total_relation_size(relation::regclass)
    FROM unnest(ARRAY['evidence_entries', 'evidence_openings', 'log_positions']) AS relation"""
_ENTRIES: Final = "SELECT count(*), sum(length(entry))::bigint FROM evidence_entries"


class Published:
    """The log of a stage's broker, with a sequencer of its own at work."""

    def __init__(self, stage: Stage, server: Server) -> None:
        self.stage = stage
        self.server = server
        self.environ = {**stage.environ, "BROKER_ISSUER": server.url}
        settings = settings_of(self.environ)
        origin = shard_origin(log_host(settings.issuer), YEAR)
        self.files = LogFiles(shard_directory(settings.log_directory, origin))
        self.owner = conninfo_of_url(stage.cluster.owner_url)
        create_head_store(stage.cluster.head_owner_url)
        with log_session(settings, stage.cluster.sequencer_url, stage.cluster.head_url) as session:
            session.sequencer.create(YEAR)

    @contextmanager
    def sequencer(self) -> Iterator[None]:
        """Have `broker sequencer` at work."""
        log = Path(self.environ["BROKER_LOG_DIRECTORY"]).parent / "sequencer.log"
        with log.open("w") as told:
            command = [sys.executable, "-m", "broker.cli", "sequencer", "--json"]
            process = subprocess.Popen(command, env=self.environ, stdout=told, stderr=told)
            try:
                yield
                if process.poll() is not None:
                    raise RuntimeError(f"the sequencer ended: {log.read_text()[-1000:]}")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def size(self) -> int:
        """Return how many entries the published checkpoint tells of."""
        content = self.files.checkpoint()
        return 0 if content is None else size_of(content)

    def count(self) -> int:
        """Return how many entries there are."""
        return int(self._row(_ENTRIES)[0])

    def wait(self) -> None:
        """Wait until everything is published."""
        until = monotonic() + MERGED_SECONDS
        while self.size() < self.count():
            if monotonic() > until:
                raise RuntimeError(f"{self.count() - self.size()} entries still wait")
            sleep(0.1)

    def delays(self, bench: Bench, request_count: int) -> list[float]:
        """Return, sorted, the seconds from each entry's instant to the checkpoint that holds it.

        Under a load as large as the server takes. The instant is `recorded_at`: when its transaction began,
        which is a little before its commit.
        """
        requests = bench.requests_for(self.server, request_count)
        with looking(self.files) as looked:
            begun = time()
            result = run_load(("127.0.0.1", self.server.port), requests, CONNECTIONS)
            self.wait()
            sleep(10 * LOOK_SECONDS)
            seen = looked()
        if set(result.statuses) != {200}:
            raise RuntimeError(f"the server answered {result.statuses}: {result.first_other[-400:]!r}")
        sizes = [size for _, size in seen]
        with psycopg.connect(self.owner) as connection:
            rows = connection.execute(_PLACED, (begun,)).fetchall()
        return sorted(seen[bisect_right(sizes, index)][0] - at for index, at in rows)

    def bytes_per_entry(self) -> Mapping[str, float]:
        """Return what an entry takes beside its own bytes, by table, and its tiles, all indexes included."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE evidence_entries, evidence_openings, log_positions")
            sizes: dict[str, int] = dict(connection.execute(_TABLES).fetchall())
        count, length = self._row(_ENTRIES)
        tiles, bundles = 0, 0
        for path in (self.files.directory / "tile").rglob("*"):
            if path.is_file() and path.parent.suffix != ".p":
                held = path.stat().st_size
                is_bundle = "entries" in path.relative_to(self.files.directory).parts
                bundles, tiles = (bundles + held, tiles) if is_bundle else (bundles, tiles + held)
        full = self.size() // 256 * 256
        return {
            "entry_bytes": length / count,
            "table_bytes": (sizes["evidence_entries"] - length) / count,
            "openings_bytes": sizes["evidence_openings"] / count,
            "positions_bytes": sizes["log_positions"] / count,
            "tile_bytes": tiles / full,
            "bundle_bytes": bundles / full,
        }

    def _row(self, statement: str) -> tuple[Any, ...]:
        with psycopg.connect(self.owner) as connection:
            return connection.execute(statement).fetchone() or ()


@contextmanager
def looking(files: LogFiles) -> Iterator[Callable[[], list[tuple[float, int]]]]:
    """Look at the published checkpoint from a process of its own.

    Gives what returns when each one appeared, and its size, and ends the looking.
    """
    context = multiprocessing.get_context("spawn")
    own, theirs = context.Pipe()
    process = context.Process(target=_look, args=(files.directory, theirs), daemon=True)
    process.start()
    own.recv()

    def seen() -> list[tuple[float, int]]:
        own.send("enough")
        found: list[tuple[float, int]] = own.recv()
        return found

    try:
        yield seen
    finally:
        process.terminate()
        process.join()


def _look(directory: Path, asked: Connection) -> None:
    files, before, found = LogFiles(directory), b"", []
    asked.send("ready")
    while not asked.poll(LOOK_SECONDS):
        content = files.checkpoint() or b""
        if content != before:
            found.append((time(), size_of(content)))
            before = content
    asked.send(found)
