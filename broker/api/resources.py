"""The resource routes on Flask: flask.request in, `Call` through a face, `Reply` out; and the error table.

Every route names its authentication in `route_authentication`; a test walks the URL map.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, Protocol

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from broker.api.calls import Call, request_id_of
from broker.api.exchange import Exchange, Handler
from broker.api.operations_log import note_request
from broker.api.problems import plain_problem, problem_of
from broker.api.readable_request import ReadableRequest
from broker.oauth.caller_facts import CallerFacts, CallerReader

BODY_BYTES_MAX: Final = 256 * 1024
_SLUG_BY_STATUS: Final = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    400: "body-unreadable",
}


def resources_blueprint(
    exchange: Exchange,
    routes: Mapping[str, Handler],
    bodiless: Mapping[tuple[str, str], Handler],
    callers: CallerReader,
) -> Blueprint:
    """Return the resource routes.

    routes: path → handler, all of them POST with a JSON body. bodiless: (method, rule) → handler.
    """
    blueprint = Blueprint("resources", __name__)
    for path, handler in routes.items():
        view = _view(exchange, handler, callers, has_body=True)
        blueprint.add_url_rule(path, _endpoint(path), view, methods=["POST"])
    for (method, rule), handler in bodiless.items():
        view = _view(exchange, handler, callers, has_body=False)
        name = _endpoint(rule) + ("" if method == "GET" else f"_{method.lower()}")
        blueprint.add_url_rule(rule, name, view, methods=[method])
    return blueprint


def _endpoint(path: str) -> str:
    """/v1/entitlement-checks/batch → v1_entitlement_checks_batch; a variable part gives its name."""
    return re.sub(r"[^a-z0-9]+", "_", path.lower().strip("/").replace("<", "").replace(">", ""))


def _view(
    exchange: Exchange, handler: Handler, callers: CallerReader, *, has_body: bool
) -> Callable[..., Response]:
    def view(**_: str) -> Response:
        g.is_noted = True
        if has_body and request.mimetype != "application/json":
            g.is_noted = False
            return _plain("media-type-unsupported")
        reply = exchange.answer(handler, _call(callers), g.started)
        return Response(reply.body, reply.status, list(reply.headers))

    return view


def _call(callers: CallerReader) -> Call:
    headers = request.headers
    return Call(
        method=request.method,
        path=request.path,
        authorization=headers.get("Authorization"),
        # Two DPoP fields reach WSGI joined by a comma, which no proof contains: refused as malformed.
        dpop=headers.get("DPoP"),
        accept=headers.get("Accept", ""),
        accept_language=headers.get("Accept-Language", ""),
        request_id=g.request_id,
        reference=g.reference,
        body=request.get_data(cache=False),
        caller=callers.read(request.environ),
        route="" if request.url_rule is None else request.url_rule.rule,
        query=request.query_string.decode("latin-1"),
        user_id=headers.get("X-Road-UserId", ""),
        ranged=headers.get("Range", ""),
        if_range=headers.get("If-Range", ""),
        if_none_match=headers.get("If-None-Match", ""),
    )


def _plain(slug: str) -> Response:
    vietnamese = _call_without_body().vietnamese
    reply = plain_problem(slug, issuer=g.issuer, request_id=g.request_id, vietnamese=vietnamese)
    return Response(reply.body, reply.status, list(reply.headers))


class FaultPages(Protocol):
    """What people read where programs get a problem document; `consent_ui.fault_pages.FaultPages` is one."""

    def serves(self, path: str) -> bool:
        """Return whether people, not programs, come to a path."""
        ...

    def page(self, status: int, request_id: str) -> Response:
        """Return the page for a status."""
        ...


def install(app: Flask, exchange: Exchange, pages: FaultPages) -> None:
    """Give an app its limits, its request ids, its error table and its log line per request."""
    app.request_class = ReadableRequest
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.config["MAX_FORM_MEMORY_SIZE"] = BODY_BYTES_MAX
    # A redirect to the path without the second slash would name the host that the caller named.
    app.url_map.merge_slashes = False

    @app.before_request
    def begin() -> None:
        g.started = perf_counter()
        g.issuer = exchange.issuer
        g.reference = exchange.new_reference()
        g.request_id = request_id_of(request.headers.get("X-Request-Id"), g.reference)
        g.problem = None
        g.is_noted = False

    @app.after_request
    def finish(response: Response) -> Response:
        if not g.is_noted:
            response.headers["X-Request-Id"] = g.request_id
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            route = "(none)" if request.url_rule is None else request.url_rule.rule
            seconds = perf_counter() - g.started
            note_request(route, request.method, response.status_code, seconds, g.request_id, g.problem)
        return response

    _install_faults(app, exchange, pages)


def _install_faults(app: Flask, exchange: Exchange, pages: FaultPages) -> None:
    """Give an app its error table: a problem document for programs, a page for people."""

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        g.is_noted = False
        status = error.code or 500
        g.problem = _SLUG_BY_STATUS.get(status, "internal" if status >= 500 else "body-unreadable")
        if pages.serves(request.path):
            response = pages.page(status, g.request_id)
        else:
            response = _plain(g.problem)
            response.status_code = status
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        g.is_noted = False
        g.problem = problem_of(error).slug
        reply = exchange.refusal(error, _call_without_body())
        if not pages.serves(request.path):
            return Response(reply.body, reply.status, list(reply.headers))
        response = pages.page(reply.status, g.request_id)
        for name, value in reply.headers:
            if name == "Retry-After":
                response.headers[name] = value
        return response


def _call_without_body() -> Call:
    language = request.headers.get("Accept-Language", "")
    return Call(
        request.method,
        request.path,
        None,
        None,
        "",
        language,
        g.request_id,
        g.reference,
        b"",
        CallerFacts(""),
    )
