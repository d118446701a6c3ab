"""A standalone cluster as deploy/spark starts it here: a master, two workers, the Thrift server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import psutil  # type: ignore[import-untyped]

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy/spark"
START_SECONDS: Final = 300
EXECUTOR: Final = "org.apache.spark.executor.CoarseGrainedExecutorBackend"


@dataclass(frozen=True)
class Cluster:
    url: str
    workers: list[subprocess.Popen[bytes]]
    directory: Path

    def executors(self, worker: int) -> list[psutil.Process]:
        """Return the executors that a worker has started."""
        try:
            children = psutil.Process(self.workers[worker].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if _is_executor(child)]

    def kill_worker(self, worker: int) -> int:
        """Kill a worker and its executors, with SIGKILL; return how many executors there were."""
        executors = self.executors(worker)
        for process in (*executors, psutil.Process(self.workers[worker].pid)):
            process.send_signal(signal.SIGKILL)
        self.workers[worker].wait(60)
        return len(executors)


def _is_executor(process: psutil.Process) -> bool:
    try:
        return any(EXECUTOR in word for word in process.cmdline())
    except psutil.Error:
        return False


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Start a cluster and stop it. Raises AssertionError with the log of what does not start."""
    master_port, thrift_port = free_port(), free_port()
    environ = {
        **os.environ,
        "PYTHON": sys.executable,
        "STATE": str(directory),
        "MASTER_PORT": str(master_port),
        "THRIFT_PORT": str(thrift_port),
        "PARTITIONS": "4",
        "MEMORY": "1g",
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, name: str) -> subprocess.Popen[bytes]:
        with (directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(DEPLOY / script)],
                env={**environ, "NAME": name},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    try:
        wait_for_port(master_port, start("master", "master"), directory / "master.log")
        workers = [start("worker", f"worker-{number}") for number in range(2)]
        wait_for_port(thrift_port, start("thrift-server", "thrift"), directory / "thrift.log")
        cluster = Cluster(f"hive://127.0.0.1:{thrift_port}/default", workers, directory)
        until = monotonic() + START_SECONDS
        while not all(cluster.executors(number) for number in range(2)):
            assert monotonic() < until, "not every worker has an executor"
            sleep(0.5)
        yield cluster
    finally:
        for process in reversed(started):
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and what it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)
    for child in psutil.wait_procs(children, timeout=30)[1]:
        child.kill()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-3000:]
            assert monotonic() < until, log.read_text(encoding="utf-8", errors="replace")[-3000:]
            sleep(0.5)
        else:
            return
