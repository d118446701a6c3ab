"""What operators see: liveness, readiness with the fault by name, metrics of both workers, problem pages."""

from __future__ import annotations

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from broker.api import operations
from broker.api.problems import PROBLEMS
from broker.errors import StoreUnavailable
from broker.storage.privileges import APPLICATION_GRANTS
from tests.doors import Server, in_process_caller, post, running_app, wait_until, worker_of
from tests.log_reader import all_faults
from tests.release_world import World

READY = {
    "status": "ready",
    "faults": {},
    "source": "available",
    "releases": "log_not_required",
    "log": "none",
}


def ready(app: Flask) -> tuple[int, dict[str, Any]]:
    answer = app.test_client().get("/readyz")
    assert answer.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = answer.get_json()
    return answer.status_code, document


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes are not remembered where a test changes what they find."""
    monkeypatch.setattr(operations, "PROBE_SECONDS", 0.0)


def test_a_finding_is_remembered_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(operations, "PROBE_SECONDS", 60.0)
    probe = operations.Remembered(lambda: asked.append("asked"))
    assert [probe() for _ in range(3)] == [None, None, None]
    assert asked == ["asked"]


def test_what_gunicorn_says_of_a_bad_request_is_json_without_the_request(
    server: Server, world: World
) -> None:
    person = world.person()
    before = len(server.log.read_text(encoding="utf-8").splitlines())
    for line in (f"X Patient {person.personal_id}: x", f"{person.si_number}", "X-Name: \x00"):
        with socket.create_connection(("127.0.0.1", int(server.issuer.rpartition(":")[2])), 60) as raw:
            raw.sendall(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
            assert raw.recv(64).startswith(b"HTTP/1.1 400 ")
    wait_until(
        lambda: len(server.log.read_text(encoding="utf-8").splitlines()) >= before + 3, "gunicorn has said it"
    )
    said = server.log.read_text(encoding="utf-8").splitlines()[before:]
    told = [json.loads(one) for one in said]
    assert {one["logger"] for one in told if one["event"].startswith("Invalid request")} == {"gunicorn.error"}
    assert person.personal_id not in "".join(said)
    assert person.si_number not in "".join(said)
    assert all_faults(server.log, world) == []


def test_connections_without_a_request_cost_no_thread(server: Server) -> None:
    address = ("127.0.0.1", int(server.issuer.rpartition(":")[2]))
    with ExitStack() as opened:
        for _ in range(40):
            opened.enter_context(socket.create_connection(address, 60))
        started = time.monotonic()
        assert server.get("/healthz").json() == {"status": "alive"}
        # Were a thread kept by each, it would be for CLIENT_SECONDS.
        assert time.monotonic() - started < 4.5, "8 threads, 40 idle connections, and some in the way"


@contextmanager
def changed(world: World, statement: str, back: str) -> Iterator[None]:
    """Change the broker's own database as its owner, and change it back."""
    world.execute(statement)
    try:
        yield
    finally:
        world.execute(back)


def test_a_broker_that_can_record_is_ready(server: Server, app: Flask) -> None:
    assert ready(app) == (200, READY)
    assert server.get("/readyz").json() == READY
    assert server.get("/healthz").json() == {"status": "alive"}


def test_a_ledger_that_may_not_be_written_is_a_fault_and_no_data_leave(app: Flask, world: World) -> None:
    caller = in_process_caller(app, world.settings.issuer, world.hospital)
    caller.token()
    for table in ("evidence_entries", "evidence_openings"):
        revoke = f"REVOKE INSERT ON {table} FROM broker_app"
        with changed(world, revoke, f"GRANT {APPLICATION_GRANTS[table]} ON {table} TO broker_app"):
            assert ready(app) == (
                503,
                {**READY, "status": "not ready", "faults": {"ledger": "read_only"}},
            )
            answer = post(caller, world.document())
            assert answer.status == 503
            assert answer.json()["type"].endswith("/problems/evidence-unavailable")
            assert b"card" not in answer.body
    assert ready(app)[0] == 200
    assert post(caller, world.document()).status == 200


def test_a_database_at_another_revision_is_a_fault(app: Flask, world: World) -> None:
    with world.engine.connect() as connection:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    back = f"UPDATE alembic_version SET version_num = '{revision}'"  # noqa: S608
    with changed(world, "UPDATE alembic_version SET version_num = '0000'", back):
        status, document = ready(app)
        assert (status, document["faults"]) == (503, {"ledger": "revision"})
    assert ready(app)[0] == 200


