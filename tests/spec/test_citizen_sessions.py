"""A citizen's sessions: seen, ended one by one or all at once; and how fresh a sign-in must be to consent."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from consent_ui.words import WORDS
from tests.citizen_world import INCOME, Browser, Citizen, CitizenWorld, Forms, parameters_of
from tests.doors import at_once
from tests.oauth_world import Database, MovableClock

ANDROID = "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36"
SESSIONS = "/citizen/sessions"


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


def move(world: CitizenWorld, seconds: float) -> None:
    assert isinstance(world.clock, MovableClock)
    world.clock.move(seconds)


def sign_in(browser: Browser, citizen: Citizen, **headers: str) -> TestResponse:
    """Sign in without any request, for one's own pages."""
    led = browser.get(SESSIONS)
    assert led.status_code == 303, led.text
    form = Forms(browser.get(led.headers["Location"]).text).forms[-1]
    typed = {"personal_id": citizen.personal_id, "password": citizen.password}
    if citizen.totp_secret:
        typed["one_time_code"] = browser.world.code(citizen)
    answer = browser.post(form.action, {**form.fields, **typed}, **headers)
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["Location"])


def end(browser: Browser, page: TestResponse, button: str, **changes: str) -> TestResponse:
    form = next(one for one in Forms(page.text).forms if one.action == SESSIONS)
    return browser.post(form.action, {**form.fields, "session": button, **changes})


def buttons(page: TestResponse) -> list[str]:
    """Return the values of the buttons that end one session, from top to bottom."""
    form = next(one for one in Forms(page.text).forms if one.action == SESSIONS)
    return [value for name, value in form.buttons if name == "session" and value != "all"]


