"""The two doors of a broker under test: the application in this process, and a real gunicorn server.

Both are entered with the caller that hospitals use, so every test sends a real token and a fresh proof.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from flask import Flask

import broker.app
from broker.cli.caller import Answer, Caller, ClientKey
from broker.cli.serve import server_command, with_metrics
from broker.settings import Settings, read_settings
from broker.storage.session import Store, open_store
from connectors.national_insurance.source import InsuranceSource
from tests.oauth_world import Party
from tests.release_world import CHECKS, SCOPE, Hospital

_OWN_PORTS = (18_000, 32_000)
"""Below those that Linux gives away by itself (net.ipv4.ip_local_port_range: 32768 to 60999)."""
_marks: list[socket.socket] = []
T = TypeVar("T")
R = TypeVar("R")


class InProcessCaller(Caller):
    """The hospitals' caller, talking to an application in this process instead of over a socket."""

    app: Flask

    def exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        with self.app.test_client(use_cookies=False) as client:
            response = client.open(
                parts.path,
                method=method,
                query_string=parts.query,
                base_url=f"{parts.scheme}://{parts.netloc}",
                data=body,
                headers=dict(headers),
            )
            fields = {name.lower(): value for name, value in response.headers}
            return Answer(response.status_code, fields, response.get_data())


@contextmanager
def running_app(settings: Settings) -> Iterator[Flask]:
    """Give the broker as it is served, and close its connections afterwards."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:

        def open_and_close(*given: Any, **options: Any) -> Store:
            store = open_store(*given, **options)
            opened.callback(store.close)
            return store

        def read_and_close(*given: Any, **options: Any) -> InsuranceSource:
            source = InsuranceSource(*given, **options)
            opened.callback(source.close)
            return source

        patch.setattr(broker.app, "open_store", open_and_close)
        patch.setattr(broker.app, "InsuranceSource", read_and_close)
        yield broker.app.create_app(settings)


def in_process_caller(app: Flask, issuer: str, hospital: Hospital) -> InProcessCaller:
    """Return a caller of an application in this process."""
    caller = InProcessCaller(issuer, hospital.client_id, hospital.key, SCOPE)
    caller.app = app
    return caller


class Server:
    """A real gunicorn server of two workers, started as `broker serve` starts it.

    environ: BROKER_* of its store and source; issuer and address are its own. Standard error goes to `log`.
    more: settings above these, such as the issuer of a broker behind a proxy; `issuer` stays its own address.
    """

    def __init__(
        self, environ: Mapping[str, str], directory: Path, more: Mapping[str, str] | None = None
    ) -> None:
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        self.log = directory / "server.log"
        metrics = directory / "metrics"
        metrics.mkdir()
        here = {"BROKER_ISSUER": self.issuer, "BROKER_BIND": f"127.0.0.1:{port}"}
        own = {**environ, **here, **(more or {})}
        self.environ = with_metrics(own, metrics)
        self.settings = read_settings(self.environ)
        self._callers: list[Caller] = []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                server_command(self.settings, "gunicorn"), env=self.environ, stdout=log, stderr=log
            )
        try:
            wait_until(self._is_ready, "the server is ready", 120)
        except BaseException:
            self.stop()
            raise

    def caller(self, hospital: Hospital) -> Caller:
        """Return a caller of this server; its connections are closed with the server. One per thread."""
        caller = Caller(self.issuer, hospital.client_id, hospital.key, SCOPE)
        self._callers.append(caller)
        return caller

    def _is_ready(self) -> bool:
        """Return whether it serves; raises AssertionError with all it said where it has ended."""
        if self.process.poll() is not None:
            # All of it: gunicorn may put tracebacks of its own after the line that says why.
            told = self.log.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"the server ended with {self.process.returncode}: {told}")
        return self.status("/readyz", 2.0) == 200

    def get(self, path: str, seconds: float = 10.0) -> Answer:
        """Ask for a public page over a connection of its own."""
        caller = Caller(self.issuer, "nobody", _NO_KEY, SCOPE, timeout_seconds=seconds)
        try:
            return caller.exchange("GET", self.issuer + path, None, {"Connection": "close"})
        finally:
            caller.close()

    def status(self, path: str, seconds: float = 10.0) -> int:
        """Return the status of a public page, 0 where nobody answers."""
        try:
            return self.get(path, seconds).status
        except (OSError, HTTPException):
            return 0

    def worker_pids(self) -> set[int]:
        """Return the process ids of the workers that live now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def stop(self) -> None:
        for caller in self._callers:
            caller.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def worker_of(server: Server, caller: Caller) -> int:
    """Return the process id of the worker that holds the other end of a caller's kept connection."""
    [connection] = caller._connections.values()
    port = f"{connection.sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [inode] = {row[9] for row in rows if row[2].endswith(f":{port}") and row[9] != "0"}
    for pid in server.worker_pids():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if str(descriptor.readlink()) == f"socket:[{inode}]":
                return pid
    raise LookupError(port)


_NO_KEY = ClientKey.read(json.dumps(Party("nobody").key.as_dict(private=True)))


@contextmanager
def cluster_directory() -> Iterator[Path]:
    """Give a directory for a cluster, outside of pytest's own.

    Run by root, the cluster belongs to another user, and a start of pytest shuts others out of its directory.
    """
    with tempfile.TemporaryDirectory(prefix="broker-tests-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that is this process's own until it ends.

    The kernel gives these ports to nobody by itself, neither who listens on port 0 nor who connects. Whoever
    looks for one here, in whatever process, marks it by a name that one socket of the machine can have at a
    time; the name is free again when its process ends, however it ends.
    """
    for _ in range(1000):
        port = random.randrange(*_OWN_PORTS)
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0broker-tests-port-{port}")
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        return port
    raise AssertionError("no port is free")


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until something is so; fail with its name when it does not become so in time.

    seconds: how long a machine may take that does much else; what is so at once is not waited for.
    """
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"in {seconds} s it did not come to be that {what}"
        time.sleep(0.05)


def post(caller: Caller, document: Any, path: str = CHECKS, **headers: str) -> Answer:
    """Send a document as JSON. headers: names with _ for -."""
    body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    return caller.request(
        "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def at_once(action: Callable[[T], R], given: Sequence[T]) -> list[R]:
    """Do something for every item at the same moment, each in its own thread; return the results in order."""
    barrier = threading.Barrier(len(given))

    def together(one: T) -> R:
        barrier.wait()
        return action(one)

    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(together, given))


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes in the middle of whatever they do, and let them go on afterwards.

    One that has ended meanwhile is left out, and never keeps the others stopped.
    """
    stopped: list[int] = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
