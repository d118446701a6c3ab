from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from connectors.base import LookupKey, SourceTooSlow, SourceUnavailable
from connectors.national_insurance.dialect_reader import DialectReader
from connectors.national_insurance.source import InsuranceSource
from tests.contracts.source_fixtures import (
    CARD_CHECK,
    InsuranceDatabase,
    backend_pids,
    fresh_database,
    load,
    loaded_database,
    reading,
    sqlite_database,
)
from tests.doors import at_once, cluster_directory, frozen, wait_until

APPLICATION = "broker source"


@pytest.fixture(scope="module")
def database(cluster: EmbeddedCluster) -> InsuranceDatabase:
    return loaded_database(cluster)


@pytest.fixture
def key(database: InsuranceDatabase) -> LookupKey:
    return LookupKey("si_number", database.cases["valid"][0].si_number)


def test_a_frozen_server_cannot_hold_a_request_past_its_deadline(
    cluster: EmbeddedCluster, database: InsuranceDatabase, key: LookupKey
) -> None:
    with reading(database.reader_url, deadline_seconds=60.0, connect_timeout_seconds=60.0) as source:
        assert source.fetch(key, CARD_CHECK, 60.0) is not None
        with frozen(*backend_pids(cluster.administrator_url, APPLICATION)):
            started = time.monotonic()
            with pytest.raises(SourceTooSlow):
                source.fetch(key, CARD_CHECK, 0.4)
            assert 0.4 <= time.monotonic() - started < 30, "it took the source's own deadline of a minute"
            assert source.fetch(key, CARD_CHECK, 60.0) is not None, "a new connection serves at once"


def test_a_server_that_accepts_no_connection_cannot_hold_a_request_either(
    cluster: EmbeddedCluster, database: InsuranceDatabase, key: LookupKey
) -> None:
    patient = {"deadline_seconds": 60.0, "connect_timeout_seconds": 60.0}
    with reading(database.reader_url, **patient) as source, frozen(cluster.postmaster_pid):
        started = time.monotonic()
        with pytest.raises(SourceTooSlow):
            source.fetch(key, CARD_CHECK, 0.4)
        assert 0.4 <= time.monotonic() - started < 30, "it took the minute that a connection may take"
        assert not source.is_available()


def test_the_sources_own_deadline_bounds_a_generous_caller(
    cluster: EmbeddedCluster, database: InsuranceDatabase, key: LookupKey
) -> None:
    with reading(database.reader_url, deadline_seconds=0.3) as source:
        source.fetch(key, CARD_CHECK, 60.0)
        with frozen(*backend_pids(cluster.administrator_url, APPLICATION)):
            started = time.monotonic()
            with pytest.raises(SourceTooSlow):
                source.fetch(key, CARD_CHECK, 60.0)
            assert 0.3 <= time.monotonic() - started < 30, "it took the caller's minute"


def test_without_time_nothing_is_asked(database: InsuranceDatabase, key: LookupKey) -> None:
    with reading(database.reader_url, failures_to_open=1) as source:
        with pytest.raises(SourceTooSlow):
            source.fetch(key, CARD_CHECK, 0.0)
        assert source.circuit_state() == "closed"


