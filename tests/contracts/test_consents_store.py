"""Consents on real PostgreSQL: one action is one transaction, and of many at once nothing is lost or bent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from broker.actions.cancel_request import CancelRequest
from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.cli.embedded import EmbeddedCluster
from broker.consent.chain import ConsentChainBroken, verify_chain
from broker.consent.codec import record_hash
from broker.consent.record import Consent
from broker.errors import (
    BrokerError,
    ConsentMoved,
    ConsentTransitionRefused,
    GrantNotFound,
    StoreUnavailable,
)
from broker.evidence.canonical import commitment
from broker.evidence.entry import instant_text
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.oauth.client_metadata_schema import CIBA
from broker.storage.grants import PostgresGrants
from tests.citizen_world import Citizen
from tests.doors import at_once
from tests.inbox_flow import ITEM, REQUESTS, SECOND, SECOND_AGREEMENT, InboxFlow
from tests.oauth_flow import AGREEMENT as OAUTH_AGREEMENT
from tests.oauth_flow import Attempt, parts_of
from tests.oauth_world import PSEUDONYM_KEY, Party, oauth_database

OTHER_ITEM = {name: value for name, value in SECOND.items() if name != "type"}
TABLES = (
    *("consent_requests", "consents", "consent_events", "consent_receipts", "outbox_messages"),
    *("grants", "authorization_codes", "pushed_requests", "refresh_tokens"),
    *("evidence_entries", "evidence_annex"),
)
State = dict[str, list[str]]


@pytest.fixture(scope="module")
def module_inbox(cluster: EmbeddedCluster) -> Iterator[InboxFlow]:
    with oauth_database(cluster) as database:
        yield InboxFlow(database)


@pytest.fixture
def inbox(module_inbox: InboxFlow) -> InboxFlow:
    """The world of the module, at the instant that it is."""
    module_inbox.world.clock.at = datetime.now(UTC)
    return module_inbox


def state_of(inbox: InboxFlow) -> State:
    """Return all that lies in the tables, row by row."""
    with inbox.world.engine.connect() as connection:
        return {
            table: sorted(
                connection.execute(text(f"SELECT row_to_json(t)::text FROM {table} t")).scalars()  # noqa: S608
            )
            for table in TABLES
        }


def added(before: State, after: State) -> dict[str, int]:
    """Return by how many rows each table has grown, where it has."""
    grown = {table: len(after[table]) - len(before[table]) for table in TABLES}
    return {table: count for table, count in grown.items() if count}


class Killed:
    """What became of the connection that was to be killed."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0
        self.is_dead = False


@contextmanager
def killed_before(engine: Engine, administrator_url: str, number: int) -> Iterator[Killed]:
    """Kill the server process of whoever sends the number-th statement, just before it; commits count too."""
    killed = Killed()

    def count(connection: Connection) -> None:
        killed.statements += 1
        if killed.statements == number:
            pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            with psycopg.connect(administrator_url, autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            killed.is_dead = True

    def on_statement(connection: Connection, *_: Any) -> None:
        count(connection)

    def on_commit(connection: Connection) -> None:
        count(connection)
        killed.commits += not killed.is_dead

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    try:
        yield killed
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)


Prepared = Callable[[], object]


def opening(inbox: InboxFlow, person: Citizen) -> Prepared:
    inbox.request(person, items=[ITEM, OTHER_ITEM])
    return lambda: inbox.waiting(person)


def giving(inbox: InboxFlow, person: Citizen) -> Prepared:
    inbox.request(person)
    [waiting] = inbox.waiting(person)
    return lambda: inbox.answer(person, waiting)


def giving_the_first(inbox: InboxFlow, person: Citizen) -> Prepared:
    inbox.request(person, items=[ITEM, OTHER_ITEM])
    first, _ = inbox.waiting(person)
    return lambda: inbox.answer(person, first)


def giving_the_second(inbox: InboxFlow, person: Citizen) -> Prepared:
    giving_the_first(inbox, person)()
    [second] = inbox.waiting(person)
    return lambda: inbox.answer(person, second)


def refusing(inbox: InboxFlow, person: Citizen) -> Prepared:
    inbox.request(person)
    [waiting] = inbox.waiting(person)
    return lambda: inbox.answer(person, waiting, ())


