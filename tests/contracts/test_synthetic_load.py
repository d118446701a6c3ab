from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, func, inspect, select, text

from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from connectors.national_insurance.cases import find_cases
from connectors.national_insurance.schema import metadata
from connectors.national_insurance.synthetic import Manifest, Part
from connectors.national_insurance.synthetic_load import TablesNotEmpty, load_population
from tests.contracts.source_fixtures import AS_OF, fresh_database, loaded_database, sqlite_database


def _contents(url: str) -> dict[str, Counter[tuple[object, ...]]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: Counter(tuple(row) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
            if table.name != "source_state"
        }
    engine.dispose()
    return found


def test_every_dialect_gets_the_same_rows(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    url, _ = fresh_database(cluster, "same_rows")
    manifest = load_population(url, Manifest(300, 11, AS_OF))
    other = sqlite_database(tmp_path)
    assert manifest.sha256 == other.manifest.sha256
    assert _contents(url) == _contents(other.owner_url)


def test_tables_keys_and_indexes_are_all_there_afterwards(cluster: EmbeddedCluster) -> None:
    database = loaded_database(cluster)
    engine = create_engine(database.owner_url)
    inspector = inspect(engine)
    for table in metadata.sorted_tables:
        key = [column.name for column in table.primary_key.columns]
        assert inspector.get_pk_constraint(table.name)["constrained_columns"] == key
        assert {index["name"] for index in inspector.get_indexes(table.name)} == {
            index.name for index in table.indexes
        }
    with engine.connect() as connection:
        logged = select(func.count()).select_from(
            text("pg_class WHERE relpersistence <> 'p' AND relkind = 'r'")
        )
        assert connection.scalar(logged) == 0
        analysed = text("SELECT reltuples FROM pg_class WHERE relname = 'person'")
        assert connection.scalar(analysed) == database.manifest.persons
        for table in metadata.sorted_tables:
            counted = connection.scalar(select(func.count()).select_from(table))
            assert counted == database.manifest.tables[table.name]
    engine.dispose()


def test_every_case_is_found_even_in_a_small_population(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    for cases in (loaded_database(cluster).cases, sqlite_database(tmp_path).cases):
        assert {name for name, found in cases.items() if not found} == set()


def test_cases_are_what_they_say(cluster: EmbeddedCluster) -> None:
    cases = loaded_database(cluster).cases
    for who in cases["pair_003"]:
        old, new = who.cards
        assert old.valid_to < AS_OF
        assert new.valid_from <= AS_OF <= new.valid_to
    for who in cases["pair_004"]:
        old, new = who.cards
        assert old.valid_from <= AS_OF <= old.valid_to < new.valid_from
    for who in cases["valid"]:
        assert len(who.cards) == 1
        assert who.cards[0].card_status == "active"
    assert {len(who.cards[0].hi_card) for who in cases["valid_card_12"]} == {12}
    shared = Counter(who.si_number for who in cases["duplicate_si_number"])
    assert max(shared.values()) >= 2


def test_rows_are_never_touched_without_being_told(tmp_path: Path) -> None:
    database = sqlite_database(tmp_path)
    before = _contents(database.owner_url)
    with pytest.raises(TablesNotEmpty):
        load_population(database.owner_url, Manifest(10, 2, AS_OF))
    assert _contents(database.owner_url) == before
    replaced = load_population(database.owner_url, Manifest(10, 2, AS_OF), replace=True)
    assert sum(_contents(database.owner_url)["person"].values()) == replaced.persons == 10


def test_a_load_that_fails_leaves_what_was_there_before(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = fresh_database(cluster, "half_way")
    load_population(url, Manifest(50, 1, AS_OF))
    before = _contents(url)

    def breaking(manifest: Manifest) -> list[Part]:
        assert manifest.persons == 60
        return [Part("person", b"no row at all\n", 1)]

    monkeypatch.setattr("connectors.national_insurance.synthetic_load.generate", breaking)
    with pytest.raises(Exception, match="person"):
        load_population(url, Manifest(60, 1, AS_OF), replace=True)
    assert _contents(url) == before


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["synthesize", *arguments])


def test_the_command_loads_writes_its_manifest_and_lets_the_reader_read(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    url, reader_url = fresh_database(cluster, "by_command")
    manifest, examples = tmp_path / "manifest.json", tmp_path / "examples.json"
    wanted = ["--persons", "400", "--seed", "7", "--dsn", url, "--reader", "insurance_reader", "--json"]
    result = _run(*wanted, "--manifest", str(manifest), "--examples", str(examples))
    assert result.exit_code == 0, result.output
    printed, written = json.loads(result.stdout), json.loads(manifest.read_text())
    assert printed.pop("persons_per_second") > 0
    assert printed.pop("seconds") > 0
    assert printed == written
    assert written["tables"]["person"] == 400
    assert written["cases"]["pair_004"] >= 2
    assert json.loads(examples.read_text())["pair_004"][0]["cards"][1]["valid_from"] > AS_OF.isoformat()
    engine = create_engine(reader_url)
    with engine.connect() as connection:
        assert find_cases(connection, 1)["valid"]
    engine.dispose()
    assert _run(*wanted).exit_code == 3
    again = _run(*wanted, "--replace", "--as-of", "2026-11-01")
    assert json.loads(again.stdout)["sha256"] == written["sha256"]


def test_the_command_says_plainly_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKER_SOURCE_OWNER_URL", raising=False)
    assert _run("--persons", "10").exit_code == 2
    assert _run("--persons", "0", "--dsn", "sqlite://").exit_code == 2
    away = _run("--persons", "10", "--dsn", "postgresql+psycopg://nobody:secret@127.0.0.1:1/x")
    assert away.exit_code == 1
    assert "secret" not in away.output
    monkeypatch.setenv("BROKER_SOURCE_OWNER_URL", f"sqlite:///{tmp_path}/from_environment.db")
    shown = _run("--persons", "10", "--progress")
    assert shown.exit_code == 0
    assert "persons/s" in shown.stdout
    assert "10 of 10 persons" in shown.stderr


_MEASURED = """
import json, sys
from pathlib import Path
from time import perf_counter
from connectors.national_insurance.synthetic import DEFAULT_AS_OF, Manifest
from connectors.national_insurance.synthetic_load import load_population
started = perf_counter()
load_population(sys.argv[1], Manifest(int(sys.argv[2]), 1, DEFAULT_AS_OF), replace=True)
seconds = perf_counter() - started
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(json.dumps([int(peak.split()[1]) / 1024, int(sys.argv[2]) / seconds]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_population(cluster: EmbeddedCluster) -> None:
    url, _ = fresh_database(cluster, "by_size")
    measured: dict[int, float] = {}
    for persons in (20_000, 200_000):
        command = [sys.executable, "-c", _MEASURED, url, str(persons)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        measured[persons], rate = json.loads(output)
        print(f"{persons:,} persons: {measured[persons]:.0f} MiB resident, {rate:,.0f} persons/s with COPY")
    assert measured[200_000] < 300
    assert measured[200_000] < measured[20_000] * 1.15
