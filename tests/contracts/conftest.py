"""What tests of published keys share: a host on the loopback, its authority, a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.client_keys import ClientKeySets
from tests.client_keys_world import OLD, Seconds, key_sets, published
from tests.key_host import HOST, Authority, KeyHost, key_host


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