def withdrawing(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, _ = inbox.given(person)
    at = inbox.world.clock()
    return lambda: inbox.verbs.withdraw(inbox.actor(person), consent.consent_id, at)


def pausing(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, _ = inbox.given(person)
    at = inbox.world.clock()
    return lambda: inbox.verbs.pause(inbox.actor(person), consent.consent_id, at)


def extending(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, _ = inbox.given(person)
    at = inbox.world.clock() + timedelta(seconds=30)
    return lambda: inbox.verbs.extend(inbox.signer(person), consent.consent_id, inbox.notice(), at)


def taking_back(inbox: InboxFlow, person: Citizen) -> Prepared:
    request_id = inbox.request(person, items=[ITEM, OTHER_ITEM]).get_json()["request_id"]
    inbox.waiting(person)
    wiring = inbox.world.wiring.consents
    kept = wiring.requests.find_request(request_id)
    assert kept is not None
    verb = inbox.world.wiring.consents.inbox(inbox.world.wiring.judge(inbox.world.wiring.caller())).canceller
    return lambda: verb.cancel(kept, inbox.world.clock())


def deciding_by_redirect(inbox: InboxFlow, person: Citizen, choice: str) -> Prepared:
    attempt = Attempt()
    inbox.push(attempt)
    page = inbox.decision_page(person, attempt)

    def press() -> None:
        answer = inbox.press(person, page, attempt, choice=choice)
        assert "Location" in answer.headers or answer.status_code == 503, answer.text
        if answer.status_code == 503:
            raise StoreUnavailable

    return press


ACTIONS: Mapping[str, tuple[Callable[[InboxFlow, Citizen], Prepared], dict[str, int]]] = {
    "open two": (opening, {"consents": 2, "consent_events": 2, "evidence_entries": 2, "evidence_annex": 2}),
    "give": (
        giving,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "grants": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "give the first of two": (
        giving_the_first,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "give the second of two": (
        giving_the_second,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "grants": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "refuse": (
        refusing,
        {"consent_events": 1, "consent_receipts": 1, "evidence_entries": 1, "evidence_annex": 1},
    ),
    "withdraw": (
        withdrawing,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "pause": (
        pausing,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "extend": (
        extending,
        {
            "consents": 1,
            "consent_events": 2,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 2,
            "evidence_annex": 2,
        },
    ),
    "take back": (taking_back, {"consent_events": 2, "evidence_entries": 2, "evidence_annex": 2}),
    "give by redirect": (
        lambda inbox, person: deciding_by_redirect(inbox, person, "give"),
        {
            "consent_requests": 1,
            "consents": 1,
            "consent_events": 2,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "grants": 1,
            "authorization_codes": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
    "refuse by redirect": (
        lambda inbox, person: deciding_by_redirect(inbox, person, "refuse"),
        {
            "consent_requests": 1,
            "consents": 1,
            "consent_events": 2,
            "consent_receipts": 1,
            "evidence_entries": 1,
            "evidence_annex": 1,
        },
    ),
}


class TestAllOrNothing:
    @pytest.mark.parametrize("name", ACTIONS)
    def test_whichever_statement_fails_nothing_of_the_action_lies_there(
        self, inbox: InboxFlow, cluster: EmbeddedCluster, name: str
    ) -> None:
        prepare, expected = ACTIONS[name]
        act = prepare(inbox, inbox.citizen())
        before = state_of(inbox)
        number, failed = 1, 0
        while True:
            with killed_before(inbox.world.engine, cluster.administrator_url, number) as killed:
                if not killed_at(act, killed):
                    break
            failed += 1
            after = state_of(inbox)
            if killed.commits and added(before, after) == expected:
                break  # A statement that only reads what was kept: the page is asked for again.
            assert after == before, f"statement {number} left something behind"
            number += 1
        # Every row that it writes is a statement of its own, and the commit one more.
        assert failed > sum(expected.values())
        assert added(before, state_of(inbox)) == expected


def killed_at(act: Prepared, killed: Killed) -> bool:
    """Do an action whose connection may be killed; return whether it was, and was told so."""
    try:
        act()
    except StoreUnavailable:
        assert killed.is_dead
        return True
    assert not killed.is_dead, "an action that failed must say so"
    return False


class TestManyAtOnce:
    def test_of_eight_who_withdraw_or_pause_at_once_none_overwrites_another(self, inbox: InboxFlow) -> None:
        for _ in range(3):
            person = inbox.citizen()
            consent, body = inbox.given(person)
            actor, at = inbox.actor(person), inbox.world.clock()

            def act(number: int, held: Consent = consent, by: Any = actor, at: datetime = at) -> str:
                verb = inbox.verbs.pause if number % 2 else inbox.verbs.withdraw
                try:
                    return verb(by, held.consent_id, at).state
                except (ConsentMoved, ConsentTransitionRefused) as refusal:
                    return type(refusal).__name__

            told = at_once(act, range(8))
            done = [one for one in told if one in ("paused", "withdrawn")]
            events = inbox.verbs.history(person.citizen_id, consent.consent_id)
            verify_chain(events)
            assert [one.type for one in events[2:]] in (["withdrawn"], ["paused"], ["paused", "withdrawn"])
            assert sorted(done) == sorted(one.type for one in events[2:]), "who was told so may rely on it"
            [row] = inbox.rows("consents", "consent_id = :id", id=consent.consent_id)
            assert row["version"] == 2 + len(done)
            assert row["state"] == events[-1].type
            assert inbox.is_good(body["access_token"], inbox.desk) is (row["state"] == "paused")

    def test_what_was_read_before_another_change_is_not_written(self, inbox: InboxFlow) -> None:
        person = inbox.citizen()
        consent, _ = inbox.given(person)
        wiring = inbox.world.wiring.consents
        held = wiring.consents.find_one(consent.consent_id)
        assert held is not None
        at, verbs = inbox.world.clock(), inbox.verbs
        verbs.pause(inbox.actor(person), consent.consent_id, at)
        before = state_of(inbox)
        stale = _Stale(wiring.consents, held)
        late = type(verbs)(
            **{name: getattr(verbs, name) for name in verbs.__dataclass_fields__ if name != "store"},
            store=stale,
        )
        with pytest.raises(ConsentMoved):
            late.withdraw(inbox.actor(person), consent.consent_id, at)
        assert state_of(inbox) == before

    def test_two_consents_of_one_grant_that_are_withdrawn_at_once_end_it(self, inbox: InboxFlow) -> None:
        """Neither commits before the other has written: each would take the other for living."""
        person = inbox.citizen()
        body, consents = given_two(inbox, person)
        actor, at = inbox.actor(person), inbox.world.clock()
        with committing_together(inbox.world.engine, 2):
            at_once(lambda one: inbox.verbs.withdraw(actor, one.consent_id, at), consents)
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (at, "data_subject")
        assert not inbox.is_good(body["access_token"], inbox.desk)

    def test_of_two_consents_of_one_grant_the_first_withdrawal_leaves_it(self, inbox: InboxFlow) -> None:
        person = inbox.citizen()
        body, (first, _) = given_two(inbox, person)
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (None, None)

    def test_a_grant_that_time_has_ended_was_ended_by_nobody(self, inbox: InboxFlow) -> None:
        consent, body = inbox.given(inbox.citizen())
        inbox.world.clock.move(30 * 86_400)
        inbox.verbs.settle_due(inbox.world.clock())
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert (grant["revoked_at"], grant["revoked_by"]) == (consent.valid_to_at, "broker")

    def test_a_request_that_a_page_opens_while_it_is_taken_back_is_taken_back_whole(
        self, inbox: InboxFlow
    ) -> None:
        """The client has looked and found nothing opened; the page opens it; then the client writes."""
        person = inbox.citizen()
        request_id = inbox.request(person, items=[ITEM, OTHER_ITEM]).get_json()["request_id"]
        wiring = inbox.world.wiring.consents
        kept = wiring.requests.find_request(request_id)
        assert kept is not None
        opening = _Opening(wiring.consents, lambda: inbox.waiting(person))
        verb = CancelRequest(opening, wiring.writer())
        verb.cancel(kept, inbox.world.clock())
        assert opening.looks == 2
        states = [row["state"] for row in inbox.rows("consents", "request_id = :id", id=request_id)]
        assert states == ["cancelled", "cancelled"]
        assert inbox.waiting(person) == []
        for consent in inbox.verbs.find_mine(person.citizen_id, inbox.world.clock()):
            events = inbox.verbs.history(person.citizen_id, consent.consent_id)
            assert [one.type for one in events] == ["requested", "cancelled"]


class TestTheEndOfAGrant:
    """A client cannot withdraw; it can give up its access, and then nothing shows it as a reader."""

    @pytest.fixture
    def person(self, inbox: InboxFlow) -> Citizen:
        return inbox.citizen()

    def ended(self, inbox: InboxFlow, person: Citizen, consent: Consent) -> tuple[str, str, str]:
        """Check what the end of a consent has left behind; return its state, its reason and who ended it."""
        found = inbox.verbs.find_one(person.citizen_id, consent.consent_id, inbox.world.clock())
        assert found is not None
        events = inbox.verbs.history(person.citizen_id, consent.consent_id)
        verify_chain(events)
        assert events[-1].type == "inapplicable"
        told = entries(inbox, person, consent)[-1]
        assert (told["event"], told["state"]) == ("inapplicable", "inapplicable")
        receipts = inbox.rows("consent_receipts", "consent_id = :id", id=consent.consent_id)
        assert [one["event_type"] for one in receipts].count("inapplicable") == 1
        notices = inbox.rows("outbox_messages", "consent_id = :id", id=consent.consent_id)
        [notice] = [one for one in notices if one["kind"] == "consent_expired"]
        assert notice["payload"]["reason"] == found.state_reason
        return found.state, found.state_reason, told["actor"]

    def end(self, inbox: InboxFlow, grant_id: str, party: Party) -> int:
        token = inbox.token_for("grant_management_revoke", party)
        answer = inbox.send("DELETE", f"/oauth/grants/{grant_id}", party, token=token)
        return int(answer.status_code)

    def keeper(self, inbox: InboxFlow, client_id: str) -> Party:
        """Register a bank's program that may end its grants."""
        return inbox.register_bank(
            client_id,
            agreements=(OAUTH_AGREEMENT, SECOND_AGREEMENT),
            scopes=("request_consent", "grant_management_revoke"),
            grant_types=["client_credentials", "refresh_token", CIBA],
        )

    def test_who_ends_a_grant_ends_every_consent_under_it(self, inbox: InboxFlow, person: Citizen) -> None:
        party = self.keeper(inbox, "keeper-a")
        auth_req_id = inbox.request(person, party, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
        first, second = [inbox.answer(person, one) for one in inbox.waiting(person)]
        grant_id = inbox.poll(auth_req_id, party).get_json()["grant_id"]
        inbox.verbs.pause(inbox.actor(person), second.consent_id, inbox.world.clock())
        assert self.end(inbox, grant_id, party) == 204
        for consent in (first, second):
            assert self.ended(inbox, person, consent) == ("inapplicable", "by_client", "client")
        [grant] = inbox.rows("grants", "grant_id = :id", id=grant_id)
        assert (grant["revoked_at"], grant["revoked_by"]) == (inbox.world.clock(), "client")
        assert self.end(inbox, grant_id, party) == 404

    def test_a_refresh_token_that_is_given_back_ends_them_too(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        answer = inbox.post("/oauth/revoke", {"token": body["refresh_token"]}, inbox.desk, proof="")
        assert answer.status_code == 200
        assert self.ended(inbox, person, consent) == ("inapplicable", "by_client", "client")
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert grant["revoked_by"] == "client"
        again = inbox.post("/oauth/revoke", {"token": body["refresh_token"]}, inbox.desk, proof="")
        assert again.status_code == 200

    def test_an_access_token_that_is_given_back_ends_nothing_else(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        inbox.post("/oauth/revoke", {"token": body["access_token"]}, inbox.desk, proof="")
        found = inbox.verbs.find_one(person.citizen_id, consent.consent_id, inbox.world.clock())
        assert found is not None
        assert found.state == "active"

    def test_a_code_that_is_tried_again_ends_them_and_says_why(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        attempt = inbox.granted(person)
        assert inbox.redeem(attempt).status_code == 200
        [consent] = inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
        assert inbox.redeem(attempt).status_code == 400
        assert self.ended(inbox, person, consent) == ("inapplicable", "code_replay", "broker")
        [grant] = inbox.rows("grants", "grant_id = :id", id=consent.grant_id)
        assert grant["revoked_by"] == "code_replay"

    def test_what_ended_before_stays_as_it_ended(self, inbox: InboxFlow, person: Citizen) -> None:
        party = self.keeper(inbox, "keeper-b")
        auth_req_id = inbox.request(person, party, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
        first, second = [inbox.answer(person, one) for one in inbox.waiting(person)]
        grant_id = inbox.poll(auth_req_id, party).get_json()["grant_id"]
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        assert self.end(inbox, grant_id, party) == 204
        states = {
            one.consent_id: one.state for one in inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
        }
        assert states == {first.consent_id: "withdrawn", second.consent_id: "inapplicable"}

    def test_a_person_and_a_client_who_end_it_at_once_end_it_once(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        actor, at = inbox.actor(person), inbox.world.clock()

        def act(number: int) -> bool:
            try:
                if number % 2:
                    inbox.verbs.withdraw(actor, consent.consent_id, at)
                else:
                    inbox.world.wiring.consents.grant_ender().end(body["grant_id"], "client", at)
            except (ConsentMoved, ConsentTransitionRefused, GrantNotFound):
                return False
            return True

        assert sum(at_once(act, range(8))) == 1
        events = inbox.verbs.history(person.citizen_id, consent.consent_id)
        verify_chain(events)
        assert len(events) == 3
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        by = {"withdrawn": "data_subject", "inapplicable": "client"}
        assert grant["revoked_by"] == by[events[-1].type]

    def test_what_rests_on_an_ended_grant_is_neither_extended_nor_resumed(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        at = inbox.world.clock() + timedelta(seconds=30)
        PostgresGrants(inbox.world.engine).revoke_grant(body["grant_id"], "operator", at)
        before = state_of(inbox)
        with pytest.raises(ConsentMoved, match="the grant has ended"):
            inbox.verbs.extend(inbox.signer(person), consent.consent_id, inbox.notice(), at)
        assert state_of(inbox) == before


def given_two(inbox: InboxFlow, person: Citizen) -> tuple[dict[str, Any], list[Consent]]:
    """Let a person give two consents on one request; return the token response and the consents."""
    auth_req_id = inbox.request(person, items=[ITEM, OTHER_ITEM]).get_json()["auth_req_id"]
    consents = [inbox.answer(person, one) for one in inbox.waiting(person)]
    answer = inbox.poll(auth_req_id)
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json(), consents


@contextmanager
def committing_together(engine: Engine, count: int) -> Iterator[None]:
    """Hold each commit until so many transactions have come to theirs, or for a second where they cannot."""
    barrier = threading.Barrier(count)

    def wait(_: Connection) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(1)

    event.listen(engine, "commit", wait)
    try:
        yield
    finally:
        event.remove(engine, "commit", wait)


class _Opening:
    """A store on which something happens after the first look at the consents of a request."""

    def __init__(self, store: Any, happen: Callable[[], object]) -> None:
        self._store, self._happen, self.looks = store, happen, 0

    def find_of_request(self, request_id: str) -> Any:
        found = self._store.find_of_request(request_id)
        self.looks += 1
        if self.looks == 1:
            self._happen()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Stale:
    """A store that shows a consent as it was once."""

    def __init__(self, store: Any, held: Any) -> None:
        self._store, self._held = store, held

    def find_one(self, consent_id: str) -> Any:  # noqa: ARG002 (there is only one here)
        return self._held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


SEQUENCES = (
    ("give", "withdraw"),
    ("give", "pause", "resume", "withdraw"),
    ("give", "pause", "withdraw"),
    ("give", "extend", "pause", "resume"),
    ("give", "extend", "extend", "withdraw"),
    ("give", "pause", "expire"),
    ("give", "expire"),
    ("refuse",),
    ("expire",),
    ("take back",),
)


@pytest.mark.parametrize("steps", SEQUENCES, ids=" ".join)
def test_after_any_sequence_the_chain_holds_and_every_step_has_its_evidence(
    inbox: InboxFlow, steps: tuple[str, ...]
) -> None:
    person = inbox.citizen()
    request_id = inbox.request(person).get_json()["request_id"]
    [first] = inbox.waiting(person)
    last = first
    for step in steps:
        inbox.world.clock.move(60)
        last = walk(inbox, person, last, step, request_id)
    consents = inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
    assert {one.request_id for one in consents} == {request_id}
    for consent in consents:
        events = inbox.verbs.history(person.citizen_id, consent.consent_id)
        verify_chain(events)
        [row] = inbox.rows("consents", "consent_id = :id", id=consent.consent_id)
        assert json.loads(events[-1].entry)["details"]["state"] == row["state"] == consent.state
        assert json.loads(events[-1].entry)["version"] == row["version"] == consent.version
        told = entries(inbox, person, consent)
        assert [one["consent_version"] for one in told] == list(range(1, consent.version + 1))
        assert [one["event"] for one in told] == [one.type for one in events]
        assert told[-1]["state"] == consent.state


def walk(inbox: InboxFlow, person: Citizen, last: Consent, step: str, request_id: str) -> Consent:
    """Take one step with the last consent of a person; return the consent that the next one is about."""
    verbs, at = inbox.verbs, inbox.world.clock()
    match step:
        case "give":
            return inbox.answer(person, last)
        case "refuse":
            return inbox.answer(person, last, ())
        case "withdraw":
            return verbs.withdraw(inbox.actor(person), last.consent_id, at)
        case "pause":
            return verbs.pause(inbox.actor(person), last.consent_id, at)
        case "resume":
            return verbs.resume(inbox.signer(person), last.consent_id, at)
        case "extend":
            return verbs.extend(inbox.signer(person), last.consent_id, inbox.notice(), at)
        case "take back":
            assert inbox.send("DELETE", f"{REQUESTS}/{request_id}").status_code == 204
        case _:
            inbox.world.clock.move(40 * 86_400)
            verbs.settle_due(inbox.world.clock())
    return last


def entries(inbox: InboxFlow, person: Citizen, consent: Consent) -> list[dict[str, Any]]:
    """Return the evidence about one consent that the person's own history finds, oldest first."""
    ref = KeyedPseudonyms(PSEUDONYM_KEY).data_subject_ref(CITIZEN_PREFIX + person.citizen_id)
    with inbox.world.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT e.entry FROM evidence_entries e JOIN evidence_annex a USING (reference)"
                " WHERE a.data_subject_ref = :ref"
            ),
            {"ref": ref},
        ).scalars()
        told = [json.loads(bytes(entry)) for entry in found]
    own = [one for one in told if one["consent"] == consent.consent_id]
    return sorted(own, key=lambda one: int(one["consent_version"]))


class TestWhatOneActionWrites:
    @pytest.fixture
    def person(self, inbox: InboxFlow) -> Citizen:
        return inbox.citizen()

    def test_the_evidence_says_what_happened_and_names_nobody(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        inbox.request(person)
        consent = inbox.answer(person, inbox.waiting(person)[0], ["salary_base", "si_status"])
        entry = entries(inbox, person, consent)[-1]
        [row] = inbox.rows("evidence_annex", "reference = :ref", ref=entry["reference"])
        salt = bytes(row["data_subject_salt"])
        assert len(salt) == 32
        assert entry == {
            "actor": "data_subject",
            "agreement": "bank_income_proof",
            "agreement_revision": consent.terms.revision_hash,
            "at": instant_text(inbox.world.clock()),
            "client": "desk-a",
            "consent": consent.consent_id,
            "consent_version": 2,
            "data_subject_commit": commitment(salt, f"citizen:{person.citizen_id}".encode()),
            "event": "partially_given",
            "fields": [["si_status", "value"], ["salary_base", "amount_band"]],
            "kind": "consent",
            "notice_hash": "ab" * 32,
            "purpose": "prove_income",
            "recipient": "bank-1",
            "record_hash": record_hash(consent),
            "reference": entry["reference"],
            "schema": 1,
            "state": "active",
        }
        assert person.citizen_id not in json.dumps(entry)
        assert person.personal_id not in json.dumps(entry)

    def test_the_recipient_is_told_and_the_citizen_has_a_receipt(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        consent, body = inbox.given(person)
        inbox.verbs.withdraw(inbox.actor(person), consent.consent_id, inbox.world.clock())
        notices = inbox.rows("outbox_messages", "consent_id = :id", id=consent.consent_id)
        assert sorted(one["kind"] for one in notices) == ["consent_given", "consent_withdrawn"]
        assert {one["client_id"] for one in notices} == {"desk-a"}
        for notice in notices:
            assert notice["payload"]["subject"] == consent.subject
            assert person.citizen_id not in str(notice)
        receipts = inbox.rows("consent_receipts", "consent_id = :id", id=consent.consent_id)
        assert sorted(one["event_type"] for one in receipts) == ["given", "withdrawn"]
        references = {one["reference"] for one in entries(inbox, person, consent)}
        for receipt in receipts:
            assert str(receipt["citizen_id"]) == person.citizen_id
            header, claims = parts_of(receipt["receipt"])
            kids = {key.purpose: key.kid for key in inbox.world.ring.stored_keys()}
            assert header["kid"] == kids["consent_receipt"]
            assert any(reference in json.dumps(claims) for reference in references)
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert grant["revoked_by"] == "data_subject"

    def test_of_a_request_that_was_only_asked_nobody_is_told(self, inbox: InboxFlow, person: Citizen) -> None:
        inbox.request(person)
        [consent] = inbox.waiting(person)
        assert inbox.rows("outbox_messages", "consent_id = :id", id=consent.consent_id) == []
        assert inbox.rows("consent_receipts", "consent_id = :id", id=consent.consent_id) == []

    def test_the_redirect_keeps_what_the_inbox_keeps(self, inbox: InboxFlow, person: Citizen) -> None:
        body = inbox.tokens(person)
        consent_id = body["authorization_details"][0]["consent_id"]
        consent = inbox.verbs.find_one(person.citizen_id, consent_id, inbox.world.clock())
        assert consent is not None
        events = inbox.verbs.history(person.citizen_id, consent_id)
        verify_chain(events)
        assert [one.type for one in events] == ["requested", "given"]
        assert consent.notice is not None
        assert len(consent.notice.rendered_hash) == 64
        assert (consent.grant_id, consent.state) == (body["grant_id"], "active")
        assert body["authorization_details"][0]["record_hash"] == record_hash(consent)
        [entry] = entries(inbox, person, consent)
        assert (entry["event"], entry["notice_hash"]) == ("given", consent.notice.rendered_hash)
        [request] = inbox.rows("consent_requests", "request_id = :id", id=consent.request_id)
        assert (request["channel"], request["auth_request_hash"]) == ("redirect", None)
        assert request["decided_at"] == inbox.world.clock()

    def test_a_refusal_by_redirect_is_kept_under_the_account(self, inbox: InboxFlow, person: Citizen) -> None:
        attempt = Attempt()
        inbox.push(attempt)
        inbox.decide(person, attempt, choice="refuse")
        assert attempt.answer["error"] == "access_denied"
        [consent] = inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
        assert (consent.state, consent.grant_id, consent.given_names) == ("refused", None, frozenset())

    def test_a_chain_that_somebody_has_touched_does_not_hold(self, inbox: InboxFlow, person: Citizen) -> None:
        consent, _ = inbox.given(person)
        with inbox.world.wiring.store.engine.connect() as connection:
            touched = connection.execute(
                text("SELECT has_table_privilege('consent_events', 'UPDATE, DELETE')")
            ).scalar_one()
        assert touched is False, "the application may add events and change none"
        events = list(inbox.verbs.history(person.citizen_id, consent.consent_id))
        assert all(hashlib.sha256(one.entry).digest() == one.entry_hash for one in events)
        with pytest.raises(ConsentChainBroken):
            verify_chain(events[1:])


def test_what_goes_wrong_in_the_store_is_one_kind_of_error() -> None:
    assert issubclass(StoreUnavailable, BrokerError)
    assert not issubclass(ConsentMoved, StoreUnavailable)
