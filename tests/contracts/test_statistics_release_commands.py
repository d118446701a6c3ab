"""broker statistics release: makes, supersedes, lists, shows and verifies, as an operator does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text, update

import broker.cli.statistics_release
import broker.cli.statistics_release_make
import broker.engines.release_freeze
from broker.cli import main
from broker.cli.session import Session
from broker.errors import StoreUnavailable
from broker.oauth.release_secrets import ReleaseSeal
from broker.settings import Settings
from broker.statistics.periods import parse_quarter
from broker.storage.statistics_making import PostgresReleaseMaking
from broker.storage.statistics_releases import PostgresReleaseShelf
from connectors.base import ConnectorError
from connectors.national_insurance import schema
from tests.acting import entries, last_reference
from tests.contracts.source_fixtures import InsuranceDatabase, sqlite_database
from tests.oauth_world import Database

CREATE = ("create", "--period", "2026-q3")


class Office:
    """An operator's machine: a source, a directory of releases, the broker's database."""

    def __init__(self, settings: Settings, database: Database, source: InsuranceDatabase) -> None:
        self.settings, self.database, self.source = settings, database, source

    def run(self, *words: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, ["statistics", "release", *words])
        assert result.exit_code == expect, (result.output, result.exception)
        assert "secret" not in result.output
        return result

    def told(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def change(self, table: Any, where: Any, **values: Any) -> None:
        engine = create_engine(self.source.owner_url)
        with engine.begin() as connection:
            connection.execute(update(table).where(where).values(**values))
        engine.dispose()

    @property
    def directory(self) -> Path:
        return Path(self.settings.statistics_directory)


@pytest.fixture
def office(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    source = sqlite_database(tmp_path)
    chosen = replace(
        settings,
        database_url=database.application_url,
        source_url=source.reader_url,
        statistics_directory=str(tmp_path / "releases"),
    )

    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(chosen, database.store, None)

    monkeypatch.setattr(broker.cli.statistics_release, "open_session", open_session)
    yield Office(chosen, database, source)
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE statistics_releases"))


def test_a_quarter_is_frozen_superseded_and_looked_after(office: Office) -> None:
    before = last_reference(office.database.application)
    [made] = office.told(*CREATE)
    assert (made["release"], made["persons"] > 250, made["files"] > 50) == ("2026-q3.1", True, True)
    assert made["noise_of_counts"].startswith("D=5 V=3")
    seal = ReleaseSeal(office.settings.key_encryption_key_file.reveal())
    shelf = PostgresReleaseShelf(office.database.application, office.directory, seal)
    found = shelf.find_release("2026-q3.1")
    assert found is not None
    assert (found.is_open, found.manifest.persons_count) == (True, made["persons"])
    [entry] = entries(office.database.application, "administration", before)
    assert (entry["act"], entry["target"]) == ("statistics_frozen", "2026-q3.1")
    assert sorted(one.name for one in office.directory.iterdir()) == [".2026-q3.lock", "2026-q3.1"]

    refused = office.run(*CREATE, expect=3)
    assert "2026-q3.1 is frozen; a second one supersedes it (--supersede)" in refused.stderr

    few = office.run(*CREATE, "--supersede", expect=1)
    assert "revision_unlikely: less than 1 in 1000 rows differ" in few.stderr
    assert [one["state"] for one in office.told("list")] == ["creating", "frozen"]
    assert shelf.find_release("2026-q3.2") is None

    office.change(schema.contribution, schema.contribution.c.person_key % 9 == 0, salary_base=4_960_000)
    [second] = office.told(*CREATE, "--supersede")
    assert second["release"] == "2026-q3.2"
    assert [(one["release"], one["state"], one["supersedes"]) for one in office.told("list")] == [
        ("2026-q3.2", "frozen", "2026-q3.1"),
        ("2026-q3.1", "superseded", None),
    ]
    former = shelf.find_release("2026-q3.1")
    assert former is not None
    assert not former.is_open

    office.change(schema.person, schema.person.c.person_key > 0, birth_date=date(1990, 1, 1))
    many = office.run(*CREATE, "--supersede", expect=1)
    assert "revision_unlikely: more than 200 in 1000 rows differ" in many.stderr

    [shown] = office.told("show", "2026-q3.2")
    assert shown["persons"] == second["persons"]
    assert "province (province, region)" in shown["dimensions"]
    assert office.told("verify", "2026-q3.1") == [{"release": "2026-q3.1", "whole": True, "faults": []}]
    victim = next((office.directory / "2026-q3.1").rglob("*.parquet"))
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    changed = office.run("verify", "2026-q3.1", expect=5)
    assert "is not as it was frozen: period=" in changed.stderr
    assert "was changed" in changed.stderr


def test_what_was_put_in_its_place_and_not_yet_told_the_database_is_gone_on_with(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresReleaseMaking, "freeze", away)
        office.run(*CREATE, expect=1)
    assert [one["state"] for one in office.told("list")] == ["creating"]
    assert "there is no frozen release '2026-q3.1'" in office.run("verify", "2026-q3.1", expect=4).stderr
    monkeypatch.setattr(broker.cli.statistics_release_make, "assemble", None)
    [made] = office.told(*CREATE)
    assert made["release"] == "2026-q3.1"
    assert office.told("verify", "2026-q3.1")[0]["whole"]


def test_files_of_a_release_that_the_database_has_forgotten_get_no_second_noise(office: Office) -> None:
    """As after the restore of an earlier state: the same persons would answer again, under another secret."""
    office.told(*CREATE)
    with office.database.owner.begin() as connection:
        connection.execute(text("TRUNCATE statistics_releases"))
    for _ in range(2):
        refused = office.run(*CREATE, expect=1)
        assert "2026-q3.1 lies there, and the database knows of no such release" in refused.stderr
        assert office.told("list") == []


def test_parts_of_a_release_that_the_database_has_forgotten_are_not_gone_on_with(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectorError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(broker.engines.release_freeze, "write_files", away)
        office.run(*CREATE, expect=1)
    parts = office.directory / ".2026-q3.1.spool"
    assert [*parts.glob("part-*.parquet")]
    kept: list[bool] = []

    def seen(*_: object) -> None:
        kept.append(parts.exists())
        raise ConnectorError("seen")

    with office.database.owner.begin() as connection:
        connection.execute(text("TRUNCATE statistics_releases"))
    monkeypatch.setattr(broker.cli.statistics_release_make, "assemble", seen)
    office.run(*CREATE, expect=1)
    assert kept == [False]


def test_what_cannot_be_made_is_said_plainly(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    early = office.run("create", "--period", "2026-q4", expect=1)
    assert "the source is true as of 2026-10-31, and 2026-q4 ends on 2026-12-31" in early.stderr
    assert "is no quarter; one is written 2026-q3" in office.run("create", "--period", "Q3", expect=2).stderr
    with broker.cli.statistics_release_make.only_one(office.directory, parse_quarter("2026-q3")):
        busy = office.run(*CREATE, expect=1)
    assert "a release of 2026-q3 is being made by another process" in busy.stderr
    monkeypatch.setattr(broker.cli.statistics_release, "find_spec", lambda _: None)
    assert "releases need the extra `statistics`" in office.run(*CREATE, expect=1).stderr


def test_without_a_directory_there_are_no_releases(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(office.settings, statistics_directory="")

    @contextmanager
    def open_session() -> Iterator[Session]:
        yield Session(bare, office.database.store, None)

    monkeypatch.setattr(broker.cli.statistics_release, "open_session", open_session)
    assert "BROKER_STATISTICS_DIRECTORY is missing" in office.run(*CREATE, expect=1).stderr
