"""What happens to a signing key is an entry of evidence, in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from broker.cli.embedded import EmbeddedCluster
from broker.evidence.acting import BY_ITSELF
from broker.evidence.entry import instant_text
from broker.evidence.kinds import check_any
from broker.keys import PURPOSES, KeyRing
from broker.oauth.key_periods import PUBLISHED_FOR
from broker.storage.acts import NobodyActs
from broker.storage.signing_keys import PostgresSigningKeys
from tests.acting import ACTS, OPERATOR, entries, last_reference, told, without_entries
from tests.oauth_world import KEY_ENCRYPTION_KEY, Database, MovableClock, oauth_database


@pytest.fixture(scope="module")
def oauth(cluster: EmbeddedCluster) -> Iterator[Database]:
    with oauth_database(cluster) as database:
        yield database


@pytest.fixture
def database(oauth: Database) -> Database:
    oauth.empty()
    return oauth


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ring(database: Database, clock: MovableClock) -> KeyRing:
    return KeyRing(PostgresSigningKeys(database.application, ACTS), KEY_ENCRYPTION_KEY, clock)


def events(database: Database, after: str) -> list[dict[str, Any]]:
    return entries(database.application, "key_event", after)


def after(at: datetime, seconds: float = 0) -> str:
    return instant_text(at + timedelta(seconds=seconds))


def test_first_keys_are_created_and_sign_at_once(
    database: Database, ring: KeyRing, clock: MovableClock
) -> None:
    begun = last_reference(database.application)
    made = dict(zip(PURPOSES, ring.ensure_keys(), strict=True))
    assert ring.ensure_keys() == []
    found = events(database, begun)
    now = after(clock())
    assert [told(one, "purpose", "kid", "event", "effective_at") for one in found] == [
        (purpose, kid, event, now) for purpose, kid in made.items() for event in ("created", "activated")
    ]
    assert {"log", "receipt", "access_token"} <= made.keys()
    for one in found:
        check_any(one)
        assert told(one, "actor", "acting_person") == ("operator", OPERATOR.acting_person)


def test_a_rotation_says_until_when_the_old_key_signs_and_from_when_on_the_new_one(
    database: Database, ring: KeyRing, clock: MovableClock
) -> None:
    ring.ensure_keys()
    [old] = [key.kid for key in ring.stored_keys() if key.purpose == "log"]
    begun = last_reference(database.application)
    new = ring.rotate("log")
    later = after(clock(), ring.lead_seconds)
    assert [told(one, "purpose", "kid", "event", "effective_at") for one in events(database, begun)] == [
        ("log", new, "created", after(clock())),
        ("log", old, "retired", later),
        ("log", new, "activated", later),
    ]


def test_a_key_that_leaked_is_revoked_at_once(database: Database, ring: KeyRing, clock: MovableClock) -> None:
    ring.ensure_keys()
    [first] = [key.kid for key in ring.stored_keys() if key.purpose == "receipt"]
    second = ring.rotate("receipt")
    begun, now = last_reference(database.application), after(clock())
    third = ring.rotate("receipt", compromised=True)
    found = [told(one, "kid", "event", "effective_at") for one in events(database, begun)]
    assert found[0] == (third, "created", now)
    assert sorted(found[1:3]) == sorted([(first, "revoked", now), (second, "revoked", now)])
    assert found[3:] == [(third, "activated", now)]


def test_a_key_that_nobody_needs_any_more_is_destroyed_by_the_broker(
    database: Database, ring: KeyRing, clock: MovableClock
) -> None:
    ring.ensure_keys()
    [old] = [key.kid for key in ring.stored_keys() if key.purpose == "access_token"]
    ring.rotate("access_token")
    clock.move(ring.lead_seconds + PUBLISHED_FOR["access_token"].total_seconds())
    begun, store = (
        last_reference(database.application),
        PostgresSigningKeys(database.application, ACTS.by(BY_ITSELF)),
    )
    assert [store.delete_unpublished(clock()) for _ in range(2)] == [1, 0]
    names = ("purpose", "kid", "event", "actor", "acting_person")
    assert [told(one, *names) for one in events(database, begun)] == [
        ("access_token", old, "destroyed", "broker", None)
    ]


def test_no_key_is_made_ended_or_destroyed_where_the_entry_cannot_be_written(
    database: Database, ring: KeyRing, clock: MovableClock
) -> None:
    ring.ensure_keys()
    before = ring.stored_keys()
    with without_entries(database.owner), pytest.raises(DBAPIError, match="no entry can be written"):
        ring.rotate("access_token")
    assert ring.stored_keys() == before
    ring.rotate("access_token")
    before = ring.stored_keys()
    clock.move(86_400)
    with without_entries(database.owner), pytest.raises(DBAPIError, match="no entry can be written"):
        PostgresSigningKeys(database.application, ACTS).delete_unpublished(clock())
    assert ring.stored_keys() == before


def test_a_store_that_was_opened_for_reading_makes_and_destroys_no_key(
    database: Database, clock: MovableClock
) -> None:
    reading = PostgresSigningKeys(database.application)
    with pytest.raises(NobodyActs, match="an act needs somebody who acts"):
        KeyRing(reading, KEY_ENCRYPTION_KEY, clock).rotate("receipt")
    with pytest.raises(NobodyActs, match="an act needs somebody who acts"):
        reading.delete_unpublished(clock())
    assert reading.find_keys() == []
