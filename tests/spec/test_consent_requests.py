"""`/v1/consent-requests`: a client asks for the consent of an absent person, and sees how it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.actions import owned_consents
from broker.actions.consent_doors import People
from broker.actions.trying import tried_again
from broker.consent.chain import verify_chain
from broker.consent.record import Consent, Signing
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from tests.citizen_world import Citizen
from tests.doors import at_once
from tests.inbox_flow import ITEM, NOBODY, REQUESTS, SECOND, InboxFlow, nobody
from tests.oauth_flow import refused

OTHER_ITEM = {name: value for name, value in SECOND.items() if name != "type"}
DAY_SECONDS = 86_400


def kept(answer: TestResponse) -> dict[str, Any]:
    """Check the answer to a request that was kept, and return it."""
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"] == f"{REQUESTS}/{body['request_id']}"
    return body


def problem(answer: TestResponse, status: int, slug: str, **members: Any) -> dict[str, Any]:
    """Check a problem document, with these members besides those of all, and return it."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    document: dict[str, Any] = answer.get_json()
    assert document["type"].endswith(f"/problems/{slug}")
    assert set(document) == {"type", "title", "status", "instance", "request_id", *members}
    assert {name: document[name] for name in members} == members
    return document


def steady(answer: TestResponse) -> dict[str, Any]:
    """Return an answer without what differs from one request to another by itself."""
    body = {**answer.get_json(), "request_id": "", "auth_req_id": "", "instance": ""}
    headers = [one for one in answer.headers.items() if one[0] not in ("X-Request-Id", "Location")]
    return {"status": answer.status_code, "headers": sorted(headers), "body": body}


