"""What is due is found by indexes: the worker looks every half minute, among all consents there ever were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from broker.storage.due_consents import due_ids
from tests.inbox_flow import InboxFlow
from tests.oauth_world import Database

COUNT = 20_000
_COPIED = text("""
INSERT INTO consents (consent_id, request_id, client_id, organisation_id, citizen_id, purpose, agreement_id,
  state, version, grant_id, valid_from_at, valid_to_at, refresh_due_at, request_expires_at, state_since_at,
  record)
SELECT gen_random_uuid(), c.request_id, c.client_id, c.organisation_id, c.citizen_id, c.purpose,
  c.agreement_id, (ARRAY['withdrawn', 'expired', 'active', 'active', 'refused'])[1 + n % 5], c.version,
  c.grant_id, c.valid_from_at, c.valid_to_at, CASE WHEN n % 50 = 2 THEN c.valid_to_at END,
  c.request_expires_at, c.state_since_at, c.record
FROM consents c, generate_series(1, :count) n WHERE c.consent_id = :consent_id
""")


@pytest.fixture
def inbox(database: Database) -> InboxFlow:
    return InboxFlow(database)


@pytest.fixture
def crowded(inbox: InboxFlow, database: Database) -> Iterator[Connection]:
    """A connection of the owner's, whose transaction sees 20,000 consents more and is rolled back."""
    consent, _ = inbox.given(inbox.citizen())
    with database.owner.connect() as connection, connection.begin() as transaction:
        connection.execute(_COPIED, {"count": COUNT, "consent_id": consent.consent_id})
        connection.exec_driver_sql("ANALYZE consents")
        yield connection
        transaction.rollback()


def test_no_kind_of_what_is_due_is_looked_for_in_the_whole_table(crowded: Connection) -> None:
    statement = due_ids(datetime.now(UTC), 500)
    compiled = statement.compile(crowded.engine, compile_kwargs={"literal_binds": True})
    plan = "\n".join(crowded.exec_driver_sql(f"EXPLAIN {compiled}").scalars())
    assert "Seq Scan" not in plan, plan
    for name in ("undecided", "ending", "confirming", "unconfirmed"):
        assert f"ix_consents_{name}" in plan, plan


def test_every_kind_that_is_due_is_found_the_oldest_first_and_once(inbox: InboxFlow) -> None:
    store, clock = inbox.world.wiring.consents.consents, inbox.world.clock
    start, person = clock(), inbox.citizen()
    given, _ = inbox.given(person)
    asked = inbox.citizen()
    inbox.request(asked, expires_in_seconds=60)
    [waiting] = inbox.waiting(asked)
    assert store.find_due(start, 10) == ()
    assert [one.consent.consent_id for one in store.find_due(start + timedelta(seconds=60), 10)] == [
        waiting.consent_id
    ]
    later = start + timedelta(days=31)
    found = {one.consent.consent_id for one in store.find_due(later, 10)}
    assert found == {waiting.consent_id, given.consent_id}
    assert len(store.find_due(later, 1)) == 1
    birthday = start + timedelta(days=1)
    with inbox.world.engine.begin() as connection:
        due = text(
            "UPDATE consents SET refresh_due_at = :at, record = jsonb_set(record, '{refresh_due_at}',"
            " CAST(:text AS jsonb)) WHERE consent_id = :id"
        )
        told = json.dumps(birthday.isoformat())
        connection.execute(due, {"at": birthday, "text": told, "id": given.consent_id})
    assert given.consent_id in {one.consent.consent_id for one in store.find_due(birthday, 10)}
    # At the end both its birthday and its end are past: it is there once.
    assert len(store.find_due(later, 10)) == 2
    clock.at = birthday
    assert inbox.verbs.settle_due(birthday) == 2
    unconfirmed = birthday + timedelta(days=30)
    assert [one.consent.consent_id for one in store.find_due(unconfirmed, 10)] == [given.consent_id]
