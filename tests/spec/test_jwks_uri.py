"""Clients that publish their keys: the token endpoint reads them there, and follows when they change.

FAPI 2.0, 5.4.2 and 5.4.3; RFC 7591, 2 (jwks_uri); RFC 7517, 5.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

import connectors.client_keys
from broker.storage.clients import ClientRecord
from connectors.client_keys import READING_SECONDS
from tests.key_host import Authority, KeyHost, key_host, plain
from tests.oauth_world import Database, Party, World

NAME = "localhost"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def serving(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyHost]:
    with key_host(authority.context(tmp_path_factory.mktemp("tls"), NAME), NAME) as host:
        yield host


@pytest.fixture
def host(serving: KeyHost) -> KeyHost:
    serving.asked.clear()
    return serving


@pytest.fixture
def world(database: Database, authority: Authority, host: KeyHost) -> World:
    """The authorization server, told to trust the authority of the agencies and where their keys are."""
    world = World(database, client_keys_ca_file=authority.pem, client_keys_private_hosts=(NAME,))
    world.clients.register_client(
        ClientRecord(
            client_id="agency",
            organisation_id="79001",
            name="agency",
            scopes=("verify_entitlement",),
            agreement_ids=(),
            client_metadata={"grant_types": ["client_credentials"], "jwks_uri": host.url},
            expires_at=world.clock() + timedelta(days=30),
        )
    )
    return world


def publish(host: KeyHost, *parties: Party) -> None:
    host.answer = plain({"keys": [party.public_jwk for party in parties]})


def ask(world: World, party: Party, **header: object) -> tuple[int, str]:
    """Ask for a token; return the status and the error."""
    assertion = party.assertion(world.clock(), header=header)
    answer = world.ask(world.form(party, client_assertion=assertion), party.proof(world.clock()))
    return answer.status_code, answer.json.get("error", "")


GOOD, REFUSED = (200, ""), (400, "invalid_client")


def test_a_client_that_publishes_its_keys_gets_a_token(world: World, host: KeyHost) -> None:
    party = Party("agency")
    publish(host, party)
    assert ask(world, party) == GOOD
    assert ask(world, party, kid=...) == GOOD
    assert len(host.asked) == 1


def test_a_key_that_is_exchanged_works_at_once_and_the_old_one_no_more(
    world: World, host: KeyHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.client_keys, "RENEW_SECONDS", 0)
    old, new = Party("agency"), Party("agency", "EdDSA")
    publish(host, old)
    assert ask(world, old) == GOOD
    assert ask(world, new) == REFUSED
    publish(host, old, new)
    assert ask(world, new) == GOOD
    assert ask(world, old) == GOOD
    publish(host, new)
    assert ask(world, Party("agency")) == REFUSED
    assert ask(world, old) == REFUSED
    assert ask(world, new) == GOOD


def test_assertions_with_made_up_keys_do_not_make_the_broker_ask_the_client_each_time(
    world: World, host: KeyHost
) -> None:
    party = Party("agency")
    publish(host, party)
    assert ask(world, party) == GOOD
    assert [ask(world, Party("agency")) for _ in range(8)] == [REFUSED] * 8
    assert [ask(world, party, kid=f"kid-{number}") for number in range(8)] == [REFUSED] * 8
    assert len(host.asked) == 1
    assert ask(world, party) == GOOD


def test_a_host_that_goes_away_takes_nobody_with_it_while_its_set_lives(world: World, host: KeyHost) -> None:
    party = Party("agency")
    publish(host, party)
    assert ask(world, party) == GOOD
    host.answer = plain({}, status=503)
    assert ask(world, party) == GOOD


def test_a_host_that_was_never_there_refuses_its_own_client_soon_and_nobody_else(
    world: World, host: KeyHost
) -> None:
    host.answer = plain({}, status=503)
    started = time.monotonic()
    assert [ask(world, Party("agency")) for _ in range(5)] == [REFUSED] * 5
    assert time.monotonic() - started < 5 * READING_SECONDS, "each of them waited"
    assert len(host.asked) == 1
    assert world.token()


@pytest.mark.parametrize("spoiled", ["private", "twice", "elsewhere"])
def test_a_set_that_fapi_does_not_allow_identifies_nobody(world: World, host: KeyHost, spoiled: str) -> None:
    party, other = Party("agency"), Party("agency")
    added = {
        "private": other.key.as_dict(private=True),
        "twice": {**other.public_jwk, "kid": party.kid},
        "elsewhere": {**other.public_jwk, "x5u": "https://localhost/certificate"},
    }[spoiled]
    host.answer = plain({"keys": [party.public_jwk, added]})
    assert ask(world, party) == REFUSED


def test_fapi_5_4_3_a_published_kid_may_stand_for_keys_of_several_kinds(world: World, host: KeyHost) -> None:
    signing, other = Party("agency", "ES256"), Party("agency", "PS256")
    other.kid = signing.kid
    encrypting = {**Party("agency").public_jwk, "kid": signing.kid, "use": "enc", "alg": "ECDH-ES"}
    host.answer = plain({"keys": [encrypting, other.public_jwk, signing.public_jwk]})
    assert [ask(world, party) for party in (signing, other)] == [GOOD] * 2
    stranger = Party("agency", "PS256")
    stranger.kid = signing.kid
    assert ask(world, stranger) == REFUSED


def test_a_key_of_one_client_says_nothing_for_another(world: World, host: KeyHost) -> None:
    party = Party("agency")
    publish(host, party)
    stranger = Party("hospital-a")
    stranger.key, stranger.kid = party.key, party.kid
    assert ask(world, stranger) == REFUSED
    assert host.asked == []
