"""Whatever is sent to the citizen's pages, they answer: never with a defect, never with a consent."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from consent_ui.addresses import handle_of, request_ref_of
from consent_ui.form_tokens import FormTokens
from tests.citizen_world import INCOME, CitizenWorld, Forms
from tests.oauth_world import Database, MovableClock

MODEST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.text(max_size=80) | st.sampled_from(
    ["", "give", "refuse", "0.salary_base", "vi", "en", "\x00", "A" * 43]
)
NAMES = st.sampled_from(
    ["token", "next", "lang", "personal_id", "password", "one_time_code", "choice", "field", "xyz"]
)
FORMS = st.dictionaries(NAMES, st.lists(WORDS, min_size=1, max_size=3), max_size=8)
HEADERS = st.dictionaries(
    st.sampled_from(["Origin", "Sec-Fetch-Site", "Accept-Language", "Cookie", "Referer"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    max_size=4,
)


@pytest.fixture(scope="module")
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


@MODEST
@given(
    form=FORMS,
    headers=HEADERS,
    path=st.sampled_from(["sign-in", "sign-out", "requests/{handle}"]),
    raw=st.binary(max_size=60),
)
def test_malformed_forms_are_answered_and_decide_nothing(
    world: CitizenWorld, form: dict[str, list[str]], headers: dict[str, str], path: str, raw: bytes
) -> None:
    request = world.request(INCOME)
    address = f"/citizen/{path}".format(handle=handle_of(request.request_ref))
    http = Client(world.app, use_cookies=False)
    with_next = {"next": [handle_of(request.request_ref)], **form}
    for data in (form, with_next, raw):
        answer = http.post(
            address,
            data=data,
            headers=headers,
            base_url=world.issuer,
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.status_code in (303, 403, 404, 422, 429)
        assert answer.headers.get("Location", "/citizen/").startswith("/citizen/")
    assert world.grants() == []
    assert world.count("citizen_sessions") == 0


@MODEST
@given(ticked=st.lists(WORDS | st.sampled_from([f"0.{name}" for name in INCOME["fields"]]), max_size=8))
def test_what_is_given_is_within_what_was_asked_and_ticked(world: CitizenWorld, ticked: list[str]) -> None:
    citizen, browser = world.citizen(), world.browser()
    page = browser.sign_in(world.request(INCOME), citizen)
    form = Forms(page.text).forms[-1]
    answer = browser.post(form.action, {**form.fields, "field": ticked, "choice": "give"})
    wanted = [name for name in INCOME["fields"] if f"0.{name}" in ticked]
    given_ = [grant for grant in world.grants() if str(grant["citizen_id"]) == citizen.citizen_id]
    if "salary_base" in wanted:
        assert answer.status_code == 303
        assert [grant["authorization_details"][0]["fields"] for grant in given_] == [wanted]
    else:
        assert answer.status_code == 422
        assert given_ == []


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_a_handle_has_one_spelling(handle: str) -> None:
    request_ref = request_ref_of(handle)
    assert request_ref is None or handle_of(request_ref) == handle


@settings(max_examples=300)
@given(st.text(max_size=120), st.text(max_size=60), st.text(max_size=60))
def test_no_token_can_be_made_up(token: str, cookie: str, page: str) -> None:
    assert not FormTokens(bytes(32)).is_good(token, cookie, page, MovableClock()())
