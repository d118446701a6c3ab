"""`broker statistics release load`: into a database, once; what it cannot load, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import broker.cli.statistics_load
import broker.storage.statistics_releases
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.engines.choosing import engine_of
from broker.statistics.plan import planned
from tests.database_engines import counting_databases, emptied
from tests.engine_world import quiet
from tests.frozen_release import SmallRelease, frozen_release


class Shelf:
    """The releases of a test, as PostgreSQL has them."""

    releases: dict[str, SmallRelease]

    def __init__(self, _engine: object, directory: Path, _seal: object) -> None:
        assert str(directory) == "/releases"

    def find_release(self, release: str) -> object:
        found = self.releases.get(release)
        return None if found is None else found.frozen


@pytest.fixture(scope="module")
def urls(cluster: EmbeddedCluster) -> list[str]:
    return counting_databases(cluster, 2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("small"), persons=100, revision=7)


@pytest.fixture
def settings(
    small: SmallRelease, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    given = SimpleNamespace(
        statistics_directory="/releases",
        statistics_engine=urls[0],
        key_encryption_key_file=SimpleNamespace(reveal=lambda: bytes(32)),
    )

    @contextmanager
    def session() -> Iterator[Any]:
        yield SimpleNamespace(settings=given, engine=None)

    monkeypatch.setattr(broker.cli.statistics_load, "open_session", session)
    monkeypatch.setattr(Shelf, "releases", {"2026-q3.7": small}, raising=False)
    monkeypatch.setattr(broker.storage.statistics_releases, "PostgresReleaseShelf", Shelf)
    emptied(small.frozen, urls)
    yield given
    emptied(small.frozen, urls)


def load(*words: str) -> Result:
    return CliRunner().invoke(main, ["statistics", "release", "load", *words])


def test_a_release_is_loaded_once_and_counted_there(
    settings: SimpleNamespace, small: SmallRelease, urls: list[str]
) -> None:
    told = {"release": "2026-q3.7", "databases": 1, "loaded_now": 1}
    assert json.loads(load("2026-q3.7", "--json").stdout) == [told]
    assert json.loads(load("2026-q3.7", "--json", "--progress").stdout) == [{**told, "loaded_now": 0}]
    plan = planned(small.registry, (("sex", "sex"),), (), ("months",))
    assert engine_of(urls[0]).count(small.frozen, plan, quiet).content() == small.cells(plan).content()


def test_shards_are_loaded_with_another_role_than_counts(
    settings: SimpleNamespace, small: SmallRelease, urls: list[str]
) -> None:
    settings.statistics_engine = "duckdb"
    answer = load("2026-q3.7", "--engine", " ".join(urls))
    assert answer.exit_code == 0, answer.output
    assert "databases   2\nloaded_now  2" in answer.stdout
    plan = planned(small.registry, (("sector", "sector"),))
    assert engine_of(" ".join(urls)).count(small.frozen, plan, quiet).content() == small.cells(plan).content()


def test_the_embedded_engine_needs_no_loading(settings: SimpleNamespace) -> None:
    settings.statistics_engine = "duckdb"
    answer = load("2026-q3.7")
    assert (answer.exit_code, "duckdb reads the release where it lies" in answer.output) == (2, True)
    answer = load("2026-q3.7", "--engine", "sesame")
    assert answer.exit_code == 2
    assert "--engine must be duckdb, or SQLAlchemy URLs" in answer.output
    assert "sesame" not in answer.output


def test_no_release_and_no_directory_are_refused(
    settings: SimpleNamespace,
) -> None:
    answer = load("2026-q4.1")
    assert (answer.exit_code, answer.stderr) == (4, "Error: there is no frozen release 2026-q4.1\n")
    settings.statistics_directory = ""
    answer = load("2026-q3.7")
    assert (answer.exit_code, "BROKER_STATISTICS_DIRECTORY is missing" in answer.stderr) == (1, True)


def test_a_database_that_is_away_is_told_without_its_url(settings: SimpleNamespace) -> None:
    answer = load("2026-q3.7", "--engine", "postgresql://owner:sesame@/nowhere?host=/nonexistent")
    assert (answer.exit_code, answer.stderr) == (
        1, "Error: source_unavailable: the engine failed: OperationalError\n"
    )  # fmt: skip


def test_changed_files_are_not_loaded(
    settings: SimpleNamespace, small: SmallRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = frozen_release(tmp_path, persons=100, revision=7)
    first = Path(other.frozen.directory) / other.frozen.manifest.files[0].path
    first.write_bytes(b"PAR1")
    monkeypatch.setattr(Shelf, "releases", {"2026-q3.7": other})
    answer = load("2026-q3.7")
    assert (answer.exit_code, answer.stderr) == (
        1, "Error: cells_malformed: a file of the release is not the one of its manifest\n"
    )  # fmt: skip
