"""The recording statement and a consent's row: who waits for whom, and what each finds afterwards."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from broker.actions.consent_facts import frequency_steps
from broker.app import new_reference, new_salt
from broker.consent.ranges import period_end
from broker.consent.record import Frequency
from broker.evidence.entry import Circumstances, Outcome, entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.recording import (
    AccessContext,
    ConsentBasis,
    CounterStep,
    EvidenceRow,
    Judgement,
    ReleaseRecord,
)
from broker.storage.counters import delete_closed_windows
from broker.storage.ledger import PostgresLedger
from broker.storage.session import open_store
from policies.model import Decision
from tests.consent_world import AGREEMENT, ConsentWorld, Given
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import at_once, wait_until
from tests.release_world import World

_numbers = itertools.count()
_UPDATE = text("UPDATE consents SET state = :state, version = version + 1 WHERE consent_id = :id")
_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :statement"
)


class Desk:
    """A bank at the evidence door: makes records that would be accepted, and variations of them."""

    def __init__(self, consents: ConsentWorld) -> None:
        self.consents = consents
        self.world = consents.world
        with self.world.engine.connect() as connection:
            self.revision = connection.execute(
                text("SELECT revision_hash FROM agreements WHERE agreement_id = :id"), {"id": AGREEMENT}
            ).scalar_one()

    def token(self, given: Given) -> bytes:
        token_hash = hashlib.sha256(b"token-%d" % next(_numbers)).digest()
        self.world.execute(
            "INSERT INTO access_tokens (token_hash, client_id, grant_id, scope, issued_at, expires_at)"
            " VALUES (:hash, :client, :grant, 'share_record', now(), now() + interval '300 s')",
            hash=token_hash,
            client=given.bank.client_id,
            grant=given.consent.grant_id,
        )
        return token_hash

    def counted(self, step: CounterStep) -> list[int]:
        """Return what lies in a counter; nothing where there is none."""
        statement = text("SELECT used_count FROM usage_counters WHERE counter_ref = :ref")
        with self.world.engine.connect() as connection:
            return list(connection.execute(statement, {"ref": step.counter_ref}).scalars())

    def record(self, given: Given, token_hash: bytes, steps: tuple[CounterStep, ...] = ()) -> ReleaseRecord:
        at, reference = datetime.now(UTC), new_reference()
        circumstances = Circumstances(
            reference, reference, at, given.bank.client_id, "r", None, None, "share_record", "", "",
            AGREEMENT, self.revision, given.consent_id, given.consent.version,
        )  # fmt: skip
        context = AccessContext(
            client_id=given.bank.client_id,
            scopes=frozenset({"share_record"}),
            token_hash=token_hash,
            proof_hash=hashlib.sha256(b"consented-%d" % next(_numbers)).digest(),
            proof_issued_at_seconds=int(at.timestamp()),
            at=at,
            reference=reference,
            request_id=reference,
        )
        row = EvidenceRow(
            reference=reference,
            kind="release",
            entry=entry_bytes(circumstances, Outcome("release", "released", "")),
            year=key_year(circumstances.at),
            data_subject_ref=self.world.pseudonyms.data_subject_ref(given.person.person_key),
            data_subject_salt=new_salt(),
            payload_salt=new_salt(),
        )
        decision = Decision(True, "permitted", (), agreement_id=AGREEMENT, revision_hash=self.revision)
        basis = ConsentBasis(given.consent_id, given.consent.version)
        return ReleaseRecord(context, decision, None, None, steps, [row], basis)

    @contextmanager
    def changing(self, given: Given, state: str) -> Iterator[Connection]:
        """Change a consent in a transaction that is not over yet."""
        with self.world.engine.connect() as connection, connection.begin():
            connection.execute(_UPDATE, {"state": state, "id": given.consent_id})
            yield connection

    def is_waiting(self, statement: str) -> bool:
        with self.world.engine.connect() as connection:
            return bool(connection.execute(_WAITING, {"statement": statement}).scalar_one())


@pytest.fixture(scope="module")
def desk(world: World, insurance: InsuranceDatabase) -> Desk:
    return Desk(ConsentWorld(world, insurance))


@pytest.fixture(scope="module")
def ledger(world: World) -> Iterator[PostgresLedger]:
    store = open_store(world.settings.database_url, deadline_seconds=5.0, pool_size=2)
    yield PostgresLedger(
        store.prepared, world.openings, deadline_seconds=5.0, clock_skew_seconds=5.0, needs_log=False
    )
    store.close()


def in_background(action: Any, *given: Any) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(action(*given)))
    thread.start()
    return thread, found


class TestWhoWaitsForWhom:
    def test_a_release_waits_for_a_withdrawal_under_way_and_finds_it_done(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        before = desk.world.count("evidence_entries")
        with desk.changing(given, "withdrawn"):
            thread, found = in_background(ledger.record_release, record)
            wait_until(lambda: desk.is_waiting("%FOR SHARE%"), "the release waits for the consent's row")
        thread.join()
        assert found == [Judgement("consent_not_active", consent_state="withdrawn")]
        assert found[0].reason == "not_active_withdrawn"
        assert desk.world.count("evidence_entries") == before

    def test_a_withdrawal_that_was_undone_in_the_end_lets_the_release_through(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        with desk.changing(given, "withdrawn") as connection:
            thread, found = in_background(ledger.record_release, record)
            wait_until(lambda: desk.is_waiting("%FOR SHARE%"), "the release waits for the consent's row")
            connection.get_transaction().rollback()  # type: ignore[union-attr]
            thread.join()
        assert found == [Judgement("recorded")]

    def test_a_withdrawal_waits_for_a_release_under_way(self, desk: Desk) -> None:
        given = desk.consents.give()
        with desk.world.engine.connect() as connection, connection.begin():
            locked = text("SELECT 1 FROM consents WHERE consent_id = :id FOR SHARE")
            connection.execute(locked, {"id": given.consent_id})
            thread, found = in_background(desk.consents.withdraw, given)
            wait_until(lambda: desk.is_waiting("UPDATE consents%"), "the withdrawal waits for the release")
            assert found == []
        thread.join()
        assert [one.state for one in found] == ["withdrawn"]

    def test_releases_do_not_wait_for_each_other(self, desk: Desk, ledger: PostgresLedger) -> None:
        given = desk.consents.give()
        token_hash = desk.token(given)
        with desk.world.engine.connect() as connection, connection.begin():
            locked = text("SELECT 1 FROM consents WHERE consent_id = :id FOR SHARE")
            connection.execute(locked, {"id": given.consent_id})
            started = time.monotonic()
            assert ledger.record_release(desk.record(given, token_hash)) == Judgement("recorded")
            assert time.monotonic() - started < 4.5, "it waited until the ledger's 5 s were over"


class TestWhatIsJudged:
    @pytest.mark.parametrize("state", ["paused", "withdrawn", "expired", "superseded", "invalidated"])
    def test_only_an_active_consent_lets_anything_out(
        self, desk: Desk, ledger: PostgresLedger, state: str
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        with desk.changing(given, state):
            pass
        assert ledger.record_release(record) == Judgement("consent_not_active", consent_state=state)

    @pytest.mark.parametrize(
        ("column", "state"), [("valid_to_at", "expired"), ("refresh_due_at", "refresh_due")]
    )
    def test_what_time_alone_has_done_is_judged_by_the_databases_clock(
        self, desk: Desk, ledger: PostgresLedger, column: str, state: str
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        over = record.context.at + timedelta(milliseconds=1)  # it was still active when it was decided on
        time.sleep(0.005)
        desk.world.execute(
            f"UPDATE consents SET {column} = :at WHERE consent_id = :id",  # noqa: S608
            at=over,
            id=given.consent_id,
        )
        assert ledger.record_release(record) == Judgement("consent_not_active", consent_state=state)

    def test_another_version_than_the_one_decided_on_is_no_basis(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        with desk.changing(given, "active"):
            pass
        assert ledger.record_release(record) == Judgement("consent_changed")

    def test_a_token_of_another_grant_is_no_way_in(self, desk: Desk, ledger: PostgresLedger) -> None:
        given, other = desk.consents.give(), desk.consents.give()
        record = desk.record(given, desk.token(other))
        assert ledger.record_release(record) == Judgement("consent_changed")

    def test_a_consent_that_is_not_there(self, desk: Desk, ledger: PostgresLedger) -> None:
        given = desk.consents.give()
        record = replace(desk.record(given, desk.token(given)), consent=ConsentBasis(new_reference(), 2))
        assert ledger.record_release(record) == Judgement("consent_not_active", consent_state="missing")

    def test_of_a_dead_token_and_a_dead_consent_the_consent_is_told(
        self, desk: Desk, ledger: PostgresLedger
    ) -> None:
        given = desk.consents.give()
        record = desk.record(given, desk.token(given))
        desk.consents.withdraw(given)
        assert ledger.record_release(record).reason == "not_active_withdrawn"
        living = desk.consents.give()
        record = desk.record(living, desk.token(living))
        desk.world.execute(
            "UPDATE access_tokens SET revoked_at = now() WHERE token_hash = :t", t=record.context.token_hash
        )
        assert ledger.record_release(record) == Judgement("token_not_active")


class TestFrequency:
    def test_sixteen_at_once_are_counted_exactly(self, desk: Desk, ledger: PostgresLedger) -> None:
        given = desk.consents.give(frequency=Frequency(5, "month"))
        token_hash = desk.token(given)
        steps = frequency_steps(given.consent, datetime.now(UTC))
        before = desk.world.count("evidence_entries")
        records = [desk.record(given, token_hash, steps) for _ in range(16)]
        judged = Counter(one.verdict for one in at_once(ledger.record_release, records))
        assert judged == {"recorded": 5, "frequency_exceeded": 11}
        assert desk.world.count("evidence_entries") == before + 5

    def test_each_consent_has_a_count_of_its_own(self, desk: Desk, ledger: PostgresLedger) -> None:
        person = desk.consents.person()
        for _ in range(2):
            given = desk.consents.give(person, frequency=Frequency(1, "consent"))
            steps = frequency_steps(given.consent, datetime.now(UTC))
            token_hash = desk.token(given)
            verdicts = [
                ledger.record_release(desk.record(given, token_hash, steps)).verdict for _ in range(2)
            ]
            assert verdicts == ["recorded", "frequency_exceeded"]

    @pytest.mark.parametrize("per", ["week", "month", "consent"])
    def test_the_sweep_leaves_a_count_alone_until_its_period_is_over(
        self, desk: Desk, ledger: PostgresLedger, per: Any
    ) -> None:
        """The first day of a period, and the last one at which it still counts: swept in between."""
        given = desk.consents.give(frequency=Frequency(1, per))
        began_at = datetime.now(UTC)
        ends_at = period_end(given.consent, began_at)
        assert ends_at is not None
        token_hash = desk.token(given)
        [step] = steps = frequency_steps(given.consent, began_at)
        assert ledger.record_release(desk.record(given, token_hash, steps)).verdict == "recorded"
        late = ends_at - timedelta(seconds=1)
        delete_closed_windows(desk.world.engine, late)
        again = frequency_steps(given.consent, late)
        assert again == steps
        verdict = ledger.record_release(desk.record(given, token_hash, again)).verdict
        assert verdict == "frequency_exceeded"
        assert desk.counted(step) == [1]
        delete_closed_windows(desk.world.engine, ends_at + timedelta(days=2, seconds=1))
        assert desk.counted(step) == []