class TestTheList:
    def test_it_says_since_when_how_and_where_and_marks_this_one(self, world: CitizenWorld) -> None:
        citizen, phone, desk = world.citizen(with_codes=True), world.browser(), world.browser()
        sign_in(phone, citizen, User_Agent=ANDROID)
        move(world, 90)
        page = sign_in(desk, citizen, User_Agent="curl/8")
        assert page.text.count("<section") == 2
        assert "Chrome, Android" in page.text
        assert WORDS["session_unknown"][0] in page.text
        assert page.text.count(WORDS["session_this"][0]) == 1
        assert page.text.index(WORDS["session_this"][0]) < page.text.index("Chrome, Android")
        assert page.text.count(WORDS["method_one_time_code"][0]) == 2

    def test_last_use_is_known_to_the_minute(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        sign_in(browser, citizen)
        seen = []
        for seconds in (30, 60, 30):
            move(world, seconds)
            browser.get(SESSIONS)
            with world.owner.connect() as connection:
                row = connection.exec_driver_sql(
                    "SELECT last_seen_at, authenticated_at FROM citizen_sessions"
                )
                last, first = row.one()
                seen.append((last - first).total_seconds())
        assert seen == [0, 90, 90]

    def test_nobody_sees_or_ends_the_sessions_of_others(self, world: CitizenWorld) -> None:
        victim, thief = world.browser(), world.browser()
        [handle] = buttons(sign_in(victim, world.citizen()))
        page = sign_in(thief, world.citizen())
        assert handle not in page.text
        assert end(thief, page, handle).status_code == 303
        assert victim.get(SESSIONS).status_code == 200

    def test_a_handle_is_no_way_in(self, world: CitizenWorld) -> None:
        browser = world.browser()
        [handle] = buttons(sign_in(browser, world.citizen()))
        assert handle not in browser.cookie()
        assert world.sign_in.find_session(handle, world.clock()) is None


class TestEnding:
    def test_one_is_ended_and_the_others_stay(self, world: CitizenWorld) -> None:
        citizen, phone, desk = world.citizen(), world.browser(), world.browser()
        sign_in(phone, citizen)
        move(world, 1)
        page = sign_in(desk, citizen)
        assert end(desk, page, buttons(page)[1]).status_code == 303
        assert phone.get(SESSIONS).status_code == 303
        assert desk.get(SESSIONS).status_code == 200

    def test_all_are_ended_at_one_instant_this_one_too(self, world: CitizenWorld) -> None:
        citizen = world.citizen()
        browsers = [world.browser() for _ in range(3)]
        pages = [sign_in(browser, citizen) for browser in browsers]
        answers = at_once(lambda number: end(browsers[number], pages[number], "all"), range(2))
        assert world.count("citizen_sessions") == 0
        told = sorted(answer.status_code for answer in answers)
        assert told in ([200, 200], [200, 303])
        assert browsers[2].get(SESSIONS).status_code == 303
        all_three = WORDS["signed_out_everywhere"][0].format(count=3)
        assert any(answer.status_code == 200 and all_three in answer.text for answer in answers)

    @pytest.mark.parametrize("change", [{"token": "x"}, {"token": ""}])
    def test_only_the_pages_own_form_ends_anything(self, world: CitizenWorld, change: dict[str, str]) -> None:
        browser = world.browser()
        page = sign_in(browser, world.citizen())
        assert end(browser, page, "all", **change).status_code == 403
        assert browser.get(SESSIONS).status_code == 200

    @pytest.mark.parametrize("handle", ["", "x", "0" * 64, "\udcff", "all "])
    def test_a_handle_that_is_none_ends_nothing(self, world: CitizenWorld, handle: str) -> None:
        browser = world.browser()
        page = sign_in(browser, world.citizen())
        assert end(browser, page, handle.encode("utf-8", "replace").decode()).status_code == 303
        assert browser.get(SESSIONS).status_code == 200

    def test_who_is_not_signed_in_is_led_to_the_sign_in(self, world: CitizenWorld) -> None:
        browser = world.browser()
        for answer in (browser.get(SESSIONS), browser.post(SESSIONS, {"session": "all"})):
            assert answer.headers["Location"] == "/citizen/sign-in?next=sessions&lang=vi"


class TestWhereASignInLeads:
    def test_nothing_asked_for_leads_home(self, world: CitizenWorld) -> None:
        page = world.browser().get("/citizen/sign-in")
        assert page.status_code == 200
        assert Forms(page.text).forms[-1].fields["next"] == "home"
        assert WORDS["sign_in_why_own"][0] in page.text

    @pytest.mark.parametrize("name", ["x", "//evil.example", "https://evil.example", "sessions/..", "A" * 43])
    def test_nothing_from_outside_is_an_address(self, world: CitizenWorld, name: str) -> None:
        assert world.browser().get(f"/citizen/sign-in?next={name}").status_code == 404


class TestHowFreshASignInMustBe:
    def test_within_five_minutes_consent_is_given(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        move(world, 300)
        assert "code" in parameters_of(browser.decide(page, "give", "0.salary_base"))

    def test_later_the_person_signs_in_again_comes_back_and_chooses_again(self, world: CitizenWorld) -> None:
        citizen, browser, request = world.citizen(), world.browser(), world.request(INCOME)
        page = browser.sign_in(request, citizen)
        move(world, 301)
        led = browser.decide(page, "give", "0.salary_base")
        assert led.status_code == 303
        assert led.headers["Location"].endswith("&lang=vi&again=1")
        assert world.grants() == []
        shown = browser.get(led.headers["Location"])
        assert WORDS["sign_in_again"][0] in shown.text
        form = Forms(shown.text).forms[-1]
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        back = browser.get(browser.post(form.action, {**form.fields, **typed}).headers["Location"])
        assert not any(Forms(back.text).forms[-1].boxes.values())
        assert "code" in parameters_of(browser.decide(back, "give", "0.salary_base"))
        assert world.count("citizen_sessions") == 1

    def test_refusing_needs_no_fresh_sign_in(self, world: CitizenWorld) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), world.citizen())
        move(world, 600)
        assert parameters_of(browser.decide(page, "refuse"))["error"] == "access_denied"

    def test_a_choice_that_is_none_is_told_before_a_new_sign_in_is_asked_for(
        self, world: CitizenWorld
    ) -> None:
        browser = world.browser()
        page = browser.sign_in(world.request(INCOME), world.citizen())
        move(world, 600)
        assert browser.decide(page, "give").status_code == 422
