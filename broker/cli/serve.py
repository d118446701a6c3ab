"""`broker serve`: the server processes, with an embedded PostgreSQL where no database is configured."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import click

from broker.cli.session import deployment, settings_of
from broker.settings import Settings

LOOK_SECONDS = 5.0
COMPANION_SECONDS = 15.0
BESIDE: Final = (("maintain", "--every", "60"),)
"""What runs beside the server, as words after `broker`."""
WORKER: Final = ("worker", "--json")
"""What runs beside it too where one machine does all. It reads policies, so a reload starts it anew."""


@click.command()
@click.option(
    "--server",
    type=click.Choice(["gunicorn", "granian"]),
    default="gunicorn",
    show_default=True,
    help="HTTP server; granian is an optional extra (pip install 'insurance-data-broker[granian]').",
)
@click.option("--with-worker", is_flag=True, help="Run broker worker beside it: one machine, one command.")
def serve_command(server: str, with_worker: bool) -> None:
    """Serve the broker until it is told to stop.

    Reads BROKER_* settings (docs/settings.md). Without BROKER_DATABASE_URL it starts a PostgreSQL of its own
    under BROKER_STATE_DIRECTORY (default .demo). SIGHUP reloads workers one generation after the other
    without dropping a request, and the worker beside it; SIGTERM finishes the requests under way.
    """
    with deployment() as (environ, _):
        command = server_command(settings_of(environ), server)
        with tempfile.TemporaryDirectory(prefix="broker-metrics-") as metrics:
            beside = (*BESIDE, WORKER) if with_worker else BESIDE
            sys.exit(run_server(command, with_metrics(environ, Path(metrics)), beside))


def server_command(settings: Settings, server: str) -> list[str]:
    """Return the command line of the HTTP server for these settings."""
    python = sys.executable
    if server == "gunicorn":
        config = "python:broker.gunicorn_config"
        return [python, "-m", "gunicorn", "--config", config, "broker.app:create_app()"]
    if shutil.which("granian") is None and not Path(python).with_name("granian").exists():
        raise click.ClickException("granian is not installed: pip install 'insurance-data-broker[granian]'")
    host, _, port = settings.bind.rpartition(":")
    return [
        python, "-m", "granian", "--interface", "wsgi", "--factory", "--host", host, "--port", port,
        "--workers", str(settings.workers), "--blocking-threads", str(settings.threads),
        "--backpressure", "64", "--workers-kill-timeout", "10", "--respawn-failed-workers",
        "--no-ws", "--http", "1", "--http1-buffer-size", "65536", "--http1-header-read-timeout", "5000",
        "--no-access-log", "--log-level", "warning", "broker.app:create_app",
    ]  # fmt: skip


def with_metrics(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return environ with the directory in which the workers share their metrics."""
    shared = environ.get("BROKER_METRICS_DIRECTORY") or str(directory)
    return {**environ, "BROKER_METRICS_DIRECTORY": shared, "PROMETHEUS_MULTIPROC_DIR": shared}


def run_server(
    command: list[str], environ: Mapping[str, str], beside: Sequence[tuple[str, ...]] = BESIDE
) -> int:
    """Run the server as a child, hand signals through, and return its exit code.

    beside: commands of ours that run as long as the server does, and are started anew when one ends. On
    SIGHUP the worker among them is told to end, so that it comes back with the policies of then.
    """
    child = subprocess.Popen(command, env=dict(environ))
    companions = {words: _started(words, environ) for words in beside}

    def hand_through(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)
        if number == signal.SIGHUP and WORKER in companions:
            companions[WORKER].send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, hand_through)
    try:
        while True:
            try:
                return child.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                for words, process in companions.items():
                    if process.poll() is not None:
                        companions[words] = _started(words, environ)
    finally:
        _end(companions.values())


def _started(words: tuple[str, ...], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command of ours beside the server; whoever calls looks after it. Only the worker is heard."""
    command = [sys.executable, "-m", "broker.cli", *words]
    return subprocess.Popen(
        command, env=dict(environ), stdout=None if words == WORKER else subprocess.DEVNULL
    )


def _end(processes: Collection[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, and end those that do not: what they had in hand is taken up by others."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(COMPANION_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
