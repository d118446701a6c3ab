"""Giving for fewer days than asked on the page to which a recipient sends the browser, over HTTP."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from consent_ui.words import WORDS
from policies.civil_time import VIET_NAM, civil_date
from tests.citizen_world import Citizen, Forms
from tests.oauth_flow import INCOME, Attempt, Flow
from tests.oauth_world import stored_consents


@pytest.fixture
def citizen(flow: Flow) -> Citizen:
    return flow.citizen()


def test_fewer_days_end_consent_grant_and_token_earlier_and_stand_everywhere(
    flow: Flow, citizen: Citizen
) -> None:
    attempt = Attempt()
    flow.push(attempt)
    page = flow.decision_page(citizen, attempt)
    assert re.findall(r'<option value="(\d*)"( selected)?>([^<]*)', page.text) == [
        ("", "", "30 ngày, như được hỏi"), ("7", "", "7 ngày"), ("1", "", "1 ngày"),
    ]  # fmt: skip
    form = Forms(page.text).forms[-1]
    data = {**form.fields, "field": list(form.boxes), "choice": "give", "0.valid_days": "7"}
    browser = flow.signed_in(citizen)
    answer = browser.post(form.action, data=data, base_url=flow.world.issuer)
    attempt.location = answer.headers["Location"]
    tokens = flow.redeem(attempt).get_json()
    [detail] = tokens["authorization_details"]
    assert detail["valid_days"] == 7
    store, until = stored_consents(flow.world.wiring.store), flow.world.clock() + timedelta(days=7)
    held = store.find_one(detail["consent_id"])
    assert held is not None
    consent = held.consent
    assert (consent.given_days, consent.terms.valid_days, consent.valid_to_at) == (7, 30, until)
    assert consent.given_names == set(INCOME["fields"])
    assert [one.type for one in store.find_events(consent.consent_id)] == ["requested", "partially_given"]
    with flow.world.engine.connect() as connection:
        ends = "SELECT expires_at FROM grants WHERE grant_id = :one"
        assert connection.execute(text(ends), {"one": consent.grant_id}).scalar_one() == until
    shown = browser.get(f"/citizen/consents/{consent.consent_id}", base_url=flow.world.issuer).text
    assert f"7 ngày, đến ngày {civil_date(until):%d/%m/%Y}" in shown
    assert f"{until.astimezone(VIET_NAM):%H:%M %d/%m/%Y}" in shown
    [receipt] = store.find_receipts(citizen.citizen_id)
    iso = browser.get(f"/citizen/receipts/{receipt.receipt_id}.json", base_url=flow.world.issuer).text
    assert f"{until:%Y-%m-%dT%H:%M:%S}" in iso


@pytest.mark.parametrize("days", ["30", "90", "0", "-7", "7.0", "x"])
def test_what_was_not_offered_is_no_answer_and_the_ticks_stay(
    flow: Flow, citizen: Citizen, days: str
) -> None:
    attempt = Attempt()
    flow.push(attempt)
    form = Forms(flow.decision_page(citizen, attempt).text).forms[-1]
    data = {**form.fields, "field": ["0.salary_base"], "choice": "give", "0.valid_days": days}
    answer = flow.signed_in(citizen).post(form.action, data=data, base_url=flow.world.issuer)
    assert answer.status_code == 422
    assert WORDS["less_days_choose"][0] in answer.text.split('role="alert"')[1].split("</div>")[0]
    assert 'href="#0.valid_days"' in answer.text, "the summary leads to it"
    assert Forms(answer.text).forms[-1].boxes["0.salary_base"]


def test_what_was_chosen_stays_when_the_page_is_shown_again(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    form = Forms(flow.decision_page(citizen, attempt).text).forms[-1]
    data = {**form.fields, "choice": "give", "0.valid_days": "7"}
    answer = flow.signed_in(citizen).post(form.action, data=data, base_url=flow.world.issuer)
    assert answer.status_code == 422
    assert '<option value="7" selected>' in answer.text


def test_where_a_day_is_asked_for_there_is_nothing_to_choose(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt, authorization_details=json.dumps([{**INCOME, "valid_days": 1}]))
    assert "<select" not in flow.decision_page(citizen, attempt).text, "less than a day there is not"
