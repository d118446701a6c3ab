"""My page and help: what waits, where everything is, and plain words for whoever asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from broker.actions.people import SourcePeople
from broker.errors import StoreUnavailable
from broker.storage.citizens import PostgresCitizens
from consent_ui.home import HELP_TOPICS
from consent_ui.words import WORDS
from tests.citizen_world import Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.pages import PagesBrowser, PagesWorld, pages_world
from tests.own_pages_world import Text
from tests.release_world import World

ISSUER: Final = "https://home.example"
HOME: Final = "/citizen/"
HELP: Final = "/citizen/help"
PLACES: Final = (
    "/citizen/consents",
    "/citizen/history",
    "/citizen/record",
    "/citizen/receipts",
    "/citizen/complaints",
    "/citizen/representation",
    "/citizen/sessions",
    "/citizen/passkeys",
    HELP,
)


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[PagesWorld]:
    with pages_world(world, insurance, ISSUER) as made:
        yield made


def main_of(browser: PagesBrowser, path: str) -> str:
    page = browser.get(path)
    assert page.status_code == 200, page.text
    return page.text.split("<main")[1].split("</main>")[0]


def test_a_sign_in_that_was_asked_for_nothing_leads_to_my_page(pages: PagesWorld) -> None:
    page = pages.browser().sign_in(pages.citizen(), "/citizen/sign-in")
    assert page.request.path == HOME
    assert "Không có yêu cầu nào đang chờ bạn quyết định." in page.text
    linked = re.findall(r'href="([^"?]+)', page.text.split("<main")[1].split("</main>")[0])
    assert linked == list(PLACES)


def test_my_page_counts_what_waits_and_leads_there(pages: PagesWorld) -> None:
    citizen, browser = pages.citizen(), pages.browser()
    browser.sign_in(citizen, HOME)
    for count in (1, 2):
        assert pages.bank().ask(citizen.personal_id).status == 201
        told = f"Requests that wait for your decision: {count}"
        assert f'<a href="/citizen/consents?lang=en" class="govuk-link">{told}</a>' in main_of(
            browser, f"{HOME}?lang=en"
        )
    page = browser.get("/citizen/consents")
    path = re.findall(r'href="(/citizen/consents/[0-9a-f-]+)', page.text)[0]
    form = next(one for one in Forms(browser.get(path).text).forms if one.action == path)
    assert browser.post(path, {**form.fields, "choice": "refuse"}).status_code == 303
    assert "Requests that wait for your decision: 1" in main_of(browser, f"{HOME}?lang=en")


def test_while_the_source_is_away_my_page_says_that_more_may_wait(
    pages: PagesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    citizen, browser = pages.citizen(), pages.browser()
    browser.sign_in(citizen, HOME)
    assert pages.bank().ask(citizen.personal_id).status == 201
    assert "Requests that wait for your decision: 1" in main_of(browser, f"{HOME}?lang=en")
    assert pages.bank().ask(citizen.personal_id).status == 201

    def away(*_given: object) -> None:
        raise StoreUnavailable("the source is away")

    monkeypatch.setattr(SourcePeople, "signing", away)
    shown = main_of(browser, f"{HOME}?lang=en")
    assert "Requests that wait for your decision: 1" in shown
    assert "new requests do not show yet" in shown


def test_my_page_without_its_slash_is_the_same_page_and_no_redirect_by_host(pages: PagesWorld) -> None:
    browser = pages.browser()
    browser.sign_in(pages.citizen(), HOME)
    assert browser.get("/citizen").status_code == 200
    anonymous = pages.browser().get("/citizen", Host="evil.example")
    assert (anonymous.status_code, anonymous.headers["Location"]) == (
        303,
        "/citizen/sign-in?next=home&lang=vi",
    )


@pytest.mark.parametrize("language", ["vi", "en"])
def test_help_answers_whoever_asks(pages: PagesWorld, language: str) -> None:
    path, browser = f"{HELP}?lang={language}", pages.browser()
    page = browser.get(path)
    assert (page.status_code, page.headers.getlist("Set-Cookie")) == (200, [])
    words = Text(page.text).words
    for name in HELP_TOPICS:
        for key in (f"help_{name}", f"told_of_{name}"):
            assert WORDS[key][language == "en"] in words
        assert f'href="#{name}"' in page.text
        assert f'id="{name}"' in page.text
    assert "<nav" not in page.text
    assert f'href="/citizen/sign-in?lang={language}"' in page.text
    browser.sign_in(pages.citizen(), HOME)
    own = browser.get(path).text
    assert f'<a href="/citizen/help?lang={language}" aria-current="page"' in own
    assert "/citizen/sign-in" not in own


@pytest.mark.parametrize(
    "path", ["/citizen/sign-in", "/citizen/requests/unknown", "/receipts/check", "/citizen/"]
)
def test_every_page_leads_to_help(pages: PagesWorld, path: str) -> None:
    browser = pages.browser()
    page = browser.follow(browser.get(path))
    footer = page.text.split("<footer")[1]
    assert f'href="{HELP}?lang=vi"' in footer


@pytest.mark.parametrize("name", ["sessions", "passkeys"])
def test_sign_ins_and_passkeys_have_the_navigation_and_the_way_out(pages: PagesWorld, name: str) -> None:
    browser = pages.browser()
    browser.sign_in(pages.citizen(), HOME)
    page = browser.get(f"/citizen/{name}?lang=en")
    assert f'<a href="/citizen/{name}?lang=en" aria-current="page"' in page.text
    assert f'href="{HOME}?lang=en"' in page.text.split("<nav")[1].split("</nav>")[0]
    form = next(one for one in Forms(page.text).forms if one.action == "/citizen/sign-out")
    out = browser.post(form.action, form.fields)
    assert (out.status_code, "You are signed out" in Text(out.text).words) == (200, True)
    assert browser.get(f"/citizen/{name}").status_code == 303


def test_help_is_there_while_the_store_is_away(pages: PagesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = pages.browser()
    browser.sign_in(pages.citizen(), HOME)

    def away(*_given: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(PostgresCitizens, "find_session", away)
    assert browser.get(HOME).status_code == 503
    page = browser.get(f"{HELP}?lang=en")
    assert (page.status_code, "How do I change my mind?" in page.text, "<nav" in page.text) == (
        200,
        True,
        False,
    )
