"""A release counted by a real cluster of Spark: the same bytes as DuckDB's, with a worker killed on the way.

`make test-spark` runs this; its name keeps it out of `make check`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import monotonic

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyhive import hive
from sqlalchemy.engine import make_url

from broker.engines.choosing import engine_of
from broker.engines.sql_load import load_release
from broker.statistics.plan import Filter, TablePlan, planned
from broker.statistics.reasons import StatisticsRefused
from connectors.base import SourceUnavailable
from tests.engine_world import quiet
from tests.frozen_release import SmallRelease, frozen_release
from tests.spark.cluster import Cluster, running_cluster

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    began = monotonic()
    with running_cluster(tmp_path_factory.mktemp("spark")) as running:
        told("master, two workers with executors and the Thrift server stand", began)
        yield running


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> SmallRelease:
    made = frozen_release(tmp_path_factory.mktemp("release"), persons=30_000)
    began = monotonic()
    assert load_release(made.frozen, [cluster.url], quiet) == 1
    told(f"{made.frozen.manifest.rows_count} rows looked at in place", began)
    assert load_release(made.frozen, [cluster.url], quiet) == 0
    return made


def told(what: str, began: float) -> None:
    print(f"\n{what}: {monotonic() - began:.1f} s")


def wide(release: SmallRelease) -> TablePlan:
    cut = (("province", "province"), ("age", "age_group"), ("sector", "sector"), ("sex", "sex"))
    return planned(release.registry, cut, (), ("contributions", "salary", "benefits"))


def expected(release: SmallRelease, plan: TablePlan) -> bytes:
    content = engine_of("duckdb").count(release.frozen, plan, quiet).content()
    assert content == release.cells(plan).content()
    return content


def test_spark_counts_what_duckdb_counts(cluster: Cluster, release: SmallRelease) -> None:
    registry = release.registry
    filtered = planned(
        registry,
        (("province", "region"), ("period", "month"), ("sector", "sector_group")),
        (Filter("sex", "sex", ("F",)), Filter("period", "month", ("2026-07", "2026-09"))),
        ("months",),
    )
    for plan in (filtered, planned(registry, (("age", "age_band"),)), wide(release)):
        began = monotonic()
        assert engine_of(cluster.url).count(release.frozen, plan, quiet).content() == expected(release, plan)
        told(f"{len(plan.cut)} dimensions, {len(plan.measures)} measures", began)


def test_a_count_is_ended_by_whoever_is_told(cluster: Cluster, release: SmallRelease) -> None:
    class Cancelled(Exception):
        pass

    told_times = 0

    def on_share(share: float) -> None:
        nonlocal told_times
        told_times += 1
        if told_times == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine_of(cluster.url).count(release.frozen, wide(release), on_share)


def test_a_release_that_is_not_loaded_is_told_without_a_word_of_spark(
    cluster: Cluster, tmp_path: Path
) -> None:
    other = frozen_release(tmp_path, persons=50, revision=2)
    plan = planned(other.registry, (("sex", "sex"),))
    with pytest.raises(SourceUnavailable, match=r"^the engine has not the rows of this release$"):
        engine_of(cluster.url).count(other.frozen, plan, quiet)


def test_sums_beyond_what_is_exact_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    made = frozen_release(tmp_path, persons=60, revision=4).frozen
    files = []
    for one in made.manifest.files:
        path = Path(made.directory) / one.path
        table = pq.read_table(path, partitioning=None)
        at = table.column_names.index("m_salary")
        pq.write_table(table.set_column(at, "m_salary", pa.array([2**62] * table.num_rows)), path)
        content = path.read_bytes()
        files.append(replace(one, sha256=sha256(content).hexdigest(), bytes_count=len(content)))
    huge = replace(made, manifest=replace(made.manifest, files=tuple(files)))
    load_release(huge, [cluster.url], quiet)
    plan = planned(huge.manifest.registry, (("sex", "sex"),), (), ("salary",))
    with pytest.raises(StatisticsRefused, match="a sum is too large to be exact"):
        engine_of(cluster.url).count(huge, plan, quiet)


def test_a_file_that_comes_to_lie_beside_a_release_is_found(cluster: Cluster, tmp_path: Path) -> None:
    made = frozen_release(tmp_path, persons=60, revision=3)
    load_release(made.frozen, [cluster.url], quiet)
    first = Path(made.frozen.directory) / made.frozen.manifest.files[0].path
    pq.write_table(
        pa.concat_tables([pq.read_table(first, partitioning=None)] * 2), first.with_name("x.parquet")
    )
    refreshed(cluster)
    with pytest.raises(StatisticsRefused, match="the engine has other rows than the release"):
        engine_of(cluster.url).count(made.frozen, planned(made.registry, (("sex", "sex"),)), quiet)


def refreshed(cluster: Cluster) -> None:
    """Have Spark forget which files it has seen, as it does when it starts again."""
    url = make_url(cluster.url)
    with hive.connect(url.host, url.port) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES LIKE 'release_2026_q3_3_*'")
        for row in cursor.fetchall():
            cursor.execute(f"REFRESH TABLE {row[1]}")


def test_a_worker_and_its_executor_are_killed_and_the_bytes_are_the_same(
    cluster: Cluster, release: SmallRelease
) -> None:
    plan, killed = wide(release), threading.Event()
    began = monotonic()

    def on_share(share: float) -> None:
        # Told first before anything is asked, then while the statement runs.
        if monotonic() - began > 1.0 and not killed.is_set() and share < 1.0:
            assert cluster.kill_worker(0) >= 1
            killed.set()

    content = engine_of(cluster.url).count(release.frozen, plan, on_share).content()
    assert killed.is_set(), "the statement ran while the worker was killed"
    assert cluster.workers[0].poll() is not None
    assert cluster.executors(1), "the other worker went on"
    told("with a worker and its executor killed after a second", began)
    assert content == expected(release, plan)
