"""What every gunicorn of ours does: lines of its own words alone, and bounds on what clients may take."""

from __future__ import annotations

import logging
import re
import socket
import struct
from typing import Any, Final

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from broker.api.operations_log import JsonLines

CLIENT_SECONDS: Final = 5
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z ,.'-]*")


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


def bound_clients(server: Any) -> None:
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
