"""A whole broker, as it is run: two clusters, `broker serve`, `broker sequencer`, its log, its clients."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from broker.cli.prepare import prepare
from broker.cli.session import embedded_environment
from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.signed_note import VerifierKey
from broker.settings import read_settings
from broker.storage.log_files import LogFiles, size_of
from broker.storage.log_heads import create_head_store
from tests.chaos.judging import judge, logged_references
from tests.chaos.processes import Spawned, children_of, state_of, words_of
from tests.chaos.report import Fault
from tests.chaos.watching import Watcher
from tests.contracts.source_fixtures import InsuranceDatabase, load
from tests.doors import free_port, wait_until
from tests.release_world import World
from tests.served_log import ServedLog

WORKERS = 4
_BROKER = ("-m", "broker.cli")
LOG_MEBIBYTES = 96


@dataclass
class HttpStage:
    """Everything that runs. ledger: the broker's database; side: heads and insurance. log_on: what its
    files lie on, `tmpfs` where that is allowed.
    """

    ledger: EmbeddedCluster
    side: EmbeddedCluster
    insurance: InsuranceDatabase
    environ: dict[str, str]
    issuer: str
    world: World
    log: ServedLog
    log_on: str
    directory: Path
    year: int
    serve: Spawned = field(init=False)
    sequencer: Spawned = field(init=False)
    watcher: Watcher = field(init=False)

    @property
    def files(self) -> LogFiles:
        return self.log.files(self.year)

    @property
    def key(self) -> VerifierKey:
        return self.log.key(self.year)

    def published(self) -> Checkpoint:
        """Return the published checkpoint, its signature verified."""
        content = self.files.checkpoint()
        assert content is not None
        return open_checkpoint(content, [self.key]).checkpoint

    @property
    def published_size(self) -> int:
        content = self.files.checkpoint()
        return -1 if content is None else size_of(content)

    def worker_pids(self) -> list[int]:
        """Return the processes that answer requests: what gunicorn's first process has started."""
        masters = [pid for pid in children_of(self.serve.pid) if "gunicorn" in words_of(pid)]
        return [pid for master in masters for pid in children_of(master) if state_of(pid) not in ("Z", "")]

    def all_workers_are_there(self) -> None:
        wait_until(lambda: len(self.worker_pids()) == WORKERS, f"{WORKERS} workers are there", 120)

    def is_merged(self) -> bool:
        return self.published_size == self.world.count("evidence_entries")

    def judge(self, fault: Fault, acknowledged: Sequence[str]) -> None:
        """Say what was acknowledged and is not on record, or not in the log; the log must be at rest soon."""
        assert self.sequencer.is_alive, f"the sequencer ended: {self.sequencer.said[-2000:]}"
        wait_until(self.is_merged, "all that was recorded is published", 180)
        fault.add("releases", len(acknowledged))
        with self.world.owner.connect() as connection:
            rows = connection.execute(text("SELECT reference::text FROM evidence_entries")).scalars()
            recorded = set(rows)
        published = self.published()
        logged = logged_references(self.files, published)
        unrecorded = set(acknowledged) - recorded
        unlogged = set(acknowledged) - set(logged)
        fault.add("unrecorded", len(unrecorded | unlogged))
        fault.note(entries_in_the_database=len(recorded), entries_in_the_log=len(logged))
        fault.expect(len(set(acknowledged)) == len(acknowledged), "a reference was told twice")
        fault.expect(not unrecorded, f"{len(unrecorded)} acknowledged releases are not in the database")
        fault.expect(not unlogged, f"{len(unlogged)} acknowledged releases are not in the log")
        fault.expect(len(set(logged)) == len(logged), "an entry stands in the log twice")
        judge(fault, self.files, self.key, published, self.watcher.notes, ())


def _on_tmpfs(directory: Path, opened: ExitStack) -> str:
    """Put a file system of its own below a directory, where that is allowed; return what lies there now."""
    directory.mkdir(mode=0o755)
    words = ["mount", "-t", "tmpfs", "-o", f"size={LOG_MEBIBYTES}m,mode=0755", "tmpfs", str(directory)]
    with suppress(OSError):
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            opened.callback(subprocess.run, ["umount", "--lazy", str(directory)], check=False)
            return "tmpfs"
    return "the disk of all"


def status_of(url: str) -> int:
    """Return the status of a page, 0 where nobody answers."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


@contextmanager
def http_stage() -> Iterator[HttpStage]:
    """Start all of it, and end it."""
    with ExitStack() as opened:
        made = tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)
        directory = Path(opened.enter_context(made))
        directory.chmod(0o755)  # the clusters may belong to another user than this process
        ledger = opened.enter_context(embedded_cluster(directory / "ledger"))
        side = opened.enter_context(embedded_cluster(directory / "side"))
        log_on = _on_tmpfs(directory / "log", opened)
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
        environ = {
            **embedded_environment(ledger, directory, others),
            "BROKER_LOG_DIRECTORY": str(directory / "log"),
            "BROKER_SOURCE_URL": side.source_reader_url,
            "BROKER_LOG_HEAD_URL": side.head_url,
            "BROKER_WORKERS": str(WORKERS),
            "BROKER_ISSUER": issuer,
            "BROKER_BIND": f"127.0.0.1:{port}",
        }
        settings = read_settings(environ)
        prepare(ledger.owner_url, settings)
        insurance = load(side.source_owner_url, side.source_reader_url)
        world = World(settings, ledger.owner_url, insurance)
        opened.callback(world.close)
        create_head_store(side.head_owner_url)
        log = ServedLog(replace(ledger, head_url=side.head_url), settings)
        year = datetime.now(UTC).year
        stage = HttpStage(ledger, side, insurance, environ, issuer, world, log, log_on, directory, year)
        creating = Spawned([*_BROKER, "log", "create"], environ, directory / "create.log")
        assert creating.wait(120) == 0, creating.said
        stage.serve = opened.enter_context(running([*_BROKER, "serve"], environ, directory / "serve.log"))
        words = [*_BROKER, "sequencer", "--json"]
        stage.sequencer = opened.enter_context(running(words, environ, directory / "sequencer.log"))
        stage.watcher = opened.enter_context(Watcher(stage.files.directory))
        stage.all_workers_are_there()
        wait_until(lambda: status_of(f"{issuer}/readyz") == 200, "the broker is ready", 120)
        yield stage


@contextmanager
def running(words: Sequence[str], environ: dict[str, str], said: Path) -> Iterator[Spawned]:
    one = Spawned(words, environ, said)
    try:
        yield one
    finally:
        if one.is_alive:
            one.end()
