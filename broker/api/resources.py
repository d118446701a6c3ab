"""The resource routes on Flask: flask.request in, `Call` through a face, `Reply` out; and the error table.

Every route names its authentication in `AUTHENTICATION`; a test walks the URL map.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from broker.api.calls import Call, request_id_of
from broker.api.entitlement import EntitlementFace
from broker.api.operations_log import LOG, note_check, note_request
from broker.api.problems import MEDIA_TYPE, Reply, plain_problem, problem_of, problem_reply
from broker.api.reading import BodyUnreadable
from broker.errors import BrokerError

BODY_BYTES_MAX: Final = 256 * 1024
_SLUG_BY_STATUS: Final = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    400: "body-unreadable",
}

AUTHENTICATION: Final = {
    "resources.check_entitlement": "dpop",
    "resources.check_entitlement_batch": "dpop",
    "operations.healthz": "none: says only that the process lives",
    "operations.readyz": "none: says only whether releases can be recorded",
    "operations.metrics": "none: counters without personal data; close it to the outside at the proxy",
    "operations.problem": "none: public documentation",
    "oauth.token": "private_key_jwt",
    "oauth.metadata": "none: public document (RFC 8414)",
    "oauth.jwks": "none: public keys",
}
"""Endpoint → how its caller is authenticated."""


def resources_blueprint(face: EntitlementFace) -> Blueprint:
    """Return the resource routes."""
    blueprint = Blueprint("resources", __name__)

    @blueprint.post("/v1/entitlement-checks")
    def check_entitlement() -> Response:
        return _answered(face.check)

    @blueprint.post("/v1/entitlement-checks/batch")
    def check_entitlement_batch() -> Response:
        return _answered(face.batch)

    return blueprint


def _answered(answer: Callable[[Call], tuple[Reply, str]]) -> Response:
    if request.mimetype != "application/json":
        return _plain("media-type-unsupported")
    reply, gateway_code = answer(_call())
    note_check(gateway_code)
    return _response(reply)


def _call() -> Call:
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
        body=request.get_data(cache=False),
    )


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, list(reply.headers))


def _vietnamese() -> bool:
    return not request.headers.get("Accept-Language", "").strip().lower().startswith("en")


def _plain(slug: str) -> Response:
    issuer = g.issuer
    return _response(plain_problem(slug, issuer=issuer, request_id=g.request_id, vietnamese=_vietnamese()))


def install(app: Flask, issuer: str, new_reference: Callable[[], str]) -> None:
    """Give an app its limits, its request ids, its error table and its log line per request."""
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.config["MAX_FORM_MEMORY_SIZE"] = BODY_BYTES_MAX

    @app.before_request
    def begin() -> None:
        g.started = perf_counter()
        g.issuer = issuer
        g.request_id = request_id_of(request.headers.get("X-Request-Id"), new_reference)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        route = "(none)" if request.url_rule is None else request.url_rule.rule
        problem = getattr(g, "problem", None)
        if problem is None and response.content_type == MEDIA_TYPE:
            problem = "source-outage" if response.status_code == 503 else "request"
        note_request(
            route, request.method, response.status_code, perf_counter() - g.started, g.request_id, problem
        )
        return response

    @app.errorhandler(BrokerError)
    def refused(error: BrokerError) -> Response:
        g.problem = problem_of(error).slug
        if g.problem == "internal":
            LOG.error(
                "unmapped error kind", extra={"facts": {"request_id": g.request_id, "kind": error.kind}}
            )
        return _response(
            problem_reply(error, issuer=issuer, request_id=g.request_id, vietnamese=_vietnamese())
        )

    @app.errorhandler(BodyUnreadable)
    def unreadable(_: BodyUnreadable) -> Response:
        return _plain("body-unreadable")

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        response = _plain(_SLUG_BY_STATUS.get(status, "internal" if status >= 500 else "body-unreadable"))
        response.status_code = status
        if status == 405 and getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))  # type: ignore[attr-defined]
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        g.problem = "internal"
        LOG.error("unexpected", exc_info=error, extra={"facts": {"request_id": g.request_id}})
        return _response(
            problem_reply(error, issuer=issuer, request_id=g.request_id, vietnamese=_vietnamese())
        )
