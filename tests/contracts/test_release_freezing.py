"""Freezing: the same rows are the same bytes, whatever happened on the way; nothing changes them unseen."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine

from broker.cli.embedded import EmbeddedCluster
from broker.engines.duckdb_engine import DuckDBEngine
from broker.engines.kept_tables import kept_tables
from broker.engines.release_freeze import (
    Freezing,
    ReleaseUnmade,
    assemble,
    close,
    discard,
    find_made,
)
from broker.engines.release_rows import COLUMNS, DIMENSIONS
from broker.engines.release_verify import faults_of
from broker.statistics.aggregate import aggregated
from broker.statistics.dimensions import registry_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.frozen import FrozenRelease
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.parameters import CountParameters
from broker.statistics.periods import parse_quarter
from broker.statistics.plan import planned
from broker.statistics.release_layout import MANIFEST
from connectors.national_insurance import schema
from connectors.national_insurance.statistics_rows import InsuranceStatistics, PersonFacts
from tests.contracts.source_fixtures import InsuranceDatabase, fresh_database, load, sqlite_database
from tests.contracts.test_statistics_rows import told
from tests.house.project import ROOT
from tests.release_twin import rows_of

QUARTER = parse_quarter("2026-q3")
REGISTRY = registry_of(QUARTER, 1)
SECRET = bytes(range(32))
AT = datetime(2026, 11, 22, tzinfo=UTC)
PARAMETERS = DisclosureParameters()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> InsuranceDatabase:
    return sqlite_database(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def source(
    request: pytest.FixtureRequest, cluster: EmbeddedCluster, sqlite: InsuranceDatabase
) -> InsuranceDatabase:
    if request.param == "sqlite":
        return sqlite
    return load(*fresh_database(cluster, "statistics_freezing"), persons=400)


def freezing(directory: Path, **changed: Any) -> Freezing:
    made = Freezing(
        directory=directory,
        quarter=QUARTER,
        registry=REGISTRY,
        revision=1,
        supersedes="",
        secret_persons=SECRET,
        parameters=PARAMETERS,
        perturbation=kept_tables(PARAMETERS, directory / "perturbation"),
        part_persons=100,
    )
    return replace(made, **changed)


class Bounded:
    """A run that gives small batches, and after so many none any more: what it reads is cut off there."""

    def __init__(self, run: Any, most: int = 37, batches: int | None = None) -> None:
        self._run, self._most, self._batches = run, most, batches

    def as_of(self) -> datetime:
        found: datetime = self._run.as_of()
        return found

    def batches(
        self, first_day: date, last_day: date, after: int | None = None
    ) -> Iterator[Sequence[PersonFacts]]:
        for number, batch in enumerate(self._run.batches(first_day, last_day, after, self._most)):
            if number == self._batches:
                raise KeyboardInterrupt
            yield batch


@contextmanager
def run_of(database: InsuranceDatabase, **bounds: Any) -> Iterator[Bounded]:
    statistics = InsuranceStatistics(database.reader_url)
    try:
        with statistics.open_run() as run:
            yield Bounded(run, **bounds)
    finally:
        statistics.close()


def frozen(wanted: Freezing, database: InsuranceDatabase, **bounds: Any) -> ReleaseManifest:
    with run_of(database, **bounds) as run:
        manifest = assemble(wanted, run, AT)
    assert close(wanted) == manifest_hash(manifest_bytes(manifest))
    discard(wanted)
    return manifest


@pytest.fixture(scope="module")
def whole(
    sqlite: InsuranceDatabase, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ReleaseManifest]:
    """A release of the SQLite source that nothing disturbed, and where it lies."""
    wanted = freezing(tmp_path_factory.mktemp("whole"))
    return wanted.home, frozen(wanted, sqlite)


@pytest.fixture
def copied(whole: tuple[Path, ReleaseManifest], tmp_path: Path) -> Path:
    """A copy of that release that may be written to."""
    home = tmp_path / "2026-q3.1"
    shutil.copytree(whole[0], home)
    for path in [home, *home.rglob("*")]:
        path.chmod(0o700)
    return home


def test_a_frozen_release_has_the_rows_that_the_obvious_way_finds(
    source: InsuranceDatabase, tmp_path: Path
) -> None:
    wanted = freezing(tmp_path)
    manifest = frozen(wanted, source)
    engine = create_engine(source.owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    expected = rows_of(engine, SECRET)
    engine.dispose()
    found = set()
    for one in manifest.files:
        table = pq.read_table(wanted.home / one.path, partitioning=None)
        assert table.column_names == list(COLUMNS)
        rows = list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))
        assert rows == sorted(rows, key=lambda row: (row[0], row[2 + DIMENSIONS.index("sector")]))
        assert len(rows) == one.rows_count
        assert {told(REGISTRY, row)[2:4] for row in rows} == {(one.period, one.province)}
        found |= {told(REGISTRY, row) for row in rows}
    assert found == expected
    assert manifest.rows_count == len(expected)
    assert manifest.persons_count == len({row[0] for row in expected})
    assert find_made(wanted) == manifest
    assert list(faults_of(wanted.home, "2026-q3.1", manifest_hash(manifest_bytes(manifest)))) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-q3.1"]


def test_however_it_is_cut_the_bytes_are_the_same(
    sqlite: InsuranceDatabase, whole: tuple[Path, ReleaseManifest], tmp_path: Path
) -> None:
    assert frozen(freezing(tmp_path, part_persons=50, memory_mb=200), sqlite, most=5) == whole[1]


def test_under_another_secret_everybody_is_another_number(
    sqlite: InsuranceDatabase, whole: tuple[Path, ReleaseManifest], tmp_path: Path
) -> None:
    other = frozen(freezing(tmp_path, secret_persons=bytes(32)), sqlite)
    assert [one.path for one in other.files] == [one.path for one in whole[1].files]
    assert {one.sha256 for one in other.files}.isdisjoint(one.sha256 for one in whole[1].files)


def test_a_run_that_was_interrupted_goes_on_and_makes_the_same_release(
    sqlite: InsuranceDatabase, whole: tuple[Path, ReleaseManifest], tmp_path: Path
) -> None:
    wanted = freezing(tmp_path / "stopped")
    with run_of(sqlite, batches=7) as run, pytest.raises(KeyboardInterrupt):
        assemble(wanted, run, AT)
    parts = sorted(path.name for path in wanted.spool.glob("part-*.parquet"))
    assert parts == ["part-000001.parquet", "part-000002.parquet"]
    # The second part was not whole on the disk: it is read again.
    (wanted.spool / parts[1]).chmod(0o600)
    (wanted.spool / parts[1]).write_bytes(b"half")
    seen: list[tuple[str, int]] = []
    again = frozen(replace(wanted, on_step=lambda step, done: seen.append((step, done))), sqlite)
    assert again == whole[1]
    assert seen[0][0] == "read"
    assert seen[0][1] >= 100
    assert seen[-1] == ("sort", 105)


def test_parts_of_another_state_of_the_source_are_read_again(
    sqlite: InsuranceDatabase, tmp_path: Path
) -> None:
    wanted = freezing(tmp_path)
    with run_of(sqlite, batches=7) as run, pytest.raises(KeyboardInterrupt):
        assemble(wanted, run, AT)
    seen: list[int] = []
    with run_of(sqlite) as run:
        run.as_of = lambda: datetime(2026, 11, 2, tzinfo=UTC)  # type: ignore[method-assign]
        assemble(replace(wanted, on_step=lambda _, done: seen.append(done)), run, AT)
    assert seen[0] == 0


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from connectors.national_insurance.statistics_rows import InsuranceStatistics
from broker.engines.release_freeze import assemble, close
from tests.contracts.test_release_freezing import AT, Bounded, freezing

url, directory, step, at = sys.argv[1:]


def on_step(name, done):
    if name == step and done >= int(at):
        os.kill(os.getpid(), signal.SIGKILL)


with InsuranceStatistics(url).open_run() as run:
    assemble(freezing(Path(directory), on_step=on_step), Bounded(run), AT)
"""


