"""`broker worker` answers an export from a release on disk: DuckDB, package, encryption, evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey
from sqlalchemy import text

from broker.oauth.release_secrets import ReleaseSeal
from broker.statistics.export_job import ExportJob
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.output import OutputTable
from broker.statistics.periods import parse_quarter
from broker.statistics.plan import TablePlan, planned
from broker.statistics.plan_layout import axes_of
from broker.statistics.protect import protected
from broker.statistics.revision import RevisionPolicy
from broker.storage.statistics_making import PostgresReleaseMaking
from tests.acting import ACTS, entries, last_reference
from tests.exports_shelf import Shelf
from tests.exports_world import job_of_plan
from tests.frozen_release import FROZEN_AT, SECRET_TABLE, SmallRelease, frozen_release
from tests.house.project import ROOT
from tests.key_host import Authority, key_host
from tests.oauth_world import KEY_ENCRYPTION_KEY, Database
from tests.worker_machine import Machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    return frozen_release(tmp_path_factory.mktemp("releases"), persons=2_000)


@pytest.fixture
def machine(tmp_path: Path, database: Database, small: SmallRelease) -> Iterator[Machine]:
    """A worker's machine with the release frozen in its database, under the secret it was made with."""
    database.empty()
    seal = ReleaseSeal(KEY_ENCRYPTION_KEY)
    making = PostgresReleaseMaking(database.application, seal, ACTS)
    begun = making.begin(parse_quarter("2026-q3"), RevisionPolicy(), supersede=False)
    with database.owner.begin() as connection:
        sealed = seal.seal(begun.release, "tables", SECRET_TABLE)
        connection.execute(
            text("UPDATE statistics_releases SET table_secret_encrypted = :sealed"), {"sealed": sealed}
        )
    making.freeze(begun.release, manifest_hash(manifest_bytes(small.frozen.manifest)), FROZEN_AT)
    authority = Authority()
    with key_host(authority.context(tmp_path, "localhost"), "localhost") as host:
        machine = Machine(tmp_path, database, host, authority)
        machine.environ["BROKER_STATISTICS_DIRECTORY"] = str(Path(small.frozen.directory).parent)
        yield machine


def run_once(machine: Machine) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "broker.cli", "worker", "--json", "--once"]
    done = subprocess.run(
        command, env=machine.environ, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT
    )
    assert done.stderr == ""
    return done.returncode, [{**json.loads(line), "at": ""} for line in done.stdout.splitlines()]


def test_a_worker_answers_what_waits_and_then_the_same_from_what_is_kept(
    machine: Machine, database: Database, small: SmallRelease
) -> None:
    shelf, manifest = Shelf(database.application), small.frozen.manifest
    plan = planned(manifest.registry, (("sex", "sex"),), (), ("salary",))
    key = ECKey.generate_key("P-256")
    came_after = last_reference(database.application)
    plain = job_of_plan(plan)
    sealed = job_of_plan(plan, "ministry-b", recipient_key=key.as_dict(private=False), format="sdmx-csv")
    for job in (plain, sealed):
        shelf.jobs.admit(job, manifest, plan)
    code, lines = run_once(machine)
    told = [line for line in lines if line.get("job") == "statistics"]
    assert (code, [(one.get("taken"), one.get("answered")) for one in told]) == (
        0, [(1, None), (None, 1)] * 2,
    ), lines  # fmt: skip
    package = content_of(shelf, plain)
    with ZipFile(BytesIO(package)) as archive:
        assert {"method-note.vi.txt", "method-note.en.txt"} < set(archive.namelist())
        [name] = [one for one in archive.namelist() if one.endswith(".csv") and "code" not in one]
        numbers = archive.read(name).decode()
    table = expected(small, plan)
    for row in table.rows():
        assert row.persons is not None
        assert str(row.persons) in numbers
    found = shelf.jobs.find_job(plain.job_id, plain.client_id)
    assert found is not None
    assert found.result is not None
    assert found.result.table_hash == table.hash()
    registry = jwe.JWERegistry(algorithms=["ECDH-ES+A256KW", "A256GCM"])
    registry.max_ciphertext_length = 10_000_000
    opened = jwe.decrypt_compact(content_of(shelf, sealed), key, registry=registry)
    assert opened.plaintext is not None
    with ZipFile(BytesIO(opened.plaintext)) as archive:
        assert archive.testzip() is None
    found_entries = entries(database.application, "export", came_after)
    assert [(one["step"], one["job"]) for one in found_entries] == [
        ("released", plain.job_id), ("released", sealed.job_id),
    ]  # fmt: skip
    assert {one["table_hash"] for one in found_entries} == {table.hash()}
    again = job_of_plan(plan, "ministry-c")
    assert shelf.jobs.admit(again, manifest, plan) is False
    machine.environ["BROKER_STATISTICS_ENGINE"] = "postgresql://nobody@127.0.0.1:9/away"
    code, lines = run_once(machine)
    assert (code, content_of(shelf, again)) == (0, package), lines


def expected(small: SmallRelease, plan: TablePlan) -> OutputTable:
    grid = small.grid(plan, axes_of(small.registry, plan))
    return protected(grid, small.method, plan.hash).table


def content_of(shelf: Shelf, job: ExportJob) -> bytes:
    found = shelf.jobs.find_job(job.job_id, job.client_id)
    assert found is not None
    assert found.result is not None, found
    content = shelf.jobs.read_result(
        job.job_id, job.client_id, 0, found.result.bytes_count, datetime.now(UTC)
    )
    assert content is not None
    return content
