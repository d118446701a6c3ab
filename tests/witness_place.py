"""A witness as another organisation runs it: a directory, a key, and a gunicorn on a port of the loopback."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from broker.evidence.sequencing import LogHead
from broker.evidence.signed_note import VerifierKey
from broker.evidence.witness import AddCheckpoint
from broker.witness.key import new_key, write_key
from broker.witness.store import WitnessStore
from tests.doors import free_port, wait_until
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, MemoryLog

NAME: Final = "witness.example/w9"
# The clock is asked when the new state is on disk and nothing has been answered yet.
PROGRAM: Final = """
import os, signal, sys
from pathlib import Path
from broker.clock import system_clock
from broker.witness.key import read_key
from broker.witness.serving import Serving, WitnessServer

directory, key_file, bind, flag = sys.argv[1:]

def clock():
    try:
        os.unlink(flag)
    except FileNotFoundError:
        return system_clock()
    os.kill(os.getpid(), signal.SIGKILL)

WitnessServer(Serving(Path(directory), read_key(Path(key_file)), bind, clock=clock)).run()
"""


@dataclass(frozen=True)
class Answer:
    status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class WitnessPlace:
    """A witness that watches the log of the tests. Started and stopped as often as a test wants."""

    def __init__(self, directory: Path, name: str = NAME, logs: Sequence[VerifierKey] = (LOG_KEY,)) -> None:
        self.directory = directory / "witness"
        self.directory.mkdir()
        self.key_file = directory / "witness.key"
        self.key = new_key(name, bytes([len(name)]) * 32)
        write_key(self.key_file, self.key)
        self.store = WitnessStore(self.directory)
        for log in logs:
            self.store.watch(log)
        self.flag = directory / "die"
        self.log = directory / "witness.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def vkey(self) -> VerifierKey:
        return self.key.verifier

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self, workers: int = 1) -> None:
        """Start it as its operator does."""
        options = ["--directory", str(self.directory), "--key-file", str(self.key_file)]
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(workers)]
        self._started(["-m", "broker.cli", "witness", "serve", *options, *bind])

    def start_mortal(self) -> None:
        """Start it so that it is killed between state and answer as soon as `flag` is there."""
        bind = f"127.0.0.1:{self.port}"
        self._started(["-c", PROGRAM, str(self.directory), str(self.key_file), bind, str(self.flag)])

    def _started(self, words: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        wait_until(self.is_healthy, "the witness is served", 30)

    def is_healthy(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the witness ended: {self.log.read_text(errors='replace')}")
        try:
            return self.ask("GET", "/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told.get("content-type", ""), response.read(), told)
        finally:
            connection.close()

    def add(self, content: bytes) -> Answer:
        return self.ask("POST", "/add-checkpoint", content)

    def lines(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(encoding="utf-8")


def request(log: MemoryLog, old_size: int) -> bytes:
    """Return a request to cosign what a log is now, from an older size."""
    proof = log.tiles().consistency_proof(old_size)
    return AddCheckpoint(old_size, proof, log.note().content).content


def grown_by(log: MemoryLog, count: int) -> MemoryLog:
    """Let a log grow by releases; return it."""
    log.append([release(at) for at in range(log.edge.size, log.edge.size + count)])
    return log


def other_history(size: int) -> MemoryLog:
    """Return a log of the same name and key whose first entry is another one."""
    log = MemoryLog()
    log.append([release(9_999), *(release(at) for at in range(1, size))])
    return log


def head_of(log: MemoryLog) -> LogHead:
    """Return what a sequencer would hold of a log."""
    return LogHead(log.checkpoint(), log.note().content, datetime(2026, 11, 22, tzinfo=UTC))
