"""A witness served by gunicorn: few threads, hard limits, and no setting of the broker's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from broker.api.operations_log import start_logging
from broker.clock import Clock, system_clock
from broker.gunicorn_bounds import bound_clients
from broker.witness.app import WitnessApp
from broker.witness.key import WitnessKey
from broker.witness.store import WitnessStore


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how it is served. bind: address and port. workers: processes, each with so many threads."""

    directory: Path
    key: WitnessKey
    bind: str
    workers: int = 1
    threads: int = 4
    clock: Clock = system_clock


class WitnessServer(BaseApplication):  # type: ignore[misc]
    """gunicorn around a witness; `run()` returns when it is told to stop, and leaves the process."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what it is to do; nothing comes from the environment or from a file."""
        told: dict[str, Any] = {
            "bind": self._serving.bind,
            "workers": self._serving.workers,
            "worker_class": "gthread",
            "threads": self._serving.threads,
            "backlog": 64,
            "worker_connections": 64,
            "keepalive": 15,
            "timeout": 30,
            "graceful_timeout": 15,
            "limit_request_line": 1024,
            "limit_request_fields": 40,
            "limit_request_field_size": 4096,
            "worker_tmp_dir": "/dev/shm",  # noqa: S108 - heartbeat files must not wait for a disk
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "logger_class": "broker.gunicorn_bounds.QuietLogger",
            "loglevel": "warning",
            "proc_name": "log-witness",
            "when_ready": bound_clients,
        }
        for name, value in told.items():
            self.cfg.set(name, value)

    def load(self) -> WitnessApp:
        """Return the application of a worker process."""
        start_logging("info")
        serving = self._serving
        return WitnessApp(WitnessStore(serving.directory), serving.key, serving.clock)