def test_the_circuit_opens_refuses_at_once_and_closes_again(
    cluster: EmbeddedCluster, database: InsuranceDatabase, key: LookupKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("connectors.national_insurance.source.monotonic", lambda: now[0])
    patient = {"deadline_seconds": 60.0, "connect_timeout_seconds": 60.0}
    with reading(database.reader_url, failures_to_open=2, open_seconds=1.0, **patient) as source:
        with frozen(cluster.postmaster_pid):
            for _ in range(2):
                with pytest.raises(SourceTooSlow):
                    source.fetch(key, CARD_CHECK, 0.1)
            started = time.monotonic()
            with pytest.raises(SourceUnavailable) as refused:
                source.fetch(key, CARD_CHECK, 60.0)
            assert time.monotonic() - started < 30, "it asked, which takes a minute"
            assert not isinstance(refused.value, SourceTooSlow)
            assert refused.value.retry_after_seconds == 1
            assert source.circuit_state() == "open"
        now[0] += 1.0
        assert source.circuit_state() == "half_open"
        assert source.fetch(key, CARD_CHECK, 60.0) is not None
        assert source.circuit_state() == "closed"


def test_a_slow_source_holds_only_as_many_requests_as_it_may(
    cluster: EmbeddedCluster, database: InsuranceDatabase, key: LookupKey
) -> None:
    outcomes: list[str] = []

    def ask(source: InsuranceSource) -> None:
        try:
            source.fetch(key, CARD_CHECK, 3.0)
            outcomes.append("answered")
        except SourceTooSlow:
            outcomes.append("too slow")
        except SourceUnavailable:
            outcomes.append("turned away")

    patient = {"deadline_seconds": 60.0, "connect_timeout_seconds": 60.0}
    with reading(database.reader_url, concurrency=2, failures_to_open=50, **patient) as source:
        with frozen(cluster.postmaster_pid):
            at_once(ask, [source] * 6)
        assert sorted(outcomes) == ["too slow"] * 2 + ["turned away"] * 4
        assert source.fetch(key, CARD_CHECK, 60.0) is not None


def test_a_restarted_source_is_used_again_without_restarting_the_broker() -> None:
    with cluster_directory() as directory, ExitStack() as opened:
        with embedded_cluster(directory) as first:
            database = load(*fresh_database(first, "restarted"), persons=60)
            key = LookupKey("personal_id", database.cases["valid"][0].personal_id)
            patient = {"deadline_seconds": 60.0, "connect_timeout_seconds": 60.0}
            source = opened.enter_context(
                reading(database.reader_url, failures_to_open=3, open_seconds=0.2, **patient)
            )
            assert source.fetch(key, CARD_CHECK, 60.0) is not None
        for _ in range(5):
            with pytest.raises(SourceUnavailable):
                source.fetch(key, CARD_CHECK, 0.5)
        assert not source.is_available()
        with embedded_cluster(directory):
            wait_until(lambda: source.circuit_state() == "half_open", "it may be tried")
            assert source.fetch(key, CARD_CHECK, 60.0) is not None
            wait_until(source.is_available, "it is asked, and answers")


def test_another_dialects_driver_cannot_hold_a_request_past_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = sqlite_database(tmp_path)
    key = LookupKey("personal_id", database.cases["valid"][0].personal_id)
    released = threading.Event()

    def stuck(*_: object) -> None:
        released.wait(60)

    with reading(database.reader_url, deadline_seconds=60.0) as source:
        assert source.fetch(key, CARD_CHECK, 60.0) is not None
        with monkeypatch.context() as changed:
            changed.setattr("connectors.national_insurance.dialect_reader._fetch", stuck)
            started = time.monotonic()
            with pytest.raises(SourceTooSlow):
                source.fetch(key, CARD_CHECK, 0.2)
            assert 0.2 <= time.monotonic() - started < 30, "it took the source's own deadline of a minute"
        released.set()
        assert source.fetch(key, CARD_CHECK, 60.0) is not None


def test_another_dialects_failure_is_unavailable_and_quotes_nothing(tmp_path: Path) -> None:
    database = sqlite_database(tmp_path)
    (tmp_path / "insurance.db").write_bytes(b"no database" * 1000)
    who = database.cases["valid"][0]
    with reading(database.reader_url) as source:
        with pytest.raises(SourceUnavailable) as refused:
            source.fetch(LookupKey("personal_id", who.personal_id), CARD_CHECK, 2.0)
        assert refused.value.__cause__ is None
        assert who.personal_id not in str(refused.value)
        assert not source.is_available()


def test_readers_of_other_dialects_start_anew_after_a_fork(tmp_path: Path) -> None:
    database = sqlite_database(tmp_path)
    who = database.cases["valid"][0]
    reader = DialectReader(database.reader_url, 1)
    assert reader.fetch("personal_id", who.personal_id, ("sex",), 2.0) is not None
    assert reader._process is not None
    parent, engine, threads = reader._process
    reader._process = (parent + 1, engine, threads)
    assert reader.fetch("personal_id", who.personal_id, ("sex",), 2.0) is not None
    assert reader._process[1] is not engine
    threads.shutdown()
    engine.dispose()
    reader.close()
