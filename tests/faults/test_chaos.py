"""What `make chaos` judges by can fail, its steps are those of the documents; the quickest faults once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.cli.embedded import EmbeddedCluster
from broker.cli.output import LOG_STOPPED
from broker.evidence.checkpoint import Checkpoint, signed_checkpoint
from tests.chaos.forks import falls, histories
from tests.chaos.log_stage import LogPlace, LogStage, log_stage
from tests.chaos.report import Fault, document_of, exit_code, show, write
from tests.chaos.steps import STEPS
from tests.doors import wait_until
from tests.evidence_entries import release
from tests.evidence_log import LOG_KEY, LOG_PRIVATE, ORIGIN, MemoryLog, log_of
from tests.faults.test_sequencer import turned_row
from tests.house.project import ROOT
from tests.log_world import log_databases


class TestHistories:
    @pytest.fixture
    def log(self) -> MemoryLog:
        return log_of(300)

    def note_of(self, checkpoint: Checkpoint) -> bytes:
        return signed_checkpoint(checkpoint, LOG_KEY, LOG_PRIVATE.sign).content

    def test_checkpoints_of_one_history_are_no_forks(self, log: MemoryLog) -> None:
        older = log.note().content
        log.append([release(at) for at in range(300, 700)])
        found = histories([older, older, log.note().content], LOG_KEY, log.read, log.checkpoint())
        assert (found.count, found.forks, found.beyond, found.unsigned) == (2, (), (), 0)

    @pytest.mark.parametrize("size", [7, 300])
    def test_another_root_at_a_size_of_the_log_is_a_fork(self, log: MemoryLog, size: int) -> None:
        other = Checkpoint(ORIGIN, size, b"\1" * 32)
        found = histories([self.note_of(other)], LOG_KEY, log.read, log.checkpoint())
        assert found.forks == (other,)

    def test_two_roots_at_one_size_beyond_the_log_are_a_fork(self, log: MemoryLog) -> None:
        two = [Checkpoint(ORIGIN, 400, bytes([byte]) * 32) for byte in (1, 2)]
        found = histories(map(self.note_of, two), LOG_KEY, log.read, log.checkpoint())
        assert set(found.beyond) == set(two)
        assert len(found.forks) == 1

    def test_what_the_log_did_not_sign_is_counted(self, log: MemoryLog) -> None:
        strange = log.note().content.replace(b"300", b"200")
        assert histories([strange, b"nothing"], LOG_KEY, log.read, log.checkpoint()).unsigned == 2

    def test_a_published_log_that_became_smaller_is_counted(self) -> None:
        assert falls([0, 3, 3, 8]) == 0
        assert falls([0, 8, 3, 8, 3]) == 2


class TestReport:
    def fault(self, **counts: Any) -> Fault:
        return Fault("x", "something broken", counts)

    def test_all_that_is_as_expected_ends_with_0_and_tells_its_counts(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        faults = [self.fault(releases=3, unrecorded=0, forks=0), self.fault(releases=4, kills={"a": 2})]
        document = document_of(faults, quick=True, seconds=1.0)
        assert exit_code(document) == 0
        path = tmp_path / "deep" / "chaos.json"
        write(document, path)
        told = json.loads(path.read_text(encoding="utf-8"))
        assert (told["releases"], told["unrecorded_releases"], told["forks"], told["failed"]) == (7, 0, 0, [])
        assert [one["name"] for one in told["faults"]] == ["x", "x"]
        show(document)
        shown = capsys.readouterr().out
        assert "7 releases acknowledged, 0 unrecorded, 0 forks, 0 of 2 faults" in " ".join(shown.split())
        assert "kills: a 2" in shown

    @pytest.mark.parametrize("counts", [{"unrecorded": 1}, {"forks": 1}])
    def test_a_lost_release_or_a_fork_ends_with_1(self, counts: dict[str, int]) -> None:
        assert exit_code(document_of([self.fault(**counts)], quick=False, seconds=1.0)) == 1

    def test_an_expectation_that_failed_ends_with_1_and_is_told(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault = self.fault()
        fault.expect(True, "nothing")
        fault.expect(False, "it was not so")
        document = document_of([fault], quick=False, seconds=1.0)
        assert (exit_code(document), document["faults"][0]["failures"]) == (1, ["it was not so"])
        show(document)
        assert "it was not so" in " ".join(capsys.readouterr().out.split())

    def test_what_nobody_foresaw_is_a_failure_and_the_others_have_their_turn(self) -> None:
        fault = self.fault()

        def fall() -> None:
            raise ValueError("oh")

        with fault.timed():
            fall()
        assert fault.failures == ["ValueError: oh"]

    def test_nothing_tried_is_nothing_proven(self) -> None:
        assert exit_code(document_of([], quick=False, seconds=1.0)) == 1


def test_each_row_of_the_sequencer_s_table_has_its_steps() -> None:
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    section = text.split("\n## The sequencer\n")[1].split("\n## ")[0]
    table = section.split("| step | on disk afterwards | a crash here |")[1].split("\n\n")[0]
    rows = [line.split("|")[1].strip().lower() for line in table.splitlines()[2:]]
    rows = [row for row in rows if not row.startswith("where ")]  # what a key's withdrawal alone brings
    of_steps = list(dict.fromkeys(step.row for step in STEPS.values()))
    assert [
        [one for one in of_steps if one in row.partition(",")[0].partition(":")[0]] for row in rows if row
    ] == [[one] for one in of_steps]


@pytest.fixture(scope="module")
def place(cluster: EmbeddedCluster) -> Iterator[LogPlace]:
    with log_databases(cluster) as databases:
        yield LogPlace(cluster, databases)


@pytest.fixture
def stage(place: LogPlace) -> Iterator[LogStage]:
    with log_stage(place) as given:
        yield given


class TestRealProcesses:
    def judged(self, stage: LogStage) -> None:
        stage.world.order()
        world = stage.world
        notes = [*stage.watcher.notes, *stage.signed()]
        found = histories(notes, world.key(), world.files().read, world.published())
        assert (found.forks, found.beyond, found.unsigned) == ((), (), 0)
        assert set(world.published_references()) == world.recorded()
        world.check()

    @pytest.mark.parametrize("step", ["head not committed", "checkpoint beside its place"])
    def test_one_that_is_killed_leaves_what_the_next_goes_on_from(self, stage: LogStage, step: str) -> None:
        stage.record(300)
        died = stage.sequencer(at=step)
        assert died.wait(120) == -signal.SIGKILL, died.said
        stage.record(10)
        self.judged(stage)

    def test_one_that_slept_through_its_lease_signs_in_vain_and_ends(self, stage: LogStage) -> None:
        stage.record(300)
        sleeper = stage.sequencer(at="signed", act="stop")
        wait_until(lambda: sleeper.is_stopped, "it sleeps", 120)
        with stage.place.administrator() as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'broker-lease'"
            )
        stage.record(10)
        stage.world.order()
        sleeper.send(signal.SIGCONT)
        assert sleeper.wait(120) == LOG_STOPPED
        assert (
            "is no longer at 0: another sequencer is at work, and nothing of this one is published"
            in sleeper.said
        )
        assert len(set(stage.signed())) == 3
        self.judged(stage)

    def test_one_whose_clock_is_two_hours_off_orders_all_the_same(self, stage: LogStage) -> None:
        stage.record(20)
        one = stage.sequencer("--once", clock=7_200.0)
        assert one.wait(120) == 0, one.said
        self.judged(stage)

    def test_a_row_that_was_changed_ends_it_with_its_place(self, stage: LogStage) -> None:
        stage.record(20)
        stage.world.order()
        with turned_row(stage.world, 7):
            stage.record(1)
            one = stage.sequencer("--once")
            assert one.wait(120) == LOG_STOPPED
        assert "position 7 of 2026 has another entry in the database than was signed" in one.said
        self.judged(stage)
