"""Range, frequency and mode in authorization_details: the same words as in the inbox, held the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from broker.api.inbox import ConsentItemSchema
from broker.consent import terms as heart
from broker.consent.record import DataRange, Frequency, Terms
from broker.oauth.asked_terms import VALID_DAYS_MAX, AskedTermsSchema
from broker.oauth.authorization_details import InsuranceRecordSchema
from consent_ui.words import Words
from tests.citizen_world import Citizen
from tests.inbox_flow import InboxFlow
from tests.oauth_flow import COMPLETED, INCOME, Attempt, agreed, parts_of, refused

ERROR: Final = "invalid_authorization_details"
TODAY: Final = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=200), TODAY - timedelta(days=60)
"""Of which time is asked: within the twelve months of the agreement, whenever this runs."""
BOUNDED: Final[Mapping[str, Any]] = {
    "data_range": {"first_day": f"{FIRST}", "last_day": f"{LAST}"},
    "frequency": {"use_count": 2, "per": "week"},
    "mode": "store",
}
MALFORMED: Final[list[tuple[dict[str, Any], str]]] = [
    ({"data_range": "2026"}, "data_range"),
    ({"data_range": None}, "data_range"),
    ({"data_range": {"first_day": "1.2.2026"}}, "data_range/first_day"),
    ({"data_range": {"first_day": 20260201, "last_day": "x"}}, "data_range/first_day data_range/last_day"),
    ({"data_range": {"last_day": None}}, "data_range/last_day"),
    ({"data_range": {"since": "2026-01-01"}}, "data_range"),
    ({"frequency": 2}, "frequency"),
    ({"frequency": {"per": "day"}}, "frequency/use_count"),
    ({"frequency": {"use_count": 0, "per": "day"}}, "frequency/use_count"),
    ({"frequency": {"use_count": "2", "per": "day"}}, "frequency/use_count"),
    ({"frequency": {"use_count": 10_001, "per": "day"}}, "frequency/use_count"),
    ({"frequency": {"use_count": 1, "per": "hour"}}, "frequency/per"),
    ({"frequency": {"use_count": 1, "per": "day", "of": "rows"}}, "frequency"),
    ({"mode": "keep"}, "mode"),
    ({"mode": 1}, "mode"),
    ({"mode": "keep", "frequency": []}, "frequency mode"),
]
BEYOND: Final[list[tuple[dict[str, Any], str]]] = [
    ({"data_range": {"first_day": "2020-01-01"}}, "data_range: range_too_wide"),
    ({"data_range": {"first_day": f"{LAST}", "last_day": f"{FIRST}"}}, "data_range: range_too_wide"),
    ({"frequency": {"use_count": 4, "per": "day"}}, "frequency: frequency_too_high"),
    ({"frequency": {"use_count": 22, "per": "week"}}, "frequency: frequency_too_high"),
    ({"frequency": {"use_count": 16, "per": "consent"}, "valid_days": 5}, "frequency: frequency_too_high"),
]


def listed(*details: Mapping[str, Any]) -> str:
    return json.dumps(details)


def only_terms(inbox: InboxFlow, person: Citizen) -> Terms:
    [consent] = inbox.waiting(person)
    return consent.terms


class TestBothWays:
    """What may be asked is the same by redirect, by the backchannel and in the inbox."""

    def test_the_members_are_those_of_the_inbox(self) -> None:
        shared = AskedTermsSchema().fields.keys()
        assert shared == {"data_range", "frequency", "mode", "valid_days", "retention_days"}
        detail, item = InsuranceRecordSchema().fields, ConsentItemSchema().fields
        assert shared <= detail.keys()
        assert {one.data_key or name for name, one in detail.items()} - {"type", "locations", "actions"} == {
            "agreement_id",
            *(one.data_key or name for name, one in item.items()),
        }
        assert VALID_DAYS_MAX == heart.VALID_DAYS_MAX

    @pytest.mark.parametrize(("changes", "place"), MALFORMED, ids=repr)
    def test_what_is_malformed_is_refused_by_place(
        self, inbox: InboxFlow, changes: dict[str, Any], place: str
    ) -> None:
        expected = f"authorization_details 0: {place}: not as the type asks"
        details = listed({**INCOME, **changes})
        assert refused(inbox.push(authorization_details=details), ERROR) == expected
        assert refused(inbox.ask(authorization_details=details), ERROR) == expected
        item = {name: value for name, value in INCOME.items() if name != "type"}
        answer = inbox.request(items=[{**item, **changes}])
        assert answer.status_code == 422
        pointers = {fault["pointer"].removeprefix("/items/0/") for fault in answer.get_json()["faults"]}
        assert all(any(one.startswith(each) for one in pointers) for each in place.split(" ")), pointers

    @pytest.mark.parametrize(("changes", "told"), BEYOND, ids=repr)
    def test_what_the_agreement_does_not_permit_is_refused_before_anybody_is_asked(
        self, inbox: InboxFlow, changes: dict[str, Any], told: str
    ) -> None:
        place, reason = told.split(": ")
        expected = f"authorization_details 0: {place}: the agreement does not permit it: {reason}"
        details = listed({**INCOME, **changes})
        assert refused(inbox.push(authorization_details=details), ERROR) == expected
        assert refused(inbox.ask(authorization_details=details), ERROR) == expected
        item = {name: value for name, value in INCOME.items() if name != "type"}
        answer = inbox.request(items=[{**item, **changes}])
        assert (answer.status_code, answer.get_json()["reason"]) == (422, reason)

    def test_the_second_detail_is_named_by_its_place(self, inbox: InboxFlow) -> None:
        too_often = {**INCOME, "frequency": {"use_count": 4, "per": "day"}}
        told = refused(inbox.push(authorization_details=listed(INCOME, too_often)), ERROR)
        assert told.startswith("authorization_details 1: frequency: ")

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            BOUNDED,
            {"data_range": {"last_day": f"{LAST}"}},
            {"data_range": {}},
            {"frequency": {"use_count": 90, "per": "consent"}},
            {"mode": "view"},
            {"mode": "store", "valid_days": 10, "retention_days": 90},
        ],
        ids=repr,
    )
    def test_the_same_words_become_the_same_terms(self, inbox: InboxFlow, changes: dict[str, Any]) -> None:
        item = {name: value for name, value in INCOME.items() if name != "type"}
        absent, addressed, present = (inbox.citizen() for _ in range(3))
        assert inbox.request(absent, items=[{**item, **changes}]).status_code == 201
        inbox.asked(addressed, authorization_details=listed({**INCOME, **changes}))
        expected = only_terms(inbox, absent)
        assert only_terms(inbox, addressed) == expected
        inbox.granted(present, authorization_details=listed({**INCOME, **changes}))
        [held] = inbox.verbs.find_all(present.citizen_id, inbox.world.clock())
        assert held.terms == expected

    def test_a_repetition_by_the_backchannel_with_other_bounds_is_another_request(
        self, inbox: InboxFlow
    ) -> None:
        person = inbox.citizen()
        first = inbox.asked(person, authorization_details=listed({**INCOME, **BOUNDED}))
        assert inbox.asked(person, authorization_details=listed({**INCOME, **BOUNDED})) == first
        answer = inbox.ask(person, authorization_details=listed(INCOME))
        assert (answer.status_code, answer.get_json()["error"]) == (400, "access_denied")


class TestWhatIsGiven:
    """What was decided is told by response, token, token-info and introspection alike."""

    def test_response_token_and_introspection_say_the_bounds(self, inbox: InboxFlow, person: Citizen) -> None:
        body = inbox.tokens(person, authorization_details=listed({**INCOME, **BOUNDED}))
        given = body["authorization_details"]
        assert agreed(given) == [{**COMPLETED, **BOUNDED}]
        assert parts_of(body["access_token"])[1]["authorization_details"] == given
        info = inbox.get("/v1/token-info", body["access_token"]).get_json()
        assert info["authorization_details"] == given
        for token in (body["access_token"], body["refresh_token"]):
            told = inbox.post("/oauth/introspect", {"token": token}, proof="").get_json()
            assert (told["active"], told["authorization_details"]) == (True, given)
        renewed = inbox.refresh(body["refresh_token"]).get_json()
        assert renewed["authorization_details"] == given

    def test_what_a_backchannel_request_gave_says_the_bounds(self, inbox: InboxFlow, person: Citizen) -> None:
        auth_req_id = inbox.asked(person, authorization_details=listed({**INCOME, **BOUNDED}))
        [waiting] = inbox.waiting(person)
        inbox.answer(person, waiting)
        given = inbox.poll(auth_req_id).get_json()["authorization_details"]
        assert agreed(given) == [{**COMPLETED, **BOUNDED}]

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"data_range": {"last_day": f"{LAST}"}}, {"data_range": {"last_day": f"{LAST}"}}),
            ({"data_range": {"first_day": f"{FIRST:%Y%m%d}"}}, {"data_range": {"first_day": f"{FIRST}"}}),
            ({"data_range": {}}, {"data_range": {}}),
            ({"mode": "view"}, {}),
            ({}, {}),
        ],
        ids=repr,
    )
    def test_an_open_end_and_the_usual_mode_are_not_told(
        self, inbox: InboxFlow, person: Citizen, asked: dict[str, Any], told: dict[str, Any]
    ) -> None:
        body = inbox.tokens(person, authorization_details=listed({**INCOME, **asked}))
        assert agreed(body["authorization_details"]) == [{**COMPLETED, **told}]

    def test_the_page_says_them_and_the_consent_keeps_them(self, inbox: InboxFlow, person: Citizen) -> None:
        attempt = Attempt()
        pushed = inbox.push(attempt, authorization_details=listed({**INCOME, **BOUNDED}), ui_locales="en")
        assert pushed.status_code == 201, pushed.get_json()
        shown = inbox.decision_page(person, attempt).text
        words = Words("en")
        for row in (
            words("terms_range_between", first=words.day(FIRST), last=words.day(LAST)),
            words("consents_per_week", count=2),
            words("terms_mode_store"),
        ):
            assert row in shown, row
        inbox.press(person, inbox.decision_page(person, attempt), attempt)
        [held] = inbox.verbs.find_all(person.citizen_id, inbox.world.clock())
        assert held.terms.data_range == DataRange(FIRST, LAST)
        assert held.terms.frequency == Frequency(2, "week")
        assert held.terms.mode == "store"


class TestNarrowing:
    """A token never says more than the consent; its bounds are not for the token endpoint to change."""

    @pytest.mark.parametrize(
        "asked",
        [
            {"data_range": {"first_day": f"{FIRST}"}},
            {"data_range": {"first_day": f"{FIRST - timedelta(days=1)}", "last_day": f"{LAST}"}},
            {"data_range": {"first_day": f"{FIRST + timedelta(days=1)}", "last_day": f"{LAST}"}},
            {"data_range": {}},
            {"data_range": None},
            {"frequency": {"use_count": 3, "per": "week"}},
            {"frequency": {"use_count": 1, "per": "week"}},
            {"frequency": {"use_count": 2, "per": "day"}},
            {"frequency": None},
            {"mode": "view"},
            {"mode": None},
        ],
        ids=repr,
    )
    def test_the_bounds_are_those_of_the_consent_or_the_request_is_refused(
        self, inbox: InboxFlow, person: Citizen, asked: dict[str, Any]
    ) -> None:
        text = listed({"type": "insurance_record", **asked})
        attempt = inbox.granted(person, authorization_details=listed({**INCOME, **BOUNDED}))
        told = refused(inbox.redeem(attempt, authorization_details=text), ERROR)
        assert told == "authorization_details 0: members: not within what was granted"
        body = inbox.redeem(attempt).get_json()
        refused(inbox.refresh(body["refresh_token"], authorization_details=text), ERROR)

    @pytest.mark.parametrize("name", sorted(BOUNDED))
    def test_a_consent_without_bounds_gets_none_at_the_token_endpoint(
        self, inbox: InboxFlow, person: Citizen, name: str
    ) -> None:
        text = listed({"type": "insurance_record", name: BOUNDED[name]})
        attempt = inbox.granted(person)
        refused(inbox.redeem(attempt, authorization_details=text), ERROR)
        assert agreed(inbox.redeem(attempt).get_json()["authorization_details"]) == [COMPLETED]

    @pytest.mark.parametrize("again", [{}, BOUNDED], ids=["left out", "repeated"])
    def test_fewer_fields_keep_the_bounds(
        self, inbox: InboxFlow, person: Citizen, again: dict[str, Any]
    ) -> None:
        body = inbox.tokens(person, authorization_details=listed({**INCOME, **BOUNDED}))
        narrow = {"type": "insurance_record", "fields": ["salary_base"], **again}
        told = inbox.refresh(body["refresh_token"], authorization_details=listed(narrow)).get_json()
        assert agreed(told["authorization_details"]) == [{**COMPLETED, **BOUNDED, "fields": ["salary_base"]}]
