"""Jobs of statistical exports in PostgreSQL: the cap for all clients, cancelling, results, their expiry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.oauth.statistics_secrets import ExportSecretUnreadable
from broker.statistics.plan import TablePlan
from broker.statistics.reasons import StatisticsRefused
from broker.storage.cleaning import KEEP_JOBS, delete_expired
from broker.storage.session import open_store
from broker.storage.statistics_rows import CHUNK_BYTES, KEPT
from tests.doors import at_once
from tests.exports_shelf import Shelf
from tests.exports_world import (
    counted,
    job_of_plan,
    manifest,
    one_of_each_province,
    plan_of,
    told,
)
from tests.oauth_world import Database
from tests.statistics_world import WAGE


def test_a_job_is_told_to_its_own_client_as_it_was_asked(shelf: Shelf) -> None:
    release = manifest()
    plan = plan_of(release, ("sex", "sex"), measures=(WAGE,), only=("province", "region", "north"))
    job = job_of_plan(plan, recipient_key={"kty": "EC", "crv": "P-256", "x": "a", "y": "b"})
    assert shelf.jobs.admit(job, release, plan) is True
    assert shelf.jobs.find_job(job.job_id, "ministry-a") == job
    assert shelf.jobs.find_job(job.job_id, "ministry-b") is None
    assert shelf.jobs.count_tables(release.release) == 1
    backlog = shelf.jobs.backlog(job.requested_at + timedelta(seconds=90))
    assert backlog == {"exports_waiting": 1, "exports_oldest_seconds": 90}


def test_a_job_that_is_not_of_its_plan_is_a_defect(shelf: Shelf) -> None:
    release = manifest()
    job = job_of_plan(plan_of(release))
    with pytest.raises(ValueError, match="is of its plan"):
        shelf.jobs.admit(job, release, plan_of(release, ("age", "age")))
    assert shelf.states() == {}


def test_the_cap_is_one_for_all_clients_and_the_same_table_is_free(shelf: Shelf) -> None:
    release = manifest(tables=2)
    for client_id, cut in (("ministry-a", "sex"), ("ministry-b", "age")):
        plan = plan_of(release, (cut, cut))
        assert shelf.jobs.admit(job_of_plan(plan, client_id), release, plan) is True
    again = plan_of(release, ("sex", "sex"))
    assert shelf.jobs.admit(job_of_plan(again, "ministry-b"), release, again) is False
    third = plan_of(release, ("province", "region"))
    refused = job_of_plan(third, "ministry-c")
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 2 distinct tables for all clients"):
        shelf.jobs.admit(refused, release, third)
    assert shelf.jobs.find_job(refused.job_id, "ministry-c") is None, "a refused question leaves no job"
    assert shelf.jobs.count_tables(release.release) == 2


def test_tables_of_a_superseded_release_count_and_overlap(shelf: Shelf) -> None:
    first, second = manifest(1, tables=3, differences=1), manifest(2, tables=3, differences=1)
    shelf.ask(first, plan_of(first, ("sex", "sex"), measures=(WAGE,)))
    shelf.ask(second, plan_of(second, ("sex", "sex")))
    assert shelf.jobs.count_tables(second.release) == 2
    differing = plan_of(second, ("sex", "sex"), measures=(WAGE,), only=("age", "age", "20-24"))
    with pytest.raises(StatisticsRefused, match="overlap_exhausted"):
        shelf.jobs.admit(job_of_plan(differing), second, differing)
    shelf.ask(second, plan_of(second, ("age", "age"), ("province", "region")))
    fourth = plan_of(second, ("province", "province"))
    with pytest.raises(StatisticsRefused, match="tables_exhausted: 3"):
        shelf.jobs.admit(job_of_plan(fourth), second, fourth)
    again = plan_of(first, ("sex", "sex"), measures=(WAGE,))
    assert shelf.jobs.admit(job_of_plan(again), first, again) is False


def test_questions_at_the_same_moment_never_take_more_tables_than_there_are(shelf: Shelf) -> None:
    release = manifest(tables=5, differences=64)
    plans = [one_of_each_province(release, number) for number in range(12)]
    assert len({one.hash for one in plans}) > 5

    def ask(plan: TablePlan) -> bool | str:
        try:
            return shelf.jobs.admit(job_of_plan(plan), release, plan)
        except StatisticsRefused as refused:
            return refused.reason

    answers = at_once(ask, [*plans, *plans[:3]])
    assert answers.count(True) == 5
    assert set(answers) <= {True, False, "tables_exhausted"}
    assert shelf.jobs.count_tables(release.release) == 5
    assert sorted(shelf.states().values()) == ["reserved"] * 5


def test_one_table_asked_for_at_the_same_moment_is_one_table(shelf: Shelf) -> None:
    release = manifest(tables=1)
    plan = plan_of(release)
    asked = at_once(
        lambda client: shelf.jobs.admit(job_of_plan(plan, client), release, plan), list("abcdefgh")
    )
    assert sorted(asked) == [False] * 7 + [True]


def test_a_cancelled_job_gives_its_place_back_unless_somebody_else_wants_the_table(shelf: Shelf) -> None:
    release, now = manifest(tables=1), datetime.now(UTC)
    plan = plan_of(release)
    one, two = shelf.ask(release, plan), shelf.ask(release, plan, client_id="ministry-b")
    assert shelf.jobs.cancel(one.job_id, "ministry-b", now) is None, "another client's job is none"
    cancelled = shelf.jobs.cancel(one.job_id, "ministry-a", now)
    assert told(cancelled) == {"state": "cancelled", "percent": 0, "reason": ""}
    assert shelf.jobs.count_tables(release.release) == 1
    shelf.jobs.cancel(two.job_id, "ministry-b", now)
    assert shelf.jobs.count_tables(release.release) == 0
    assert list(shelf.states().values()) == ["returned"]
    assert shelf.jobs.cancel(one.job_id, "ministry-a", now + timedelta(seconds=9)) == cancelled
    other = plan_of(release, ("age", "age"))
    assert shelf.jobs.admit(job_of_plan(other), release, other) is True
    with pytest.raises(StatisticsRefused, match="tables_exhausted"):
        shelf.jobs.admit(job_of_plan(plan), release, plan)


def test_a_result_is_read_in_any_range_by_its_own_client_alone(shelf: Shelf) -> None:
    release = manifest()
    content = bytes(range(251)) * (3 * CHUNK_BYTES // 251 + 7)
    job = shelf.answered(release, plan_of(release), content)
    assert job.result is not None
    assert job.result.bytes_count == len(content)
    now = datetime.now(UTC)
    size = len(content)
    for start, end in [
        (0, size), (0, 1), (size - 1, size), (CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (CHUNK_BYTES, 2 * CHUNK_BYTES), (5, 5), (2 * CHUNK_BYTES + 3, size), (size, size),
    ]:  # fmt: skip
        assert shelf.jobs.read_result(job.job_id, "ministry-a", start, end, now) == content[start:end]
    for start, end in [(0, size + 1), (5, 4), (-1, 3)]:
        assert shelf.jobs.read_result(job.job_id, "ministry-a", start, end, now) is None
    assert shelf.jobs.read_result(job.job_id, "ministry-b", 0, 1, now) is None
    with shelf.engine.connect() as connection:
        pieces = connection.execute(text("SELECT sealed FROM statistics_chunks ORDER BY number")).scalars()
        lying = [bytes(one) for one in pieces]
    assert [len(one) - 28 for one in lying] == [CHUNK_BYTES] * 3 + [len(content) - 3 * CHUNK_BYTES]
    assert not any(content[:64] in one for one in lying), "what lies there is sealed"


def test_a_result_is_gone_after_seven_days_before_anybody_cleans_and_its_key_afterwards(
    shelf: Shelf, database: Database
) -> None:
    release = manifest()
    job = shelf.answered(release, plan_of(release), b"secret numbers")
    assert job.finished_at is not None
    expires_at = job.finished_at + KEPT
    assert job.expires_at == expires_at
    assert timedelta(days=7) == KEPT
    last = expires_at - timedelta(seconds=1)
    assert shelf.jobs.read_result(job.job_id, "ministry-a", 0, 6, last) == b"secret"
    assert shelf.jobs.read_result(job.job_id, "ministry-a", 0, 6, expires_at) is None
    assert delete_expired(database.application, last)["statistics_chunks"] == 0
    deleted = delete_expired(database.application, expires_at + timedelta(seconds=1))
    assert (deleted["statistics_chunks"], deleted["statistics_jobs"]) == (1, 0)
    assert shelf.jobs.read_result(job.job_id, "ministry-a", 0, 6, last) is None
    with shelf.engine.connect() as connection:
        assert connection.execute(text("SELECT key_encrypted FROM statistics_jobs")).scalar_one() is None
    assert shelf.jobs.find_job(job.job_id, "ministry-a") == job, "that there was one is known for longer"
    after = job.finished_at + KEEP_JOBS + timedelta(seconds=1)
    assert delete_expired(database.application, after)["statistics_jobs"] == 1
    assert shelf.jobs.find_job(job.job_id, "ministry-a") is None
    assert shelf.jobs.count_tables(release.release) == 1, "its table counts for ever"


@pytest.mark.parametrize("change", ["changed", "of another job", "in another order"])
def test_pieces_that_were_moved_or_changed_do_not_open(shelf: Shelf, database: Database, change: str) -> None:
    release = manifest()
    content = b"x" * (CHUNK_BYTES + 100)
    one = shelf.answered(release, plan_of(release), content)
    other = shelf.answered(release, plan_of(release, ("age", "age")), content)
    statement = {
        "changed": "UPDATE statistics_chunks SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)",
        "of another job": "UPDATE statistics_jobs SET key_encrypted ="
        " (SELECT key_encrypted FROM statistics_jobs WHERE job_id = :one) WHERE job_id = :other",
        "in another order": "UPDATE statistics_chunks a SET sealed = b.sealed FROM statistics_chunks b"
        " WHERE a.job_id = b.job_id AND a.number = 1 - b.number",
    }[change]
    with database.owner.begin() as connection:
        given = {"one": one.job_id, "other": other.job_id} if ":one" in statement else {}
        connection.execute(text(statement), given)
    with pytest.raises(ExportSecretUnreadable):
        shelf.jobs.read_result(other.job_id, "ministry-a", 0, 100, datetime.now(UTC))


def test_under_another_key_nothing_opens(shelf: Shelf) -> None:
    release = manifest()
    job = shelf.answered(release, plan_of(release))
    foreign = Shelf(shelf.engine, bytes(32))
    with pytest.raises(ExportSecretUnreadable, match="a key of an export cannot be decrypted"):
        foreign.jobs.read_result(job.job_id, "ministry-a", 0, 1, datetime.now(UTC))
    with pytest.raises(ExportSecretUnreadable):
        foreign.kept.tables_of(release.release)


def test_true_numbers_lie_sealed_and_come_back_exactly(shelf: Shelf) -> None:
    release = manifest()
    plan = plan_of(release, ("province", "province"), ("age", "age"), measures=(WAGE,))
    shelf.answered(release, plan)
    cells = counted(release, plan)
    [kept] = shelf.kept.tables_of(release.release)
    assert kept.plan == plan
    assert kept.cells.content() == cells.content()
    assert repr(kept) == f"KeptTable({plan.hash[:12]})"
    assert shelf.kept.tables_of("2026-q3.2") == []


def test_the_application_role_cannot_give_the_place_of_a_released_table_away(database: Database) -> None:
    for statement in (
        "DELETE FROM statistics_tables",
        "UPDATE statistics_tables SET plan_hash = 'x'",
        "UPDATE statistics_tables SET period = 'x'",
        "DELETE FROM statistics_periods",
        "UPDATE statistics_chunks SET sealed = ''",
    ):
        with pytest.raises(Exception, match="permission denied"), database.application.begin() as connection:
            connection.execute(text(statement))


def test_without_a_store_every_door_says_so() -> None:
    store = open_store("postgresql+psycopg://broker_app@127.0.0.1:9/broker", deadline_seconds=1.0)
    shelf, now = Shelf(store.engine), datetime.now(UTC)
    plan, job_id = plan_of(manifest()), job_of_plan(plan_of(manifest())).job_id
    doors: list[Callable[[], object]] = [
        lambda: shelf.jobs.admit(job_of_plan(plan), manifest(), plan),
        lambda: shelf.jobs.find_job(job_id, "a"),
        lambda: shelf.jobs.cancel(job_id, "a", now),
        lambda: shelf.jobs.read_result(job_id, "a", 0, 1, now),
        lambda: shelf.jobs.count_tables("2026-q3.1"),
        lambda: shelf.jobs.backlog(now),
        lambda: shelf.work.take(now),
        lambda: shelf.kept.tables_of("2026-q3.1"),
    ]
    for door in doors:
        with pytest.raises(StoreUnavailable):
            door()
    store.close()
