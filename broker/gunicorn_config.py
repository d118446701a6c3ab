"""gunicorn's configuration for the broker: measured worker shape, hard limits, clean metrics.

Read by gunicorn as `python:broker.gunicorn_config`; the numbers that differ per deployment come from
the environment, through the broker's settings. docs/operators.md gives the measurements behind them.
"""

from __future__ import annotations

import gc
import logging
import re
import socket
import struct
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from broker.api.operations_log import JsonLines
from broker.settings import read_settings

_settings = read_settings()
_PLAIN_WORDS = re.compile(r"[A-Za-z ,.'-]*")
CLIENT_SECONDS = 5

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
logger_class = "broker.gunicorn_config.QuietLogger"
loglevel = "warning"
proc_name = "insurance-data-broker"
preload_app = False


class QuietLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines as JSON, without what clients sent: the words of the program alone."""

    def setup(self, cfg: Any) -> None:
        """Send errors to standard error as JSON lines."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())

    def critical(self, msg: str, *_args: Any, **_kwargs: Any) -> None:
        """Write a critical line."""
        self._told(logging.CRITICAL, msg)

    def error(self, msg: str, *_args: Any, **_kwargs: Any) -> None:
        """Write an error line."""
        self._told(logging.ERROR, msg)

    def warning(self, msg: str, *_args: Any, **_kwargs: Any) -> None:
        """Write a warning line."""
        self._told(logging.WARNING, msg)

    def info(self, msg: str, *_args: Any, **_kwargs: Any) -> None:
        """Write an information line."""
        self._told(logging.INFO, msg)

    def exception(self, msg: str, *_args: Any, **_kwargs: Any) -> None:
        """Write an error line with the kind and place of the exception under way, not its message."""
        self._told(logging.ERROR, msg, exc_info=True)

    def _told(self, level: int, msg: str, *, exc_info: bool = False) -> None:
        # Some lines come with their arguments already put in: only the plain words they begin with are told.
        words = _PLAIN_WORDS.match(str(msg))
        self.error_log.log(level, "%s", words[0].strip() if words else "", exc_info=exc_info)


_write_error = util.write_error


def write_error(sock: Any, status: int, reason: str, _message: str) -> None:
    """Answer bytes that are no HTTP request by status and reason; gunicorn's message would repeat them."""
    _write_error(sock, status, reason, "")


util.write_error = write_error


def when_ready(server: Any) -> None:
    """Bound the time that a client may take, in the kernel: no thread waits for a connection that is idle.

    A connection is handed over once its first bytes are there (TCP_DEFER_ACCEPT), and each read or write
    ends after a few seconds; accepted sockets inherit the bounds. The proxy in front bounds the whole.
    """
    bound = struct.pack("ll", CLIENT_SECONDS, 0)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)
        if listener.sock.family in (socket.AF_INET, socket.AF_INET6):
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, CLIENT_SECONDS)


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
