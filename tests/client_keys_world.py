"""Key sets that clients publish, and how tests read them from a host of their own."""

from __future__ import annotations

from typing import Any

from broker.oauth.client_jwks import usable_jwks
from broker.oauth.registration import read_jwks
from connectors.client_keys import ClientKeySets
from tests.key_host import HOST, Answer, Authority, KeyHost, plain
from tests.oauth_world import Party

OLD, NEW = Party("agency"), Party("agency")


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key_sets(authority: Authority, host: KeyHost, **changes: Any) -> ClientKeySets:
    given = {
        "authorities": authority.pem,
        "private_hosts": [HOST],
        "resolve": host.resolve,
        "reading_seconds": 60.0,
        **changes,
    }
    return ClientKeySets(usable_jwks, **given)


def published(*parties: Party, **options: Any) -> Answer:
    return plain({"keys": [party.public_jwk for party in parties]}, **options)


def kids(text: str | None) -> list[str | None]:
    assert text is not None
    return [key.kid for key in read_jwks(text)]


def fault(sets: ClientKeySets, host: KeyHost) -> str:
    """Return why nothing can be read; the answer to whoever asks is None."""
    assert sets.find_jwks(host.url) is None
    found = sets.find_fault(host.url)
    assert found is not None
    return found
