from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from broker.cli.embedded import EmbeddedCluster
from connectors.postgres import (
    DatabaseRefused,
    DatabaseTooSlow,
    DatabaseUnavailable,
    PreparedConnections,
    PreparedStatement,
    conninfo_of_url,
)
from connectors.postgres_wire import WireConnection
from tests.contracts.source_fixtures import BACKEND, backend_pids, prepared
from tests.doors import wait_until

APPLICATION = "prepared tests"


@pytest.fixture
def connections(cluster: EmbeddedCluster) -> Iterator[PreparedConnections]:
    with prepared(cluster.administrator_url, application_name=APPLICATION) as opened:
        yield opened


def test_rows_come_as_text_and_null_as_none(connections: PreparedConnections) -> None:
    statement = PreparedStatement("kinds", "SELECT $1::int + 1, $2::text, NULL, true, date '2026-11-01'")
    rows = connections.execute(statement, [b"1", "Nguyễn".encode()], 60.0)
    assert rows == [(b"2", "Nguyễn".encode(), None, b"t", b"2026-11-01")]


def test_a_null_parameter_is_null_and_no_rows_are_an_empty_list(connections: PreparedConnections) -> None:
    statement = PreparedStatement("null", "SELECT 1 WHERE $1::text IS NULL")
    assert connections.execute(statement, [None], 60.0) == [(b"1",)]
    assert connections.execute(statement, [b""], 60.0) == []


def test_binary_parameters_keep_every_byte(connections: PreparedConnections) -> None:
    every_byte = bytes(range(256))
    statement = PreparedStatement("bytes", "SELECT encode($2::bytea, 'hex'), $1::text", frozenset({1}))
    assert connections.execute(statement, [b"x", every_byte], 60.0) == [(every_byte.hex().encode(), b"x")]


def test_a_parameter_larger_than_any_socket_buffer_arrives(connections: PreparedConnections) -> None:
    statement = PreparedStatement("large", "SELECT length($1::text)")
    assert connections.execute(statement, [b"x" * 20_000_000], 20.0) == [(b"20000000",)]


def test_a_statement_is_prepared_once_per_connection_with_a_generic_plan(
    connections: PreparedConnections,
) -> None:
    seen = PreparedStatement(
        "seen", "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements ORDER BY prepare_time"
    )
    twice = PreparedStatement("twice", "SELECT $1::int")
    for _ in range(8):
        connections.execute(twice, [b"1"], 60.0)
    same_again = PreparedStatement("twice", "SELECT $1::int")
    connections.execute(same_again, [b"1"], 60.0)
    assert connections.execute(seen, [], 60.0)[0] == (b"twice", b"9", b"0")


def test_two_statements_of_one_name_are_a_mistake(connections: PreparedConnections) -> None:
    connections.execute(PreparedStatement("same", "SELECT 1"), [], 60.0)
    with pytest.raises(ValueError, match="two statements are named same"):
        connections.execute(PreparedStatement("same", "SELECT 2"), [], 60.0)


