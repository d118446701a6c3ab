"""A bank and a citizen who is signed in, shared by the tests of a module; the clock starts anew for each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from broker.cli.embedded import EmbeddedCluster
from tests.citizen_world import Citizen
from tests.oauth_flow import Flow
from tests.oauth_world import World, oauth_database


@pytest.fixture(scope="module")
def module_flow(cluster: EmbeddedCluster) -> Iterator[Flow]:
    """One authorization server for a module: its tests register what they change."""
    with oauth_database(cluster) as database:
        yield Flow(World(database))


@pytest.fixture
def flow(module_flow: Flow) -> Flow:
    """The authorization server of the module, at the instant that it is."""
    module_flow.world.clock.at = datetime.now(UTC)
    return module_flow


@pytest.fixture(scope="module")
def citizen(module_flow: Flow) -> Citizen:
    """A citizen with one-time codes, signed in once for the whole module."""
    return module_flow.citizen()
