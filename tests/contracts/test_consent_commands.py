"""What ends consents besides citizens and time, and broker consent, which checks chains and declares void."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

import broker.cli.consent
from broker.actions.consent_facts import frequency_steps
from broker.actions.end_consents import EndConsents
from broker.cli import main
from broker.cli.embedded import EmbeddedCluster
from broker.cli.session import Session
from broker.consent.chain import verify_chain
from broker.consent.record import Frequency
from broker.evidence.canonical import commitment
from broker.evidence.kinds import check_any
from broker.storage.due_consents import PostgresDueConsents
from tests.acting import entries, last_reference, without_entries
from tests.consent_world import AGREEMENT, ConsentWorld, Given
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.release_world import World

DAY = timedelta(days=1)
PAST = date(2020, 1, 1)


@pytest.fixture(scope="module")
def consents(world: World, insurance: InsuranceDatabase) -> ConsentWorld:
    return ConsentWorld(world, insurance)


@pytest.fixture
def ends(consents: ConsentWorld) -> EndConsents:
    return EndConsents(consents.store, PostgresDueConsents(consents.world.engine), consents.writer)


def count(consents: ConsentWorld, given: Given, used_count: int, at: datetime) -> None:
    """Count uses of a consent, as the recording statement does."""
    [step] = frequency_steps(given.consent, at)
    consents.world.execute(
        "INSERT INTO usage_counters (window_start_seconds, counter_ref, used_count, limit_count)"
        " VALUES (:start, :ref, :used, :limit)",
        start=step.window_start_seconds,
        ref=step.counter_ref,
        used=used_count,
        limit=step.limit_count,
    )


def grant_of(consents: ConsentWorld, given: Given) -> tuple[Any, Any]:
    statement = text("SELECT revoked_at, revoked_by FROM grants WHERE grant_id = :id")
    with consents.world.engine.connect() as connection:
        row = connection.execute(statement, {"id": given.consent.grant_id}).one()
    return row[0], row[1]


class TestUsedUp:
    def test_a_consent_whose_uses_are_used_up_ends_with_its_grant(
        self, consents: ConsentWorld, ends: EndConsents
    ) -> None:
        at = datetime.now(UTC)
        given = consents.give(frequency=Frequency(2, "consent"))
        count(consents, given, 2, at)
        assert ends.run(at) == {"used_up": 1, "inapplicable": 0}
        consent = consents.consent(given)
        assert (consent.state, consent.state_reason) == ("expired", "used_up")
        events = consents.store.find_events(given.consent_id)
        verify_chain(events)
        assert json.loads(events[-1].entry)["actor"] == {"kind": "broker", "reference": ""}
        assert grant_of(consents, given) == (at, "broker")
        assert ends.run(at) == {"used_up": 0, "inapplicable": 0}

    def test_one_that_has_uses_left_or_gets_new_ones_goes_on(
        self, consents: ConsentWorld, ends: EndConsents
    ) -> None:
        at = datetime.now(UTC)
        left = consents.give(frequency=Frequency(2, "consent"))
        count(consents, left, 1, at)
        monthly = consents.give(frequency=Frequency(1, "month"))
        count(consents, monthly, 1, at)
        beside = consents.give(frequency=Frequency(1, "consent"), at=left.consent.valid_from_at)
        assert ends.run(at) == {"used_up": 0, "inapplicable": 0}
        assert {consents.consent(one).state for one in (left, monthly, beside)} == {"active"}

    def test_a_paused_one_ends_too(self, consents: ConsentWorld, ends: EndConsents) -> None:
        given = consents.give(frequency=Frequency(1, "consent"))
        at = datetime.now(UTC)
        count(consents, given, 1, at)
        consents.pause(given)
        assert ends.run(datetime.now(UTC))["used_up"] == 1
        assert consents.consent(given).state == "expired"


class TestEndedAgreements:
    @pytest.fixture
    def agreement(self, cluster: EmbeddedCluster) -> Iterator[Callable[..., None]]:
        """Change the agreement's row, as publishing does; what it was comes back."""
        kept = text("SELECT valid_to, review_date, status FROM agreements WHERE agreement_id = :id")
        changed = text(
            "UPDATE agreements SET valid_to = :valid_to, review_date = :review_date, status = :status"
            " WHERE agreement_id = :id"
        )
        engine = create_engine(cluster.owner_url)
        with engine.connect() as connection:
            before = dict(connection.execute(kept, {"id": AGREEMENT}).mappings().one())

        def change(**members: Any) -> None:
            with engine.begin() as connection:
                connection.execute(changed, {**before, **members, "id": AGREEMENT})

        yield change
        change()
        engine.dispose()

    def test_what_was_given_under_an_agreement_that_has_ended_is_inapplicable(
        self, consents: ConsentWorld, ends: EndConsents, agreement: Callable[..., None]
    ) -> None:
        given = consents.give()
        paused = consents.give()
        consents.pause(paused)
        withdrawn = consents.give()
        consents.withdraw(withdrawn)
        at = datetime.now(UTC)
        agreement(valid_to=(at - 2 * DAY).date())
        assert ends.run(at)["inapplicable"] >= 2
        for one in (given, paused):
            consent = consents.consent(one)
            assert (consent.state, consent.state_reason) == ("inapplicable", "agreement_ended")
            verify_chain(consents.store.find_events(one.consent_id))
            assert grant_of(consents, one) == (at, "broker")
        assert consents.consent(withdrawn).state == "withdrawn"
        assert ends.run(at) == {"used_up": 0, "inapplicable": 0}

    @pytest.mark.parametrize("members", [{"status": "suspended"}, {"review_date": PAST}])
    def test_a_suspended_agreement_or_one_to_be_reviewed_ends_nothing(
        self,
        consents: ConsentWorld,
        ends: EndConsents,
        agreement: Callable[..., None],
        members: dict[str, Any],
    ) -> None:
        given = consents.give()
        agreement(**members)
        assert ends.run(datetime.now(UTC)) == {"used_up": 0, "inapplicable": 0}
        assert consents.consent(given).state == "active"


