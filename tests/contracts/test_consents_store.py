"""Consents on real PostgreSQL: one action is one transaction, and of many at once nothing is lost or bent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.cli.embedded import EmbeddedCluster
from broker.consent.chain import ConsentChainBroken, verify_chain
from broker.consent.codec import record_hash
from broker.consent.record import Consent
from broker.errors import ConsentMoved, ConsentTransitionRefused, StoreUnavailable
from broker.evidence.canonical import commitment
from broker.evidence.entry import instant_text
from broker.evidence.pseudonyms import KeyedPseudonyms
from tests.citizen_world import Citizen
from tests.doors import at_once
from tests.inbox_flow import ITEM, REQUESTS, SECOND, InboxFlow
from tests.oauth_flow import Attempt, parts_of
from tests.oauth_world import PSEUDONYM_KEY

OTHER_ITEM = {name: value for name, value in SECOND.items() if name != "type"}
TABLES = (
    *("consent_requests", "consents", "consent_events", "consent_receipts", "outbox_messages"),
    *("grants", "authorization_codes", "pushed_requests", "refresh_tokens"),
    *("evidence_entries", "evidence_annex"),
)
State = dict[str, list[str]]


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
            "grants": 1,
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
        verify_chain(events)
        first, *rest = events
        changed = first.entry.replace(b'"requested"', b'"withdrawn"')
        assert changed != first.entry
        # Whether its hash is left as it was or made to fit: then the next one does not.
        kept = replace(first, entry=changed)
        fitting = replace(kept, entry_hash=hashlib.sha256(changed).digest())
        for touched in (rest, [kept, *rest], [fitting, *rest]):
            with pytest.raises(ConsentChainBroken):
                verify_chain(touched)
