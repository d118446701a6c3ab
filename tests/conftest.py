"""Shared fixtures: one real PostgreSQL per test process, a filled broker on it, and a real server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from flask import Flask

import broker.api.operations_log
import connectors.pinned_https
from broker.cli.caller import Caller
from broker.cli.embedded import EmbeddedCluster, embedded_cluster
from broker.cli.prepare import prepare
from broker.cli.session import embedded_environment
from broker.settings import Settings, read_settings
from tests.citizen_world import Citizen
from tests.contracts.source_fixtures import InsuranceDatabase, loaded_database
from tests.doors import InProcessCaller, Server, cluster_directory, in_process_caller, running_app
from tests.inbox_flow import InboxFlow
from tests.log_reader import all_faults
from tests.log_world import LogDatabases, LogWorld, log_databases
from tests.oauth_world import Database, oauth_database, present
from tests.release_world import World, write_policies

# How long an example takes tells of the machine, not of the broker. A run of all tests judges the code as it
# stands, by the same examples every time; `make fuzz` looks for new ones.
hypothesis.settings.register_profile(
    "broker",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="FUZZ_EXAMPLES" not in os.environ,
)
hypothesis.settings.load_profile("broker")


@pytest.fixture(scope="session", autouse=True)
def _a_busy_machine_connects_too() -> Iterator[None]:
    """A handshake with a host of this very process waits for nothing but the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connectors.pinned_https, "CONNECT_SECONDS", 20.0)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    """A PostgreSQL cluster of this test process, with the four roles and two databases."""
    with cluster_directory() as directory, embedded_cluster(directory) as started:
        yield started


@pytest.fixture(scope="session")
def environ(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a broker on that cluster."""
    directory: Path = tmp_path_factory.mktemp("state")
    others = {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")}
    # A commit waits for the disk, and the machine does much else: the store has more here than its 0.8 s, and
    # the source less than its 2 s, so that an answer still comes within three.
    deadlines = {"BROKER_STORE_DEADLINE_SECONDS": "1.5", "BROKER_SOURCE_DEADLINE_SECONDS": "1.4"}
    return embedded_environment(cluster, directory, {**others, **deadlines})


@pytest.fixture(scope="module")
def database(cluster: EmbeddedCluster) -> Iterator[Database]:
    """A migrated database of its own, without any client or person, for tests of parts of the broker."""
    with oauth_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def module_inbox(database: Database) -> InboxFlow:
    """Citizens with inboxes, and banks that ask, on that database: one world for a module."""
    return InboxFlow(database)


@pytest.fixture
def inbox(module_inbox: InboxFlow) -> InboxFlow:
    """That world, at the instant that it is."""
    module_inbox.world.clock.at = present()
    return module_inbox


@pytest.fixture
def person(inbox: InboxFlow) -> Citizen:
    """A citizen of that world for one test alone: refusals are remembered."""
    return inbox.citizen()


@pytest.fixture(scope="module")
def databases(cluster: EmbeddedCluster) -> Iterator[LogDatabases]:
    """Databases of a broker and of the log's heads, for the tests of a module."""
    with log_databases(cluster) as given:
        yield given


@pytest.fixture
def log(databases: LogDatabases, tmp_path: Path) -> Iterator[LogWorld]:
    """A log in files of its own that nobody has created yet, on emptied tables."""
    world = LogWorld(databases, tmp_path / "log")
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="session")
def settings(cluster: EmbeddedCluster, environ: dict[str, str]) -> Settings:
    """Settings of a broker on that cluster, whose database is migrated, keyed and has its agreements."""
    read = read_settings(environ)
    prepare(cluster.owner_url, read)
    return read


@pytest.fixture(scope="session")
def insurance(cluster: EmbeddedCluster) -> InsuranceDatabase:
    """The insurance database: a synthetic population of 3,000, which tests only read."""
    return loaded_database(cluster)


@pytest.fixture(scope="session")
def release_environ(
    cluster: EmbeddedCluster,
    environ: dict[str, str],
    insurance: InsuranceDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The environment of a broker whose source is that database and that knows the tests' agreements too."""
    policies = write_policies(tmp_path_factory.mktemp("policies"))
    complete = {
        **environ,
        "BROKER_SOURCE_URL": insurance.reader_url,
        "BROKER_POLICY_DIRECTORY": str(policies),
    }
    prepare(cluster.owner_url, read_settings(complete))
    return complete


@pytest.fixture(scope="session")
def world(
    cluster: EmbeddedCluster, release_environ: dict[str, str], insurance: InsuranceDatabase
) -> Iterator[World]:
    """The broker's store with hospitals and staff, and the synthetic persons whom they may ask about."""
    world = World(read_settings(release_environ), cluster.owner_url, insurance)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="session")
def app_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file into which applications in this process write their operational log."""
    path = tmp_path_factory.mktemp("log") / "app.log"
    with path.open("w", encoding="utf-8", buffering=1) as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker.api.operations_log, "sys", SimpleNamespace(stderr=log))
        yield path


@pytest.fixture(scope="session")
def app(world: World, app_log: Path) -> Iterator[Flask]:
    """The broker in this process, hot routes and all. At the end its log is read: it names nobody."""
    with running_app(world.settings) as app:
        yield app
    assert all_faults(app_log, world) == []


@pytest.fixture
def local(app: Flask, world: World) -> InProcessCaller:
    """The first hospital, calling the broker in this process."""
    return in_process_caller(app, world.settings.issuer, world.hospital)


@pytest.fixture(scope="session")
def server(
    world: World, release_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real server of two workers on the same databases. At the end its log is read: it names nobody."""
    server = Server(release_environ, tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.stop()
    assert all_faults(server.log, world) == []


@pytest.fixture
def caller(server: Server, world: World) -> Iterator[Caller]:
    """The first hospital, calling the real server."""
    caller = server.caller(world.hospital)
    yield caller
    caller.close()