class TestAsking:
    def test_a_request_is_kept_and_told(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = str(uuid4())
        body = kept(inbox.request(person, request_id=request_id))
        now = inbox.world.clock().replace(microsecond=0)
        assert len(body.pop("auth_req_id")) == 43
        assert body == {
            "request_id": request_id,
            "status": "pending",
            "requested_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expires_at": (now + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "consents": [],
            "interval_seconds": 5,
        }
        del body["interval_seconds"]
        assert inbox.status(request_id) == body

    def test_repeating_it_asks_nothing_twice(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = str(uuid4())
        first = kept(inbox.request(person, request_id=request_id))
        inbox.world.clock.move(3600)
        assert kept(inbox.request(person, request_id=request_id)) == first
        assert len(inbox.waiting(person)) == 1

    def test_repeating_it_finds_it_again_whatever_became_of_the_agreement(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        """The words are compared as they were asked: a new revision, or none, makes no others of them."""
        desk = inbox.register_desk("desk-lapsed")
        request_id = str(uuid4())
        first = kept(inbox.request(person, desk, request_id=request_id))
        with inbox.world.engine.begin() as connection:
            lapsed = text("UPDATE clients SET agreement_ids = '{}' WHERE client_id = :id")
            connection.execute(lapsed, {"id": desk.client_id})
        assert kept(inbox.request(person, desk, request_id=request_id)) == first
        other = inbox.request(person, desk, request_id=request_id, items=[OTHER_ITEM])
        problem(other, 409, "consent-request-conflict")
        problem(inbox.request(person, desk), 422, "consent-terms-refused", reason="agreement_unknown")

    def test_the_order_of_fields_makes_no_other_words(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = str(uuid4())
        first = kept(inbox.request(person, request_id=request_id))
        turned = {**ITEM, "fields": list(reversed(ITEM["fields"]))}
        assert kept(inbox.request(person, request_id=request_id, items=[turned])) == first

    def test_eight_repetitions_at_the_same_moment_are_one_request(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        request_id = str(uuid4())
        told = at_once(lambda _: kept(inbox.request(person, request_id=request_id)), range(8))
        assert all(one == told[0] for one in told)
        assert len(inbox.rows("consent_requests", "request_id = :id", id=request_id)) == 1

    def test_eight_pages_opened_at_the_same_moment_open_it_once(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        request_id = kept(inbox.request(person))["request_id"]
        shown = at_once(lambda _: [one.consent_id for one in inbox.waiting(person)], range(8))
        assert shown == [shown[0]] * 8
        assert len(inbox.rows("consents", "request_id = :id", id=request_id)) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"items": [OTHER_ITEM]},
            {"items": [{**ITEM, "fields": ["salary_base"]}]},
            {"items": [ITEM, OTHER_ITEM]},
            {"items": [{**ITEM, "valid_days": 29}]},
            {"message": {"vi": "Khác"}},
            {"personal_id": NOBODY},
            {"expires_in_seconds": 3600},
        ],
        ids=repr,
    )
    def test_an_id_that_stands_for_something_else_is_a_conflict(
        self, inbox: InboxFlow, person: Citizen, changes: dict[str, Any]
    ) -> None:
        request_id = str(uuid4())
        first = kept(inbox.request(person, request_id=request_id))
        problem(inbox.request(person, request_id=request_id, **changes), 409, "consent-request-conflict")
        assert kept(inbox.request(person, request_id=request_id)) == first

    def test_an_id_of_another_client_is_a_conflict_whatever_it_asks(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        other = inbox.register_desk("desk-b")
        request_id = kept(inbox.request(person))["request_id"]
        problem(inbox.request(person, other, request_id=request_id), 409, "consent-request-conflict")
        problem(inbox.send("GET", f"{REQUESTS}/{request_id}", other), 404, "not-found")
        problem(inbox.send("DELETE", f"{REQUESTS}/{request_id}", other), 404, "not-found")
        assert inbox.status(request_id)["status"] == "pending"

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"request_id": ...}, "/request_id"),
            ({"request_id": "7"}, "/request_id"),
            ({"personal_id": ...}, "/personal_id"),
            ({"personal_id": "12345"}, "/personal_id"),
            ({"personal_id": "٠٠١٠٩٠٢٠٠٠٠١"}, "/personal_id"),
            ({"personal_id": f"{NOBODY}\n"}, "/personal_id"),
            ({"personal_id": 1090200001}, "/personal_id"),
            ({"items": ...}, "/items"),
            ({"items": []}, "/items"),
            ({"items": [ITEM] * 9}, "/items"),
            ({"items": [ITEM, ITEM]}, "/items"),
            ({"items": [{**ITEM, "fields": []}]}, "/items/0/fields"),
            ({"items": [{**ITEM, "purpose": "Prove Income"}]}, "/items/0/purpose"),
            ({"items": [{**ITEM, "valid_days": 366}]}, "/items/0/valid_days"),
            ({"items": [{**ITEM, "valid_days": 0}]}, "/items/0/valid_days"),
            ({"items": [{**ITEM, "valid_days": "5"}]}, "/items/0/valid_days"),
            ({"items": [{**ITEM, "mode": "keep"}]}, "/items/0/mode"),
            (
                {"items": [{**ITEM, "frequency": {"use_count": 0, "per": "day"}}]},
                "/items/0/frequency/use_count",
            ),
            ({"items": [{**ITEM, "frequency": {"use_count": 1, "per": "hour"}}]}, "/items/0/frequency/per"),
            ({"items": [{**ITEM, "data_range": {"first_day": "1.2.2026"}}]}, "/items/0/data_range/first_day"),
            ({"items": [{**ITEM, "more": 1}]}, "/items/0/more"),
            ({"message": {"fr": "x"}}, "/message/fr"),
            ({"message": {"vi": ""}}, "/message/vi"),
            ({"message": {"vi": "x" * 501}}, "/message/vi"),
            ({"expires_in_seconds": 59}, "/expires_in_seconds"),
            ({"expires_in_seconds": 2_592_001}, "/expires_in_seconds"),
            ({"more": 1}, "/more"),
        ],
        ids=repr,
    )
    def test_what_does_not_fit_the_schema_is_named_by_its_place(
        self, inbox: InboxFlow, changes: dict[str, Any], pointer: str
    ) -> None:
        before = inbox.world.count("consent_requests")
        answer = inbox.request(**changes)
        assert answer.status_code == 422, answer.get_json()
        assert answer.get_json()["type"].endswith("/problems/request-malformed")
        assert [fault["pointer"] for fault in answer.get_json()["faults"]] == [pointer]
        assert inbox.world.count("consent_requests") == before

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            ({**ITEM, "purpose": "hire_somebody"}, "agreement_unknown"),
            ({**ITEM, "purpose": "check_health_insurance_entitlement"}, "agreement_unknown"),
            ({**ITEM, "fields": [*ITEM["fields"], "visit_diagnosis"]}, "fields_not_covered"),
            ({**ITEM, "required_fields": ["employer_tax_code"]}, "required_not_asked"),
            ({**ITEM, "retention_days": 181}, "retention_too_long"),
            ({**ITEM, "data_range": {"first_day": "2020-01-01"}}, "range_too_wide"),
            ({**ITEM, "data_range": {"first_day": "2026-11-02", "last_day": "2026-11-01"}}, "range_too_wide"),
            ({**ITEM, "frequency": {"use_count": 4, "per": "day"}}, "frequency_too_high"),
        ],
        ids=repr,
    )
    def test_what_goes_beyond_the_agreement_is_refused_with_its_reason(
        self, inbox: InboxFlow, item: dict[str, Any], reason: str
    ) -> None:
        before = inbox.world.count("consent_requests")
        problem(inbox.request(items=[item]), 422, "consent-terms-refused", reason=reason)
        assert inbox.world.count("consent_requests") == before

    @pytest.mark.parametrize("text", ["two\nlines", "a\u202eb", "a\u200bb"], ids=ascii)
    def test_a_message_is_one_paragraph_of_plain_words(self, inbox: InboxFlow, text: str) -> None:
        answer = inbox.request(message={"vi": text})
        problem(answer, 422, "consent-terms-refused", reason="words_malformed")

    def test_the_message_reaches_the_person_in_every_language_it_was_given_in(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        kept(inbox.request(person, message={"vi": "Để xét khoản vay.", "en": "For your loan."}))
        [consent] = inbox.waiting(person)
        assert dict(consent.terms.message) == {"vi": "Để xét khoản vay.", "en": "For your loan."}

    def test_all_that_was_asked_is_what_the_person_decides_on(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = {
            **ITEM,
            "mode": "store",
            "valid_days": 10,
            "retention_days": 90,
            "frequency": {"use_count": 2, "per": "day"},
            "data_range": {"last_day": "2026-10-31"},
        }
        kept(inbox.request(person, items=[asked]))
        [consent] = inbox.waiting(person)
        terms = consent.terms
        assert terms.field_names == set(ITEM["fields"])
        assert terms.required_names == set(ITEM["required_fields"])
        assert (terms.mode, terms.valid_days, terms.retention_days) == ("store", 10, 90)
        assert terms.frequency is not None
        assert (terms.frequency.use_count, terms.frequency.per) == (2, "day")
        assert terms.data_range is not None
        assert str(terms.data_range.last_day) == "2026-10-31"

    def test_who_was_refused_asks_again_after_thirty_days(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = kept(inbox.request(person))["request_id"]
        inbox.answer(person, inbox.waiting(person)[0], ())
        answer = inbox.request(person)
        problem(answer, 429, "consent-asked-too-soon")
        assert answer.headers["Retry-After"] == str(30 * DAY_SECONDS)
        repeated = kept(inbox.request(person, request_id=request_id))
        assert repeated["status"] == "decided", "a repetition is no second question"
        assert kept(inbox.request(person, items=[OTHER_ITEM]))["status"] == "pending", "another purpose"
        inbox.world.clock.move(30 * DAY_SECONDS - 1)
        answer = inbox.request(person)
        problem(answer, 429, "consent-asked-too-soon")
        assert answer.headers["Retry-After"] == "1"
        inbox.world.clock.move(1)
        assert kept(inbox.request(person))["status"] == "pending"

    def test_a_refusal_binds_every_client_of_the_organisation_and_no_other(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        sibling = inbox.register_desk("desk-sibling")
        stranger = inbox.register_desk("desk-stranger", "bank-2")
        kept(inbox.request(person))
        inbox.answer(person, inbox.waiting(person)[0], ())
        problem(inbox.request(person, sibling), 429, "consent-asked-too-soon")
        assert kept(inbox.request(person, stranger))["status"] == "pending"


class TestNotTwiceAtOnce:
    """One request of an organisation at a time for one purpose, whoever the person is."""

    @pytest.mark.parametrize("is_known", [True, False])
    def test_while_one_waits_another_for_the_same_purpose_is_too_soon(
        self, inbox: InboxFlow, person: Citizen, is_known: bool
    ) -> None:
        personal_id = person.personal_id if is_known else nobody()
        sibling = inbox.register_desk(f"desk-again-{is_known}")
        first = kept(inbox.request(personal_id=personal_id, expires_in_seconds=3600))["request_id"]
        before = inbox.world.count("consent_requests")
        inbox.world.clock.move(600)
        for party, items in ((inbox.desk, [ITEM]), (sibling, [ITEM]), (inbox.desk, [OTHER_ITEM, ITEM])):
            answer = inbox.request(party=party, personal_id=personal_id, items=items)
            problem(answer, 429, "consent-asked-too-soon")
            assert answer.headers["Retry-After"] == "3000"
        assert inbox.world.count("consent_requests") == before
        assert kept(inbox.request(personal_id=personal_id, items=[OTHER_ITEM]))["status"] == "pending"
        assert inbox.send("DELETE", f"{REQUESTS}/{first}").status_code == 204
        again = kept(inbox.request(personal_id=personal_id, expires_in_seconds=3600))
        inbox.world.clock.move(3600)
        assert inbox.status(again["request_id"])["status"] == "expired"
        assert kept(inbox.request(personal_id=personal_id))["status"] == "pending", "its time was over"

    def test_another_organisation_may_ask_beside_it(self, inbox: InboxFlow, person: Citizen) -> None:
        stranger = inbox.register_desk("desk-beside", "bank-3")
        kept(inbox.request(person))
        assert kept(inbox.request(person, stranger))["status"] == "pending"

    def test_of_a_request_that_was_refused_in_part_nothing_is_told(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        unseen = inbox.request(person)
        first, _ = inbox.waiting(person)
        inbox.answer(person, first, ())
        assert steady(inbox.request(person)) == steady(unseen)

    def test_of_eight_at_the_same_moment_one_is_kept(self, inbox: InboxFlow, person: Citizen) -> None:
        token = inbox.token_for("request_consent")
        ids = [str(uuid4()) for _ in range(8)]

        def asked(request_id: str) -> int:
            document = {"request_id": request_id, "personal_id": person.personal_id, "items": [ITEM]}
            return int(inbox.send("POST", REQUESTS, None, document, token).status_code)

        assert sorted(at_once(asked, ids)) == [201, *[429] * 7]
        assert len(inbox.waiting(person)) == 1

    def test_a_page_asks_the_source_once_and_opens_a_bounded_number(
        self, inbox: InboxFlow, person: Citizen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owned_consents, "OPENED_MAX", 2)
        for number in range(3):
            kept(inbox.request(person, inbox.register_desk(f"desk-many-{number}", f"bank-many-{number}")))
        people = CountedPeople(inbox.verbs.people)
        verbs = replace(inbox.verbs, people=people)
        at = inbox.world.clock()
        seen = [len(verbs.find_pending(person.citizen_id, at)) for _ in range(3)]
        assert (seen, people.asked) == ([2, 3, 3], 2)


class CountedPeople:
    """Who must sign, and how often that was asked."""

    def __init__(self, people: People) -> None:
        self._people, self.asked = people, 0

    def signing(self, citizen_id: str, at: datetime) -> Signing:
        self.asked += 1
        return self._people.signing(citizen_id, at)


class TestNobodyThere:
    def test_a_person_without_account_is_a_silent_one(self, inbox: InboxFlow, person: Citizen) -> None:
        told = []
        start = inbox.world.clock()
        for citizen in (person, None):
            inbox.world.clock.at = start
            asked = inbox.request(citizen, expires_in_seconds=3600)
            path = f"{REQUESTS}/{asked.get_json()['request_id']}"
            answers = [asked, inbox.send("GET", path)]
            inbox.waiting(person)
            answers.append(inbox.send("GET", path))
            inbox.world.clock.move(3600)
            answers += [inbox.send("GET", path), inbox.send("DELETE", path)]
            told.append([steady(answer) for answer in answers])
        assert told[0] == told[1]
        assert [one["body"].get("status") for one in told[0]] == ["pending"] * 3 + ["expired", 409]

    def test_taking_it_back_is_answered_alike(self, inbox: InboxFlow, person: Citizen) -> None:
        for citizen in (person, None):
            request_id = kept(inbox.request(citizen))["request_id"]
            inbox.waiting(person)
            assert inbox.send("DELETE", f"{REQUESTS}/{request_id}").status_code == 204
            assert inbox.status(request_id)["status"] == "cancelled"

    def test_looking_at_it_is_told_to_nobody(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = kept(inbox.request(person))["request_id"]
        before = inbox.status(request_id)
        [consent] = inbox.waiting(person)
        inbox.verbs.view(inbox.actor(person), consent.consent_id, inbox.world.clock())
        assert inbox.rows("consent_requests", "request_id = :id", id=request_id)[0]["viewed_at"]
        assert inbox.status(request_id) == before


class TestDeciding:
    def test_what_was_given_is_told_with_its_consent(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person))
        consent = inbox.answer(person, inbox.waiting(person)[0], ["salary_base", "si_status"])
        told = inbox.status(asked["request_id"])
        at = inbox.world.clock().replace(microsecond=0)
        assert told["status"] == "decided"
        assert told["consents"] == [
            {
                "consent_id": consent.consent_id,
                "purpose": "prove_income",
                "state": "active",
                "fields": ["salary_base", "si_status"],
                "valid_to": (at + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ]
        body = inbox.poll(asked["auth_req_id"]).get_json()
        assert body["authorization_details"][0]["consent_id"] == consent.consent_id
        assert body["scope"] == "share_record"
        assert "id_token" not in body, "openid was not asked for"

    def test_a_consent_that_must_be_confirmed_is_told_as_one_that_rests(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person))
        consent = inbox.answer(person, inbox.waiting(person)[0])
        with inbox.world.engine.begin() as connection:
            due = text(
                "UPDATE consents SET record = jsonb_set(record, '{refresh_due_at}', record->'valid_from_at')"
                " WHERE consent_id = :id"
            )
            connection.execute(due, {"id": consent.consent_id})
        [told] = inbox.status(asked["request_id"])["consents"]
        assert told["state"] == "paused", "a birthday is not the recipient's business"

    def test_a_refusal_is_told_and_gives_nothing(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person))
        consent = inbox.answer(person, inbox.waiting(person)[0], ())
        [told] = inbox.status(asked["request_id"])["consents"]
        assert told == {
            "consent_id": consent.consent_id,
            "purpose": "prove_income",
            "state": "refused",
            "fields": [],
            "valid_to": None,
        }
        refused(inbox.poll(asked["auth_req_id"]), "access_denied")

    def test_a_required_field_left_out_decides_nothing(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person))
        with pytest.raises(ConsentTransitionRefused) as refusal:
            inbox.answer(person, inbox.waiting(person)[0], ["si_status"])
        assert refusal.value.reason == "required_field_refused"
        assert inbox.status(asked["request_id"])["status"] == "pending"

    def test_nobody_else_finds_it(self, inbox: InboxFlow, person: Citizen) -> None:
        kept(inbox.request(person))
        [consent] = inbox.waiting(person)
        stranger, at = inbox.citizen(), inbox.world.clock()
        assert inbox.waiting(stranger) == []
        assert inbox.verbs.find_one(stranger.citizen_id, consent.consent_id, at) is None
        assert inbox.verbs.history(stranger.citizen_id, consent.consent_id) == ()
        with pytest.raises(ConsentNotFound):
            inbox.answer(stranger, consent)
        with pytest.raises(ConsentNotFound):
            inbox.verbs.view(inbox.actor(stranger), consent.consent_id, at)
        with pytest.raises(ConsentNotFound):
            inbox.verbs.withdraw(inbox.actor(stranger), consent.consent_id, at)

    def test_two_purposes_are_decided_separately(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        first, second = inbox.waiting(person)
        assert {first.terms.purpose, second.terms.purpose} == {"prove_income", "local_social_policy"}
        inbox.answer(person, first)
        half = inbox.status(asked["request_id"])
        assert (half["status"], half["consents"]) == ("pending", []), "told when all is decided"
        inbox.answer(person, second, ())
        told = {one["purpose"]: one for one in inbox.status(asked["request_id"])["consents"]}
        assert told["prove_income"]["state"] == "active"
        assert told["local_social_policy"]["state"] == "refused"
        [detail] = inbox.poll(asked["auth_req_id"]).get_json()["authorization_details"]
        assert detail["purpose"] == "prove_income"

    def test_what_was_given_before_time_ended_the_rest_is_handed_out(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM], expires_in_seconds=600))
        first, second = inbox.waiting(person)
        given = inbox.answer(person, first)
        refused(inbox.poll(asked["auth_req_id"]), "authorization_pending")
        inbox.world.clock.move(600)
        told = inbox.status(asked["request_id"])
        assert told["status"] == "decided"
        assert {one["consent_id"]: one["state"] for one in told["consents"]} == {
            given.consent_id: "active",
            second.consent_id: "request_expired",
        }
        body = inbox.poll(asked["auth_req_id"]).get_json()
        [detail] = body["authorization_details"]
        assert detail["consent_id"] == given.consent_id
        [row] = inbox.rows("consents", "consent_id = :id", id=given.consent_id)
        assert row["grant_id"] == body["grant_id"]

    @pytest.mark.parametrize("is_answered", [True, False])
    def test_what_was_paused_before_the_rest_was_decided_is_under_the_grant(
        self, inbox: InboxFlow, person: Citizen, is_answered: bool
    ) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM], expires_in_seconds=600))
        first, second = inbox.waiting(person)
        given = inbox.answer(person, first)
        inbox.verbs.pause(inbox.actor(person), given.consent_id, inbox.world.clock())
        if is_answered:
            inbox.answer(person, second)
        else:
            inbox.world.clock.move(600)
        body = inbox.poll(asked["auth_req_id"]).get_json()
        told = {detail["consent_id"] for detail in body["authorization_details"]}
        assert told == ({given.consent_id, second.consent_id} if is_answered else {given.consent_id})
        resumed = inbox.verbs.resume(inbox.signer(person), given.consent_id, inbox.world.clock())
        assert (resumed.state, resumed.grant_id) == ("active", body["grant_id"])

    def test_what_was_withdrawn_before_the_rest_was_given_comes_under_no_grant(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        first, second = inbox.waiting(person)
        inbox.answer(person, first)
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        inbox.answer(person, second)
        [detail] = inbox.poll(asked["auth_req_id"]).get_json()["authorization_details"]
        assert detail["consent_id"] == second.consent_id

    def test_what_was_withdrawn_before_time_ended_the_rest_is_no_more_than_refused(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM], expires_in_seconds=600))
        first, _ = inbox.waiting(person)
        inbox.answer(person, first)
        inbox.verbs.withdraw(inbox.actor(person), first.consent_id, inbox.world.clock())
        inbox.world.clock.move(600)
        refused(inbox.poll(asked["auth_req_id"]), "access_denied")

    def test_a_grant_lasts_as_long_as_the_longest_consent_under_it(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        items = [{**ITEM, "valid_days": 5}, {**OTHER_ITEM, "valid_days": 20}]
        asked = kept(inbox.request(person, items=items))
        consents = [inbox.answer(person, one) for one in inbox.waiting(person)]
        body = inbox.poll(asked["auth_req_id"]).get_json()
        [grant] = inbox.rows("grants", "grant_id = :id", id=body["grant_id"])
        assert grant["expires_at"] == max(one.valid_to_at for one in consents if one.valid_to_at)

    def test_who_extends_the_shorter_of_two_consents_shortens_no_grant(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        items = [{**ITEM, "valid_days": 5}, {**OTHER_ITEM, "valid_days": 20}]
        asked = kept(inbox.request(person, items=items))
        shorter, longer = [inbox.answer(person, one) for one in inbox.waiting(person)]
        grant_id = inbox.poll(asked["auth_req_id"]).get_json()["grant_id"]
        inbox.world.clock.move(DAY_SECONDS)
        at = inbox.world.clock()
        inbox.verbs.extend(inbox.signer(person), shorter.consent_id, inbox.notice(), at)
        [grant] = inbox.rows("grants", "grant_id = :id", id=grant_id)
        [token] = inbox.rows("refresh_tokens", "grant_id = :id", id=grant_id)
        assert grant["expires_at"] == token["expires_at"] == longer.valid_to_at

    def test_purposes_that_are_given_at_the_same_moment_come_under_one_grant(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        """Each may begin the grant: one does, and the others are told to look again."""
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        waiting = inbox.waiting(person)

        def answered(consent: Consent) -> Consent:
            return tried_again(lambda: inbox.answer(person, consent))

        given = at_once(answered, waiting)
        [grant_id] = {one.grant_id for one in given}
        assert len(inbox.rows("grants", "citizen_id = :id", id=person.citizen_id)) == 1
        assert inbox.poll(asked["auth_req_id"]).get_json()["grant_id"] == grant_id

    def test_two_purposes_that_are_decided_at_the_same_moment_come_to_an_end(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        for _ in range(5):
            asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))

            def answered(consent: Consent) -> None:
                try:
                    inbox.answer(person, consent)
                except ConsentMoved:
                    inbox.answer(person, consent)

            at_once(answered, inbox.waiting(person))
            assert inbox.status(asked["request_id"])["status"] == "decided"
            details = inbox.poll(asked["auth_req_id"]).get_json()["authorization_details"]
            assert {detail["purpose"] for detail in details} == {"prove_income", "local_social_policy"}

    def test_of_eight_answers_at_the_same_moment_one_counts(self, inbox: InboxFlow, person: Citizen) -> None:
        kept(inbox.request(person))
        [waiting] = inbox.waiting(person)

        def answered(number: int) -> str:
            try:
                return inbox.answer(person, waiting, None if number % 2 else ()).state
            except (ConsentMoved, ConsentTransitionRefused):
                return ""

        counted = [state for state in at_once(answered, range(8)) if state]
        assert len(counted) == 1
        [row] = inbox.rows("consents", "consent_id = :id", id=waiting.consent_id)
        assert (row["state"], row["version"]) == (counted[0], 2)


class TestTheEnd:
    def test_silence_gives_nothing_and_says_expired(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person, expires_in_seconds=60))
        [waiting] = inbox.waiting(person)
        inbox.world.clock.move(60)
        assert inbox.status(asked["request_id"])["status"] == "expired"
        refused(inbox.poll(asked["auth_req_id"]), "expired_token")
        assert inbox.waiting(person) == []
        with pytest.raises(ConsentTransitionRefused):
            inbox.answer(person, waiting)
        inbox.verbs.settle_due(inbox.world.clock())
        [row] = inbox.rows("consents", "consent_id = :id", id=waiting.consent_id)
        assert (row["state"], row["grant_id"]) == ("request_expired", None)
        assert inbox.rows("grants", "citizen_id = :id", id=person.citizen_id) == []
        assert inbox.status(asked["request_id"])["consents"] == []

    def test_an_expired_request_is_not_opened_any_more(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person, expires_in_seconds=60))
        inbox.world.clock.move(60)
        assert inbox.waiting(person) == []
        assert inbox.rows("consents", "request_id = :id", id=asked["request_id"]) == []

    def test_what_was_taken_back_cannot_be_decided(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        waiting = inbox.waiting(person)
        path = f"{REQUESTS}/{asked['request_id']}"
        answer = inbox.send("DELETE", path)
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert inbox.status(asked["request_id"])["status"] == "cancelled"
        refused(inbox.poll(asked["auth_req_id"]), "access_denied")
        assert inbox.waiting(person) == []
        for consent in waiting:
            with pytest.raises(ConsentTransitionRefused, match="final_state"):
                inbox.answer(person, consent)
            events = inbox.verbs.history(person.citizen_id, consent.consent_id)
            assert [event.type for event in events] == ["requested", "cancelled"]
            verify_chain(events)
        problem(inbox.send("DELETE", path), 409, "consent-transition-refused", reason="final_state")

    def test_what_was_taken_back_before_anybody_looked_is_never_opened(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person))
        assert inbox.send("DELETE", f"{REQUESTS}/{asked['request_id']}").status_code == 204
        assert inbox.waiting(person) == []

    def test_what_is_decided_in_part_cannot_be_taken_back(self, inbox: InboxFlow, person: Citizen) -> None:
        asked = kept(inbox.request(person, items=[ITEM, OTHER_ITEM]))
        first, second = inbox.waiting(person)
        inbox.answer(person, first)
        path, slug = f"{REQUESTS}/{asked['request_id']}", "consent-transition-refused"
        problem(inbox.send("DELETE", path), 409, slug, reason="not_requested")
        inbox.answer(person, second)
        problem(inbox.send("DELETE", path), 409, slug, reason="not_requested")
        assert len(inbox.poll(asked["auth_req_id"]).get_json()["authorization_details"]) == 2

    def test_a_decision_and_a_client_that_takes_back_meet_and_one_wins(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = kept(inbox.request(person))
        [waiting] = inbox.waiting(person)

        def act(number: int) -> bool:
            if number % 2:
                return inbox.send("DELETE", f"{REQUESTS}/{asked['request_id']}").status_code == 204
            try:
                return inbox.answer(person, waiting).state == "active"
            except (ConsentMoved, ConsentTransitionRefused):
                return False

        assert sum(at_once(act, range(8))) == 1
        [row] = inbox.rows("consents", "consent_id = :id", id=waiting.consent_id)
        told = inbox.status(asked["request_id"])["status"]
        assert (row["state"], told) in (("active", "decided"), ("cancelled", "cancelled"))

    @pytest.mark.parametrize("request_id", ["x", "..", "0190aaaa-0000-7000-8000-000000000001", "0" * 36])
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_what_was_never_asked_is_not_there(self, inbox: InboxFlow, method: str, request_id: str) -> None:
        problem(inbox.send(method, f"{REQUESTS}/{request_id}"), 404, "not-found")

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_a_request_of_a_redirect_is_none_of_these(
        self, inbox: InboxFlow, person: Citizen, method: str
    ) -> None:
        party = inbox.register_bank(f"bank-redirect-{method.lower()}", scopes=("request_consent",))
        inbox.tokens(person, party)
        [row] = inbox.rows("consent_requests", "client_id = :id", id=party.client_id)
        problem(inbox.send(method, f"{REQUESTS}/{row['request_id']}", party), 404, "not-found")


class TestTheDoor:
    def test_the_scope_is_needed(self, inbox: InboxFlow) -> None:
        token = inbox.token_for("grant_management_query")
        path = f"{REQUESTS}/{uuid4()}"
        for method, where in (("POST", REQUESTS), ("GET", path), ("DELETE", path)):
            answer = inbox.send(method, where, document={} if method == "POST" else None, token=token)
            assert answer.status_code == 403, answer.get_data(as_text=True)
            assert 'scope="request_consent"' in answer.headers["WWW-Authenticate"]

    def test_a_citizens_token_asks_nothing(self, inbox: InboxFlow, person: Citizen) -> None:
        _, body = inbox.given(person)
        answer = inbox.send("POST", REQUESTS, document={}, token=body["access_token"])
        assert answer.status_code == 403

    def test_nothing_without_a_token(self, inbox: InboxFlow) -> None:
        for method, path in (("POST", REQUESTS), ("GET", f"{REQUESTS}/x"), ("DELETE", f"{REQUESTS}/x")):
            document: Any = {} if method == "POST" else None
            answer = inbox.browser().open(path, method=method, json=document, base_url=inbox.world.issuer)
            assert answer.status_code == 401, answer.get_data(as_text=True)

    def test_no_personal_id_lies_in_the_store(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = kept(inbox.request(person))["request_id"]
        inbox.waiting(person)
        for table in ("consent_requests", "consents"):
            [row] = inbox.rows(table, "request_id = :id", id=request_id)
            assert person.personal_id not in str(row)
