"""`broker evidence seal`: what lay in the clear is sealed, none is lost, and a stopped run is run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
from alembic import command
from click.testing import CliRunner
from sqlalchemy import text

import broker.cli.prepare
import broker.cli.seal_command
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.session import Session
from broker.errors import MigrationRefused, StoreUnavailable
from broker.evidence.recording import EvidenceRow
from broker.settings import Secret, Settings
from broker.storage.migrate import alembic_config, current_revision, migrate, newest_revision
from broker.storage.openings import PostgresOpenings, SealedOpening
from broker.storage.sealing import PostgresSealing
from broker.storage.session import open_store
from tests.doors import at_once, wait_until
from tests.evidence_store import KEY, PLAIN, TABLES, EvidenceStore, evidence_store, found_by_attacker

PEOPLE = [f"person-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def made(cluster: EmbeddedCluster) -> Iterator[EvidenceStore]:
    with evidence_store(cluster, "broker_sealing", is_before_0009=True) as store:
        yield store


@pytest.fixture
def store(made: EvidenceStore) -> EvidenceStore:
    """Two hundred rows in the clear, on more than one page, in three years; some sealed already."""
    made.empty()
    for year in (2024, 2025, 2026):
        for name in PEOPLE:
            made.record_plainly(name, year)
            if year == 2026:
                made.record_plainly(name, year)
                made.record_plainly(name, year)
    made.record("person-1", 2026)
    return made


def sealing(store: EvidenceStore) -> PostgresSealing:
    return PostgresSealing(store.owner, store.openings(), batch_pages=1)


def swept_pages(store: EvidenceStore) -> int:
    sealing(store).sweep()
    return sealing(store).count_pages()


def test_everything_is_sealed_and_opens_as_before(store: EvidenceStore) -> None:
    before = store.dump()
    known = found_by_attacker(before, PEOPLE)
    walk, seen = sealing(store), list[int]()
    pages = walk.count_pages()
    assert pages > 2, "more than one batch"
    assert walk.seal(pages, seen.append) == 200
    assert seen == list(range(1, pages + 1))
    assert walk.count_left() == 0
    after = store.dump()
    assert found_by_attacker(after, PEOPLE) == known
    assert len(known) == 202
    assert after["evidence_annex"] == []
    assert after["evidence_entries"] == before["evidence_entries"]
    for row in before["evidence_annex"]:
        reference = str(row["reference"])
        kept = store.openings().find_opening([bytes(row["data_subject_ref"])], reference)
        assert kept is not None
        assert kept.data_subject_salt == bytes(row["data_subject_salt"])
        assert kept.payload_salt == bytes(row["payload_salt"])
    assert walk.seal(pages, seen.append) == 0


def test_a_run_that_fails_in_the_middle_of_a_batch_changes_nothing_of_it_and_is_run_again(
    store: EvidenceStore,
) -> None:
    class Broken(PostgresOpenings):
        left = 90

        def seal(self, row: EvidenceRow, seconds: float = 5.0) -> SealedOpening:
            self.left -= 1
            if not self.left:
                raise StoreUnavailable("gone")
            return super().seal(row, seconds)

    known = found_by_attacker(store.dump(), PEOPLE)
    walk = PostgresSealing(store.owner, Broken(store.store, KEY), batch_pages=1)
    with pytest.raises(StoreUnavailable):
        walk.seal(walk.count_pages(), lambda _: None)
    halfway = store.dump()
    assert 0 < len(halfway["evidence_annex"]) < 200
    assert len(halfway["evidence_annex"]) + len(halfway["evidence_openings"]) == 202
    assert found_by_attacker(halfway, PEOPLE) == known
    again = sealing(store)
    assert again.seal(again.count_pages(), lambda _: None) == len(halfway["evidence_annex"])
    assert found_by_attacker(store.dump(), PEOPLE) == known


def test_two_at_once_share_the_work(store: EvidenceStore) -> None:
    known = found_by_attacker(store.dump(), PEOPLE)
    pages = sealing(store).count_pages()
    counts = at_once(lambda _: sealing(store).seal(pages, lambda _: None), range(2))
    assert sum(counts) == 200
    assert found_by_attacker(store.dump(), PEOPLE) == known
    with store.owner.connect() as connection:
        twice = "SELECT count(*) - count(DISTINCT reference) FROM evidence_openings"
        assert connection.execute(text(twice)).scalar_one() == 0


def test_rows_in_the_clear_stop_the_migration_until_they_are_sealed(store: EvidenceStore) -> None:
    url = store.owner.url.render_as_string(hide_password=False)
    known = found_by_attacker(store.dump(), PEOPLE)
    with pytest.raises(MigrationRefused) as refused:
        migrate(url)
    assert refused.value.detail == (
        "200 rows of evidence_annex hold salts in the clear, which this release does not read: say "
        "broker evidence seal first, then broker prepare again. The database stays at revision 0008"
    )
    assert found_by_attacker(store.dump(), PEOPLE) == known, "nothing is lost"
    walk = sealing(store)
    assert walk.is_needed()
    assert walk.seal(walk.count_pages(), lambda _: None) == 200
    assert migrate(url) == newest_revision()
    assert not walk.is_needed()
    store.tables = TABLES
    try:
        assert found_by_attacker(store.dump(), PEOPLE) == known
    finally:
        with store.owner.begin() as connection:
            command.downgrade(alembic_config(connection), "0008")
        store.tables = (*TABLES, PLAIN)


def test_from_before_the_keys_the_migration_goes_as_far_as_sealing_needs(store: EvidenceStore) -> None:
    """Revision 0006 knew no keys: a refusal in one transaction would leave nothing to seal into."""
    store.empty()
    store.record_plainly("person-1", 2026)
    with store.owner.begin() as connection:
        command.downgrade(alembic_config(connection), "0006")
    with pytest.raises(MigrationRefused, match=r"^1 rows of evidence_annex"):
        migrate(store.owner.url.render_as_string(hide_password=False))
    with store.owner.connect() as connection:
        assert current_revision(connection) == "0008"
    # What seals reads and writes keys as the application role.
    assert sealing(store).seal(sealing(store).count_pages(), lambda _: None) == 1
    assert len(found_by_attacker(store.dump(), PEOPLE)) == 1


def test_where_the_table_is_gone_the_command_says_that_nothing_is_left(
    cluster: EmbeddedCluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with evidence_store(cluster, "broker_sealed") as newest:
        url = newest.owner.url.render_as_string(hide_password=False)
        session = Session(settings, newest.store, url)
        monkeypatch.setattr(broker.cli.seal_command, "open_session", lambda: nullcontext(session))
        told = CliRunner().invoke(main, ["evidence", "seal", "--json"])
    assert (told.exit_code, json.loads(told.stdout)) == (0, [{"sealed": 0, "left": 0}])


def test_prepare_says_in_a_plain_sentence_what_has_to_be_done_before(
    store: EvidenceStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.owner.url.render_as_string(hide_password=False)
    monkeypatch.setenv("BROKER_OWNER_DATABASE_URL", url)
    monkeypatch.setattr(broker.cli.prepare, "_settings", lambda: settings)
    told = CliRunner().invoke(main, ["prepare"])
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: 200 rows of evidence_annex hold salts in the clear"), told.stderr


def test_the_command_tells_how_many_and_shows_a_bar(
    store: EvidenceStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.application.url.render_as_string(hide_password=False)
    chosen = replace(settings, database_url=url, key_encryption_key_file=Secret(KEY))
    opened = open_store(url, deadline_seconds=5.0)
    session = Session(chosen, opened, store.owner.url.render_as_string(hide_password=False))
    monkeypatch.setattr(broker.cli.seal_command, "open_session", lambda: nullcontext(session))
    first = CliRunner().invoke(main, ["evidence", "seal", "--json", "--progress"])
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout) == [{"sealed": 200, "left": 0}]
    assert "pages sealed" in first.stderr
    # Something that looks at the table meanwhile, such as autovacuum, may hold it back once.
    wait_until(lambda: swept_pages(store) == 0, "no page with old rows is left", 60)
    second = CliRunner().invoke(main, ["evidence", "seal", "--json"])
    assert json.loads(second.stdout) == [{"sealed": 0, "left": 0}]
    # A row that came meanwhile from an older server, behind the pages that were counted.
    monkeypatch.setattr(PostgresSealing, "seal", lambda *_: 0)
    store.record_plainly("person-1", 2026)
    late = CliRunner().invoke(main, ["evidence", "seal", "--json"])
    assert late.exit_code == 1
    assert late.stderr == ("Error: 1 rows are in the clear: is a server of the earlier release running?\n")
    opened.close()