@pytest.mark.parametrize(("step", "at"), [("read", 250), ("sort", 50)])
def test_a_run_that_was_killed_is_run_again_and_makes_the_same_release(
    sqlite: InsuranceDatabase, whole: tuple[Path, ReleaseManifest], tmp_path: Path, step: str, at: int
) -> None:
    wanted = freezing(tmp_path / "killed")
    command = [sys.executable, "-c", KILLED, sqlite.reader_url, str(wanted.directory), step, str(at)]
    died = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert find_made(wanted) is None
    assert not wanted.home.exists()
    assert frozen(wanted, sqlite) == whole[1]


def test_nobody_can_write_into_a_frozen_release(whole: tuple[Path, ReleaseManifest]) -> None:
    home = whole[0]
    assert {path.stat().st_mode & 0o777 for path in home.rglob("*") if path.is_file()} == {0o400}
    directories = [home, *(path for path in home.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in directories} == {0o500}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))


def test_what_was_changed_is_missing_or_added_is_found(
    whole: tuple[Path, ReleaseManifest], copied: Path
) -> None:
    manifest = whole[1]
    known = manifest_hash(manifest_bytes(manifest))

    def faults(known_hash: str = known, release: str = "2026-q3.1") -> list[str]:
        return list(faults_of(copied, release, known_hash))

    assert faults() == []
    one, other = manifest.files[0].path, manifest.files[1].path
    _flip(copied / one)
    (copied / other).unlink()
    (copied / "period=2026-07" / "extra.parquet").write_bytes(b"")
    [table, *_] = (copied / "perturbation").iterdir()
    _flip(table)
    assert faults() == [
        f"{one} was changed",
        f"{other} is missing",
        f"perturbation/{table.name} was changed",
        "period=2026-07/extra.parquet is not of this release",
    ]
    assert faults("ab" * 32) == ["manifest.json is not the one that was frozen"]
    assert "manifest.json is of 2026-q3.1" in faults(release="2026-q3.2")
    (copied / MANIFEST).write_bytes(b"{}")
    assert faults(manifest_hash(b"{}"))[0].startswith("manifest.json cannot be read: manifest_malformed")
    (copied / MANIFEST).unlink()
    assert faults() == ["manifest.json is missing"]


