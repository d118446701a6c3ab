"""Operational logs and metrics: one JSON line and a few counters per request, and no personal data.

Logging is for operations; proof lives in the evidence. A line holds the broker's own words only: ids it
made, routes it knows, codes it defined, never a path, query, header or body as received.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import Counter, Histogram

SECONDS: Final = Histogram(
    "broker_request_seconds",
    "Requests answered, and the time from the first byte read to the answer",
    ["route", "status"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3),
)
CHECKS: Final = Counter("broker_entitlement_checks_total", "Entitlement checks answered", ["gateway_code"])
REFUSALS: Final = Counter("broker_refusals_total", "Requests refused", ["problem"])

LOG: Final = logging.getLogger("broker")


class JsonLines(logging.Formatter):
    """One JSON object per line: at, level, logger, event, and what the caller passed as `facts`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for one record; an exception gives its type and place, never its message."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["raised_at"] = _place(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)


def _place(traceback: Any) -> str:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return (
        "" if traceback is None else f"{traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}"
    )


def start_logging(level: str) -> None:
    """Send the broker's log lines to standard error, as JSON, from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOG.handlers[:] = [handler]
    LOG.setLevel(level.upper())
    LOG.propagate = False


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def note_request(
    route: str, method: str, status: int, seconds: float, request_id: str, problem: str | None
) -> None:
    """Count and log one answered request. route: the rule that matched, not the path as received."""
    _seconds(route, status).observe(seconds)
    # A method may be any word: nothing that a caller made up stands in the log.
    method = method if method in _METHODS else "(other)"
    if problem is not None:
        REFUSALS.labels(problem).inc()
    if LOG.isEnabledFor(logging.INFO):
        # The members are this program's own words and numbers, so the line needs no escaping encoder; it
        # is written once per request, on the release path.
        told = "" if problem is None else f',"problem":"{problem}"'
        line = (
            f'{{"at":"{datetime.now(UTC).isoformat(timespec="milliseconds")}","level":"info",'
            f'"logger":"broker","event":"request","request_id":"{request_id}","method":"{method}",'
            f'"route":"{route}","status":{status},"ms":{seconds * 1000:.2f}{told}}}\n'
        )
        sys.stderr.write(line)


_children: Final[dict[Any, Any]] = {}


def _seconds(route: str, status: int) -> Any:
    child = _children.get((route, status))
    if child is None:
        child = _children[route, status] = SECONDS.labels(route, str(status))
    return child


def note_check(gateway_code: str) -> None:
    """Count one entitlement check by its code."""
    child = _children.get(("check", gateway_code))
    if child is None:
        child = _children["check", gateway_code] = CHECKS.labels(gateway_code)
    child.inc()
