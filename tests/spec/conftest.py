"""What tests share: a bank, a citizen who is signed in, a clock that starts anew; an e-ID provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.cli.embedded import EmbeddedCluster
from connectors.identity_providers import ProviderEntry
from tests.citizen_world import Citizen
from tests.identity_host import HOST, IdentityHost, identity_host
from tests.identity_place import Place, trial_entry
from tests.key_host import Authority
from tests.oauth_flow import Flow
from tests.oauth_world import Database, World, oauth_database, present


@pytest.fixture(scope="module")
def module_flow(cluster: EmbeddedCluster) -> Iterator[Flow]:
    """One authorization server for a module: its tests register what they change."""
    with oauth_database(cluster) as database:
        yield Flow(World(database))


@pytest.fixture
def flow(module_flow: Flow) -> Flow:
    """The authorization server of the module, at the instant that it is."""
    module_flow.world.clock.at = present()
    return module_flow


@pytest.fixture(scope="module")
def citizen(module_flow: Flow) -> Citizen:
    """A citizen with one-time codes, signed in once for the whole module."""
    return module_flow.citizen()


@pytest.fixture(scope="module")
def provider_authority() -> Authority:
    """The authority of the provider's certificate."""
    return Authority()


@pytest.fixture
def provider_host(provider_authority: Authority, tmp_path: Path) -> Iterator[IdentityHost]:
    """An e-ID provider on the loopback that does what a test tells it to."""
    with identity_host(provider_authority.context(tmp_path, HOST), time.time) as host:
        yield host


@pytest.fixture
def provider_entry(provider_host: IdentityHost, provider_authority: Authority) -> ProviderEntry:
    """What the operator wrote of it."""
    return trial_entry(provider_host, provider_authority.pem)


@pytest.fixture
def place(database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry) -> Place:
    """A broker with that provider, where nobody is on the way to it."""
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE sign_in_challenges"))
    return Place(database, provider_host, provider_entry)
