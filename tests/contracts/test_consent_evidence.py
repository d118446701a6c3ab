"""Whatever happens to a consent, its chain holds and each step stands in the evidence, naming nobody."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from broker.actions.consent_writer import CITIZEN_PREFIX
from broker.consent.chain import ConsentChainBroken, verify_chain
from broker.consent.codec import record_hash
from broker.consent.record import Consent
from broker.evidence.canonical import commitment
from broker.evidence.entry import instant_text
from broker.evidence.kinds import parse_entry
from broker.evidence.pseudonyms import KeyedPseudonyms
from broker.storage.openings import PostgresOpenings
from tests.citizen_world import Citizen
from tests.inbox_flow import REQUESTS, InboxFlow
from tests.oauth_flow import Attempt, parts_of
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY

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
    links = PostgresOpenings(inbox.world.wiring.store, KEY_ENCRYPTION_KEY).links([ref])
    with inbox.world.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT e.entry FROM evidence_entries e JOIN evidence_openings o USING (reference)"
                " WHERE o.person_link = ANY(:links)"
            ),
            {"links": list(links)},
        ).scalars()
        # Each is canonical and of the closed schema of its kind, or this raises.
        told = [dict(parse_entry(bytes(entry))) for entry in found]
    own = [one for one in told if one["consent"] == consent.consent_id]
    return sorted(own, key=lambda one: int(one["consent_version"]))


class TestWhatOneActionWrites:
    def test_the_evidence_says_what_happened_and_names_nobody(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        inbox.request(person)
        consent = inbox.answer(person, inbox.waiting(person)[0], ["salary_base", "si_status"])
        entry = entries(inbox, person, consent)[-1]
        ref = KeyedPseudonyms(PSEUDONYM_KEY).data_subject_ref(CITIZEN_PREFIX + person.citizen_id)
        openings = PostgresOpenings(inbox.world.wiring.store, KEY_ENCRYPTION_KEY)
        kept = openings.find_opening([ref], entry["reference"])
        assert kept is not None
        assert (kept.ref, kept.payload_salt) == (ref, None)
        salt = kept.data_subject_salt or b""
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
