"""Releases in databases: loaded whole or as shards, refused when they are others, ended, and never quoted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InternalError

from broker.cli.embedded import EmbeddedCluster
from broker.engines.choosing import engine_of
from broker.engines.database import Question, database_engine
from broker.engines.duckdb_engine import DuckDBEngine
from broker.engines.loaded import LoadMark, mark_of, rows_name
from broker.engines.sql_engine import SqlEngine
from broker.engines.sql_load import _point_at, load_release
from broker.statistics.frozen import FrozenRelease
from broker.statistics.plan import planned
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable
from tests.database_engines import OWNER, counting_databases, emptied, filled
from tests.engine_world import frozen, people, plan_of, quiet, with_file, with_files
from tests.frozen_release import SmallRelease, frozen_release

ROWS = people(8, 120)
PLAN = plan_of(("province", "region"), ("sector", "sector"), measures=("salary",))


@pytest.fixture(scope="module")
def urls(cluster: EmbeddedCluster) -> list[str]:
    return counting_databases(cluster, 3)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> FrozenRelease:
    return frozen(ROWS, tmp_path_factory.mktemp("release"))


@pytest.fixture
def loaded(release: FrozenRelease, urls: list[str]) -> FrozenRelease:
    assert filled(release, urls[:1]) == 1
    return release


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("small"), persons=400)


def test_a_release_as_they_are_made_has_the_same_bytes_in_all_engines(
    small: SmallRelease, urls: list[str]
) -> None:
    filled(small.frozen, urls[:1])
    cut = (("province", "region"), ("age", "age_group"), ("sector", "sector"), ("period", "month"))
    plan = planned(small.registry, cut, (), ("contributions", "salary", "months"))
    counted = engine_of(urls[0]).count(small.frozen, plan, quiet).content()
    assert counted == engine_of("duckdb").count(small.frozen, plan, quiet).content()
    assert counted == small.cells(plan).content()
    emptied(small.frozen, urls[:1])


def test_the_setting_chooses_the_engine(urls: list[str]) -> None:
    assert isinstance(engine_of("duckdb"), DuckDBEngine)
    engine = engine_of(" \n ".join(urls))
    assert isinstance(engine, SqlEngine)
    assert [one.url.database for one in engine._engines] == ["counting_0", "counting_1", "counting_2"]
    with pytest.raises(SourceUnavailable, match=r"^there is no driver for the engine's URL$"):
        engine_of("nosuchdialect://secret:word@host/x")


def test_a_release_that_is_there_is_not_loaded_again(loaded: FrozenRelease, urls: list[str]) -> None:
    shares: list[float] = []
    assert load_release(loaded, urls[:1], shares.append) == 0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    with psycopg.connect(urls[0].replace("+psycopg", "")) as connection:
        found = connection.execute(f"SELECT count(*) FROM {rows_name('2026-q3.1')}").fetchone()  # noqa: S608
    assert found == (loaded.manifest.rows_count,)


def test_a_release_that_is_not_loaded_or_another_one_is_not_counted(
    release: FrozenRelease, urls: list[str]
) -> None:
    engine = SqlEngine(urls[:1])
    emptied(release, urls[:1])
    with pytest.raises(SourceUnavailable, match=r"^the engine has not the rows of this release$"):
        engine.count(release, PLAN, quiet)
    filled(release, urls[:1])
    first, *others = release.manifest.files
    other = with_files(release, replace(first, sha256="0" * 64), *others)
    with pytest.raises(SourceUnavailable, match=r"^the engine has not the rows of this release$"):
        engine.count(other, PLAN, quiet)


def test_other_rows_under_the_name_of_a_release_stay_as_they_are(
    loaded: FrozenRelease, urls: list[str], tmp_path: Path
) -> None:
    other = frozen(people(9, 50), tmp_path)
    with pytest.raises(SourceUnavailable, match=r"^the engine has other rows under the name of"):
        load_release(other, urls[:1], quiet)
    assert SqlEngine(urls[:1]).count(loaded, PLAN, quiet).content() == ROWS.counted(PLAN).content()


def test_a_load_that_is_ended_leaves_nothing(release: FrozenRelease, urls: list[str]) -> None:
    emptied(release, urls[:1])

    def on_share(share: float) -> None:
        if share > 0.5:
            raise StatisticsRefused("cells_malformed", "somebody ended it")

    with pytest.raises(StatisticsRefused, match="somebody ended it"):
        load_release(release, urls[:1], on_share)
    assert load_release(release, urls[:1], quiet) == 1


def test_files_that_are_not_the_manifest_s_are_not_loaded(urls: list[str], tmp_path: Path) -> None:
    release = frozen(ROWS, tmp_path)
    first, *others = release.manifest.files
    emptied(release, urls[:1])
    with pytest.raises(StatisticsRefused, match="is not the one of its manifest"):
        load_release(with_files(release, replace(first, sha256="0" * 64), *others), urls[:1], quiet)
    table = ROWS.table((ROWS.codes[:, 0] == 0) & (ROWS.codes[:, 1] == 0))
    at = table.column_names.index("d_sector")
    wrong = with_file(release, table.set_column(at, "d_sector", pa.array([9] * table.num_rows, pa.int16())))
    with pytest.raises(StatisticsRefused, match="has values in d_sector that nothing has"):
        load_release(wrong, urls[:1], quiet)
    assert load_release(with_file(release, table), urls[:1], quiet) == 1


def test_shards_have_their_place_and_are_all_needed(release: FrozenRelease, urls: list[str]) -> None:
    assert filled(release, urls) == 3
    assert SqlEngine(urls).count(release, PLAN, quiet).content() == ROWS.counted(PLAN).content()
    for wrong in (urls[:1], urls[:2], [urls[1], urls[0], urls[2]], [urls[0], urls[0], urls[2]]):
        with pytest.raises(SourceUnavailable, match=r"^the engine has not the rows of this release$"):
            SqlEngine(wrong).count(release, PLAN, quiet)


def test_a_wrong_code_in_the_database_is_refused(loaded: FrozenRelease, urls: list[str]) -> None:
    name = rows_name("2026-q3.1")
    for column, value in (("d_province", 5), ("d_province", -1), ("d_sector", 5), ("d_sector", -1)):
        filled(loaded, urls[:1])
        engine = create_engine(urls[0])
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE {name} SET {column} = {value} WHERE d_sex = 1"))  # noqa: S608
        with pytest.raises(StatisticsRefused, match="a code is no registered category"):
            SqlEngine(urls[:1]).count(loaded, PLAN, quiet)
        engine.dispose()


def test_rows_that_were_lost_are_noticed(loaded: FrozenRelease, urls: list[str]) -> None:
    engine = create_engine(urls[0])
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {rows_name('2026-q3.1')} WHERE d_province = 2"))  # noqa: S608
    engine.dispose()
    with pytest.raises(StatisticsRefused, match="more or fewer persons than in the release"):
        SqlEngine(urls[:1]).count(loaded, PLAN, quiet)


def test_sums_beyond_what_is_exact_are_refused(loaded: FrozenRelease, urls: list[str]) -> None:
    engine = create_engine(urls[0])
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {rows_name('2026-q3.1')} SET m_salary = {2**62}"))  # noqa: S608
    engine.dispose()
    with pytest.raises(StatisticsRefused, match="a sum is too large to be exact") as refusal:
        SqlEngine(urls[:1]).count(loaded, PLAN, quiet)
    assert refusal.value.reason == "cells_malformed"


class Cancelled(Exception):
    pass


def test_whatever_is_raised_when_told_ends_the_statement(
    loaded: FrozenRelease, urls: list[str], cluster: EmbeddedCluster
) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = 'counting_0' AND usename = %s AND wait_event_type = 'Lock'"
    )
    with (
        psycopg.connect(cluster.administrator_url.replace("/postgres?", "/counting_0?")) as holder,
        psycopg.connect(cluster.administrator_url, autocommit=True) as watcher,
    ):
        holder.execute(f"LOCK TABLE {rows_name('2026-q3.1')} IN ACCESS EXCLUSIVE MODE")

        def on_share(share: float) -> None:
            if share or watcher.execute(waiting, (OWNER,)).fetchone() == (1,):
                raise Cancelled

        with pytest.raises(Cancelled):
            SqlEngine(urls[:1]).count(loaded, PLAN, on_share)
        assert watcher.execute(waiting, (OWNER,)).fetchone() == (0,)


def test_an_engine_that_is_away_is_told_without_its_url_and_without_sql(loaded: FrozenRelease) -> None:
    engine = SqlEngine(["postgresql+psycopg://reader:sesame@/nowhere?host=/nonexistent"])
    with pytest.raises(SourceUnavailable, match=r"^the engine failed: OperationalError$") as failure:
        engine.count(loaded, PLAN, quiet)
    assert failure.value.__suppress_context__


def test_what_counts_could_not_write(urls: list[str]) -> None:
    with database_engine(urls[0]).connect() as connection, pytest.raises(InternalError, match="read-only"):
        connection.execute(text("CREATE TABLE stranger (x INTEGER)"))


def test_a_stopped_question_asks_nothing(loaded: FrozenRelease, urls: list[str]) -> None:
    question = Question(database_engine(urls[0]))
    question.stop()
    with pytest.raises(SourceUnavailable, match=r"^the count was ended$"):
        question.rows(loaded, mark_of(loaded.manifest), text("SELECT 1"))  # type: ignore[arg-type]


def test_other_databases_are_not_loaded(release: FrozenRelease, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"^releases are loaded into PostgreSQL and Spark alone$"):
        load_release(release, [f"sqlite:///{tmp_path / 'x.db'}"], quiet)


def test_spark_looks_at_a_release_only_where_nothing_lies_beside_it(tmp_path: Path) -> None:
    release = frozen(ROWS, tmp_path / "release")
    paths = [str(tmp_path / "release" / one.path) for one in release.manifest.files]
    mark = mark_of(release.manifest)
    with pytest.raises(SourceUnavailable, match="not one shard of several"):
        _point_at(None, release, LoadMark(mark.fingerprint, 0, 2), paths, quiet)  # type: ignore[arg-type]
    (tmp_path / "release/stranger.parquet").write_bytes(b"PAR1")
    with pytest.raises(StatisticsRefused, match="that its manifest does not name"):
        _point_at(None, release, mark, paths, quiet)  # type: ignore[arg-type]
    strange = frozen(ROWS, tmp_path / "it's")
    paths = [str(tmp_path / "it's" / one.path) for one in strange.manifest.files]
    with pytest.raises(SourceUnavailable, match="letters that Spark might read otherwise"):
        _point_at(None, strange, mark, paths, quiet)  # type: ignore[arg-type]
