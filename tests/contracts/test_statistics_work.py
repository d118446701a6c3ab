"""Workers and jobs of statistical exports: one at a time in a period, each ended once, whoever dies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from broker.statistics.reasons import Reason, StatisticsRefused
from broker.storage.statistics_work import AGAIN_AFTER, LEASE, TRIES
from tests.acting import entries, last_reference, without_entries
from tests.doors import at_once
from tests.exports_shelf import Shelf
from tests.exports_world import answer_of, counted, evidence_row, job_of_plan, manifest, plan_of, told
from tests.oauth_world import Database

RELEASE = manifest()
SEX, AGE = plan_of(RELEASE, ("sex", "sex")), plan_of(RELEASE, ("age", "age"))


def test_the_job_that_waited_longest_comes_first_and_one_at_a_time_in_a_period(shelf: Shelf) -> None:
    now = datetime.now(UTC)
    second = shelf.ask(RELEASE, AGE, requested_at=now - timedelta(seconds=1))
    first = shelf.ask(RELEASE, SEX, requested_at=now - timedelta(seconds=2))
    taken = shelf.taken(now)
    assert (taken.job.job_id, taken.job.state, taken.try_count) == (first.job_id, "waiting", 1)
    assert told(shelf.jobs.find_job(first.job_id, "ministry-a"))["state"] == "running"
    assert shelf.work.take(now) is None, "the other one is of the same period"
    assert shelf.work.fail(taken, "engine_away", now)
    assert shelf.taken(now).job.job_id == second.job_id


def test_workers_at_the_same_moment_take_a_job_once(shelf: Shelf) -> None:
    now = datetime.now(UTC)
    for plan in (SEX, AGE):
        shelf.ask(RELEASE, plan)
    taken = at_once(lambda _: shelf.work.take(now), range(8))
    assert len([one for one in taken if one is not None]) == 1


def test_a_job_that_ends_well_leaves_table_result_and_evidence_at_once(
    shelf: Shelf, database: Database
) -> None:
    job, came_after = shelf.ask(RELEASE, SEX), last_reference(database.application)
    taken, now = shelf.taken(), datetime.now(UTC)
    answer = answer_of(SEX, b"numbers", counted(RELEASE, SEX))
    with without_entries(database.owner), pytest.raises(DBAPIError):
        shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    assert told(shelf.jobs.find_job(job.job_id, "ministry-a"))["state"] == "running"
    assert list(shelf.states().values()) == ["reserved"], "without its evidence nothing is released"
    assert shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    found = shelf.jobs.find_job(job.job_id, "ministry-a")
    assert told(found) == {"state": "done", "percent": 100, "reason": ""}
    assert found is not None
    assert (found.result, found.finished_at) == (answer.result(), now)
    assert list(shelf.states().values()) == ["released"]
    [entry] = entries(database.application, "export", came_after)
    assert (entry["release"], entry["step"]) == (RELEASE.release, "released")
    assert not shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    assert len(entries(database.application, "export", came_after)) == 1, "a second end finds nothing to end"


def test_a_killed_workers_job_is_taken_up_after_its_lease_and_ends_once(
    shelf: Shelf, database: Database
) -> None:
    job, came_after, now = shelf.ask(RELEASE, SEX), last_reference(database.application), datetime.now(UTC)
    killed = shelf.taken(now)
    assert shelf.work.take(now + LEASE - timedelta(seconds=1)) is None
    later = now + LEASE
    taken = shelf.taken(later)
    assert (taken.job.job_id, taken.try_count) == (job.job_id, 2)
    assert shelf.work.renew(killed, 50, later) == "lost"
    answer = answer_of(SEX, b"numbers", counted(RELEASE, SEX))
    row = evidence_row(job, answer.table_hash, later)
    ended = at_once(lambda one: shelf.work.finish(one, answer, row, later), [killed, taken])
    assert ended == [False, True]
    assert len(entries(database.application, "export", came_after)) == 1


def test_a_renewed_lease_holds_and_percent_only_rises(shelf: Shelf) -> None:
    job, now = shelf.ask(RELEASE, SEX), datetime.now(UTC)
    taken = shelf.taken(now)
    for percent, seen in ((40, 40), (20, 40), (300, 99)):
        now += LEASE - timedelta(seconds=1)
        assert shelf.work.renew(taken, percent, now) == "held"
        assert told(shelf.jobs.find_job(job.job_id, "ministry-a"))["percent"] == seen
        assert shelf.work.take(now + timedelta(seconds=2)) is None


def test_a_cancelled_job_is_told_to_its_worker_and_its_result_is_thrown_away(
    shelf: Shelf, database: Database
) -> None:
    job, came_after, now = shelf.ask(RELEASE, SEX), last_reference(database.application), datetime.now(UTC)
    other = shelf.ask(RELEASE, AGE)
    taken = shelf.taken(now)
    shelf.jobs.cancel(job.job_id, "ministry-a", now)
    assert shelf.work.renew(taken, 50, now) == "cancelled"
    assert shelf.work.renew(taken, 50, now) == "lost", "its period is free by now"
    answer = answer_of(SEX, b"numbers", counted(RELEASE, SEX))
    assert not shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    assert told(shelf.jobs.find_job(job.job_id, "ministry-a"))["state"] == "cancelled"
    assert entries(database.application, "export", came_after) == []
    assert sorted(shelf.states().values()) == ["reserved", "returned"]
    assert shelf.taken(now).job.job_id == other.job_id


def test_a_job_cancelled_just_before_its_end_is_not_ended_and_frees_its_period(shelf: Shelf) -> None:
    job, now = shelf.ask(RELEASE, SEX), datetime.now(UTC)
    shelf.ask(RELEASE, AGE)
    taken = shelf.taken(now)
    shelf.jobs.cancel(job.job_id, "ministry-a", now)
    answer = answer_of(SEX, b"numbers", counted(RELEASE, SEX))
    assert not shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    assert shelf.taken(now).job.plan_hash == AGE.hash


def test_failed_tries_are_tried_again_and_then_the_place_is_given_back(shelf: Shelf) -> None:
    job, now = shelf.ask(RELEASE, SEX), datetime.now(UTC)
    for number in range(1, TRIES):
        taken = shelf.taken(now)
        assert taken.try_count == number
        assert shelf.work.fail(taken, "engine_away", now)
        assert told(shelf.jobs.find_job(job.job_id, "ministry-a"))["state"] == "waiting"
        assert shelf.work.take(now) is None
        now += AGAIN_AFTER * number
    assert list(shelf.states().values()) == ["reserved"]
    assert shelf.work.fail(shelf.taken(now), "engine_away", now)
    found = shelf.jobs.find_job(job.job_id, "ministry-a")
    assert told(found) == {"state": "failed", "percent": 0, "reason": "engine_away"}
    assert list(shelf.states().values()) == ["returned"]
    assert shelf.work.take(now + timedelta(days=1)) is None


def test_a_job_that_kills_its_workers_ends_as_failed(shelf: Shelf) -> None:
    job, now = shelf.ask(RELEASE, SEX), datetime.now(UTC)
    other = shelf.ask(RELEASE, AGE)
    for _ in range(TRIES):
        assert shelf.taken(now).job.job_id == job.job_id
        now += LEASE
    assert shelf.taken(now).job.job_id == other.job_id
    found = shelf.jobs.find_job(job.job_id, "ministry-a")
    assert told(found) == {"state": "failed", "percent": 0, "reason": "worker_lost"}
    assert sorted(shelf.states().values()) == ["reserved", "returned"]


def test_a_job_that_is_handed_back_is_taken_at_once_and_has_lost_no_try(shelf: Shelf) -> None:
    shelf.ask(RELEASE, SEX)
    now = datetime.now(UTC)
    taken = shelf.taken(now)
    assert shelf.work.hand_back(taken)
    assert not shelf.work.hand_back(taken)
    assert shelf.taken(now).try_count == 1


@pytest.mark.parametrize(
    ("reason", "state"),
    [("cell_narrowed", "refused"), ("audit_unsolved", "refused"), ("cells_malformed", "returned")],
)
def test_what_the_auditor_refused_stays_refused_and_keeps_its_place(
    shelf: Shelf, database: Database, reason: Reason, state: str
) -> None:
    came_after, now = last_reference(database.application), datetime.now(UTC)
    one = shelf.ask(RELEASE, SEX)
    two = shelf.ask(RELEASE, SEX, client_id="ministry-b") if state == "refused" else None
    taken = shelf.taken(now)
    assert shelf.work.refuse(taken, reason, evidence_row(one, "cd" * 32, now), now)
    found = shelf.jobs.find_job(one.job_id, "ministry-a")
    assert told(found) == {"state": "refused", "percent": 0, "reason": reason}
    assert list(shelf.states().values()) == [state]
    assert shelf.jobs.count_tables(RELEASE.release) == (1 if state == "refused" else 0)
    assert len(entries(database.application, "export", came_after)) == 1
    again = job_of_plan(SEX, "ministry-c")
    if two is None:
        assert shelf.jobs.admit(again, RELEASE, SEX) is True
        return
    small = manifest(tables=1)
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 1 distinct"):
        shelf.jobs.admit(job_of_plan(AGE, "ministry-c"), small, AGE)
    assert list(shelf.states().values()) == [state]
    with pytest.raises(StatisticsRefused, match=f"{reason}: this very table was asked for before"):
        shelf.jobs.admit(again, RELEASE, SEX)
    assert shelf.taken(now).refused == reason, "whoever else waits for it is told the same"


def test_a_table_released_before_is_answered_from_what_is_kept(shelf: Shelf) -> None:
    shelf.answered(RELEASE, SEX)
    job = shelf.ask(RELEASE, SEX, client_id="ministry-b")
    taken, now = shelf.taken(), datetime.now(UTC)
    for answer, said in (
        (answer_of(SEX, cells=counted(RELEASE, SEX)), "no place reserved"),
        (answer_of(SEX, table_hash="ab" * 32), "as if it had been"),
    ):
        with pytest.raises(ValueError, match=said):
            shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    answer = answer_of(SEX, b"the same numbers")
    assert shelf.work.finish(taken, answer, evidence_row(job, answer.table_hash, now), now)
    assert shelf.jobs.read_result(job.job_id, "ministry-b", 0, 16, now) == b"the same numbers"
    assert shelf.jobs.count_tables(RELEASE.release) == 1


def test_a_period_that_another_worker_takes_at_that_moment_is_left_out(shelf: Shelf) -> None:
    """Two jobs of a period, two workers: never both, however their statements fall."""
    now = datetime.now(UTC)
    for round_ in range(5):
        for plan in (SEX, AGE):
            shelf.ask(RELEASE, plan)
        taken = [one for one in at_once(lambda _: shelf.work.take(now), range(6)) if one is not None]
        assert len(taken) == 1, round_
        shelf.jobs.cancel(taken[0].job.job_id, "ministry-a", now)
        assert shelf.work.renew(taken[0], 0, now) == "cancelled"
        with shelf.engine.begin() as connection:
            connection.execute(text("DELETE FROM statistics_jobs"))