def test_a_quarter_that_is_not_over_at_the_source_is_refused(
    sqlite: InsuranceDatabase, tmp_path: Path
) -> None:
    quarter = parse_quarter("2026-q4")
    wanted = freezing(tmp_path, quarter=quarter, registry=registry_of(quarter, 1))
    with (
        run_of(sqlite) as run,
        pytest.raises(ReleaseUnmade, match="true as of 2026-10-31, and 2026-q4 ends on 2026-12-31"),
    ):
        assemble(wanted, run, AT)
    assert not wanted.spool.exists()


def test_a_source_that_is_synchronised_meanwhile_is_refused(
    sqlite: InsuranceDatabase, tmp_path: Path
) -> None:
    states = iter([datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)])
    with run_of(sqlite) as run:
        run.as_of = lambda: next(states)  # type: ignore[method-assign]
        with pytest.raises(ReleaseUnmade, match="was synchronised meanwhile"):
            assemble(freezing(tmp_path), run, AT)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    made = sqlite_database(tmp_path)
    engine = create_engine(made.owner_url)
    with engine.begin() as connection:
        connection.execute(schema.person.delete())
    engine.dispose()
    with run_of(made) as run, pytest.raises(ReleaseUnmade, match="nobody is in the source"):
        assemble(freezing(tmp_path / "releases"), run, AT)


def test_two_persons_with_one_number_are_refused(
    sqlite: InsuranceDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.engines.release_rows.collapsed", lambda _, person: (int(person) // 2, 7))
    with run_of(sqlite) as run, pytest.raises(ReleaseUnmade, match="two persons have one number"):
        assemble(freezing(tmp_path), run, AT)


def test_tables_of_other_parameters_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = DisclosureParameters(counts=CountParameters(bound=3, variance=1))
    made = kept_tables(parameters, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    monkeypatch.setattr("broker.statistics.make_table.largest_entropy", None)
    assert kept_tables(parameters, tmp_path / "cache") == made
    [kept] = (tmp_path / "cache").iterdir()
    _flip(kept)
    with pytest.raises(TypeError):
        kept_tables(parameters, tmp_path / "cache")


MEASURED = """
import resource, sys
from pathlib import Path
from connectors.national_insurance.statistics_rows import CardFacts, ContributionFacts, PersonFacts
from datetime import UTC, date, datetime
from broker.engines.release_freeze import assemble
from tests.contracts.test_release_freezing import AT, freezing

persons, directory = int(sys.argv[1]), Path(sys.argv[2])


class Many:
    def as_of(self):
        return datetime(2026, 11, 1, tzinfo=UTC)

    def batches(self, first_day, last_day, after=None):
        card = CardFacts("employer", "4", "01001")
        line = ContributionFacts(date(2020, 1, 1), None, "AA", "10101", 5_000_000, 1_600_000)
        for first in range(0, persons, 2_000):
            yield [
                PersonFacts(key, date(1980, 1, 1), "female", f"{[1, 79][key % 2]:02d}", card, (line,))
                for key in range(first + 1, first + 2_001)
            ]


assemble(freezing(directory, part_persons=4_000, memory_mb=200), Many(), AT)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_persons(tmp_path: Path) -> None:
    """Six times as many persons, in parts of the same size: a quarter more memory at most."""
    peaks = []
    for number, persons in enumerate((10_000, 60_000)):
        command = [sys.executable, "-c", MEASURED, str(persons), str(tmp_path / str(number))]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
        peaks.append(int(done.stdout))
    assert peaks[1] <= peaks[0] * 1.25, peaks


def test_an_engine_counts_what_was_frozen_just_as_its_rows_say(
    whole: tuple[Path, ReleaseManifest], tmp_path: Path
) -> None:
    home, manifest = whole
    release = FrozenRelease(manifest, str(home), is_open=True, secret_table=bytes(32), perturbation={})
    rows = pa.concat_tables([pq.read_table(home / one.path, partitioning=None) for one in manifest.files])
    names, persons = np.unique(rows["person"].to_numpy(), return_inverse=True)
    keys = np.zeros(len(names), dtype=np.uint32)
    keys[persons] = rows["rkey"].to_numpy()
    plan = planned(
        REGISTRY, (("period", "month"), ("sector", "sector"), ("sex", "sex")), (), ("months", "salary")
    )
    expected = aggregated(
        [name for name, _ in plan.cut],
        plan.measures,
        np.stack([rows[f"d_{name}"].to_numpy() for name, _ in plan.cut], axis=1),
        persons,
        np.stack([rows[f"m_{name}"].to_numpy() for name in plan.measures], axis=1),
        keys,
    )
    engine = DuckDBEngine(memory_mb=200, threads=1, temporary=tmp_path)
    assert engine.count(release, plan, lambda _: None).content() == expected.content()
