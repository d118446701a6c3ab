"""The embedded engine on a release's files: what it tells, how it is ended, and which files it refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from broker.engines import checked_files, duckdb_engine
from broker.engines.duckdb_engine import DuckDBEngine
from broker.engines.waiting import told_while
from broker.statistics.frozen import FrozenRelease
from broker.statistics.plan import Filter, planned
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable
from tests.engine_world import frozen, people, plan_of, quiet, with_file, with_files, written
from tests.frozen_release import frozen_release

ROWS = people(5, 300)
PLAN = plan_of(("province", "region"), ("sector", "sector"), measures=("salary",))


@pytest.fixture
def release(tmp_path: Path) -> FrozenRelease:
    return frozen(ROWS, tmp_path / "release")


@pytest.fixture
def engine(tmp_path: Path) -> DuckDBEngine:
    return DuckDBEngine(memory_mb=200, threads=1, temporary=tmp_path)


def first_table(release: FrozenRelease) -> pa.Table:
    first = release.manifest.files[0]
    return ROWS.table(
        (ROWS.codes[:, 0] == int(first.period[-1]) - 7) & (ROWS.codes[:, 1] == int(first.province[-1]))
    )


def changed(table: pa.Table, name: str, values: list[Any], kind: pa.DataType) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.array(values, kind))


def test_batches_of_provinces_count_what_one_batch_counts(
    release: FrozenRelease, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.count(release, PLAN, quiet)
    monkeypatch.setattr(checked_files, "BATCH_ROWS", 1)
    shares: list[float] = []
    assert engine.count(release, PLAN, shares.append).content() == whole.content()
    assert len(checked_files.batches_of(release.manifest.files)) == 5
    assert shares == sorted(shares), "it never goes back"
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len([share for share in shares if share > duckdb_engine.CHECKED_SHARE]) >= 5


def test_files_of_other_periods_and_provinces_are_not_opened(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    plan = plan_of(
        ("sex", "sex"),
        filters=(Filter("period", "month", ("2026-08",)), Filter("province", "region", ("south",))),
    )
    for one in release.manifest.files:
        if one.period != "2026-08" or one.province not in ("p1", "p4"):
            (Path(release.directory) / one.path).write_bytes(b"nobody reads this")
    assert engine.count(release, plan, quiet).content() == ROWS.counted(plan).content()


def test_a_file_that_the_manifest_does_not_name_is_not_counted(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    stranger = Path(release.directory) / "period=2026-07/province=p0/part-1.parquet"
    pa.parquet.write_table(people(6, 50).table(), stranger)
    assert engine.count(release, PLAN, quiet).content() == ROWS.counted(PLAN).content()


def test_a_changed_file_is_refused_also_once_the_engine_has_read_it(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    engine.count(release, PLAN, quiet)
    first = release.manifest.files[0]
    table = first_table(release)
    salary = [value.as_py() + 1 for value in table.column("m_salary")]
    table = changed(table, "m_salary", salary, pa.int64())
    written(Path(release.directory), table, int(first.period[-1]) - 7, int(first.province[-1]))
    with pytest.raises(StatisticsRefused, match="is not the one of its manifest") as refusal:
        engine.count(release, PLAN, quiet)
    assert refusal.value.reason == "cells_malformed"


def test_a_file_is_hashed_once_while_it_stays_as_it_is(
    release: FrozenRelease, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counting(file: Any, name: str) -> Any:
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    engine.count(release, PLAN, quiet)
    engine.count(release, PLAN, quiet)
    assert len(hashed) == len(release.manifest.files)


@pytest.mark.parametrize("path", ["../elsewhere.parquet", "link.parquet"])
def test_a_file_outside_of_the_release_is_refused(
    release: FrozenRelease, engine: DuckDBEngine, path: str
) -> None:
    first, *others = release.manifest.files
    elsewhere = Path(release.directory).parent / "elsewhere.parquet"
    elsewhere.write_bytes((Path(release.directory) / first.path).read_bytes())
    (Path(release.directory) / "link.parquet").symlink_to(elsewhere)
    hostile = with_files(release, replace(first, path=path), *others)
    with pytest.raises(StatisticsRefused, match="lies outside of the release"):
        engine.count(hostile, PLAN, quiet)


def test_a_missing_file_is_a_source_that_is_away(release: FrozenRelease, engine: DuckDBEngine) -> None:
    (Path(release.directory) / release.manifest.files[0].path).unlink()
    with pytest.raises(SourceUnavailable, match=r"^a file of the release cannot be read$"):
        engine.count(release, PLAN, quiet)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("d_sex", 3, pa.int16()),
        ("d_sex", -1, pa.int16()),
        ("d_province", 4, pa.int16()),
        ("d_period", 2, pa.int16()),
        ("rkey", 2**32, pa.int64()),
        ("person", -1, pa.int64()),
        ("m_salary", -1, pa.int64()),
    ],
)
def test_values_that_no_release_has_are_refused(
    release: FrozenRelease, engine: DuckDBEngine, name: str, value: int, kind: pa.DataType
) -> None:
    table = first_table(release)
    values = [value, *(one.as_py() for one in table.column(name)[1:])]
    hostile = with_file(release, changed(table, name, values, kind))
    with pytest.raises(
        StatisticsRefused, match=f"a file of the release has values in {name} that nothing has"
    ):
        engine.count(hostile, PLAN, quiet)


def test_a_file_that_does_not_say_what_it_has_is_refused(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    hostile = with_file(release, first_table(release), write_statistics=False)
    with pytest.raises(StatisticsRefused, match="does not say what person has"):
        engine.count(hostile, PLAN, quiet)
    table = first_table(release)
    values = [None, *(one.as_py() for one in table.column("d_age")[1:])]
    hostile = with_file(release, changed(table, "d_age", values, pa.int16()))
    with pytest.raises(StatisticsRefused, match="or lacks values there"):
        engine.count(hostile, PLAN, quiet)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["rkey"]),
        lambda table: table.append_column("name", pa.array(["x"] * table.num_rows)),
        lambda table: changed(table, "d_sex", [0] * table.num_rows, pa.int64()),
        lambda table: changed(table, "m_salary", [0.5] * table.num_rows, pa.float64()),
    ],
)
def test_other_columns_are_refused(
    release: FrozenRelease, engine: DuckDBEngine, change: Callable[[pa.Table], pa.Table]
) -> None:
    hostile = with_file(release, change(first_table(release)))
    with pytest.raises(StatisticsRefused, match="has other columns than the release"):
        engine.count(hostile, PLAN, quiet)


def test_what_is_no_parquet_and_rows_that_are_not_told_are_refused(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    first, *others = release.manifest.files
    wrong = with_files(release, replace(first, rows_count=first.rows_count + 1), *others)
    with pytest.raises(StatisticsRefused, match="more or fewer rows"):
        engine.count(wrong, PLAN, quiet)
    content = b"PAR1 and nothing more"
    (Path(release.directory) / first.path).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    wrong = with_files(release, replace(first, sha256=digest, bytes_count=len(content)), *others)
    with pytest.raises(StatisticsRefused, match="cannot be read as Parquet"):
        engine.count(wrong, PLAN, quiet)


def test_somebody_of_two_sexes_is_refused(release: FrozenRelease, engine: DuckDBEngine) -> None:
    table = first_table(release)
    twice = pa.concat_tables([table, changed(table, "d_sex", [1] * table.num_rows, pa.int16())])
    twice = pa.concat_tables([twice, changed(table, "d_sex", [0] * table.num_rows, pa.int16())])
    with pytest.raises(StatisticsRefused, match="somebody is in two categories of which a person is in one"):
        engine.count(with_file(release, twice), plan_of(("sex", "sex")), quiet)


def test_persons_who_are_lost_or_are_in_two_provinces_are_refused(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    filtered = plan_of(("sex", "sex"), filters=(Filter("period", "month", ("2026-07",)),))
    table = first_table(release)
    stranger = with_file(release, changed(table, "person", list(range(table.num_rows)), pa.int64()))
    with pytest.raises(StatisticsRefused, match="more or fewer persons than in the release"):
        engine.count(stranger, PLAN, quiet)
    counted = engine.count(stranger, filtered, quiet)
    assert counted.persons[0] <= release.manifest.persons_count, "of a part it is known that it is no more"
    fewer = replace(stranger, manifest=replace(stranger.manifest, persons_count=3))
    with pytest.raises(StatisticsRefused, match="more or fewer persons than in the release"):
        engine.count(fewer, filtered, quiet)


def test_sums_beyond_what_is_exact_are_refused(release: FrozenRelease, engine: DuckDBEngine) -> None:
    table = first_table(release)
    huge = with_file(release, changed(table, "m_salary", [2**62] * table.num_rows, pa.int64()))
    with pytest.raises(StatisticsRefused, match="a sum is too large to be exact") as refusal:
        engine.count(huge, PLAN, quiet)
    assert refusal.value.reason == "cells_malformed"


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("until", [0.0, 0.05, 0.5])
def test_whatever_is_raised_when_told_ends_the_count(
    release: FrozenRelease,
    engine: DuckDBEngine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    until: float,
) -> None:
    monkeypatch.setattr(checked_files, "BATCH_ROWS", 1)
    told: list[float] = []

    def on_share(share: float) -> None:
        told.append(share)
        if share >= until:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.count(release, PLAN, on_share)
    assert told[-1] < 1.0
    assert list(tmp_path.glob("engine-*")) == [], "nothing of it stays on disk"


def test_a_statement_that_would_take_for_ever_is_interrupted() -> None:
    began = threading.Event()
    with duckdb.connect(":memory:") as connection:

        def work() -> object:
            began.set()
            return connection.execute("SELECT count(*) FROM range(10000000) a, range(10000000) b").fetchall()

        def tell() -> None:
            assert began.wait(60)
            raise Cancelled

        with pytest.raises(Cancelled):
            told_while(work, tell, connection.interrupt)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_the_database_reads_the_files_that_it_is_given_and_nothing_else(
    release: FrozenRelease, engine: DuckDBEngine
) -> None:
    first, second = (str(Path(release.directory) / one.path) for one in release.manifest.files[:2])
    with engine._opened([first]) as connection:
        assert connection.read_parquet([first]).shape[0] == release.manifest.files[0].rows_count
        for statement in (
            f"FROM '{second}'",
            f"COPY (SELECT 1) TO '{release.directory}/x.csv'",
            "SET threads = 8",
            "SET enable_external_access = true",
            "INSTALL httpfs",
            "SELECT * FROM 'https://example.org/x.parquet'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            duckdb.OutOfMemoryException("42 bytes of Nguyen"),
            "the engine has not memory enough for this table",
        ),
        (duckdb.IOException("SELECT of Nguyen"), "the engine failed: IOException"),
    ],
)
def test_no_word_of_the_database_is_told(error: Exception, message: str) -> None:
    with pytest.raises(SourceUnavailable, match=f"^{message}$") as failure, duckdb_engine.faults():
        raise error
    assert failure.value.__suppress_context__


def test_a_release_as_they_are_made_is_counted_as_its_rows_are(tmp_path: Path, engine: DuckDBEngine) -> None:
    release = frozen_release(tmp_path, persons=300)
    for cut in (
        (("province", "province"), ("sector", "sector_group")),
        (("period", "quarter"), ("age", "age_group")),
    ):
        plan = planned(release.registry, cut, (), ("contributions", "months"))
        assert engine.count(release.frozen, plan, quiet).content() == release.cells(plan).content()
