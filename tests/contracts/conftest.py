"""What tests share: a host where keys are published, its authority, a clock; exports' shelf."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from broker.storage.session import open_store
from connectors.client_keys import ClientKeySets
from tests.client_keys_world import OLD, Seconds, key_sets, published
from tests.exports_shelf import Shelf
from tests.key_host import HOST, Authority, KeyHost, key_host
from tests.oauth_world import Database


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def serving(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyHost]:
    with key_host(authority.context(tmp_path_factory.mktemp("tls"), HOST)) as host:
        yield host


@pytest.fixture
def host(serving: KeyHost) -> KeyHost:
    serving.asked.clear()
    serving.names.clear()
    serving.answer = published(OLD)
    return serving


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def sets(authority: Authority, host: KeyHost, clock: Seconds) -> ClientKeySets:
    return key_sets(authority, host, clock=clock)


@pytest.fixture(scope="module")
def patient(database: Database) -> Iterator[Engine]:
    """Connections that wait longer than servers do: what is tested is no deadline."""
    store = open_store(database.application_url, deadline_seconds=60.0, pool_size=16)
    yield store.engine
    store.close()


@pytest.fixture
def shelf(database: Database, patient: Engine) -> Shelf:
    """An empty store of exports."""
    database.empty()
    return Shelf(patient)
