"""Signing in, over HTTP: who gets in, who does not, and that nobody learns which accounts exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.oauth.citizen_passwords import Passwords, normalised
from broker.oauth.citizens import CitizenSignIn, SignInAttempt
from broker.storage.citizens import PostgresCitizens
from consent_ui.words import WORDS
from tests.answers import told
from tests.citizen_world import INCOME, PASSWORD, QUICK, CitizenWorld
from tests.doors import at_once
from tests.oauth_world import Database


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


class TestWhoGetsIn:
    def test_a_password_gives_level_1(self, world: CitizenWorld) -> None:
        citizen, browser = world.citizen(), world.browser()
        page = browser.sign_in(world.request(INCOME), citizen)
        assert page.status_code == 200
        session = world.sign_in.find_session(browser.cookie(), world.clock())
        assert session is not None
        assert (session.citizen_id, session.level) == (citizen.citizen_id, 1)
        assert citizen.personal_id[-3:] in page.text
        assert citizen.personal_id not in page.text

    @pytest.mark.parametrize("seconds", [-30, 0, 30])
    def test_a_password_and_a_code_give_level_2(self, world: CitizenWorld, seconds: int) -> None:
        citizen, browser = world.citizen(with_codes=True), world.browser()
        code = world.code(citizen, seconds)
        browser.sign_in(world.request(INCOME, level=2), citizen, one_time_code=f"{code[:3]} {code[3:]}")
        session = world.sign_in.find_session(browser.cookie(), world.clock())
        assert session is not None
        assert session.level == 2

    def test_numbers_may_be_typed_with_spaces_and_passwords_in_any_composition(
        self, world: CitizenWorld
    ) -> None:
        citizen = world.citizen(password="thật cao trên núi")
        decomposed = "tha\u0323\u0302t cao tre\u0302n nu\u0301i"
        assert normalised(decomposed) == citizen.password
        spaced = f" {citizen.personal_id[:3]} {citizen.personal_id[3:6]} {citizen.personal_id[6:]} "
        answer = world.browser().try_sign_in(world.request(INCOME), personal_id=spaced, password=decomposed)
        assert answer.status_code == 303

    @pytest.mark.parametrize("code", ["", "000000", "12345"])
    def test_an_account_with_codes_is_not_entered_without_one(self, world: CitizenWorld, code: str) -> None:
        citizen, browser = world.citizen(with_codes=True), world.browser()
        if code == world.code(citizen):
            pytest.skip("this once the made-up code is the right one")
        answer = browser.try_sign_in(
            world.request(INCOME), personal_id=citizen.personal_id, password=PASSWORD, one_time_code=code
        )
        assert answer.status_code == 403
        assert browser.cookie() == ""

    def test_a_code_is_good_once_on_all_workers(self, world: CitizenWorld) -> None:
        citizen, code_at = world.citizen(with_codes=True), world.clock()
        code, request = world.code(citizen), world.request(INCOME)
        browsers = [world.browser() for _ in range(2)]
        forms = [browser.sign_in_form(request) for browser in browsers]

        def enter(position: int) -> int:
            typed = {"personal_id": citizen.personal_id, "password": PASSWORD, "one_time_code": code}
            form = forms[position]
            return browsers[position].post(form.action, {**form.fields, **typed}).status_code

        assert world.clock() == code_at
        assert sorted(at_once(enter, range(2))) == [303, 403]

    def test_an_old_hash_is_made_anew_by_a_sign_in(self, world: CitizenWorld, database: Database) -> None:
        citizen = world.citizen()
        slower = Passwords(**{**QUICK, "time_cost": 2})
        sign_in = CitizenSignIn(
            store=world.store, references=world.references, secrets_=world.secrets, passwords=slower
        )
        attempt = SignInAttempt(personal_id=citizen.personal_id, password=PASSWORD)
        for _ in range(2):
            sign_in.sign_in(attempt, world.clock())
        with database.owner.connect() as connection:
            kept = connection.execute(text("SELECT password_hash FROM citizens")).scalar_one()
        assert kept.startswith("$argon2id$v=19$m=8,t=2,p=1$")


class TestWhatIsTold:
    def test_no_account_wrong_password_and_closed_account_are_told_alike(self, world: CitizenWorld) -> None:
        known, closed = world.citizen(), world.citizen()
        with_codes = world.citizen(with_codes=True)
        world.store.suspend_citizen(world.references.citizen_ref(closed.personal_id))
        request = world.request(INCOME)
        answers = [
            world.browser().try_sign_in(request, personal_id=personal_id, password=password)
            for personal_id, password in (
                ("001099999999", PASSWORD),
                (known.personal_id, "something quite else"),
                (closed.personal_id, PASSWORD),
                (with_codes.personal_id, PASSWORD),
            )
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
        assert len({told(answer) for answer in answers}) == 1
        assert len({str(sorted(answer.headers.keys())) for answer in answers}) == 1
        assert WORDS["sign_in_refused"][0] in answers[0].text

    def test_an_unknown_number_costs_a_verification_like_a_known_one(
        self, world: CitizenWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verified: list[str] = []
        fits = Passwords._fits

        def counted(self: Passwords, password_hash: str, password: bytes) -> bool:
            verified.append(password_hash.rsplit("$", 2)[0])
            return fits(self, password_hash, password)

        monkeypatch.setattr(Passwords, "_fits", counted)
        citizen, request = world.citizen(), world.request(INCOME)
        for personal_id in (citizen.personal_id, "001099999999"):
            world.browser().try_sign_in(request, personal_id=personal_id, password="something quite else")
        assert verified[0] == verified[1] == "$argon2id$v=19$m=8,t=1,p=1"

    def test_nothing_typed_is_given_back(self, world: CitizenWorld) -> None:
        answer = world.browser().try_sign_in(
            world.request(INCOME),
            personal_id="001099999999",
            password="my secret word",
            one_time_code="246810",
        )
        for typed in ("001099999999", "my secret word", "246810"):
            assert typed not in answer.text

    @pytest.mark.parametrize(
        ("typed", "key"),
        [
            ({"personal_id": "12345", "password": "x"}, "personal_id_malformed"),
            ({"personal_id": "٠٠١٠٩٠١٢٣٤٥٦", "password": "x"}, "personal_id_malformed"),
            ({"personal_id": "", "password": "x"}, "personal_id_malformed"),
            ({"personal_id": "001090123456", "password": ""}, "password_missing"),
        ],
    )
    def test_what_cannot_be_right_is_told_at_its_place_and_not_counted(
        self, world: CitizenWorld, typed: dict[str, str], key: str
    ) -> None:
        answer = world.browser().try_sign_in(world.request(INCOME), **typed)
        assert answer.status_code == 422
        field = "password" if key == "password_missing" else "personal_id"
        assert f'<a href="#{field}">{WORDS[key][0]}</a>' in answer.text
        assert f'id="{field}-error"' in answer.text
        assert f"<title>{WORDS['error_prefix'][0]}: " in answer.text
        assert world.count("usage_counters") == 0


class TestWhereItLeads:
    @pytest.mark.parametrize(
        "next_", ["", "https://evil.example/", "//evil.example", "/citizen/sign-out", "A" * 43, "x" * 5000]
    )
    def test_it_leads_to_pending_requests_only(self, world: CitizenWorld, next_: str) -> None:
        browser = world.browser()
        for answer in (
            browser.http.get("/citizen/sign-in", query_string={"next": next_}, base_url=world.issuer),
            browser.post("/citizen/sign-in", {"next": next_}),
        ):
            assert answer.status_code == 404
            assert "Location" not in answer.headers
            assert "evil" not in answer.text

    def test_every_redirect_is_a_303_within_the_host_whatever_the_host_header_says(
        self, world: CitizenWorld
    ) -> None:
        address = world.page.address(world.request(INCOME).request_ref)
        answer = world.browser().http.get(address, base_url="https://evil.example")
        assert (answer.status_code, answer.headers["Location"][:20]) == (303, "/citizen/sign-in?nex")

    def test_pages_speak_the_language_that_is_asked_for(self, world: CitizenWorld) -> None:
        browser, request = world.browser(), world.request(INCOME, ui_locales="en vi")
        led = browser.get(world.page.address(request.request_ref))
        english = browser.get(led.headers["Location"])
        assert '<html lang="en">' in english.text
        [other] = re.findall(r'<a href="([^"]+)" lang="vi"', english.text)
        vietnamese = browser.get(other.replace("&amp;", "&"))
        assert '<html lang="vi">' in vietnamese.text
        assert WORDS["sign_in_title"][0] in vietnamese.text


def test_a_store_that_does_not_answer_is_told_in_words(
    world: CitizenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = world.browser()
    form = browser.sign_in_form(world.request(INCOME))

    def silent(*_: Any) -> Any:
        raise StoreUnavailable("the store does not answer: X")

    monkeypatch.setattr(PostgresCitizens, "count_attempt", silent)
    typed = {"personal_id": "001090123456", "password": PASSWORD}
    answer = browser.post(form.action, {**form.fields, **typed})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert WORDS["unavailable"][0] in answer.text
    assert "store" not in answer.text
