"""WSGI applications on ports of the loopback, in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Silent(WSGIRequestHandler):
    """Says nothing on standard error, and closes every connection after its answer."""

    def log(self, *_: object) -> None:
        """Leave it."""


class SilentKeepAlive(Silent):
    """Keeps connections open."""

    protocol_version = "HTTP/1.1"


@dataclass(frozen=True)
class Place:
    """A port that is taken; what listens there may be told later, once it knows its own address."""

    server: BaseWSGIServer

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, application: WSGIApplication) -> None:
        """Let an application answer here from now on."""
        self.server.app = application


def _nobody(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("503 Service Unavailable", [("Content-Length", "0")])
    return []


@contextmanager
def serving(
    application: WSGIApplication = _nobody, handler: type[WSGIRequestHandler] = Silent
) -> Iterator[Place]:
    """Give a port that is ours for as long as it is needed, and what answers there."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Place(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
