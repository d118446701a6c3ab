"""The very values on the pages on which somebody decides: in the form that leaves, asked for, recorded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from connectors.base import SourceUnavailable
from connectors.national_insurance.source import InsuranceSource
from consent_ui.form_words import released_in_words
from consent_ui.words import LANGUAGES, WORDS, Words
from tests.citizen_world import Citizen, Form, Forms, shipped_policies
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.pages import PagesBank, PagesBrowser, PagesWorld, pages_world
from tests.oauth_flow import INCOME
from tests.release_world import World

CONSENTS: Final = "/citizen/consents"
_VALUE: Final = re.compile(r'<div id="(?:f-)?([a-z0-9._]+)-form">(?:(?!</div>).)*?<strong>([^<]*)', re.DOTALL)
EVERYTHING: Final[Mapping[str, Any]] = {
    **INCOME,
    "fields": [*INCOME["fields"], "first_contribution_month", "employer_tax_code"],
}


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[PagesWorld]:
    with pages_world(world, insurance, "https://previews.example") as made:
        yield made


@pytest.fixture(scope="module")
def bank(pages: PagesWorld) -> PagesBank:
    return pages.bank()


@pytest.fixture
def citizen(pages: PagesWorld) -> Citizen:
    return pages.citizen()


@pytest.fixture
def browser(pages: PagesWorld) -> PagesBrowser:
    return pages.browser()


def buttons(page: TestResponse) -> list[str]:
    return [value for form in Forms(page.text).forms for name, value in form.buttons if name == "choice"]


def show_form(page: TestResponse) -> Form:
    return next(one for one in Forms(page.text).forms if ("choice", "show") in one.buttons)


def show(browser: PagesBrowser, page: TestResponse, **changes: str) -> TestResponse:
    form = show_form(page)
    return browser.post(form.action, {**form.fields, "choice": "show", **changes})


def values_on(page: TestResponse) -> dict[str, str]:
    """Return field → value as it stands on a page."""
    return {name.split(".")[-1]: unescape(value) for name, value in _VALUE.findall(page.text)}


def looks(world: World) -> int:
    return world.count(
        "evidence_entries", "convert_from(entry, 'UTF8')::json ->> 'action' = 'extract_own_record'"
    )


def told(answer: Mapping[str, Any], words: Words) -> dict[str, str]:
    """Return what a recipient was told, in words."""
    policies = shipped_policies()
    table = policies.tables["bank_income_proof"]
    repeating = [group for group in answer["groups"].values() if group]
    rows = [
        {name: [one["value"]] for name, one in answer["fields"].items()},
        *({name: [row[name]["value"] for row in group] for name in group[0]} for group in repeating),
    ]
    return {
        name: "; ".join(
            released_in_words(name, table.permitted[name].form.name, value, policies.catalogue, words)
            for value in values
        )
        for row in rows
        for name, values in row.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_shown_by_redirect_is_what_the_recipient_then_reads(
    browser: PagesBrowser, bank: PagesBank, citizen: Citizen, language: str
) -> None:
    page = browser.sign_in(citizen, bank.push(EVERYTHING, ui_locales=language))
    shown = show(browser, page)
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert buttons(shown) == ["refuse", "give"], "the look is had; nothing is ticked for it"
    assert not any(Forms(shown.text).forms[-1].boxes.values())
    location = browser.decide(shown).headers["Location"]
    code = parse_qs(urlsplit(location).query)["code"][0]
    answer = bank.read(bank.redeem(code).json()["access_token"])
    assert answer.status == 200, answer.body
    assert values_on(shown) == told(answer.json(), Words(language))
    assert set(values_on(shown)) == set(EVERYTHING["fields"])
    assert WORDS["preview_shown"][LANGUAGES.index(language)] in shown.text


def test_what_is_shown_in_the_inbox_is_what_would_leave_of_the_range_that_is_asked(
    browser: PagesBrowser, bank: PagesBank, citizen: Citizen
) -> None:
    item = {name: value for name, value in INCOME.items() if name != "type"}
    before = {**item, "data_range": {"last_day": "1980-01-01"}}
    for asked in (item, before):
        assert bank.ask(citizen.personal_id, items=[asked]).status == 201
        listed = browser.sign_in(citizen, CONSENTS) if asked is item else browser.get(CONSENTS)
        waiting = listed.text.split(WORDS["consents_waiting"][0])[1].split("</section>")[0]
        page = browser.get(unescape(waiting.split('href="')[1].split('"')[0]))
        assert values_on(page) == {}, "nothing is read unasked"
        shown = show(browser, page)
        assert shown.status_code == 200
        found = values_on(shown)
        assert set(found) == set(INCOME["fields"])
        nothing = {name for name, value in found.items() if value == WORDS["preview_nothing"][0]}
        rows = {"salary_base", "contribution_from", "contribution_to"}
        assert nothing == (set() if asked is item else rows)
        assert browser.decide(shown, choice="refuse").status_code == 303
        bank = browser.world.bank()


def test_it_is_recorded_as_ones_own_look_once_and_only_when_asked_for(
    world: World, browser: PagesBrowser, citizen: Citizen
) -> None:
    bank, before = browser.world.bank(), looks(world)
    recipient = "convert_from(entry, 'UTF8')::json ->> 'recipient' = :bank"
    page = browser.sign_in(citizen, bank.push(INCOME))
    assert show_form(page)
    assert looks(world) == before
    show(browser, page)
    assert looks(world) == before + 1
    assert world.count("evidence_entries", recipient, bank=bank.organisation_id) == 0
    history = browser.get("/citizen/history").text
    assert WORDS["history_yourself"][0] in history


@pytest.mark.parametrize("forged", [{"token": ""}, {"token": "x"}])
def test_a_form_that_is_not_the_pages_own_reads_nothing(
    world: World, browser: PagesBrowser, bank: PagesBank, citizen: Citizen, forged: dict[str, str]
) -> None:
    before = looks(world)
    page = browser.sign_in(citizen, bank.push(INCOME))
    answer = show(browser, page, **forged)
    assert answer.status_code == 403
    assert values_on(answer) == {}
    assert looks(world) == before


def test_asking_for_the_values_and_giving_at_once_is_neither(
    browser: PagesBrowser, bank: PagesBank, citizen: Citizen
) -> None:
    page = browser.sign_in(citizen, bank.push(INCOME))
    form = show_form(page)
    answer = browser.post(form.action, {**form.fields, "choice": ["show", "give"]})
    assert answer.status_code == 422
    assert values_on(answer) == {}


def test_a_password_alone_is_told_how_to_get_further(
    world: World, browser: PagesBrowser, bank: PagesBank, pages: PagesWorld
) -> None:
    before = looks(world)
    page = browser.sign_in(pages.citizen(with_codes=False), bank.push(INCOME))
    assert buttons(page) == ["refuse", "give"]
    assert WORDS["preview_level"][0] in page.text
    [again] = re.findall(r'<a href="([^"]*)" class="govuk-link">' + WORDS["preview_sign_in"][0], page.text)
    led = browser.get(unescape(again))
    assert (led.status_code, led.request.path) == (200, "/citizen/sign-in")
    form = Forms(page.text).forms[-1]
    pressed = browser.post(form.action, {**form.fields, "choice": "show"})
    assert (pressed.status_code, values_on(pressed)) == (200, {})
    assert looks(world) == before, "what the page does not offer it does not do either"


def test_while_the_source_is_away_the_page_stands_and_is_decided_on(
    browser: PagesBrowser, bank: PagesBank, citizen: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.sign_in(citizen, bank.push(INCOME))

    def away(*_given: object, **_named: object) -> None:
        raise SourceUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(InsuranceSource, "fetch", away)
        answer = show(browser, page)
    assert answer.status_code == 200
    assert WORDS["preview_away"][0] in answer.text
    assert values_on(answer) == {}
    assert browser.decide(answer, choice="refuse").headers["Location"].startswith(bank.redirect_uri)


def test_no_value_stands_in_a_log(
    browser: PagesBrowser, bank: PagesBank, citizen: Citizen, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        shown = show(browser, browser.sign_in(citizen, bank.push(EVERYTHING)))
    values = {part for value in values_on(shown).values() for part in value.split("; ") if len(part) > 5}
    assert values
    assert [value for value in values if value in caplog.text] == []
