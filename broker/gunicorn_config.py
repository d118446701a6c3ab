"""gunicorn's configuration for the broker: measured worker shape, hard limits, clean metrics.

Read by gunicorn as `python:broker.gunicorn_config`; the numbers that differ per deployment come from
the environment, through the broker's settings. docs/operators.md gives the measurements behind them.
"""

from __future__ import annotations

import gc
from typing import Any

from broker.gunicorn_bounds import bound_clients
from broker.settings import read_settings

_settings = read_settings()

bind = _settings.bind
workers = _settings.workers
# Threads, not processes alone: a request that waits on a slow source must not stop the others of its worker.
worker_class = "gthread"
threads = _settings.threads
# Accepted but not yet served; beyond it clients are refused by the kernel at once instead of queueing.
backlog = 256
worker_connections = 256
keepalive = 15
# A worker that does not report for this long is killed: no request may take more than 3 s.
timeout = 10
graceful_timeout = 10
limit_request_line = 4096
limit_request_fields = 40
limit_request_field_size = 8190
# A new worker now and then bounds what any leak could do.
max_requests = 200_000
max_requests_jitter = 20_000
worker_tmp_dir = "/dev/shm"  # noqa: S108 - heartbeat files must not wait for a disk
control_socket_disable = True
accesslog = None
errorlog = "-"
logger_class = "broker.gunicorn_bounds.QuietLogger"
loglevel = "warning"
proc_name = "insurance-data-broker"
preload_app = False


def when_ready(server: Any) -> None:
    """Bound the time that a client may take, in the kernel."""
    bound_clients(server)


def child_exit(_server: Any, worker: Any) -> None:
    """Let the shared metrics forget a worker that ended."""
    if _settings.metrics_directory:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def post_worker_init(_worker: Any) -> None:
    """Take what was loaded at start out of the garbage collector's sight, and let it run less often.

    A request leaves little behind that counts references cannot free; walking the modules, schemas and
    policies of the process again and again would be paid by every request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
