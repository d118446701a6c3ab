"""Signing in, over HTTP: attempts that are too many, sessions, and forms that somebody else has made."""

from __future__ import annotations

import re
import threading

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.oauth.citizen_passwords import Passwords
from consent_ui.words import WORDS
from tests.answers import told
from tests.citizen_world import INCOME, PASSWORD, CitizenWorld, Forms
from tests.oauth_world import Database


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


class TestThrottling:
    def wrong(self, world: CitizenWorld, personal_id: str, address: str = "192.0.2.1") -> TestResponse:
        return world.browser(address).try_sign_in(
            world.request(INCOME), personal_id=personal_id, password="something quite else"
        )

    def test_after_ten_attempts_nobody_gets_in_from_anywhere_until_the_window_ends(
        self, world: CitizenWorld
    ) -> None:
        world.clock.move(900 - world.clock().timestamp() % 900)
        citizen = world.citizen()
        statuses = [self.wrong(world, citizen.personal_id, f"192.0.2.{at}").status_code for at in range(11)]
        assert statuses == [403] * 10 + [429]
        browser = world.browser("198.51.100.1")
        answer = browser.try_sign_in(
            world.request(INCOME), personal_id=citizen.personal_id, password=PASSWORD
        )
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 900
        world.clock.move(int(answer.headers["Retry-After"]))
        assert browser.sign_in(world.request(INCOME), citizen).status_code == 200

    def test_an_account_that_is_not_there_is_throttled_in_the_same_words(self, world: CitizenWorld) -> None:
        world.clock.move(900 - world.clock().timestamp() % 900)
        citizen = world.citizen()
        last = {}
        for personal_id in (citizen.personal_id, "001099999999"):
            for at in range(11):
                last[personal_id] = self.wrong(world, personal_id, f"192.0.2.{at}")
        known, unknown = last.values()
        assert known.status_code == unknown.status_code == 429
        assert told(known) == told(unknown)
        assert known.headers["Retry-After"] == unknown.headers["Retry-After"]

    def test_one_address_may_not_try_many_accounts(self, world: CitizenWorld) -> None:
        world.clock.move(900 - world.clock().timestamp() % 900)
        request, browser = world.request(INCOME), world.browser("2001:db8::1")
        form = browser.sign_in_form(request)
        statuses = []
        for at in range(101):
            browser.address = f"2001:db8::{at:x}"
            typed = {"personal_id": f"00109912{at:04d}", "password": "something quite else"}
            statuses.append(browser.post(form.action, {**form.fields, **typed}).status_code)
        assert statuses == [403] * 100 + [429]
        elsewhere = self.wrong(world, "001099120200", "2001:db8:0:1::1")
        assert elsewhere.status_code == 403, "another network is another count"

    def test_success_gives_its_own_attempt_back_and_no_other(self, world: CitizenWorld) -> None:
        world.clock.move(900 - world.clock().timestamp() % 900)
        citizen = world.citizen()
        for _ in range(9):
            self.wrong(world, citizen.personal_id)
        for _ in range(5):
            assert world.browser().sign_in(world.request(INCOME), citizen).status_code == 200
        assert self.wrong(world, citizen.personal_id).status_code == 403
        assert self.wrong(world, citizen.personal_id).status_code == 429

    def test_people_behind_one_address_who_get_in_do_not_keep_others_out(self, world: CitizenWorld) -> None:
        world.clock.move(900 - world.clock().timestamp() % 900)
        citizen = world.citizen()
        for _ in range(3):
            world.browser().sign_in(world.request(INCOME), citizen)
        self.wrong(world, "001099999999")
        with world.owner.connect() as connection:
            counts = connection.execute(text("SELECT used_count FROM usage_counters")).scalars().all()
        assert sorted(counts) == [0, 1, 1], "the account that got in, the other one, and the address"

    def test_when_all_places_are_taken_the_attempt_is_given_back(
        self, world: CitizenWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        citizen, request = world.citizen(), world.request(INCOME)
        inside, go_on = threading.Semaphore(0), threading.Event()
        fits = Passwords._fits

        def slow(self: Passwords, password_hash: str, password: bytes) -> bool:
            inside.release()
            assert go_on.wait(60), "nobody let the verification go on"
            return fits(self, password_hash, password)

        monkeypatch.setattr(Passwords, "_fits", slow)
        browsers = [world.browser() for _ in range(2)]
        forms = [browser.sign_in_form(request) for browser in browsers]
        typed = {"personal_id": citizen.personal_id, "password": "something quite else"}
        threads = [
            threading.Thread(target=browser.post, args=(form.action, {**form.fields, **typed}))
            for browser, form in zip(browsers, forms, strict=True)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=60), "two must come in"
        answer = world.browser().try_sign_in(request, **typed)
        go_on.set()
        for thread in threads:
            thread.join()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert WORDS["busy"][0] in answer.text
        with world.owner.connect() as connection:
            counts = connection.execute(text("SELECT used_count FROM usage_counters")).scalars().all()
        assert sorted(counts) == [2, 2], "the attempt that was turned away is not counted"


class TestTheSession:
    def test_the_cookie_belongs_to_this_host_alone(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        answer = browser.try_sign_in(
            world.request(INCOME), personal_id=citizen.personal_id, password=citizen.password
        )
        [cookie] = [one for one in answer.headers.getlist("Set-Cookie") if "citizen=" in one]
        name_and_value, *attributes = cookie.split("; ")
        assert re.fullmatch(r"__Host-broker-citizen=[A-Za-z0-9_-]{43}", name_and_value)
        assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]

    def test_on_the_loopback_without_tls_the_cookie_does_without(self, database: Database) -> None:
        world = CitizenWorld(database, "http://127.0.0.1:8000")
        citizen, browser = world.citizen(), world.browser()
        assert browser.sign_in(world.request(INCOME), citizen).status_code == 200
        assert re.fullmatch("[A-Za-z0-9_-]{43}", browser.cookie("broker-citizen"))

    def test_a_sign_in_always_makes_a_new_session_and_ends_the_one_before(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        browser.sign_in(world.request(INCOME), citizen)
        before = browser.cookie()
        world.clock.move(1)
        browser.sign_in(world.request(INCOME, max_age_seconds=0), citizen)
        assert browser.cookie() != before
        assert world.sign_in.find_session(before, world.clock()) is None
        assert world.count("citizen_sessions") == 1

    def test_a_cookie_that_somebody_else_chose_becomes_nobodys_session(self, world: CitizenWorld) -> None:
        citizen, browser, chosen = world.citizen(), world.browser(), "A" * 43
        browser.http.set_cookie("__Host-broker-citizen", chosen, domain="broker.example", secure=True)
        browser.sign_in(world.request(INCOME), citizen)
        assert browser.cookie() != chosen
        assert world.sign_in.find_session(chosen, world.clock()) is None

    def test_a_session_ends_after_half_an_hour_used_or_not(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        browser.sign_in(world.request(INCOME), citizen)
        for minutes, status in ((10, 200), (10, 200), (9.9, 200), (0.2, 303)):
            world.clock.move(minutes * 60)
            request = world.request(INCOME)
            assert browser.get(world.page.address(request.request_ref)).status_code == status

    def test_signing_out_ends_it_everywhere(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        value, form = browser.cookie(), Forms(page.text).forms[0]
        assert form.action == "/citizen/sign-out"
        answer = browser.post(form.action, form.fields)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/citizen/sign-in?next=")
        assert browser.cookie() == ""
        assert world.sign_in.find_session(value, world.clock()) is None

    def test_signing_out_after_the_request_is_gone_says_so(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        request = world.request(INCOME)
        page = browser.sign_in(request, citizen)
        world.authorizations.refuse(request, world.clock())
        form = Forms(page.text).forms[0]
        answer = browser.post(form.action, form.fields)
        assert answer.status_code == 200
        assert WORDS["signed_out_title"][0] in answer.text
        assert world.count("citizen_sessions") == 0

    def test_nobody_is_signed_out_by_another_site(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        form = Forms(page.text).forms[0]
        for fields, headers in (({}, {}), (form.fields, {"Sec_Fetch_Site": "cross-site"})):
            assert browser.post(form.action, fields, **headers).status_code == 403
        assert browser.post(form.action, {**form.fields, "token": "x"}).status_code == 403
        assert world.sign_in.find_session(browser.cookie(), world.clock()) is not None


class TestForgedForms:
    def post(self, world: CitizenWorld, fields: dict[str, str], **headers: str) -> TestResponse:
        citizen, browser = world.citizen(), world.browser()
        form = browser.sign_in_form(world.request(INCOME))
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        return browser.post(form.action, {**form.fields, **typed, **fields}, **headers)

    def test_a_form_from_our_own_page_is_taken(self, world: CitizenWorld) -> None:
        headers = {"Sec_Fetch_Site": "same-origin", "Origin": "null"}
        assert self.post(world, {}, **headers).status_code == 303

    @pytest.mark.parametrize("token", ["", "x", "W10.AAAA"])
    def test_a_token_that_we_did_not_make_is_refused(self, world: CitizenWorld, token: str) -> None:
        answer = self.post(world, {"token": token})
        assert answer.status_code == 403
        assert WORDS["form_stale"][0] in answer.text

    @pytest.mark.parametrize(
        "headers", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}]
    )
    def test_a_form_of_another_site_is_refused(self, world: CitizenWorld, headers: dict[str, str]) -> None:
        assert self.post(world, {}, **headers).status_code == 403

    def test_a_form_of_another_browser_is_refused(self, world: CitizenWorld) -> None:
        citizen, request = world.citizen(), world.request(INCOME)
        theirs, mine = world.browser().sign_in_form(request), world.browser()
        mine.sign_in_form(request)
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        assert mine.post(theirs.action, {**theirs.fields, **typed}).status_code == 403

    def test_a_form_for_another_request_is_refused(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        first = browser.sign_in_form(world.request(INCOME))
        second = browser.sign_in_form(world.request(INCOME))
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        swapped = {**first.fields, "next": second.fields["next"]}
        assert browser.post(first.action, {**swapped, **typed}).status_code == 403

    def test_an_old_form_is_shown_again_and_then_taken(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        request = world.request(INCOME)
        form = browser.sign_in_form(request)
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        with_other_cookie = world.browser()
        answer = with_other_cookie.post(form.action, {**form.fields, **typed})
        assert answer.status_code == 403
        again = Forms(answer.text).forms[-1]
        assert with_other_cookie.post(again.action, {**again.fields, **typed}).status_code == 303
