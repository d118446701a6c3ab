"""The worker's job of answering exports: a process for each, its bounds, and workers that are killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click import ClickException
from sqlalchemy import text

from broker.actions.answer_export import ExportQuestion
from broker.app import load_policies, new_reference
from broker.cli.session import Session
from broker.cli.statistics_standing import exports_backlog, exports_job
from broker.cli.statistics_worker import Bounds, ExportsJob
from broker.cli.worker import Job, Worker
from broker.clock import system_clock
from broker.errors import StoreUnavailable
from broker.export_child import ChildWork, Failed, Refused, Said, Share, said
from broker.settings import Settings
from broker.statistics.export_answer import ExportAnswer
from broker.statistics.export_job import ExportJob
from broker.storage.session import open_store
from broker.storage.statistics_work import LEASE
from tests.acting import entries, last_reference
from tests.doors import wait_until
from tests.exports_child import ScriptedDoors
from tests.exports_shelf import Shelf
from tests.exports_worker_process import OneRelease
from tests.exports_world import counted, frozen, plan_of, told
from tests.house.project import ROOT
from tests.oauth_world import Database
from tests.statistics_world import WAGE

RELEASE = frozen()
SEX = plan_of(RELEASE.manifest, ("sex", "sex"), measures=(WAGE,))
AGE = plan_of(RELEASE.manifest, ("age", "age"))
QUESTION = ExportQuestion(
    plan=SEX, format="csv", agreement="a", agreement_revision="ab" * 32, recipient_key=None
)
BOUNDS = Bounds(seconds=600.0, memory_mb=2048)


class Working:
    """A job of a worker in this process. script: of `tests.exports_child`."""

    def __init__(
        self, shelf: Shelf, directory: Path, script: str = "answer", bounds: Bounds = BOUNDS
    ) -> None:
        self.shelf, self.directory = shelf, directory
        self.doors = ScriptedDoors(script, directory, counted(RELEASE.manifest, SEX))
        self.job = ExportsJob(
            shelf.work,
            OneRelease(RELEASE),
            shelf.kept,
            bounds,
            lambda _job: self.doors,
            lambda: datetime.now(UTC),
            new_reference,
        )

    def until(self, is_so: Callable[[], bool]) -> list[Mapping[str, int]]:
        """Run rounds until something is so; return what they told."""
        told: list[Mapping[str, int]] = []

        def one_round() -> bool:
            told.extend(filter(None, [self.job.run()]))
            return is_so()

        wait_until(one_round, "the job came so far")
        return told

    def begun(self) -> bool:
        return (self.directory / "begun").exists()

    def child(self) -> list[str]:
        """Return what the child said of itself: its number, where its files go, and settings that it has."""
        return (self.directory / "begun").read_text().split()

    def child_is_gone(self) -> bool:
        pid = int(self.child()[0])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # A zombie whose parent was killed waits for whoever inherits it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def working(shelf: Shelf, tmp_path: Path) -> Iterator[Callable[..., Working]]:
    with ExitStack() as opened:

        def start(*arguments: object) -> Working:
            made = Working(shelf, tmp_path, *arguments)  # type: ignore[arg-type]
            opened.callback(made.job.end)
            return made

        yield start


def state(shelf: Shelf, job: ExportJob) -> Mapping[str, object]:
    return told(shelf.jobs.find_job(job.job_id, job.client_id))


def test_a_job_is_answered_by_a_process_of_its_own(
    shelf: Shelf, database: Database, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_KEY_ENCRYPTION_KEY_FILE", "/etc/secret")
    job, came_after = shelf.ask(RELEASE.manifest, SEX), last_reference(database.application)
    work = working()
    lines = work.until(lambda: state(shelf, job)["state"] == "done")
    assert lines == [{"taken": 1}, {"answered": 1}]
    number, scratch, *settings = work.child()
    assert int(number) != os.getpid()
    assert settings == [], "it has no setting of the broker's"
    assert Path(scratch).name.startswith("export-")
    assert not Path(scratch).exists(), "what it wrote there went with it"
    assert work.child_is_gone()
    assert not work.job.is_busy
    found = shelf.jobs.find_job(job.job_id, "ministry-a")
    assert found is not None
    assert found.result is not None
    content = shelf.jobs.read_result(job.job_id, "ministry-a", 0, found.result.bytes_count, datetime.now(UTC))
    assert content is not None
    assert content.count(b"OutputRow") == found.result.cell_count == 3
    [entry] = entries(database.application, "export", came_after)
    assert {name: entry[name] for name in ("step", "job", "client", "release", "plan_hash", "format")} == {
        "step": "released", "job": job.job_id, "client": "ministry-a", "release": SEX.release,
        "plan_hash": SEX.hash, "format": "csv",
    }  # fmt: skip
    assert entry["content_hash"] == found.result.content_hash
    assert entry["table_hash"] == found.result.table_hash
    assert (entry["cell_count"], entry["suppressed_permille"]) == (3, 0)
    assert entry["acting_person"] == job.acting_person
    other = shelf.ask(RELEASE.manifest, SEX, client_id="ministry-b")
    (work.directory / "begun").unlink()
    work.until(lambda: state(shelf, other)["state"] == "done")
    assert not work.begun(), "the same table again needs no engine"
    again = shelf.jobs.find_job(other.job_id, "ministry-b")
    assert again is not None
    assert again.result == found.result


@pytest.mark.parametrize(
    ("script", "reason"),
    [("crash", "answer_failed"), ("memory", "memory_exceeded")],
)
def test_what_goes_wrong_in_the_process_is_a_failed_try(
    shelf: Shelf, database: Database, working: Callable[..., Working], script: str, reason: str
) -> None:
    job, came_after = shelf.ask(RELEASE.manifest, SEX), last_reference(database.application)
    with shelf.engine.begin() as connection:
        connection.execute(text("UPDATE statistics_jobs SET try_count = 2"))
    work = working(script, replace(BOUNDS, memory_mb=1024))
    assert work.until(lambda: state(shelf, job)["state"] == "failed") == [{"taken": 1}, {reason: 1}]
    assert state(shelf, job) == {"state": "failed", "percent": 0, "reason": reason}
    assert entries(database.application, "export", came_after) == []
    assert work.job.run() == {}


def test_the_deadline_ends_the_process(shelf: Shelf, working: Callable[..., Working]) -> None:
    job = shelf.ask(RELEASE.manifest, SEX)
    work = working("wait", replace(BOUNDS, seconds=0.5))
    lines = work.until(lambda: not work.job.is_busy)
    assert lines == [{"taken": 1}, {"deadline_exceeded": 1}]
    assert state(shelf, job)["state"] == "waiting", "it is tried again"


def test_the_deadline_ends_the_process_also_while_the_store_is_away(
    shelf: Shelf, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, fail = shelf.ask(RELEASE.manifest, SEX), shelf.work.fail
    work = working("wait")
    work.until(work.begun)

    def away(*_: object) -> bool:
        raise StoreUnavailable("away")

    monkeypatch.setattr(shelf.work, "fail", away)
    child = work.job._child
    assert child is not None
    child.left_seconds = lambda: 0.0
    with pytest.raises(StoreUnavailable):
        work.job.run()
    wait_until(work.child_is_gone, "the process ended")
    monkeypatch.setattr(shelf.work, "fail", fail)
    assert work.until(lambda: not work.job.is_busy) == [{"deadline_exceeded": 1}]
    assert state(shelf, job)["state"] == "waiting"


def test_percent_is_told_and_a_cancelled_job_is_ended(
    shelf: Shelf, database: Database, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.statistics_worker.RENEW_SECONDS", 0.2)
    job, came_after = shelf.ask(RELEASE.manifest, SEX), last_reference(database.application)
    work = working("wait")
    work.until(lambda: state(shelf, job)["percent"] == 40)
    shelf.jobs.cancel(job.job_id, "ministry-a", datetime.now(UTC))
    assert work.until(lambda: not work.job.is_busy) == [{"cancelled": 1}]
    assert work.child_is_gone()
    assert entries(database.application, "export", came_after) == []
    assert shelf.jobs.count_tables(SEX.release) == 0


def test_a_job_that_another_worker_has_by_now_is_left_to_it(
    shelf: Shelf, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.cli.statistics_worker.RENEW_SECONDS", 0.2)
    job = shelf.ask(RELEASE.manifest, SEX)
    work = working("wait")
    work.until(work.begun)
    other = shelf.taken(datetime.now(UTC) + 2 * LEASE)
    assert other.job.job_id == job.job_id
    assert work.until(lambda: not work.job.is_busy) == [{"lost": 1}]
    assert work.child_is_gone()


def test_told_to_stop_it_ends_the_process_and_another_worker_takes_the_job_at_once(
    shelf: Shelf, working: Callable[..., Working]
) -> None:
    shelf.ask(RELEASE.manifest, SEX)
    work = working("wait")
    work.until(work.begun)
    worker = Worker([Job("statistics", 0.1, work.job.run, lambda _: True, work.job.end)], print, dict)
    worker.stop.set()
    worker.run()
    assert work.child_is_gone()
    assert shelf.taken(datetime.now(UTC)).try_count == 1, "and it has lost no try"


def test_what_the_child_said_is_told_again_when_the_store_was_away(
    shelf: Shelf, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shelf.ask(RELEASE.manifest, SEX)
    work, finish = working(), shelf.work.finish

    def away(*_: object) -> bool:
        monkeypatch.setattr(shelf.work, "finish", finish)
        raise StoreUnavailable("away")

    monkeypatch.setattr(shelf.work, "finish", away)
    with pytest.raises(StoreUnavailable):
        work.until(lambda: False)
    assert work.until(lambda: state(shelf, job)["state"] == "done") == [{"answered": 1}]


def test_a_release_that_is_not_there_is_a_failed_try(shelf: Shelf, working: Callable[..., Working]) -> None:
    work = working()
    other = replace(RELEASE.manifest, release="2026-q3.9")
    registry = replace(other.registry, release="2026-q3.9")
    other = replace(other, registry=registry)
    shelf.ask(other, plan_of(other))
    assert work.job.run() == {"taken": 1, "release_away": 1}
    assert not work.job.is_busy


def test_what_the_auditor_refused_is_refused_again_without_a_process(
    shelf: Shelf, database: Database, working: Callable[..., Working]
) -> None:
    came_after = last_reference(database.application)
    jobs = [shelf.ask(RELEASE.manifest, SEX, client_id=client) for client in ("ministry-a", "ministry-b")]
    with shelf.engine.begin() as connection:
        connection.execute(text("UPDATE statistics_tables SET state = 'refused', reason = 'cell_narrowed'"))
    work = working()
    assert [work.job.run() for _ in range(3)] == [{"taken": 1, "refused": 1}] * 2 + [{}]
    for job in jobs:
        assert state(shelf, job) == {"state": "refused", "percent": 0, "reason": "cell_narrowed"}
    found = entries(database.application, "export", came_after)
    assert [(one["step"], one["reason"], one["job"]) for one in found] == [
        ("refused", "cell_narrowed", job.job_id) for job in jobs
    ]


@pytest.mark.slow
class TestKilled:
    """A worker process that is killed with SIGKILL in the middle of a job."""

    def start(self, opened: ExitStack, database: Database, directory: Path) -> subprocess.Popen[str]:
        command = [
            sys.executable, "-m", "tests.exports_worker_process", database.application_url, str(directory),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        opened.enter_context(process)
        opened.callback(process.kill)
        return process

    def test_its_child_ends_and_another_worker_leaves_one_result_and_one_entry(
        self, shelf: Shelf, database: Database, tmp_path: Path
    ) -> None:
        job, came_after = shelf.ask(RELEASE.manifest, SEX), last_reference(database.application)
        given = (RELEASE, counted(RELEASE.manifest, SEX), "wait")
        (tmp_path / "given").write_bytes(pickle.dumps(given))
        work = Working(shelf, tmp_path)
        with ExitStack() as opened:
            process = self.start(opened, database, tmp_path)
            wait_until(work.begun, "the child counts")
            scratch = Path(work.child()[1])
            assert scratch.is_dir()
            process.kill()
            assert process.wait(60) == -signal.SIGKILL
            wait_until(work.child_is_gone, "the child ended with its worker")
            assert not scratch.exists(), "what it wrote beside goes with it"
            assert state(shelf, job)["state"] == "running"
            assert work.job.run() == {}, "within its lease nobody else takes it"
            with shelf.engine.begin() as connection:
                connection.execute(text("UPDATE statistics_jobs SET leased_until = now()"))
                connection.execute(text("UPDATE statistics_periods SET busy_until = now()"))
            (tmp_path / "go").touch()
            process = self.start(opened, database, tmp_path)
            wait_until(lambda: state(shelf, job)["state"] == "done", "another worker answered")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            assert process.returncode == 0
        [entry] = entries(database.application, "export", came_after)
        assert (entry["step"], entry["job"]) == ("released", job.job_id)
        assert list(shelf.states().values()) == ["released"]
        with shelf.engine.connect() as connection:
            count = connection.execute(text("SELECT count(*), max(try_count) FROM statistics_jobs")).one()
        assert tuple(count) == (1, 2)


class TestInTheChild:
    """What the process says, without a process."""

    def say(self, tmp_path: Path, script: str) -> list[Said]:
        heard: list[Said] = []
        doors = ScriptedDoors(script, tmp_path, counted(RELEASE.manifest, SEX))
        work = ChildWork(question=QUESTION, release=RELEASE, earlier=(), memory_mb=512, doors=doors)
        heard.append(said(work, heard.append))
        return heard

    def test_each_percent_is_told_once_and_then_the_answer(self, tmp_path: Path) -> None:
        *shares, answer = self.say(tmp_path, "answer")
        assert shares == [Share(40), Share(80), Share(100)]
        assert isinstance(answer, ExportAnswer)

    def test_faults_are_codes_and_hold_no_words(self, tmp_path: Path) -> None:
        assert self.say(tmp_path, "away")[-1] == Failed("engine_away", "source_unavailable")
        assert self.say(tmp_path, "defect")[-1] == Failed("answer_failed", "ZeroDivisionError")

    def test_a_refusal_is_its_reason_alone(self, tmp_path: Path) -> None:
        doors = ScriptedDoors("answer", tmp_path, counted(RELEASE.manifest, AGE))
        work = ChildWork(question=QUESTION, release=RELEASE, earlier=(), memory_mb=512, doors=doors)
        assert said(work, lambda _: None) == Refused("cells_differ")


class TestStanding:
    """What `broker worker` puts together from settings."""

    def test_without_a_directory_no_exports_are_answered_and_none_are_told_of(
        self, settings: Settings
    ) -> None:
        session = Session(settings, open_store(settings.database_url, deadline_seconds=1.0))
        assert exports_job(session, load_policies(settings), system_clock, print) is None
        assert exports_backlog(session, system_clock) == {}

    def test_without_the_extra_a_worker_that_is_meant_to_answer_does_not_start(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen = replace(settings, statistics_directory="/var/lib/releases")
        session = Session(chosen, open_store(settings.database_url, deadline_seconds=1.0))
        monkeypatch.setitem(sys.modules, "broker.cli.statistics_worker", None)
        with pytest.raises(
            ClickException, match=r"is missing: pip install 'insurance-data-broker\[statistics\]'"
        ):
            exports_job(session, load_policies(settings), system_clock, print)

    def test_the_heartbeat_tells_how_many_exports_wait(
        self, shelf: Shelf, database: Database, settings: Settings
    ) -> None:
        chosen = replace(settings, statistics_directory="/var/lib/releases")
        session = Session(chosen, replace(database.store, engine=shelf.engine))
        asked = shelf.ask(RELEASE.manifest, SEX).requested_at
        assert exports_backlog(session, lambda: asked) == {"exports_waiting": 1, "exports_oldest_seconds": 0}
