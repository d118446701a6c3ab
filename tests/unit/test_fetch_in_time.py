"""One request gives up when its time is over, whatever resolver and host do, and keeps nothing of them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from threading import Event
from time import monotonic

import pytest

from connectors.pinned_https import FetchRefused, PinnedFetch
from connectors.reachable import Resolve


def fetch(resolve: Resolve, seconds: float) -> PinnedFetch:
    return PinnedFetch(
        "https://log.example/checkpoint",
        context=ssl.create_default_context(),
        resolve=resolve,
        private_hosts=(),
        until=monotonic() + seconds,
    )


def test_a_resolver_that_hangs_is_left_behind() -> None:
    let_go = Event()

    def hang(_host: str, _port: int) -> Sequence[str]:
        let_go.wait(60)
        return []

    try:
        with pytest.raises(FetchRefused, match="the host does not answer in time"):
            fetch(hang, 0.05).run_in_time()
    finally:
        let_go.set()


def test_what_nobody_foresaw_is_named_by_its_kind_alone() -> None:
    def break_down(_host: str, _port: int) -> Sequence[str]:
        raise ZeroDivisionError("somebody's secret")

    with pytest.raises(FetchRefused) as refused:
        fetch(break_down, 60).run_in_time()
    assert str(refused.value) == "the request failed: ZeroDivisionError"
    assert refused.value.__cause__ is None


def test_where_no_thread_can_be_started_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("connectors.pinned_https.Thread.start", full)
    with pytest.raises(FetchRefused, match="no thread could be started"):
        fetch(lambda _host, _port: [], 60).run_in_time()


def test_what_is_refused_is_refused_in_its_own_words() -> None:
    with pytest.raises(FetchRefused, match="the host has an address that must not be reached"):
        fetch(lambda _host, _port: ["10.0.0.1"], 60).run_in_time()
