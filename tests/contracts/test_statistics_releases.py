"""Releases in PostgreSQL: begun with secrets, frozen once, closed by the next; they answer as frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.actions.statistics_doors import ReleaseShelf
from broker.errors import StoreUnavailable
from broker.oauth.release_secrets import ReleaseSeal, ReleaseSecretUnreadable
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.periods import parse_quarter
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.release_layout import MANIFEST, perturbation_path
from broker.statistics.revision import RevisionPolicy
from broker.storage.statistics_making import PostgresReleaseMaking, ReleaseIsThere
from broker.storage.statistics_releases import PostgresReleaseShelf
from tests.acting import ACTS, entries, last_reference
from tests.exports_shelf import Shelf
from tests.exports_world import manifest, plan_of
from tests.frozen_release import FROZEN_AT, SmallRelease, frozen_release
from tests.oauth_world import Database

QUARTER = parse_quarter("2026-q3")
POLICY = RevisionPolicy()
SEAL = ReleaseSeal(b"k" * 32)


@pytest.fixture
def releases(database: Database) -> Iterator[Database]:
    empty = text("TRUNCATE statistics_releases, statistics_jobs, statistics_tables, statistics_chunks")
    with database.owner.begin() as connection:
        connection.execute(empty)
    yield database
    with database.owner.begin() as connection:
        connection.execute(empty)


@pytest.fixture
def making(releases: Database) -> PostgresReleaseMaking:
    return PostgresReleaseMaking(releases.application, SEAL, ACTS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("releases"), persons=100)


def hash_of(small: SmallRelease) -> str:
    return manifest_hash(manifest_bytes(small.frozen.manifest))


def shelf_of(database: Database, small: SmallRelease) -> PostgresReleaseShelf:
    return PostgresReleaseShelf(database.application, Path(small.frozen.directory).parent, SEAL)


def test_a_release_is_begun_once_and_gone_on_with_under_the_same_secrets(
    making: PostgresReleaseMaking,
) -> None:
    first = making.begin(QUARTER, POLICY, supersede=False)
    again = making.begin(QUARTER, POLICY, supersede=False)
    assert (first.release, first.revision, first.supersedes, first.is_resumed) == ("2026-q3.1", 1, "", False)
    assert again == replace(first, is_resumed=True)
    assert len(first.secret_persons) == len(first.secret_table) == 32
    assert first.secret_persons != first.secret_table
    assert "secret" not in repr(first)


def test_the_secrets_lie_sealed_and_bound_to_what_they_are_for(
    making: PostgresReleaseMaking, releases: Database
) -> None:
    begun = making.begin(QUARTER, POLICY, supersede=False)
    with releases.application.connect() as connection:
        row: Any = connection.execute(text("SELECT * FROM statistics_releases")).one()
    kept = bytes(row.person_secret_encrypted) + bytes(row.table_secret_encrypted)
    assert begun.secret_persons not in kept
    assert begun.secret_table not in kept
    with pytest.raises(ReleaseSecretUnreadable, match=r"a secret of release 2026-q3\.1 cannot be decrypted"):
        SEAL.open(row.release, "tables", bytes(row.person_secret_encrypted))
    with pytest.raises(ReleaseSecretUnreadable):
        SEAL.open("2026-q4.1", "persons", bytes(row.person_secret_encrypted))
    with pytest.raises(ReleaseSecretUnreadable):
        ReleaseSeal(b"x" * 32).open(row.release, "persons", bytes(row.person_secret_encrypted))


def test_a_frozen_release_leaves_an_entry_with_the_hash_of_its_manifest(
    making: PostgresReleaseMaking, releases: Database
) -> None:
    making.begin(QUARTER, POLICY, supersede=False)
    before = last_reference(releases.application)
    making.freeze("2026-q3.1", "ab" * 32, FROZEN_AT)
    [standing] = making.list_all()
    assert (standing.state, standing.manifest_hash) == ("frozen", "ab" * 32)
    assert standing.frozen_at == FROZEN_AT
    [entry] = entries(releases.application, "administration", before)
    assert (entry["act"], entry["target"], entry["target_kind"]) == (
        "statistics_frozen",
        "2026-q3.1",
        "statistics",
    )
    assert entry["given"] == [["manifest", "ab" * 32]]


def test_a_second_release_closes_the_former_in_the_same_transaction(
    making: PostgresReleaseMaking, releases: Database
) -> None:
    first = making.begin(QUARTER, POLICY, supersede=False)
    making.freeze(first.release, "ab" * 32, FROZEN_AT)
    second = making.begin(QUARTER, POLICY, supersede=True)
    assert (second.release, second.supersedes) == ("2026-q3.2", "2026-q3.1")
    assert second.secret_persons != first.secret_persons
    assert second.secret_table != first.secret_table
    assert [one.state for one in making.list_all("2026-q3")] == ["creating", "frozen"]
    before = last_reference(releases.application)
    making.freeze(second.release, "cd" * 32, FROZEN_AT)
    assert [one.state for one in making.list_all("2026-q3")] == ["frozen", "superseded"]
    left = entries(releases.application, "administration", before)
    assert {(one["act"], one["target"]) for one in left} == {
        ("statistics_superseded", "2026-q3.1"),
        ("statistics_frozen", "2026-q3.2"),
    }


def test_a_release_that_is_superseded_after_it_was_looked_up_admits_no_table(
    making: PostgresReleaseMaking, releases: Database
) -> None:
    shelf, release = Shelf(releases.application), manifest()
    making.begin(QUARTER, POLICY, supersede=False)
    making.freeze(release.release, "ab" * 32, FROZEN_AT)
    shelf.ask(release, plan_of(release, ("sex", "sex")))
    making.begin(QUARTER, POLICY, supersede=True)
    making.freeze("2026-q3.2", "cd" * 32, FROZEN_AT)
    with pytest.raises(StatisticsRefused) as refused:
        shelf.ask(release, plan_of(release, ("age", "age")))
    assert refused.value.reason == "release_closed"
    assert len(shelf.states()) == 1


def test_what_operators_are_told_to_do_after_a_restore_closes_what_was_open(
    making: PostgresReleaseMaking, releases: Database, small: SmallRelease
) -> None:
    begun = making.begin(QUARTER, POLICY, supersede=False)
    making.freeze(begun.release, hash_of(small), FROZEN_AT)
    shelf, release = Shelf(releases.application), manifest()
    asked = shelf.ask(release, plan_of(release, ("sex", "sex")))
    page = (Path(__file__).parents[2] / "docs" / "operators.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if line.startswith("    UPDATE statistics_")]
    with releases.owner.begin() as connection:
        for statement in told:
            connection.execute(text(statement))
    assert [one.state for one in making.list_all("2026-q3")] == ["superseded"]
    job = shelf.jobs.find_job(asked.job_id, asked.client_id)
    assert job is not None
    assert job.state == "cancelled"
    with pytest.raises(StatisticsRefused, match="release_closed"):
        shelf.ask(release, plan_of(release, ("age", "age")))
    with pytest.raises(ReleaseIsThere):
        making.begin(QUARTER, POLICY, supersede=False)


def test_without_being_told_nothing_is_superseded(making: PostgresReleaseMaking) -> None:
    making.begin(QUARTER, POLICY, supersede=False)
    making.freeze("2026-q3.1", "ab" * 32, FROZEN_AT)
    with pytest.raises(ReleaseIsThere, match=r"2026-q3\.1 is frozen.*--supersede"):
        making.begin(QUARTER, POLICY, supersede=False)
    assert making.begin(parse_quarter("2026-q2"), POLICY, supersede=True).release == "2026-q2.1"


def test_a_quarter_has_no_more_releases_than_the_policy_says(making: PostgresReleaseMaking) -> None:
    policy = RevisionPolicy(revisions=2)
    for _ in range(2):
        begun = making.begin(QUARTER, policy, supersede=True)
        making.freeze(begun.release, "ab" * 32, FROZEN_AT)
    with pytest.raises(StatisticsRefused) as refused:
        making.begin(QUARTER, policy, supersede=True)
    assert refused.value.reason == "revisions_exhausted"
    assert len(making.list_all()) == 2


def test_what_is_frozen_is_not_frozen_again(making: PostgresReleaseMaking) -> None:
    making.begin(QUARTER, POLICY, supersede=False)
    making.freeze("2026-q3.1", "ab" * 32, FROZEN_AT)
    with pytest.raises(LookupError, match=r"2026-q3\.1 is not being made"):
        making.freeze("2026-q3.1", "cd" * 32, FROZEN_AT)
    with pytest.raises(LookupError):
        making.freeze("2026-q4.1", "cd" * 32, FROZEN_AT)
    assert making.list_all()[0].manifest_hash == "ab" * 32


def test_the_shelf_has_only_what_is_frozen(
    making: PostgresReleaseMaking, releases: Database, small: SmallRelease
) -> None:
    begun = making.begin(QUARTER, POLICY, supersede=False)
    shelf: ReleaseShelf = shelf_of(releases, small)
    assert shelf.find_release("2026-q3.1") is None
    assert list(shelf.iterate_manifests()) == []
    making.freeze("2026-q3.1", hash_of(small), FROZEN_AT)
    found = shelf.find_release("2026-q3.1")
    assert found is not None
    assert found.manifest == small.frozen.manifest
    assert found.secret_table == begun.secret_table
    assert (found.is_open, found.directory) == (True, small.frozen.directory)
    assert found.perturbation == small.frozen.perturbation
    assert [(one.release, is_open) for one, is_open in shelf.iterate_manifests()] == [("2026-q3.1", True)]
    making.begin(QUARTER, POLICY, supersede=True)
    making.freeze("2026-q3.2", hash_of(small), FROZEN_AT)
    closed = shelf.find_release("2026-q3.1")
    assert closed is not None
    assert not closed.is_open


def test_a_manifest_that_is_not_the_frozen_one_does_not_answer(
    making: PostgresReleaseMaking, releases: Database, tmp_path: Path
) -> None:
    small = frozen_release(tmp_path, persons=60)
    making.begin(QUARTER, POLICY, supersede=False)
    making.freeze("2026-q3.1", hash_of(small), FROZEN_AT)
    other = replace(small.frozen.manifest, persons_count=59)
    (Path(small.frozen.directory) / MANIFEST).write_bytes(manifest_bytes(other))
    with pytest.raises(
        StoreUnavailable, match=r"manifest of release 2026-q3\.1 is not the one that was frozen"
    ):
        shelf_of(releases, small).find_release("2026-q3.1")
    with pytest.raises(StoreUnavailable):
        shelf_of(releases, small).iterate_manifests()


def test_a_changed_or_missing_table_of_noise_does_not_answer(
    making: PostgresReleaseMaking, releases: Database, tmp_path: Path
) -> None:
    small = frozen_release(tmp_path, persons=60)
    making.begin(QUARTER, POLICY, supersede=False)
    making.freeze("2026-q3.1", hash_of(small), FROZEN_AT)
    [kept, *_] = small.frozen.manifest.perturbation.values()
    path = Path(small.frozen.directory) / perturbation_path(kept)
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(StoreUnavailable, match="a perturbation table is not the one that was frozen"):
        shelf_of(releases, small).find_release("2026-q3.1")
    path.unlink()
    with pytest.raises(StoreUnavailable, match="cannot be read: FileNotFoundError"):
        shelf_of(releases, small).find_release("2026-q3.1")