def test_statements_beyond_the_bound_are_forgotten_on_both_sides(
    connections: PreparedConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.postgres.STATEMENTS_PER_CONNECTION", 10)
    for number in range(35):
        connections.execute(PreparedStatement(f"s{number}", f"SELECT {number}"), [], 60.0)
    count = PreparedStatement("count", "SELECT count(*) FROM pg_prepared_statements")
    assert int(connections.execute(count, [], 60.0)[0][0] or 0) <= 10


def test_sessions_are_set_up_as_told(cluster: EmbeddedCluster) -> None:
    names = ("plan_cache_mode", "jit", "application_name", "statement_timeout", "search_path", "TimeZone")
    settings = {"application_name": "a name", "statement_timeout": "1234", "search_path": 'a\\b, "c d"'}
    show = PreparedStatement("show", "SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    with prepared(cluster.administrator_url, **settings) as connections:
        row = connections.execute(show, [], 60.0)[0]
    values = (b"force_generic_plan", b"off", b"a name", b"1234ms", b'a\\b, "c d"', b"UTC")
    assert row == values


def test_a_refusal_carries_the_sqlstate_and_no_value(connections: PreparedConnections) -> None:
    secret = b"0123456789012"
    with pytest.raises(DatabaseRefused) as refused:
        connections.execute(PreparedStatement("cast", "SELECT ($1::text)::int2"), [secret], 60.0)
    assert refused.value.sqlstate == "22003"
    shown = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert secret.decode() not in shown


def test_a_violated_constraint_is_named(connections: PreparedConnections) -> None:
    connections.execute(
        PreparedStatement("t", "CREATE TEMP TABLE t (a int CONSTRAINT once UNIQUE)"), [], 60.0
    )
    insert = PreparedStatement("i", "INSERT INTO t VALUES ($1)")
    assert connections.execute(insert, [b"1"], 60.0) == []
    with pytest.raises(DatabaseRefused) as refused:
        connections.execute(insert, [b"1"], 60.0)
    assert (refused.value.sqlstate, refused.value.constraint) == ("23505", "once")


def test_the_connection_serves_on_after_a_refusal(connections: PreparedConnections) -> None:
    backend = connections.execute(BACKEND, [], 60.0)
    for _ in range(3):
        with pytest.raises(DatabaseRefused):
            connections.execute(PreparedStatement("zero", "SELECT 1 / $1::int"), [b"0"], 60.0)
    assert connections.execute(BACKEND, [], 60.0) == backend


def test_a_statement_whose_plan_went_stale_is_prepared_again(connections: PreparedConnections) -> None:
    connections.execute(PreparedStatement("make", "CREATE TABLE IF NOT EXISTS grows (a int)"), [], 60.0)
    every = PreparedStatement("every", "SELECT * FROM grows")
    assert connections.execute(every, [], 60.0) == []
    connections.execute(PreparedStatement("alter", "ALTER TABLE grows ADD COLUMN b int"), [], 60.0)
    connections.execute(PreparedStatement("fill", "INSERT INTO grows VALUES (1, 2)"), [], 60.0)
    assert connections.execute(every, [], 60.0) == [(b"1", b"2")]
    connections.execute(PreparedStatement("drop", "DROP TABLE grows"), [], 60.0)


def test_a_statement_that_a_pooler_forgot_is_prepared_again(connections: PreparedConnections) -> None:
    one = PreparedStatement("one", "SELECT 1")
    connections.execute(one, [], 60.0)
    connections.execute(PreparedStatement("forget", "DEALLOCATE one"), [], 60.0)
    assert connections.execute(one, [], 60.0) == [(b"1",)]


def test_each_thread_has_its_own_connection_and_closes_it_with_itself(
    connections: PreparedConnections, cluster: EmbeddedCluster
) -> None:
    backends: list[bytes | None] = []
    threads = [
        threading.Thread(target=lambda: backends.append(connections.execute(BACKEND, [], 60.0)[0][0]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(backends) == 6
    gc.collect()
    wait_until(lambda: backend_pids(cluster.administrator_url, APPLICATION) == [], "the backends end")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_opens_its_own_connection_and_leaves_the_parents_alone(
    connections: PreparedConnections,
) -> None:
    mine = connections.execute(BACKEND, [], 60.0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent only
        theirs = connections.execute(BACKEND, [], 60.0)[0][0]
        os.write(writing, theirs or b"")
        connections.close()
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 20)
    os.close(reading)
    os.close(writing)
    assert theirs not in (b"", mine[0][0])
    assert connections.execute(BACKEND, [], 60.0) == mine


def test_a_connection_that_the_server_ended_while_idle_is_replaced_unnoticed(
    connections: PreparedConnections, cluster: EmbeddedCluster
) -> None:
    before = int(connections.execute(BACKEND, [], 60.0)[0][0] or 0)
    with psycopg.connect(cluster.administrator_url) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 2000)", (before,))
    wait_until(lambda: before not in backend_pids(cluster.administrator_url, APPLICATION), "the backend ends")
    assert int(connections.execute(BACKEND, [], 60.0)[0][0] or 0) != before


def test_a_session_ended_while_working_is_unavailable_and_the_next_statement_runs(
    connections: PreparedConnections,
) -> None:
    with pytest.raises(DatabaseUnavailable):
        connections.execute(
            PreparedStatement("end", "SELECT pg_terminate_backend(pg_backend_pid())"), [], 60.0
        )
    assert connections.execute(PreparedStatement("one", "SELECT 1"), [], 60.0) == [(b"1",)]


def test_the_servers_own_timeout_is_too_slow(cluster: EmbeddedCluster) -> None:
    with (
        prepared(cluster.administrator_url, statement_timeout="100") as connections,
        pytest.raises(DatabaseTooSlow),
    ):
        connections.execute(PreparedStatement("sleep", "SELECT pg_sleep(60)"), [], 50.0)


def test_the_deadline_holds_and_the_server_is_told_to_stop(
    connections: PreparedConnections, cluster: EmbeddedCluster
) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseTooSlow):
        connections.execute(PreparedStatement("sleep", "SELECT pg_sleep(60)"), [], 0.2)
    assert 0.2 <= time.monotonic() - started < 30, "it waited for the minute of the statement"
    wait_until(lambda: backend_pids(cluster.administrator_url, APPLICATION) == [], "the backends end")


def test_nobody_listening_is_unavailable() -> None:
    with prepared("postgresql+psycopg://nobody@127.0.0.1:1/nothing") as connections:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            connections.execute(BACKEND, [], 60.0)
        assert time.monotonic() - started < 30, "it was waited for"


def test_after_closing_nothing_runs(connections: PreparedConnections, cluster: EmbeddedCluster) -> None:
    connections.execute(BACKEND, [], 60.0)
    connections.close()
    with pytest.raises(DatabaseUnavailable):
        connections.execute(BACKEND, [], 60.0)
    wait_until(lambda: backend_pids(cluster.administrator_url, APPLICATION) == [], "the backends end")


_SLEEPING = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%''done''%'"


def test_closing_waits_for_a_statement_under_way(
    connections: PreparedConnections, cluster: EmbeddedCluster
) -> None:
    rows: list[object] = []
    sleep = PreparedStatement("sleep", "SELECT 'done' FROM pg_sleep(1)")
    thread = threading.Thread(target=lambda: rows.extend(connections.execute(sleep, [], 60.0)))
    with psycopg.connect(cluster.administrator_url, autocommit=True) as looking:
        thread.start()
        wait_until(lambda: looking.execute(_SLEEPING).fetchone() is not None, "the statement is under way")
    connections.close()
    thread.join()
    assert rows == [(b"done",)]


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgresql+psycopg://r@/insurance?host=/run/pg", {"user=r", "host=/run/pg", "dbname=insurance"}),
        (
            "postgresql://r:p%40ss@db:5433/i?sslmode=require",
            {"password=p@ss", "port=5433", "sslmode=require"},
        ),
        ("postgresql+psycopg://r@/i?host=a:1&host=b:2", {"host=a,b", "port=1,2"}),
    ],
)
def test_urls_become_connection_strings(url: str, parts: set[str]) -> None:
    assert parts <= set(conninfo_of_url(url).split())


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://u@h/d?no_such_parameter=1"])
def test_urls_that_libpq_cannot_use_are_refused_without_quoting_them(url: str) -> None:
    with pytest.raises(ValueError, match=r"PostgreSQL|libpq") as refused:
        conninfo_of_url(url)
    assert "no_such_parameter" not in str(refused.value)


def test_a_wire_connection_of_another_process_is_never_closed_here(cluster: EmbeddedCluster) -> None:
    until = time.monotonic() + 60
    wire = WireConnection(conninfo_of_url(cluster.administrator_url).encode(), until, until)
    wire.process += 1
    wire.close()
    assert wire.is_alive()
    wire.process -= 1
    wire.close()
    assert not wire.is_alive()
