"""The inbox: giving for fewer days or of a shorter time, the first look at a request, and what two sign."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import Client, TestResponse

from broker.consent.record import Consent, DataRange
from broker.errors import ConsentMoved, StoreUnavailable
from broker.storage.consents import PostgresConsents
from consent_ui.words import WORDS
from tests.citizen_world import Citizen, Form, Forms
from tests.inbox_flow import ITEM, InboxFlow
from tests.oauth_flow import INCOME, Flow
from tests.oauth_world import stored_consents

CONSENTS = "/citizen/consents"
TODAY = datetime.now(UTC).date()
FIRST, EARLY, LATER, LAST = (TODAY - timedelta(days=ago) for ago in (200, 180, 160, 100))
"""Days within the twelve months of the agreement, whenever this runs."""
RANGE = {"first_day": f"{FIRST}", "last_day": f"{LAST}"}
DAY = timedelta(days=1)


def get(flow: Flow, browser: Client, path: str, **headers: str) -> TestResponse:
    return browser.get(path, base_url=flow.world.issuer, headers=headers)


def own_form(page: TestResponse) -> Form:
    assert page.status_code == 200, page.text
    return next(form for form in Forms(page.text).forms if form.action.startswith(CONSENTS))


def said(answer: TestResponse, status: int, key: str) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert WORDS[key][0] in answer.text.split('role="alert"')[1].split("</div>")[0]


def signed_in(flow: Flow, citizen: Citizen) -> Client:
    browser = flow.signed_in(citizen)
    page = get(flow, browser, CONSENTS)
    if page.status_code == 303:
        flow._sign_in(browser, flow.follow(browser, page), citizen, {})
    return browser


def waiting(inbox: InboxFlow, person: Citizen, **item: Any) -> Consent:
    """Ask, and return the request as it waits in the inbox; nobody has looked at it."""
    assert inbox.request(person, items=[{**ITEM, **item}]).status_code == 201
    [consent] = inbox.waiting(person)
    return consent


def kept(flow: Flow, consent_id: str) -> Consent:
    held = stored_consents(flow.world.wiring.store).find_one(consent_id)
    assert held is not None
    return held.consent


def events(flow: Flow, consent_id: str) -> list[str]:
    return [one.type for one in stored_consents(flow.world.wiring.store).find_events(consent_id)]


def give(flow: Flow, browser: Client, consent_id: str, **more: Any) -> TestResponse:
    path = f"{CONSENTS}/{consent_id}"
    form = own_form(get(flow, browser, path))
    data = {**form.fields, "field": list(form.boxes), "choice": "give", **more}
    return browser.post(path, data=data, base_url=flow.world.issuer)


class TestInTheInbox:
    def test_fewer_days_and_a_shorter_range(self, inbox: InboxFlow, person: Citizen) -> None:
        asked, browser = waiting(inbox, person, data_range=RANGE, valid_days=90), signed_in(inbox, person)
        page = get(inbox, browser, f"{CONSENTS}/{asked.consent_id}?lang=en")
        assert re.findall(r'<option value="(\d*)"', page.text) == ["", "30", "7", "1"]
        assert own_form(page).fields["first_day"] == f"{FIRST}"
        assert own_form(page).fields["last_day"] == f"{LAST}"
        less = {"valid_days": "30", "first_day": f"{LATER}", "last_day": f"{LAST}"}
        assert give(inbox, browser, asked.consent_id, **less).status_code == 303
        given = kept(inbox, asked.consent_id)
        assert given.state == "active"
        assert given.given_range == DataRange(LATER, LAST)
        assert (given.given_days, given.valid_to_at) == (30, inbox.world.clock() + timedelta(days=30))
        assert events(inbox, asked.consent_id) == ["requested", "viewed", "partially_given"]
        page = get(inbox, browser, f"{CONSENTS}/{asked.consent_id}?lang=en")
        assert f"from {LATER:%d/%m/%Y} to {LAST:%d/%m/%Y}" in page.text

    def test_as_asked_is_what_happens_where_nothing_else_is_chosen(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked, browser = waiting(inbox, person, data_range=RANGE), signed_in(inbox, person)
        assert give(inbox, browser, asked.consent_id, valid_days="").status_code == 303
        given = kept(inbox, asked.consent_id)
        assert (given.given_days, given.given_range) == (None, None)
        assert events(inbox, asked.consent_id)[-1] == "given"

    @pytest.mark.parametrize(
        ("less", "key"),
        [
            ({"valid_days": "30"}, "less_days_choose"),
            ({"valid_days": "365"}, "less_days_choose"),
            ({"first_day": f"{FIRST - DAY}"}, "less_range_choose"),
            ({"last_day": f"{LAST + DAY}"}, "less_range_choose"),
            ({"first_day": f"{LATER + DAY}", "last_day": f"{LATER}"}, "less_range_choose"),
            ({"first_day": ""}, "less_range_choose"),
            ({"first_day": f"{LATER:%d/%m/%Y}"}, "less_range_choose"),
        ],
    )
    def test_more_than_was_asked_for_is_not_given(
        self, inbox: InboxFlow, person: Citizen, less: dict[str, str], key: str
    ) -> None:
        asked, browser = waiting(inbox, person, data_range=RANGE), signed_in(inbox, person)
        said(give(inbox, browser, asked.consent_id, **less), 422, key)
        assert kept(inbox, asked.consent_id).state == "requested"

    def test_what_was_given_for_less_is_changed_back_up_to_what_was_asked_for(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked, browser = waiting(inbox, person, data_range=RANGE), signed_in(inbox, person)
        give(inbox, browser, asked.consent_id, first_day=f"{LATER}", last_day=f"{LAST}")
        path = f"{CONSENTS}/{asked.consent_id}/change"
        form = own_form(get(inbox, browser, path))
        assert (form.fields["first_day"], form.fields["last_day"]) == (f"{LATER}", f"{LAST}")
        data = {**form.fields, "field": list(form.boxes)}
        said(browser.post(path, data=data, base_url=inbox.world.issuer), 422, "change_nothing")
        data |= {"first_day": f"{EARLY}"}
        inbox.world.clock.move(400)
        led = browser.post(path, data=data, base_url=inbox.world.issuer)
        assert "again=1" in led.headers["Location"], "a wider range is more"
        inbox.world.clock.move(-400)
        done = browser.post(path, data=data, base_url=inbox.world.issuer)
        new = kept(inbox, done.headers["Location"].split("?")[0].rpartition("/")[2])
        assert new.given_range == DataRange(EARLY, LAST)
        assert events(inbox, new.consent_id) == ["amended"]


class TestTheFirstLook:
    def test_it_is_written_down_once_and_told_to_the_citizen_alone(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        answer = inbox.request(person)
        request_id = answer.get_json()["request_id"]
        [asked] = inbox.waiting(person)
        browser, before = signed_in(inbox, person), inbox.status(request_id)
        assert events(inbox, asked.consent_id) == ["requested"], "the list is no look at the request"
        path = f"{CONSENTS}/{asked.consent_id}"
        first = get(inbox, browser, path)
        assert "Đã xem yêu cầu</li>" in first.text
        for _ in range(3):
            get(inbox, browser, path)
        assert events(inbox, asked.consent_id) == ["requested", "viewed"]
        assert kept(inbox, asked.consent_id).version == 2
        assert inbox.status(request_id) == before, "the recipient learns nothing of it"
        assert not inbox.rows("outbox_messages", "consent_id = :id", id=asked.consent_id)
        assert not inbox.rows("consent_receipts", "consent_id = :id", id=asked.consent_id)
        [row] = inbox.rows("consent_requests", "request_id = :id", id=request_id)
        assert row["viewed_at"] == inbox.world.clock()
        form = own_form(first)
        data = {**form.fields, "field": list(form.boxes), "choice": "give"}
        given = browser.post(path, data=data, base_url=inbox.world.issuer)
        assert given.status_code == 303, "the form of the very first look is good"

    @pytest.mark.parametrize("fault", [ConsentMoved("another was faster"), StoreUnavailable("away")])
    def test_where_it_cannot_be_written_down_the_page_is_shown_and_the_next_look_is_the_first(
        self, inbox: InboxFlow, person: Citizen, fault: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_given: Any, **_named: Any) -> None:
            raise fault

        asked, browser = waiting(inbox, person), signed_in(inbox, person)
        path = f"{CONSENTS}/{asked.consent_id}"
        with monkeypatch.context() as patch:
            patch.setattr(PostgresConsents, "write", fails)
            page = get(inbox, browser, path)
        assert own_form(page).boxes
        assert events(inbox, asked.consent_id) == ["requested"]
        get(inbox, browser, path)
        assert events(inbox, asked.consent_id) == ["requested", "viewed"]

    def test_a_page_that_nobody_sees_is_no_look(self, inbox: InboxFlow, person: Citizen) -> None:
        asked, browser = waiting(inbox, person), signed_in(inbox, person)
        path = f"{CONSENTS}/{asked.consent_id}"
        browser.head(path, base_url=inbox.world.issuer)
        get(inbox, browser, path, **{"Sec-Purpose": "prefetch;prerender"})
        stranger = signed_in(inbox, inbox.citizen())
        assert get(inbox, stranger, path).status_code == 404
        assert events(inbox, asked.consent_id) == ["requested"]

    def test_what_was_decided_is_not_looked_at_for_the_first_time(
        self, inbox: InboxFlow, person: Citizen
    ) -> None:
        asked = waiting(inbox, person)
        inbox.answer(person, asked)
        get(inbox, signed_in(inbox, person), f"{CONSENTS}/{asked.consent_id}")
        assert events(inbox, asked.consent_id) == ["requested", "given"]

    def test_a_client_takes_back_what_was_looked_at(self, inbox: InboxFlow, person: Citizen) -> None:
        request_id = inbox.request(person).get_json()["request_id"]
        [asked] = inbox.waiting(person)
        get(inbox, signed_in(inbox, person), f"{CONSENTS}/{asked.consent_id}")
        assert inbox.send("DELETE", f"/v1/consent-requests/{request_id}").status_code == 204
        assert events(inbox, asked.consent_id) == ["requested", "viewed", "cancelled"]


def change(
    inbox: InboxFlow, browser: Client, path: str, fields: list[str] | None = None, **more: Any
) -> TestResponse:
    """Send the form of a change. fields: instead of those that are ticked on it."""
    form = own_form(get(inbox, browser, f"{path}/change"))
    ticked = [name for name, is_ticked in form.boxes.items() if is_ticked]
    data = {**form.fields, "field": ticked if fields is None else fields, **more}
    return browser.post(form.action, data=data, base_url=inbox.world.issuer)


def test_where_two_sign_one_alone_gives_less_and_never_more(inbox: InboxFlow, person: Citizen) -> None:
    """A child of 7 to 17; what its parent signed stays signed."""
    assert inbox.request(person, items=[{**ITEM, "data_range": RANGE}]).status_code == 201
    [asked] = inbox.waiting(person)
    inbox.answer(person, asked, ["salary_base", "si_status", "contribution_from"])
    with inbox.world.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE consents SET record = record || "
                """jsonb_build_object('required_roles', '["data_subject", "representative"]'::jsonb)"""
                " WHERE consent_id = CAST(:id AS uuid)"
            ),
            {"id": asked.consent_id},
        )
    browser, path = signed_in(inbox, person), f"{CONSENTS}/{asked.consent_id}"
    page = get(inbox, browser, f"{path}/change")
    assert WORDS["change_fields_less"][0] in page.text
    assert sorted(own_form(page).boxes) == ["contribution_from", "salary_base", "si_status"]
    more = [*INCOME["fields"]]
    said(change(inbox, browser, path, more), 422, "change_nothing")
    inbox.world.clock.move(400)
    done = change(inbox, browser, path, ["salary_base"], first_day=f"{EARLY}")
    new = done.headers["Location"].split("?")[0]
    after = kept(inbox, new.rpartition("/")[2])
    assert (set(after.given_names), after.given_range) == (
        {"salary_base"}, DataRange(EARLY, LAST),
    )  # fmt: skip
    said(change(inbox, browser, new, first_day=f"{FIRST}"), 422, "less_range_choose")
