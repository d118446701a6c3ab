"""The demo's server and worker: the real ones, as child processes."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import click

from broker.cli.demo_steps import Lang, Words

HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
PID_FILE: Final = "server.pid"
WORKER_PID_FILE: Final = "worker.pid"

_TAKEN: Final = Words(
    "Cổng {port} đang có chương trình khác dùng. Hãy dừng chương trình đó, hoặc chọn cổng khác:\n  {remedy}",
    "Port {port} is taken by another program. Stop that program, or choose another port:\n  {remedy}",
)
_FORBIDDEN: Final = Words(
    "Không được phép mở cổng {port}. Hãy chọn cổng từ 1024 trở lên:\n  {remedy}",
    "Port {port} may not be opened. Choose one from 1024 upwards:\n  {remedy}",
)
_DIED: Final = Words(
    "Máy chủ không khởi động được; lý do nằm trong {log}",
    "The server did not start; {log} says why",
)


def check_port(port: int, command: str, lang: Lang) -> None:
    """Refuse a port that cannot be listened on, with a remedy. command: how this demo is called.

    Raises click.ClickException.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as fault:
            text = _TAKEN if fault.errno == errno.EADDRINUSE else _FORBIDDEN
            remedy = f"{command} demo --port {8001 if port == 8000 else 8000}"
            raise click.ClickException(text.say(lang).format(port=port, remedy=remedy)) from None


@contextmanager
def running_server(
    command: Sequence[str], environ: Mapping[str, str], port: int, log: Path, lang: Lang
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server, wait until /readyz says that it may answer, and stop it at the end.

    log: file that gets the server's log lines. Raises click.ClickException when it ends early or is not
    ready within READY_SECONDS.
    """
    with running(command, environ, log, log.with_name(PID_FILE)) as child:
        if not _wait_until_ready(child, port):
            raise click.ClickException(_DIED.say(lang).format(log=log))
        yield child


@contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log: Path, pid_file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program and stop it at the end. log: file that gets its lines.

    It stands in a session of its own, so that Ctrl-C reaches it through this process only, after what is
    under way.
    """
    with log.open("wb") as lines:
        child = subprocess.Popen(
            list(command),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        pid_file.write_text(f"{child.pid}\n", encoding="ascii")
        yield child
    finally:
        _stop(child)
        pid_file.unlink(missing_ok=True)


def end_leftover(directory: Path) -> None:
    """End server and worker of a demo that was killed and could not; only those known to be ours."""
    for file, mark in ((PID_FILE, b"broker.gunicorn_config"), (WORKER_PID_FILE, b"broker.cli\0worker")):
        try:
            pid = int((directory / file).read_text(encoding="ascii"))
            is_ours = mark in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            continue  # none was left, or it is gone
        until = monotonic() + STOP_SECONDS
        while is_ours and Path(f"/proc/{pid}").exists() and monotonic() < until:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            sleep(0.2)


def _wait_until_ready(child: subprocess.Popen[bytes], port: int) -> bool:
    until = monotonic() + READY_SECONDS
    while child.poll() is None and monotonic() < until:
        connection = HTTPConnection(HOST, port, timeout=3)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return True
        except (OSError, HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        sleep(0.05)
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the server as an operator would (SIGTERM), and by force if it does not."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
