"""`/healthz`, `/readyz`, `/metrics`, and the problem types. No authentication, no personal data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from time import monotonic

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from broker.api.problems import PROBLEMS
from broker.errors import BrokerError

Probe = Callable[[], str | None]
"""Returns what is wrong, as a code, or None."""


PROBE_SECONDS = 1.0


class Remembered:
    """A probe whose finding is told again for a second; while one asks, the others are told the last."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._lock = Lock()
        self._until = 0.0
        self._found: str | None = "not asked yet"

    def __call__(self) -> str | None:
        """Return what is wrong, as a code, or None."""
        if monotonic() >= self._until and self._lock.acquire(blocking=self._until == 0.0):
            try:
                if monotonic() >= self._until:
                    self._found = self._probe()
                    self._until = monotonic() + PROBE_SECONDS
            finally:
                self._lock.release()
        return self._found


def operations_blueprint(
    needed: Mapping[str, Probe],
    informative: Mapping[str, Probe],
    metrics_directory: str,
    log_delay: Callable[[], float | None] | None = None,
) -> Blueprint:
    """Return the operator's routes.

    needed: probes that must all be silent for /readyz to say 200: could a release be signed and recorded
    now? informative: probes that are reported only; the source is one, because an outage of the source is
    answered with a signed receipt and must not take the broker out of service. log_delay: for how long the
    oldest entry waits that the published log does not hold, or None; what it raises leaves the metric out.
    """
    blueprint = Blueprint("operations", __name__)
    needed = {name: Remembered(probe) for name, probe in needed.items()}
    informative = {name: Remembered(probe) for name, probe in informative.items()}

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "alive"}, 200)

    @blueprint.get("/readyz")
    def readyz() -> Response:
        faults = {name: fault for name, probe in needed.items() if (fault := probe()) is not None}
        others = {name: probe() or "available" for name, probe in informative.items()}
        status = "not ready" if faults else "ready"
        return _json({"status": status, "faults": faults, **others}, 503 if faults else 200)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        registry = REGISTRY
        if metrics_directory:
            registry = CollectorRegistry()
            # prometheus_client leaves its constructor without types.
            MultiProcessCollector(registry, metrics_directory)  # type: ignore[no-untyped-call]
        told = generate_latest(registry) + _delay(log_delay)
        return Response(told, content_type=CONTENT_TYPE_LATEST)

    @blueprint.get("/problems/<slug>")
    def problem(slug: str) -> Response:
        row = PROBLEMS.get(slug)
        if row is None:
            return _json({"title": "unknown problem type"}, 404)
        return _json(
            {"slug": row.slug, "status": row.status, "title": {"vi": row.title_vi, "en": row.title_en}}, 200
        )

    return blueprint


def _delay(log_delay: Callable[[], float | None] | None) -> bytes:
    """Return the one metric that is asked for when it is read, not counted by workers."""
    try:
        seconds = None if log_delay is None else log_delay()
    except (BrokerError, ValueError):
        seconds = None
    if seconds is None:
        return b""
    told = "Age of the oldest entry that the published log does not hold"
    registry = CollectorRegistry()
    registry.register(_Told(GaugeMetricFamily("broker_log_oldest_entry_seconds", told, value=seconds)))
    return generate_latest(registry)


class _Told(Collector):
    """A metric with a value that is known: nothing of it is shared among workers, or kept."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def _json(document: Mapping[str, object], status: int) -> Response:
    body = json.dumps(document, ensure_ascii=False)
    return Response(body, status, content_type="application/json", headers={"Cache-Control": "no-store"})
