"""My consents, through the real HTTP door: what waits, giving a part, pausing, withdrawing in two clicks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import event, text
from werkzeug.test import Client, TestResponse

from broker.errors import ConsentMoved
from broker.storage.consents import PostgresConsents
from consent_ui.consent_presenting import consent_view
from consent_ui.notices import NOTICE_VERSION
from consent_ui.terms_words import why_of
from consent_ui.words import WORDS, Words
from policies.civil_time import VIET_NAM
from tests.citizen_world import Citizen, Form, Forms, shipped_policies
from tests.consent_world import ConsentWorld, reader_of
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.oauth_flow import Attempt, Flow
from tests.oauth_world import stored_consents
from tests.own_pages_world import signed_in
from tests.release_world import World

CONSENTS = "/citizen/consents"


def get(flow: Flow, browser: Client, path: str) -> TestResponse:
    return browser.get(path, base_url=flow.world.issuer)


def given(flow: Flow, citizen: Citizen) -> tuple[Client, dict[str, Any]]:
    """Give by redirect, and return the browser that is signed in with the tokens of the bank."""
    tokens = flow.tokens(citizen)
    return flow.signed_in(citizen), tokens


def act(flow: Flow, browser: Client, path: str, choice: str, **more: Any) -> TestResponse:
    form = own_form(get(flow, browser, path))
    data = {**form.fields, **more, "choice": choice}
    return browser.post(form.action, data=data, base_url=flow.world.issuer)


def own_form(page: TestResponse) -> Form:
    assert page.status_code == 200, page.text
    return next(form for form in Forms(page.text).forms if form.action.startswith(CONSENTS))


def days_later(flow: Flow, citizen: Citizen, days: int) -> Client:
    """Return the browser in which a citizen has signed in again after so many days."""
    flow.world.clock.move(days * 86_400)
    attempt = Attempt()
    flow.push(attempt)
    assert flow.decision_page(citizen, attempt).status_code == 200
    return flow.signed_in(citizen)


def told_on(page: TestResponse) -> list[str]:
    """Return what a page of a consent says that its recipient was told."""
    section = page.text.split('aria-labelledby="told"')[1].split("</section>")[0]
    return re.findall("<li>(.*)</li>", section)


def consent_path(tokens: dict[str, Any]) -> str:
    return f"{CONSENTS}/{tokens['authorization_details'][0]['consent_id']}"


class TestGivenByRedirect:
    def test_it_stands_in_the_list_with_who_and_what_for(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        page = get(flow, browser, CONSENTS)
        assert page.status_code == 200
        assert consent_path(tokens) in page.text
        assert "Ngân hàng bank-1" in page.text

    def test_rig_1_two_clicks_end_it_and_no_token_works_after(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        assert flow.is_good(tokens["access_token"])
        answer = act(flow, browser, consent_path(tokens), "withdraw")
        assert answer.status_code == 303, answer.text
        assert not flow.is_good(tokens["access_token"])
        assert flow.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
        page = get(flow, browser, consent_path(tokens))
        assert "đã rút lại" in page.text
        assert "Rút lại</li>" in page.text

    def test_what_has_ended_cannot_be_ended_again(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        path = consent_path(tokens)
        form = own_form(get(flow, browser, path))
        assert act(flow, browser, path, "withdraw").status_code == 303
        data = {**form.fields, "choice": "withdraw"}
        again = browser.post(form.action, data=data, base_url=flow.world.issuer)
        assert again.status_code == 403, "the form of a page that said something else is no form"
        assert act(flow, browser, path, "withdraw").status_code == 422

    def test_pause_and_resume(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        path = consent_path(tokens)
        assert act(flow, browser, path, "pause").status_code == 303
        assert "đang tạm dừng" in get(flow, browser, path).text
        assert act(flow, browser, path, "resume").status_code == 303
        assert "đang có hiệu lực" in get(flow, browser, path).text

    def test_everything_is_paused_at_once(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        other = flow.tokens(citizen)
        form = own_form(get(flow, browser, CONSENTS))
        answer = browser.post(
            form.action, data={**form.fields, "choice": "pause_all"}, base_url=flow.world.issuer
        )
        assert answer.status_code == 303
        for one in (tokens, other):
            assert "đang tạm dừng" in get(flow, browser, consent_path(one)).text

    @pytest.mark.parametrize("times", [1, 2])
    def test_one_that_moves_stops_no_other_from_being_paused(
        self, flow: Flow, citizen: Citizen, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        browser, tokens = given(flow, citizen)
        others = [flow.tokens(citizen), flow.tokens(citizen)]
        moving, write = consent_path(others[0]).rpartition("/")[2], PostgresConsents.write
        tried: list[str] = []

        def moves(store: PostgresConsents, writings: Any, evidence: Any, **more: Any) -> None:
            if writings[0].consent.consent_id == moving and len(tried) < times:
                tried.append(moving)
                raise ConsentMoved("another was faster")
            write(store, writings, evidence, **more)

        form = own_form(get(flow, browser, CONSENTS))
        with monkeypatch.context() as patch:
            patch.setattr(PostgresConsents, "write", moves)
            answer = browser.post(
                form.action, data={**form.fields, "choice": "pause_all"}, base_url=flow.world.issuer
            )
        assert len(tried) == times
        for one in (tokens, others[1]):
            assert "đang tạm dừng" in get(flow, browser, consent_path(one)).text
        if times == 1:
            assert answer.status_code == 303
            assert "đang tạm dừng" in get(flow, browser, consent_path(others[0])).text
        else:
            assert (answer.status_code, answer.mimetype) == (409, "text/html")
            assert "Chưa tạm dừng được: Ngân hàng bank-1 – " in answer.text
            assert "đang có hiệu lực" in get(flow, browser, consent_path(others[0])).text

    def test_what_is_active_is_listed_and_paused_behind_hundreds_that_have_ended(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        browser, tokens = given(flow, citizen)
        path = consent_path(tokens)
        with flow.world.engine.begin() as connection:
            columns = "request_id, client_id, organisation_id, citizen_id, purpose, agreement_id, version"
            connection.execute(
                text(
                    f"INSERT INTO consents (consent_id, {columns}, state, state_since_at, record) "  # noqa: S608
                    f"SELECT made.id, {columns}, 'withdrawn', state_since_at + interval '1 second', "
                    "record || jsonb_build_object('consent_id', made.id, 'state', 'withdrawn') "
                    "FROM consents, "
                    "LATERAL (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 250) n) made "
                    "WHERE consent_id = CAST(:one AS uuid)"
                ),
                {"one": path.rpartition("/")[2]},
            )
        page = get(flow, browser, CONSENTS)
        assert path in page.text.split("Đang có hiệu lực")[1].split("</section>")[0]
        seen = set(re.findall(rf"{CONSENTS}/[0-9a-f-]{{36}}(?=\?)", page.text))
        assert len(seen) == 200
        [following] = re.findall(rf'href="({CONSENTS}\?[^"]*before=[^"]*)" rel="next"', page.text)
        older = get(flow, browser, following.replace("&amp;", "&"))
        ended = set(re.findall(rf"{CONSENTS}/[0-9a-f-]{{36}}(?=\?)", older.text))
        assert not ended & seen
        with flow.world.engine.connect() as connection:
            counted = "SELECT count(*) FROM consents WHERE citizen_id = CAST(:one AS uuid)"
            count = connection.execute(text(counted), {"one": citizen.citizen_id}).scalar_one()
        assert len(ended) + 200 == count, "not one is out of reach"
        assert 'rel="next"' not in older.text
        assert f'href="{CONSENTS}?lang=vi"' in older.text
        assert "Về những lần mới nhất" in older.text
        assert "Đã kết thúc" in older.text
        assert "Đang có hiệu lực" not in older.text
        form = own_form(page)
        paused = browser.post(
            form.action, data={**form.fields, "choice": "pause_all"}, base_url=flow.world.issuer
        )
        assert paused.status_code == 303
        assert "đang tạm dừng" in get(flow, browser, path).text

    def test_withdrawing_needs_no_fresh_sign_in_and_resuming_does(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        path = consent_path(tokens)
        assert act(flow, browser, path, "pause").status_code == 303
        flow.world.clock.move(400)
        led = act(flow, browser, path, "resume")
        assert led.status_code == 303
        assert "/citizen/sign-in" in led.headers["Location"]
        assert "đang tạm dừng" in get(flow, browser, path).text
        assert act(flow, browser, path, "withdraw").headers["Location"].startswith(path)

    def test_it_says_what_the_recipient_was_told_and_whether_it_answered(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        browser, tokens = given(flow, citizen)
        path = consent_path(tokens)
        shown = told_on(get(flow, browser, path + "?lang=en"))
        assert len(shown) == 1
        assert re.fullmatch(r"Consent was given \([0-9:/ ]+\): not yet; it is being tried", shown[0])
        steps = [
            ("delivered_at = now()", r"told on [0-9:/ ]+; not acknowledged yet"),
            ("acknowledged_at = now()", r"told on [0-9:/ ]+; acknowledged on [0-9:/ ]+"),
            ("deletion_attested_at = now()", r".*; the recipient says it deleted on [0-9:/ ]+"),
            (
                "delivered_at = NULL, acknowledged_at = NULL, dead_at = now()",
                "could not be told in many tries.*",
            ),
        ]
        for change, words in steps:
            with flow.world.engine.begin() as connection:
                statement = f"UPDATE outbox_messages SET {change} WHERE consent_id = CAST(:one AS uuid)"  # noqa: S608
                connection.execute(text(statement), {"one": path.rpartition("/")[2]})
            shown = told_on(get(flow, browser, path + "?lang=en"))
            assert re.fullmatch(r"Consent was given \([0-9:/ ]+\): " + words, shown[0]), shown
        assert act(flow, browser, path, "withdraw").status_code == 303
        shown = told_on(get(flow, browser, path + "?lang=en"))
        assert shown[0].startswith("The consent was taken back ("), "the latest stands first"
        assert len(shown) == 2

    def test_english_is_spoken_where_it_is_asked_for(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        page = get(flow, browser, consent_path(tokens) + "?lang=en")
        assert "Take the consent back" in page.text
        assert 'lang="en"' in page.text


class TestThinkingItOver:
    def test_two_clicks_from_the_list_take_it_back_and_the_page_between_says_what_follows(
        self, flow: Flow, citizen: Citizen
    ) -> None:
        browser, tokens = given(flow, citizen)
        first = f"{consent_path(tokens)}/withdraw?lang=en"
        assert f'href="{first}"' in get(flow, browser, f"{CONSENTS}?lang=en").text
        assert f'href="{first}"' in get(flow, browser, f"{consent_path(tokens)}?lang=en").text
        flow.world.clock.move(400)
        page = get(flow, browser, first)
        for told in ("nothing is sent any more", "must stop using and delete", "It cannot be undone"):
            assert told in page.text
        form = own_form(page)
        assert form.buttons == [("choice", "withdraw")]
        assert "active" in get(flow, browser, f"{consent_path(tokens)}?lang=en").text
        done = browser.post(
            form.action, data={**form.fields, "choice": "withdraw"}, base_url=flow.world.issuer
        )
        assert (done.status_code, done.headers["Location"]) == (303, f"{consent_path(tokens)}?lang=en")
        assert "taken back" in get(flow, browser, f"{consent_path(tokens)}?lang=en").text
        assert flow.refresh(tokens["refresh_token"]).get_json()["error"] == "invalid_grant"
        again = get(flow, browser, first)
        assert (again.status_code, again.headers["Location"]) == (303, f"{consent_path(tokens)}?lang=en")
        assert first not in get(flow, browser, f"{CONSENTS}?lang=en").text

    def test_what_was_given_twice_is_taken_back_at_once_and_the_page_names_it(self, flow: Flow) -> None:
        """One purpose of one recipient: after the tap not one more release happens."""
        citizen = flow.citizen()
        browser, tokens = given(flow, citizen)
        other = flow.tokens(citizen)
        assert other["grant_id"] != tokens["grant_id"]
        for language, told in (
            ("vi", "Cùng được rút lại, vì cùng bên nhận và cùng mục đích:"),
            ("en", "Taken back with it, because recipient and purpose are the same:"),
        ):
            page = get(flow, browser, f"{consent_path(tokens)}/withdraw?lang={language}")
            assert told in page.text
            assert f'href="{consent_path(other)}?lang={language}"' in page.text
        form = own_form(page)
        done = browser.post(
            form.action, data={**form.fields, "choice": "withdraw"}, base_url=flow.world.issuer
        )
        assert done.status_code == 303
        for one in (tokens, other):
            page = get(flow, browser, f"{consent_path(one)}?lang=en")
            assert "taken back" in page.text
            assert told_on(page)[0].startswith("The consent was taken back (")
            assert flow.refresh(one["refresh_token"]).get_json()["error"] == "invalid_grant"

    def test_where_nothing_goes_with_it_the_page_names_nothing(self, flow: Flow) -> None:
        citizen = flow.citizen()
        browser, tokens = given(flow, citizen)
        other = flow.tokens(citizen)
        assert act(flow, browser, consent_path(other), "withdraw").status_code == 303
        again = flow.tokens(citizen)
        page = get(flow, flow.signed_in(citizen), f"{consent_path(again)}/withdraw?lang=en")
        assert "Taken back with it" not in page.text
        assert consent_path(other) not in page.text
        assert consent_path(tokens) not in page.text

    def test_extending_makes_another_consent_that_lasts_longer_and_tokens_go_on(self, flow: Flow) -> None:
        citizen = flow.citizen()
        _, tokens = given(flow, citizen)
        browser, path = days_later(flow, citizen, 20), f"{consent_path(tokens)}/extend"
        assert f'href="{path}?lang=vi"' in get(flow, browser, f"{CONSENTS}?lang=vi").text
        form = own_form(get(flow, browser, path))
        lengths = re.findall(r'name="days" value="(\d+)"', get(flow, browser, path).text)
        assert lengths == ["30"], "seven days more is less than it lasts anyway; thirty is all that was asked"
        assert "checked" not in get(flow, browser, path).text
        for days in ("", "7", "365", "x"):
            again = browser.post(path, data={**form.fields, "days": days}, base_url=flow.world.issuer)
            assert again.status_code == 422
            assert "Hãy chọn một thời hạn." in again.text
        stolen = browser.post(path, data={"days": "30", "token": "x"}, base_url=flow.world.issuer)
        assert (stolen.status_code, "Trang này đã quá cũ" in stolen.text) == (403, True)
        done = browser.post(path, data={**form.fields, "days": "30"}, base_url=flow.world.issuer)
        assert done.status_code == 303, done.text
        new = done.headers["Location"]
        assert new.startswith(CONSENTS)
        assert not new.startswith(consent_path(tokens))
        assert "đã được thay bằng sự đồng ý mới" in get(flow, browser, consent_path(tokens)).text
        until = flow.world.clock() + timedelta(days=30)
        assert f"{until.astimezone(VIET_NAM):%H:%M %d/%m/%Y}" in get(flow, browser, new).text
        renewed = flow.refresh(tokens["refresh_token"]).get_json()
        assert renewed["authorization_details"][0]["consent_id"] in new

    def test_extending_needs_a_fresh_sign_in(self, flow: Flow) -> None:
        citizen = flow.citizen()
        _, tokens = given(flow, citizen)
        browser, path = days_later(flow, citizen, 20), f"{consent_path(tokens)}/extend"
        form = own_form(get(flow, browser, path))
        flow.world.clock.move(400)
        led = browser.post(path, data={**form.fields, "days": "30"}, base_url=flow.world.issuer)
        assert led.headers["Location"].startswith("/citizen/sign-in?next=consents")
        assert "đang có hiệu lực" in get(flow, browser, consent_path(tokens)).text

    def test_what_rests_or_has_ended_is_not_extended(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        flow.world.clock.move(60)
        path = f"{consent_path(tokens)}/extend"
        form = own_form(get(flow, browser, path))
        assert act(flow, browser, consent_path(tokens), "pause").status_code == 303
        late = browser.post(path, data={**form.fields, "days": "30"}, base_url=flow.world.issuer)
        assert late.status_code == 403
        page = get(flow, browser, path + "?lang=en")
        assert (page.status_code, "as long as it may" in page.text) == (200, True)
        assert "/extend" not in get(flow, browser, consent_path(tokens)).text

    @pytest.mark.parametrize("ending", ["withdraw", "extend"])
    def test_nobody_elses_is_thought_over(self, flow: Flow, citizen: Citizen, ending: str) -> None:
        _, tokens = given(flow, citizen)
        stranger, _ = given(flow, flow.citizen())
        others = get(flow, stranger, f"{consent_path(tokens)}/{ending}")
        nobodys = get(flow, stranger, f"{CONSENTS}/{uuid4()}/{ending}")
        assert (others.status_code, others.text) == (404, nobodys.text)


@contextmanager
def statements(flow: Flow) -> Iterator[list[str]]:
    """Collect what is asked of the store meanwhile, statement by statement."""
    asked: list[str] = []

    def seen(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)

    event.listen(flow.world.engine, "before_cursor_execute", seen)
    try:
        yield asked
    finally:
        event.remove(flow.world.engine, "before_cursor_execute", seen)


def test_the_list_asks_the_store_as_often_whatever_the_number_of_consents(flow: Flow) -> None:
    citizen, counts = flow.citizen(), []
    for number in range(3):
        party = flow.register_bank(f"many-{number}", organisation_id=f"many-{number}")
        flow.tokens(citizen, party=party)
        browser = flow.signed_in(citizen)
        with statements(flow) as asked:
            page = get(flow, browser, CONSENTS)
        listed = page.text.split("Đang có hiệu lực")[1].split("</section>")[0]
        assert listed.count("<li>") == number + 1
        counts.append(len(asked))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 6, asked


class TestOnesOwnOnly:
    def test_somebody_elses_looks_like_one_that_there_is_not(self, flow: Flow, citizen: Citizen) -> None:
        _, tokens = given(flow, citizen)
        stranger = flow.citizen()
        browser, _ = given(flow, stranger)
        others = get(flow, browser, consent_path(tokens))
        nobodys = get(flow, browser, f"{CONSENTS}/{uuid4()}")
        assert (others.status_code, nobodys.status_code) == (404, 404)
        assert others.text == nobodys.text
        assert consent_path(tokens) not in get(flow, browser, CONSENTS).text

    @pytest.mark.parametrize("ending", ["", "/6d8c0daa-d1ad-48fc-8069-26e2389987a1", "/x"])
    def test_nobody_sees_anything_without_signing_in(self, flow: Flow, ending: str) -> None:
        page = get(flow, flow.browser(), CONSENTS + ending)
        assert page.status_code == 303
        assert "/citizen/sign-in" in page.headers["Location"]

    def test_a_form_without_its_token_changes_nothing(self, flow: Flow, citizen: Citizen) -> None:
        browser, tokens = given(flow, citizen)
        answer = browser.post(consent_path(tokens), data={"choice": "withdraw"}, base_url=flow.world.issuer)
        assert answer.status_code == 403
        assert flow.is_good(tokens["access_token"])


class TestTheInbox:
    @pytest.fixture
    def asked(self, flow: Flow, citizen: Citizen) -> dict[str, Any]:
        """The bank has asked about the citizen, who is signed in."""
        browser, _ = given(flow, citizen)
        request_id = str(uuid4())
        desk = flow.register_bank(f"desk-{request_id}", scopes=("request_consent",))
        form = {"grant_type": "client_credentials", "scope": "request_consent"}
        token = str(flow.post("/oauth/token", form, desk).get_json()["access_token"])
        body = {
            "request_id": request_id,
            "personal_id": citizen.personal_id,
            "items": [
                {
                    "purpose": "prove_income",
                    "fields": ["si_status", "salary_base"],
                    "required_fields": ["salary_base"],
                    "frequency": {"use_count": 2, "per": "day"},
                    "mode": "store",
                    "data_range": {"first_day": "2026-02-01", "last_day": "2026-03-31"},
                }
            ],
            "message": {"vi": "Để xét khoản vay <b>của bạn</b>", "en": "For your loan"},
        }
        path = "/v1/consent-requests"
        proof = desk.proof(flow.world.clock(), "POST", flow.world.issuer + path, token)
        answer = flow.world.http.post(
            path,
            json=body,
            headers={"Authorization": f"DPoP {token}", "DPoP": proof},
            base_url=flow.world.issuer,
        )
        assert answer.status_code == 201, answer.text
        return {"browser": browser, "request_id": request_id}

    def test_a_request_waits_is_shown_and_given_in_part(self, flow: Flow, asked: dict[str, Any]) -> None:
        browser = asked["browser"]
        listed = get(flow, browser, CONSENTS)
        waiting = listed.text.split("Đang chờ bạn quyết định")[1].split("</section>")[0]
        assert waiting.count("Ngân hàng bank-1") == 1, waiting
        path = waiting.split('href="')[1].split("?")[0].split('"')[0]
        page = get(flow, browser, path)
        assert "Để xét khoản vay &lt;b&gt;của bạn&lt;/b&gt;" in page.text
        assert "tối đa 2 lần mỗi ngày" in page.text
        assert "từ 01/02/2026 đến 31/03/2026" in page.text
        assert "lưu một bản trong hệ thống của họ" in page.text
        for key in ("terms_afterwards", "terms_who_else", "terms_harm", "withdraw", "retention"):
            assert WORDS[key][0] in page.text, key
        table = shipped_policies().tables["bank_income_proof"]
        for name in ("si_status", "salary_base"):
            why = WORDS["why_field"][0].format(why=why_of(name, table, Words("vi")))
            assert why in page.text, name
        form = own_form(page)
        assert form.boxes == {"si_status": False, "salary_base": False}, "nothing is ticked beforehand"
        assert act(flow, browser, path, "give").status_code == 422
        assert act(flow, browser, path, "give", field=["si_status"]).status_code == 422
        assert act(flow, browser, path, "give", field=["salary_base"]).status_code == 303
        page = get(flow, browser, path)
        assert "đang có hiệu lực" in page.text
        assert "Đồng ý một phần" in page.text

    def test_the_notice_is_of_the_page_that_was_shown_and_of_when_it_was(
        self, flow: Flow, asked: dict[str, Any]
    ) -> None:
        browser = asked["browser"]
        waiting = get(flow, browser, CONSENTS).text.split("Đang chờ bạn quyết định")[1]
        path = waiting.split('href="')[1].split("?")[0].split('"')[0]
        shown_at = flow.world.clock().replace(microsecond=0)
        form = own_form(get(flow, browser, path))
        store = stored_consents(flow.world.wiring.store)
        [before] = store.find_of_request(asked["request_id"])
        flow.world.clock.move(95)
        data = {**form.fields, "field": ["salary_base"], "choice": "give"}
        assert browser.post(form.action, data=data, base_url=flow.world.issuer).status_code == 303
        [held] = store.find_of_request(asked["request_id"])
        notice = held.consent.notice
        assert notice is not None
        assert (notice.served_at, notice.version, notice.language) == (shown_at, NOTICE_VERSION, "vi")
        one, words = before.consent, Words("vi")
        names = (f"Ngân hàng {one.organisation_id}", f"Bank {one.organisation_id}")
        again = consent_view(one, names, shipped_policies(), words, one.citizen_id, shown_at)
        assert notice.rendered_hash == again.fingerprint, "what is kept is enough to make the hash again"

    def test_refusing_is_the_first_button_and_needs_no_tick(self, flow: Flow, asked: dict[str, Any]) -> None:
        browser = asked["browser"]
        waiting = get(flow, browser, CONSENTS).text.split("Đang chờ bạn quyết định")[1]
        path = waiting.split('href="')[1].split("?")[0].split('"')[0]
        assert own_form(get(flow, browser, path)).buttons[0] == ("choice", "refuse")
        assert act(flow, browser, path, "refuse").status_code == 303
        assert "đã từ chối" in get(flow, browser, path).text


def test_a_decision_by_redirect_that_is_refused_is_kept_too(flow: Flow, citizen: Citizen) -> None:
    attempt = Attempt()
    flow.push(attempt)
    flow.decide(citizen, attempt, choice="refuse")
    page = get(flow, flow.signed_in(citizen), CONSENTS)
    assert "đã từ chối" in page.text.split("Đã kết thúc")[1]


def test_after_the_eighteenth_birthday_one_confirms_alone_and_the_bank_reads_again(
    app: Flask, world: World, insurance: InsuranceDatabase
) -> None:
    consents, at = ConsentWorld(world, insurance), datetime.now(UTC)
    given = consents.give(
        at=at - timedelta(days=2),
        changes={
            "required_roles": ("data_subject", "representative"),
            "refresh_due_at": at - timedelta(days=1),
            "refresh_roles": ("data_subject",),
        },
    )
    reader, path = reader_of(app, world.settings.issuer, given.bank), f"{CONSENTS}/{given.consent_id}"
    token = reader.token(given)
    refused = reader.read(token)
    # A recipient is told no more than that it rests: the birthday is not its business.
    assert (refused.status, refused.json()["reason"]) == (403, "not_active_paused")
    stale, fresh = (
        signed_in(
            app, world, given.person.personal_id, citizen_id=given.person.citizen_id, age_seconds=seconds
        )
        for seconds in (400, 0)
    )
    form = stale.form(path, path)
    assert ("choice", "confirm") in form.buttons
    assert WORDS["consents_state_refresh_due"][1] in stale.page(f"{path}?lang=en").words
    led = stale.post(path, {**form.fields, "choice": "confirm"})
    assert led.status_code == 303
    assert led.headers["Location"].startswith("/citizen/sign-in?next=consents")
    assert consents.consent(given).version == given.consent.version, "nothing was written"
    form = fresh.form(path, path)
    forged = fresh.post(path, {**form.fields, "choice": "confirm", "token": "x"})
    assert (forged.status_code, "Trang này đã quá cũ" in forged.text) == (403, True)
    done = fresh.post(path, {**form.fields, "choice": "confirm"})
    assert (done.status_code, done.headers["Location"]) == (303, f"{path}?lang=vi")
    confirmed = consents.consent(given)
    assert (confirmed.state, confirmed.required_roles) == ("active", ("data_subject",))
    assert (confirmed.refresh_due_at, confirmed.valid_to_at) == (None, given.consent.valid_to_at)
    assert ("choice", "confirm") not in fresh.form(path, path).buttons
    assert reader.read(reader.token(given)).status == 200
