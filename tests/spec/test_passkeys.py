"""Passkeys over HTTP: who may add one, what enters with one, and every answer that does not."""

from __future__ import annotations

import json
import logging
import re
from html import unescape

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.oauth.passkeys import PASSKEYS_MAX
from consent_ui.passkey_views import label_of
from consent_ui.words import WORDS
from tests.authenticator import USER_PRESENT, Authenticator, encode
from tests.citizen_world import INCOME, PASSWORD, Browser, Citizen, CitizenWorld, Form, Forms
from tests.doors import at_once
from tests.oauth_world import ISSUER, Database, MovableClock
from tests.spec.test_citizen_sessions import sign_in

PASSKEYS, NEW = "/citizen/passkeys", "/citizen/passkeys/new"


@pytest.fixture
def world(database: Database) -> CitizenWorld:
    return CitizenWorld(database)


def form_of(page: TestResponse, action: str) -> Form:
    return next(one for one in Forms(page.text).forms if one.action == action)


def options_of(page: TestResponse) -> str:
    assert page.status_code == 200, page.text
    found = re.search(r'data-options="([^"]*)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def ask_to_add(browser: Browser, label: str = "Điện thoại") -> TestResponse:
    form = form_of(browser.get(PASSKEYS), NEW)
    return browser.post(form.action, {**form.fields, "label": label})


def add(
    browser: Browser, authenticator: Authenticator, label: str = "Điện thoại", **changes: str
) -> TestResponse:
    page = ask_to_add(browser, label)
    answer = authenticator.create(options_of(page), **changes)
    form = form_of(page, NEW)
    return browser.post(form.action, {**form.fields, "answer": answer})


def ask_to_enter(browser: Browser, world: CitizenWorld) -> TestResponse:
    led = browser.get(world.page.address(world.request(INCOME, level=2).request_ref))
    shown = browser.get(led.headers["Location"])
    form = form_of(shown, "/citizen/sign-in/passkey")
    return browser.post(form.action, form.fields)


def enter(
    browser: Browser, world: CitizenWorld, authenticator: Authenticator, **changes: str
) -> TestResponse:
    page = ask_to_enter(browser, world)
    answer = authenticator.get(options_of(page), **changes)
    form = form_of(page, "/citizen/sign-in/passkey")
    return browser.post(form.action, {**form.fields, "answer": answer})


def attempts(world: CitizenWorld) -> int:
    """Return how many attempts to sign in are counted, at whatever counter."""
    with world.engine.connect() as connection:
        found = connection.execute(text("SELECT coalesce(sum(used_count), 0) FROM usage_counters"))
        return int(found.scalar_one())


@pytest.fixture
def citizen(world: CitizenWorld) -> Citizen:
    return world.citizen(with_codes=True)


@pytest.fixture
def owner(world: CitizenWorld, citizen: Citizen) -> Browser:
    """A browser whose citizen has signed in at level 2 just now."""
    browser = world.browser()
    sign_in(browser, citizen)
    return browser


@pytest.fixture
def authenticator(owner: Browser) -> Authenticator:
    """A passkey of that citizen's."""
    authenticator = Authenticator(ISSUER)
    assert add(owner, authenticator).status_code == 303
    return authenticator


class TestAdding:
    def test_one_is_added_named_and_listed(self, owner: Browser, authenticator: Authenticator) -> None:
        page = owner.get(PASSKEYS)
        assert ">Điện thoại</h2>" in page.text
        assert form_of(page, PASSKEYS).fields["passkey"] == encode(authenticator.credential_id)

    def test_what_the_authenticator_is_told_says_not_who_it_is(
        self, owner: Browser, citizen: Citizen
    ) -> None:
        asked = json.loads(options_of(ask_to_add(owner)))
        assert asked["rp"] == {"name": "broker.example", "id": "broker.example"}
        assert asked["user"]["name"].endswith(citizen.personal_id[-3:])
        assert citizen.personal_id not in json.dumps(asked)
        assert asked["authenticatorSelection"]["residentKey"] == "required"

    def test_level_1_is_not_enough(self, world: CitizenWorld) -> None:
        browser = world.browser()
        sign_in(browser, world.citizen())
        answer = ask_to_add(browser)
        assert (answer.status_code, WORDS["passkey_needs_level"][0] in answer.text) == (403, True)

    def test_a_sign_in_of_long_ago_is_not_enough(self, world: CitizenWorld, owner: Browser) -> None:
        page = ask_to_add(owner)
        form = form_of(page, NEW)
        assert isinstance(world.clock, MovableClock)
        world.clock.move(301)
        answer = Authenticator(ISSUER).create(options_of(page))
        led = owner.post(form.action, {**form.fields, "answer": answer})
        assert led.headers["Location"] == "/citizen/sign-in?next=passkeys&lang=vi&again=1"
        assert world.count("citizen_passkeys") == 0

    @pytest.mark.parametrize(
        "changes",
        [
            {"origin": "https://broker.example.evil.example"},
            {"origin": "http://broker.example"},
            {"type": "webauthn.get"},
            {"challenge": encode(b"x" * 64)},
        ],
    )
    def test_what_was_made_elsewhere_is_not_kept(
        self, world: CitizenWorld, owner: Browser, changes: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "broker.identity"):
            answer = add(owner, Authenticator(ISSUER), **changes)
        assert (answer.status_code, WORDS["passkey_not_kept"][0] in answer.text) == (403, True)
        assert world.count("citizen_passkeys") == 0
        assert len(caplog.messages) == 1
        assert not any(value in caplog.text for value in changes.values())

    def test_without_a_finger_or_pin_none_is_kept(self, world: CitizenWorld, owner: Browser) -> None:
        authenticator = Authenticator(ISSUER)
        authenticator.flags = USER_PRESENT
        assert add(owner, authenticator).status_code == 403
        assert world.count("citizen_passkeys") == 0

    def test_an_answer_is_good_once(self, world: CitizenWorld, owner: Browser) -> None:
        page = ask_to_add(owner)
        form, options = form_of(page, NEW), options_of(page)
        first, second = Authenticator(ISSUER, b"first"), Authenticator(ISSUER, b"second")
        answers = [one.create(options) for one in (first, second)]
        came = [owner.post(form.action, {**form.fields, "answer": one}).status_code for one in answers]
        assert (came, world.count("citizen_passkeys")) == ([303, 403], 1)

    def test_nobody_finishes_what_another_began(self, world: CitizenWorld, owner: Browser) -> None:
        other = world.browser()
        sign_in(other, world.citizen(with_codes=True))
        answer = Authenticator(ISSUER).create(options_of(ask_to_add(owner)))
        form = form_of(ask_to_add(other), NEW)
        assert other.post(form.action, {**form.fields, "answer": answer}).status_code == 403

    def test_one_credential_belongs_to_one_person(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        other = world.browser()
        sign_in(other, world.citizen(with_codes=True))
        assert add(other, Authenticator(ISSUER, authenticator.credential_id)).status_code == 403
        assert world.count("citizen_passkeys") == 1

    def test_there_are_at_most_ten(self, world: CitizenWorld, owner: Browser) -> None:
        for number in range(PASSKEYS_MAX + 1):
            add(owner, Authenticator(ISSUER, f"credential-{number}".encode()))
        assert world.count("citizen_passkeys") == PASSKEYS_MAX

    @pytest.mark.parametrize(
        "answer",
        ["x", "{}", "[]", '{"response": []}', '{"response": {"clientDataJSON": "e30"}}', "x" * 20_000],
    )
    def test_malformed_answers_are_refused(self, owner: Browser, answer: str) -> None:
        form = form_of(ask_to_add(owner), NEW)
        assert owner.post(form.action, {**form.fields, "answer": answer}).status_code == 403

    def test_a_name_is_needed_and_one_line(self, owner: Browser) -> None:
        assert ask_to_add(owner, " \n ").status_code == 422
        assert label_of("  my\n\u202ephone  " + "x" * 100) == "my phone " + "x" * 31


class TestEntering:
    def test_a_sign_in_gives_back_that_it_was_asked_for_and_answered_and_no_other_attempt(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        before = attempts(world)
        for _ in range(3):
            assert enter(world.browser(), world, authenticator).status_code == 303
        assert attempts(world) == before
        ask_to_enter(world.browser(), world)
        assert attempts(world) == before + 1, "who asked and never answered has tried"
        assert enter(world.browser(), world, Authenticator(ISSUER)).status_code == 403
        assert attempts(world) == before + 3, "asked for and answered wrongly"
        assert enter(world.browser(), world, authenticator).status_code == 303
        assert attempts(world) == before + 3

    def test_it_opens_a_session_of_level_2_at_the_request(
        self, world: CitizenWorld, citizen: Citizen, authenticator: Authenticator
    ) -> None:
        browser = world.browser()
        answer = enter(browser, world, authenticator)
        assert answer.headers["Location"].startswith("/citizen/requests/")
        session = world.sign_in.find_session(browser.cookie(), world.clock())
        assert session is not None
        assert (session.citizen_id, session.level) == (citizen.citizen_id, 2)
        assert WORDS["passkey_used"][0].split("{", maxsplit=1)[0] in browser.get(PASSKEYS).text

    @pytest.mark.parametrize(
        "changes",
        [
            {"origin": "https://evil.example"},
            {"type": "webauthn.create"},
            {"challenge": encode(b"x" * 64)},
        ],
    )
    def test_what_was_signed_elsewhere_opens_nothing(
        self, world: CitizenWorld, authenticator: Authenticator, changes: dict[str, str]
    ) -> None:
        browser = world.browser()
        answer = enter(browser, world, authenticator, **changes)
        assert (answer.status_code, browser.cookie()) == (403, "")
        assert WORDS["passkey_refused"][0] in answer.text

    def test_without_a_finger_or_pin_nobody_gets_in(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        authenticator.flags = USER_PRESENT
        assert enter(world.browser(), world, authenticator).status_code == 403

    def test_another_key_does_not_fit(self, world: CitizenWorld, authenticator: Authenticator) -> None:
        other = Authenticator(ISSUER, authenticator.credential_id)
        other.user_handle = authenticator.user_handle
        assert enter(world.browser(), world, other).status_code == 403

    def test_a_handle_of_somebody_else_does_not_fit(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        authenticator.user_handle = b"somebody else..."
        assert enter(world.browser(), world, authenticator).status_code == 403

    def test_a_count_that_does_not_grow_is_refused(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        authenticator.sign_count = 5
        assert enter(world.browser(), world, authenticator).status_code == 303
        for count in (5, 4, 0):
            authenticator.sign_count = max(count - 1, 0)
            assert enter(world.browser(), world, authenticator).status_code == 403, count
        authenticator.sign_count = 6
        assert enter(world.browser(), world, authenticator).status_code == 303

    def test_of_two_copies_with_one_count_one_gets_in(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        browsers = [world.browser(), world.browser()]
        pages = [ask_to_enter(browser, world) for browser in browsers]
        answers = []
        for page in pages:
            authenticator.sign_count = 7
            answers.append(authenticator.get(options_of(page)))
        forms = [form_of(page, "/citizen/sign-in/passkey") for page in pages]

        def come(number: int) -> int:
            data = {**forms[number].fields, "answer": answers[number]}
            return browsers[number].post(forms[number].action, data).status_code

        assert sorted(at_once(come, range(2))) == [303, 403]

    def test_an_answer_is_good_once_and_in_the_browser_that_asked(
        self, world: CitizenWorld, authenticator: Authenticator
    ) -> None:
        browser, other = world.browser(), world.browser()
        page = ask_to_enter(browser, world)
        form = form_of(page, "/citizen/sign-in/passkey")
        data = {**form.fields, "answer": authenticator.get(options_of(page))}
        theirs = form_of(ask_to_enter(other, world), "/citizen/sign-in/passkey")
        stolen = {**theirs.fields, "answer": data["answer"]}
        assert other.post(theirs.action, stolen).status_code == 403
        assert browser.post(form.action, data).status_code == 303
        assert browser.post(form.action, data).status_code == 403

    def test_a_closed_account_is_not_entered(
        self, world: CitizenWorld, citizen: Citizen, authenticator: Authenticator
    ) -> None:
        world.store.suspend_citizen(world.references.citizen_ref(citizen.personal_id))
        assert enter(world.browser(), world, authenticator).status_code == 403

    def test_a_renewed_account_has_no_passkeys_left(
        self, world: CitizenWorld, citizen: Citizen, authenticator: Authenticator
    ) -> None:
        reference = world.references.citizen_ref(citizen.personal_id)
        world.store.renew_citizen(reference, world.passwords.hash(PASSWORD), None)
        assert enter(world.browser(), world, authenticator).status_code == 403
        assert world.count("citizen_passkeys") == 0


class TestLookingAfter:
    def change(self, browser: Browser, what: str, **changes: str) -> TestResponse:
        form = form_of(browser.get(PASSKEYS), PASSKEYS)
        return browser.post(form.action, {**form.fields, "do": what, **changes})

    @pytest.mark.usefixtures("authenticator")
    def test_it_gets_another_name(self, owner: Browser) -> None:
        assert self.change(owner, "rename", label="Máy <tính>").status_code == 303
        assert ">Máy &lt;tính&gt;</h2>" in owner.get(PASSKEYS).text
        assert self.change(owner, "rename", label=" ").status_code == 422

    def test_one_that_is_removed_enters_no_more(
        self, world: CitizenWorld, owner: Browser, authenticator: Authenticator
    ) -> None:
        assert self.change(owner, "remove").status_code == 303
        assert WORDS["passkeys_none"][0] in owner.get(PASSKEYS).text
        assert enter(world.browser(), world, authenticator).status_code == 403

    @pytest.mark.parametrize("what", ["rename", "remove"])
    def test_nobody_changes_the_passkeys_of_others(
        self, world: CitizenWorld, owner: Browser, authenticator: Authenticator, what: str
    ) -> None:
        other = world.browser()
        sign_in(other, world.citizen(with_codes=True))
        add(other, Authenticator(ISSUER, b"another"))
        handle = encode(authenticator.credential_id)
        assert self.change(other, what, passkey=handle, label="mine").status_code == 303
        assert ">Điện thoại</h2>" in owner.get(PASSKEYS).text

    @pytest.mark.usefixtures("authenticator")
    def test_only_the_pages_own_form_and_a_fresh_sign_in_change_anything(
        self, world: CitizenWorld, owner: Browser
    ) -> None:
        form = form_of(owner.get(PASSKEYS), PASSKEYS)
        assert owner.post(form.action, {**form.fields, "do": "remove", "token": "x"}).status_code == 403
        assert isinstance(world.clock, MovableClock)
        world.clock.move(301)
        assert owner.post(form.action, {**form.fields, "do": "remove"}).status_code == 303
        assert world.count("citizen_passkeys") == 1


class TestWhereScriptsRun:
    def test_only_the_page_that_asks_the_authenticator_has_one(
        self, world: CitizenWorld, owner: Browser
    ) -> None:
        asking = ask_to_add(owner)
        assert "; script-src 'self'" in asking.headers["Content-Security-Policy"]
        assert asking.text.count("<script") == 1
        for page in (owner.get(PASSKEYS), world.browser().get("/citizen/sign-in")):
            assert "script-src" not in page.headers["Content-Security-Policy"]
            assert "<script" not in page.text

    def test_the_script_may_be_kept_and_is_of_one_origin(self, owner: Browser) -> None:
        found = re.search(r'<script src="([^"]*)" defer>', ask_to_add(owner).text)
        assert found is not None
        answer = owner.get(unescape(found[1]))
        assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "https://" not in answer.text

    def test_where_the_host_is_an_address_there_are_none(self, database: Database) -> None:
        world = CitizenWorld(database, "http://127.0.0.1:8000")
        assert "/citizen/sign-in/passkey" not in world.browser().get("/citizen/sign-in").text
