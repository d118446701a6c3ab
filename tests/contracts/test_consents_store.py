"""Consents on real PostgreSQL: one action is one transaction, and of many at once nothing is lost or bent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from broker.actions.consent_facts import frequency_steps
from broker.cli.embedded import EmbeddedCluster
from broker.consent.chain import verify_chain
from broker.consent.record import Consent, Signer, Signing
from broker.errors import ConsentMoved, ConsentTransitionRefused, StoreUnavailable
from tests.citizen_world import Citizen
from tests.doors import at_once
from tests.inbox_flow import ITEM, SECOND, InboxFlow
from tests.oauth_flow import Attempt
from tests.oauth_world import Database

OTHER_ITEM = {name: value for name, value in SECOND.items() if name != "type"}
TABLES = (
    *("consent_requests", "consents", "consent_events", "consent_receipts", "outbox_messages"),
    *("grants", "authorization_codes", "pushed_requests", "refresh_tokens"),
    *("evidence_entries", "evidence_openings"),
)
State = dict[str, list[str]]


class Ages:
    """Who must sign for whom: everybody for himself or herself, unless said otherwise."""

    def __init__(self) -> None:
        self.signings: dict[str, Signing] = {}

    def signing(self, citizen_id: str, at: datetime) -> Signing:  # noqa: ARG002 (until it is said otherwise)
        return self.signings.get(citizen_id, Signing())


@pytest.fixture(scope="module")
def module_inbox(database: Database) -> InboxFlow:
    """The world of this module, in which ages may be told."""
    return InboxFlow(database, people=Ages())


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


def changing(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent = given(inbox, person, frequency={"use_count": 2, "per": "day"})
    at, less = inbox.world.clock() + timedelta(seconds=30), frozenset({"salary_base"})
    signer, notice = inbox.signer(person), inbox.notice()
    return lambda: inbox.verbs.amend(signer, consent.consent_id, less, notice, at, valid_days=7)


def looking(inbox: InboxFlow, person: Citizen) -> Prepared:
    inbox.request(person)
    [waiting] = inbox.waiting(person)
    return lambda: inbox.verbs.view(inbox.actor(person), waiting.consent_id, inbox.world.clock())


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


def given(inbox: InboxFlow, person: Citizen, **item: Any) -> Consent:
    """Let a person give what is asked. item: terms that are asked otherwise."""
    asked = inbox.request(person, items=[{**ITEM, **item}])
    assert asked.status_code == 201, asked.get_json()
    [waiting] = inbox.waiting(person)
    return inbox.answer(person, waiting)


def sign_as(inbox: InboxFlow, person: Citizen, signing: Signing) -> None:
    people = inbox.world.wiring.consents.people
    assert isinstance(people, Ages)
    people.signings[person.citizen_id] = signing


def resuming(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, at = given(inbox, person), inbox.world.clock()
    inbox.verbs.pause(inbox.actor(person), consent.consent_id, at)
    return lambda: inbox.verbs.resume(inbox.signer(person), consent.consent_id, at)


def cosigning(inbox: InboxFlow, person: Citizen) -> Prepared:
    sign_as(inbox, person, Signing(required_roles=("data_subject", "representative")))
    half = given(inbox, person)
    assert half.state == "pending_cosign"
    parent = inbox.citizen()
    at = inbox.world.clock()
    signer = Signer(
        role="representative",
        citizen_id=parent.citizen_id,
        level=2,
        authenticated_at=at,
        signed_at=at,
        relation_hash="cd" * 32,
    )
    return lambda: inbox.verbs.decide(signer, half.consent_id, half.given_names, inbox.notice(), at)


def expiring(inbox: InboxFlow, person: Citizen) -> Prepared:
    return falling_due(inbox, given(inbox, person).valid_to_at)


def falling_due(inbox: InboxFlow, due_at: datetime | None) -> Prepared:
    """Return what the worker does at an instant, when all that fell due before is written down."""
    assert due_at is not None
    while inbox.verbs.settle_due(due_at - timedelta(milliseconds=1)):
        pass
    return lambda: inbox.verbs.settle_due(due_at)


def reaching_a_birthday(inbox: InboxFlow, person: Citizen) -> Prepared:
    birthday = inbox.world.clock() + timedelta(days=3)
    sign_as(inbox, person, Signing(refresh_due_at=birthday, refresh_roles=("data_subject",)))
    assert given(inbox, person).refresh_due_at == birthday
    sign_as(inbox, person, Signing())
    return falling_due(inbox, birthday)


def confirming(inbox: InboxFlow, person: Citizen) -> Prepared:
    reaching_a_birthday(inbox, person)()
    [due] = inbox.verbs.find_mine(person.citizen_id, inbox.world.clock())
    assert due.state == "refresh_due"
    inbox.world.clock.at = due.state_since_at + timedelta(minutes=1)
    signer, notice, at = inbox.signer(person), inbox.notice(), inbox.world.clock()
    return lambda: inbox.verbs.confirm(signer, due.consent_id, notice, at)


def ending_the_grant(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, at = given(inbox, person), inbox.world.clock()
    ender = inbox.world.wiring.consents.grant_ender()
    assert consent.grant_id is not None
    grant_id = consent.grant_id
    return lambda: ender.end(grant_id, "client", at)


def declaring_void(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent, at = given(inbox, person), inbox.world.clock()
    ends = inbox.world.wiring.consents.ends()
    return lambda: ends.invalidate(consent.consent_id, "operator-1", "fraud", at)


def using_up(inbox: InboxFlow, person: Citizen) -> Prepared:
    consent = given(inbox, person, frequency={"use_count": 2, "per": "consent"})
    at = inbox.world.clock()
    [step] = frequency_steps(consent, at)
    with inbox.world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO usage_counters (window_start_seconds, counter_ref, used_count, limit_count)"
                " VALUES (:start, :ref, 2, 2)"
            ),
            {"start": step.window_start_seconds, "ref": step.counter_ref},
        )
    return lambda: inbox.world.wiring.consents.ends().run(at)


ONE_STEP: Mapping[str, int] = {
    "consent_events": 1,
    "consent_receipts": 1,
    "outbox_messages": 1,
    "evidence_entries": 1,
    "evidence_openings": 1,
}
"""What a step of a consent that was given adds."""
ACTIONS: Mapping[str, tuple[Callable[[InboxFlow, Citizen], Prepared], Mapping[str, int]]] = {
    "open two": (
        opening,
        {"consents": 2, "consent_events": 2, "evidence_entries": 2, "evidence_openings": 2},
    ),
    "give": (
        giving,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "grants": 1,
            "evidence_entries": 1,
            "evidence_openings": 1,
        },
    ),
    "give the first of two": (
        giving_the_first,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "grants": 1,
            "evidence_entries": 1,
            "evidence_openings": 1,
        },
    ),
    "give the second of two": (
        giving_the_second,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_openings": 1,
        },
    ),
    "refuse": (
        refusing,
        {"consent_events": 1, "consent_receipts": 1, "evidence_entries": 1, "evidence_openings": 1},
    ),
    "withdraw": (
        withdrawing,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_openings": 1,
        },
    ),
    "pause": (
        pausing,
        {
            "consent_events": 1,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 1,
            "evidence_openings": 1,
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
            "evidence_openings": 2,
        },
    ),
    "change": (
        changing,
        {
            "consents": 1,
            "consent_events": 2,
            "consent_receipts": 1,
            "outbox_messages": 1,
            "evidence_entries": 2,
            "evidence_openings": 2,
        },
    ),
    "look at": (looking, {"consent_events": 1, "evidence_entries": 1, "evidence_openings": 1}),
    "take back": (taking_back, {"consent_events": 2, "evidence_entries": 2, "evidence_openings": 2}),
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
            "evidence_openings": 1,
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
            "evidence_openings": 1,
        },
    ),
    "resume": (resuming, ONE_STEP),
    "add the second signature": (cosigning, {**ONE_STEP, "grants": 1}),
    "expire": (expiring, ONE_STEP),
    "fall due on a birthday": (
        reaching_a_birthday,
        # Nobody decided anything: the recipient is told, a receipt there is none.
        {name: count for name, count in ONE_STEP.items() if name != "consent_receipts"},
    ),
    "confirm": (confirming, ONE_STEP),
    "end the grant": (ending_the_grant, ONE_STEP),
    # Beside what becomes of the consent stands the act, with whoever ordered it.
    "declare void": (declaring_void, {**ONE_STEP, "evidence_entries": 2, "evidence_openings": 2}),
    "use up": (using_up, ONE_STEP),
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


class _Stale:
    """A store that shows a consent as it was once."""

    def __init__(self, store: Any, held: Any) -> None:
        self._store, self._held = store, held

    def find_one(self, consent_id: str) -> Any:  # noqa: ARG002 (there is only one here)
        return self._held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