class TestCommands:
    @pytest.fixture
    def run(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        @contextmanager
        def open_session() -> Iterator[Session]:
            yield Session(world.settings, world.store)

        monkeypatch.setattr(broker.cli.consent, "open_session", open_session)

        def command(*arguments: str, expect: int = 0) -> Result:
            result = CliRunner().invoke(main, ["consent", *arguments])
            assert result.exit_code == expect, (result.output, result.exception)
            return result

        return command

    @pytest.fixture
    def touch(self, cluster: EmbeddedCluster) -> Iterator[Callable[..., None]]:
        """Change rows as nobody but the owner can."""
        engine = create_engine(cluster.owner_url)

        def change(statement: str, **parameters: Any) -> None:
            with engine.begin() as connection:
                connection.execute(text(statement), parameters)

        yield change
        engine.dispose()

    def test_chains_that_hold_are_counted(self, consents: ConsentWorld, run: Callable[..., Result]) -> None:
        given = consents.give()
        consents.withdraw(given)
        told = json.loads(run("verify", given.consent_id, "--json").stdout)
        assert told == {"consents": 1, "events": 3, "broken": []}
        every = json.loads(run("verify", "--json").stdout)
        assert every["broken"] == []
        assert every["consents"] == consents.world.count("consents")
        assert every["events"] == consents.world.count("consent_events")
        assert run("verify").stdout.endswith(" 0 broken\n")

    @pytest.mark.parametrize(
        ("statement", "event", "fault"),
        [
            (
                "UPDATE consent_events SET type = 'refused' WHERE consent_id = :id AND number = 2",
                2,
                "does not fit the one before it",
            ),
            (
                "DELETE FROM consent_events WHERE consent_id = :id AND number = 2",
                2,
                "does not fit the one before it",
            ),
            (
                "DELETE FROM consent_events WHERE consent_id = :id AND number = 3",
                2,
                "is not the last one by the consent's row",
            ),
            (
                "UPDATE consents SET state = 'active' WHERE consent_id = :id",
                3,
                "is not the last one by the consent's row",
            ),
        ],
    )
    def test_one_that_somebody_has_touched_is_named(
        self,
        consents: ConsentWorld,
        run: Callable[..., Result],
        touch: Callable[..., None],
        statement: str,
        event: int,
        fault: str,
    ) -> None:
        given = consents.give()
        consents.withdraw(given)
        touch(
            "CREATE TABLE kept_events AS SELECT * FROM consent_events WHERE consent_id = :id",
            id=given.consent_id,
        )
        try:
            touch(statement, id=given.consent_id)
            told = json.loads(run("verify", given.consent_id, "--json", expect=1).stdout)
            broken = {"consent_id": given.consent_id, "event": event, "fault": fault}
            assert told["broken"] == [broken]
            assert broken in json.loads(run("verify", "--json", expect=1).stdout)["broken"]
            assert f"{given.consent_id}  event {event} {fault}" in run("verify", expect=1).stdout
        finally:
            touch("DELETE FROM consent_events WHERE consent_id = :id", id=given.consent_id)
            touch("INSERT INTO consent_events SELECT * FROM kept_events")
            touch("UPDATE consents SET state = 'withdrawn' WHERE consent_id = :id", id=given.consent_id)
            touch("DROP TABLE kept_events")
        run("verify", given.consent_id)

    def test_a_consent_is_declared_void_and_the_recipient_does_not_learn_why(
        self, consents: ConsentWorld, run: Callable[..., Result]
    ) -> None:
        given = consents.give()
        arguments = ("invalidate", given.consent_id, "--reason", "fraud", "--operator", "nguyen.an")
        begun = last_reference(consents.world.engine)
        with without_entries(consents.world.owner), pytest.raises(AssertionError, match="no entry can be"):
            run(*arguments)
        assert consents.store.find_one(given.consent_id).consent.state == "active"  # type: ignore[union-attr]
        [told] = json.loads(run(*arguments, "--json").stdout)
        [act] = entries(consents.world.engine, "administration", begun)
        check_any(act)
        assert (act["act"], act["target"], act["actor"]) == (
            "consent_invalidated",
            given.consent_id,
            "operator",
        )
        assert act["acting_person"] == consents.world.pseudonyms.staff_ref("operator", "nguyen.an").hex()
        name = f"citizen:{given.consent.citizen_id}"
        mine = [consents.world.pseudonyms.data_subject_ref(name)]
        opened = consents.world.openings.find_opening(mine, act["reference"])
        assert opened is not None
        assert commitment(opened.data_subject_salt or b"", name.encode()) == act["data_subject_commit"]
        assert {name: told[name] for name in ("consent_id", "state", "reason")} == {
            "consent_id": given.consent_id,
            "state": "invalidated",
            "reason": "fraud",
        }
        events = consents.store.find_events(given.consent_id)
        verify_chain(events)
        assert json.loads(events[-1].entry)["actor"] == {"kind": "operator", "reference": "nguyen.an"}
        assert grant_of(consents, given)[1] == "operator"
        statement = text("SELECT kind, payload FROM outbox_messages WHERE consent_id = :id")
        with consents.world.engine.connect() as connection:
            notices = connection.execute(statement, {"id": given.consent_id}).all()
        [payload] = [row.payload for row in notices if row.kind == "consent_withdrawn"]
        assert (payload["state"], payload["reason"]) == ("withdrawn", "")
        again = run(*arguments, expect=1)
        assert "the consent cannot be declared void: final_state" in again.output

    def test_what_is_not_there_is_said_so(self, run: Callable[..., Result]) -> None:
        for words in (("verify",), ("invalidate", "--reason", "fraud", "--operator", "nguyen.an")):
            assert "there is no such consent" in run(*words, str(uuid4()), expect=4).output

    def test_why_and_by_whom_must_be_said(self, run: Callable[..., Result]) -> None:
        run("invalidate", str(uuid4()), "--operator", "nguyen.an", expect=2)
        run("invalidate", str(uuid4()), "--reason", "because", "--operator", "nguyen.an", expect=2)
        run("invalidate", str(uuid4()), "--reason", "fraud", "--operator", " ", expect=2)