def test_an_agreement_that_is_loaded_but_not_published_is_a_fault(
    app: Flask, world: World, tmp_path: Path, app_log: Path
) -> None:
    agreements = tmp_path / "agreements"
    agreements.mkdir()
    source = Path(world.settings.policy_directory) / "agreements" / "hospital_without_batch.toml"
    text = source.read_text(encoding="utf-8")
    (agreements / "one.toml").write_text(text.replace("hospital_without_batch", "never_published"))
    with running_app(replace(world.settings, policy_directory=str(tmp_path))) as other:
        status, document = ready(other)
    assert (status, document["faults"]) == (503, {"policies": "unpublished"})
    status_before = "SELECT revision_hash FROM agreements WHERE agreement_id = 'hospital_without_batch'"
    with world.engine.connect() as connection:
        published = connection.exec_driver_sql(status_before).scalar_one()
        another = connection.exec_driver_sql(
            "SELECT revision_hash FROM agreements WHERE agreement_id = 'hospital_ten_a_day'"
        ).scalar_one()
    update = "UPDATE agreements SET revision_hash = '{}' WHERE agreement_id = 'hospital_without_batch'"
    with changed(world, update.format(another), update.format(published)):
        assert ready(app)[1]["faults"] == {"policies": "unpublished"}
    assert ready(app)[0] == 200


def test_a_broker_that_cannot_sign_is_not_ready(world: World, tmp_path: Path, app_log: Path) -> None:
    other_key = replace(world.settings, key_encryption_key_file=world.settings.pseudonym_key_file)
    with running_app(other_key) as app:
        status, document = ready(app)
    assert (status, document["faults"].keys()) == (503, {"signing"})


def test_a_source_that_is_away_is_told_and_does_not_stop_the_broker(world: World, app_log: Path) -> None:
    away = "postgresql+psycopg://insurance_reader@/insurance?host=/nonexistent"
    with running_app(replace(world.settings, source_url=away)) as app:
        assert ready(app) == (200, {**READY, "source": "unavailable"})


def test_a_store_that_is_away_is_a_fault(world: World, app_log: Path) -> None:
    away = "postgresql+psycopg://broker_app@/broker?host=/nonexistent"
    with running_app(replace(world.settings, database_url=away)) as app:
        status, document = ready(app)
    assert status == 503
    assert document["faults"]["ledger"] == "unreachable"
    assert document["faults"]["policies"] == "unreachable"


_CHECKS = re.compile(r'^broker_entitlement_checks_total\{gateway_code="000"\} ([0-9.]+)$', re.MULTILINE)


def checks_counted(server: Server) -> float:
    found = _CHECKS.search(server.get("/metrics").body.decode())
    return float(found[1]) if found else 0.0


def test_metrics_count_over_both_workers_whoever_is_asked(server: Server, world: World) -> None:
    before = checks_counted(server)
    served: Counter[int] = Counter()

    def both_have_served() -> bool:
        caller = server.caller(world.hospital)
        assert post(caller, world.document()).status == 200
        served[worker_of(server, caller)] += 1
        return served.keys() == server.worker_pids()

    wait_until(both_have_served, "both workers have served")
    for _ in range(6):
        assert checks_counted(server) - before == served.total()


def test_metrics_hold_no_path_as_received(server: Server) -> None:
    server.get("/v1/001090123456")
    server.get("/problems/001090123456")
    wait_until(lambda: 'route="(none)"' in server.get("/metrics").body.decode(), "the request is counted")
    assert "001090123456" not in server.get("/metrics").body.decode()


def test_every_problem_type_has_its_page(server: Server) -> None:
    for slug, row in PROBLEMS.items():
        assert server.get(f"/problems/{slug}").json() == {
            "slug": slug,
            "status": row.status,
            "title": {"vi": row.title_vi, "en": row.title_en},
        }
    assert server.status("/problems/unheard-of") == 404


@pytest.mark.parametrize(("seconds", "told"), [(7.5, True), (0.0, True), (None, False)])
def test_the_delay_of_the_log_is_a_metric_where_there_is_a_log(seconds: float | None, told: bool) -> None:
    app = Flask("x")
    app.register_blueprint(operations.operations_blueprint({}, {}, "", lambda: seconds))
    text = app.test_client().get("/metrics").get_data(as_text=True)
    assert (f"broker_log_oldest_entry_seconds {seconds}" in text.splitlines()) is told


def test_metrics_are_told_although_the_delay_of_the_log_cannot_be() -> None:
    def unknown() -> float:
        raise StoreUnavailable("x")

    app = Flask("x")
    app.register_blueprint(operations.operations_blueprint({}, {}, "", unknown))
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert "broker_log" not in answer.get_data(as_text=True)
