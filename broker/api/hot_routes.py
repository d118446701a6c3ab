"""A small WSGI face in front of Flask for the routes that carry the load, sharing face, errors and log.

Only the plain case is taken here: POST, exact path, a JSON body of known and modest length, no query; or GET,
exact path, no body. All else goes on to Flask, which serves the same routes with the same functions.
Measured: see docs/adr/0007-hot-routes-beside-flask.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, TypeAlias

from broker.api.calls import Call, request_id_of
from broker.api.exchange import Exchange, Handler
from broker.oauth.caller_facts import CallerReader

Environ: TypeAlias = Mapping[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Any, Any], Iterable[bytes]]

_STATUS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class HotRoutes:
    """WSGI application: hot routes here, everything else in the application behind."""

    def __init__(
        self,
        behind: Application,
        exchange: Exchange,
        routes: Mapping[str, Handler],
        body_bytes_max: int,
        callers: CallerReader,
        read_routes: Mapping[str, Handler] | None = None,
    ) -> None:
        self._behind = behind
        self._exchange = exchange
        self._routes = routes
        self._read_routes = read_routes or {}
        self._body_bytes_max = body_bytes_max
        self._callers = callers

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        handler = self._routes.get(path)
        if handler is not None and self._is_plain(environ):
            started = perf_counter()
            length = int(environ["CONTENT_LENGTH"])
            body = environ["wsgi.input"].read(length)
            if len(body) != length:
                # The client went away in the middle of its request; nobody is left to be answered.
                raise ConnectionError("the body ended early")
            return self._answered(handler, environ, start_response, body, started)
        handler = self._read_routes.get(path)
        if handler is not None and _is_plain_read(environ):
            return self._answered(handler, environ, start_response, b"", perf_counter())
        return self._behind(environ, start_response)

    def _answered(
        self, handler: Handler, environ: Environ, start_response: StartResponse, body: bytes, started: float
    ) -> Iterable[bytes]:
        reference = self._exchange.new_reference()
        call = Call(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            authorization=environ.get("HTTP_AUTHORIZATION"),
            dpop=environ.get("HTTP_DPOP"),
            accept=environ.get("HTTP_ACCEPT", ""),
            accept_language=environ.get("HTTP_ACCEPT_LANGUAGE", ""),
            request_id=request_id_of(environ.get("HTTP_X_REQUEST_ID"), reference),
            reference=reference,
            body=body,
            caller=self._callers.read(environ),
            query=environ.get("QUERY_STRING", ""),
        )
        reply = self._exchange.answer(handler, call, started)
        start_response(_STATUS[reply.status], [*reply.headers, ("Content-Length", str(len(reply.body)))])
        return (reply.body,)

    def _is_plain(self, environ: Environ) -> bool:
        length = environ.get("CONTENT_LENGTH", "")
        return (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == "application/json"
            and length.isdigit()
            and int(length) <= self._body_bytes_max
            and not environ.get("QUERY_STRING")
            and not environ.get("SCRIPT_NAME")
            and "HTTP_TRANSFER_ENCODING" not in environ
        )


def _is_plain_read(environ: Environ) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ.get("CONTENT_LENGTH", "") in ("", "0")
        and not environ.get("SCRIPT_NAME")
        and "HTTP_TRANSFER_ENCODING" not in environ
    )
