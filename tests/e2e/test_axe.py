"""Accessibility as a machine can see it: axe-core over every citizen's page, in both languages and sizes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from sqlalchemy import create_engine

from broker.errors import ConsentMoved
from broker.storage.consents import PostgresConsents
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.browser import driver_of, follow, needs_browser, page_width, set_screen
from tests.e2e.crawl import in_language, reachable_pages
from tests.e2e.pages import PagesBrowser, PagesWorld, pages_world
from tests.oauth_flow import INCOME
from tests.release_world import World
from tests.serving import serving
from tests.spec.test_idor_matrix import of_kind
from tests.spec.test_representation import Household

AXE = Path(__file__).parents[1] / "data" / "axe-core"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
SIZES = {"phone": (360, 740), "desktop": (1280, 900)}
NAMING = {
    *("citizen.consent", "citizen.withdrawal", "citizen.change", "citizen.extension"),
    "citizen.complaint_form",
}
"""Pages that name something of one's own."""
RUN = """
const [rules, done] = arguments;
axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']}).then(
  found => done({violations: found.violations.map(one => [one.id, one.nodes.map(node => node.html)]),
                 passes: found.passes.length}),
  fault => done({fault: String(fault)}));
"""

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[PagesWorld]:
    with serving() as place, pages_world(world, insurance, place.url) as made:
        place.put(made.app)
        yield made


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=True) as driver:
        driver.set_script_timeout(300)
        # The pages allow no script but their own; this browser of the tests is told to run one all the same.
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        yield driver


@pytest.fixture(scope="module")
def visited(pages: PagesWorld) -> PagesBrowser:
    return after_much(pages)


def after_much(pages: PagesWorld) -> PagesBrowser:
    """Return a browser whose citizen has given, has been read, is asked again, and has receipts.

    What was given through the inbox can be extended.
    """
    citizen, browser = pages.citizen(), pages.browser()
    bank, other = pages.bank(), pages.bank()
    page = browser.sign_in(citizen, bank.push())
    location = browser.decide(page, ["salary_base", "contribution_from"]).headers["Location"]
    token = bank.redeem(re.findall("code=([^&]+)", location)[0]).json()["access_token"]
    assert bank.read(token).status == 200
    assert pages.bank().ask(citizen.personal_id).status == 201
    waiting = browser.get("/citizen/consents").text.split('aria-labelledby="s-waiting"')[1]
    [address] = re.findall(r'<li>.*?href="([^"]+)"', waiting.split("</section>")[0], re.DOTALL)
    assert browser.decide(browser.get(address)).status_code == 303
    asked = other.ask(citizen.personal_id, {"vi": "Hồ sơ vay số 1", "en": "Loan 1"})
    assert asked.status == 201, asked.body
    return browser


def violations(driver: Chrome) -> list[str]:
    """Return what axe finds on the page that is open, rule and element; it must have looked at something."""
    driver.execute_script((AXE / "axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, Any] = driver.execute_async_script(RUN, RULES)
    assert "fault" not in found, found
    assert found["passes"] > 5
    return [f"{rule}: {html}" for rule, elements in found["violations"] for html in elements]


def in_every_size(driver: Chrome, what: str) -> list[str]:
    """Return the violations of the page that is open, on a phone and on a desk; none may scroll sideways."""
    faults = []
    for size, (width, height) in SIZES.items():
        set_screen(driver, width, height, is_mobile=size == "phone")
        faults += [f"{what}, {size}: {one}" for one in violations(driver)]
        faults += [f"{what}, {size}: wider than the screen"] if page_width(driver) > width else []
    return faults


def lend_cookies(driver: Chrome, browser: PagesBrowser) -> None:
    """Let the real browser be signed in as the other one is."""
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    host = urlsplit(browser.world.issuer).hostname or ""
    cookie = browser.http.get_cookie("broker-citizen", host)
    assert cookie is not None
    given = {"name": cookie.key, "value": cookie.value, "domain": host, "path": "/", "httpOnly": True}
    driver.execute_cdp_cmd("Network.setCookie", given)


def status_of(driver: Chrome) -> int:
    """Return the status with which the page that is open came."""
    return int(driver.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus"))


def test_the_rules_are_those_that_were_published() -> None:
    told = re.findall("[0-9a-f]{64}", (AXE / "README.md").read_text(encoding="utf-8"))
    assert told == [hashlib.sha256((AXE / "axe.min.js").read_bytes()).hexdigest()]


def test_axe_finds_what_is_wrong(driver: Chrome) -> None:
    driver.get("data:text/html,<html><title>a</title><img src='x'><input><p>b</p><h1>c</h1><a href='#'>d</a>")
    found = {one.partition(":")[0] for one in violations_of_little(driver)}
    assert {"html-has-lang", "image-alt", "label"} <= found


def violations_of_little(driver: Chrome) -> list[str]:
    driver.execute_script((AXE / "axe.min.js").read_text(encoding="utf-8"))
    return [f"{rule}:" for rule, _ in driver.execute_async_script(RUN, RULES)["violations"]]


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_page_of_ones_own_is_without_fault(
    visited: PagesBrowser, driver: Chrome, language: str
) -> None:
    lend_cookies(driver, visited)
    reached = reachable_pages(visited)
    assert {*of_kind("page"), *NAMING} <= set(reached)
    faults = []
    for endpoint, path in reached.items():
        driver.get(visited.world.issuer + in_language(path, language))
        assert status_of(driver) == 200, endpoint
        assert driver.find_element("tag name", "html").get_attribute("lang") == language, endpoint
        faults += in_every_size(driver, endpoint)
    assert faults == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_asking_signing_in_deciding_and_what_goes_wrong_are_without_fault(
    pages: PagesWorld, driver: Chrome, language: str
) -> None:
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    citizen, address = pages.citizen(), pages.bank().push(ui_locales=language)
    driver.get(address)
    faults = in_every_size(driver, "sign-in")
    driver.find_element("id", "personal_id").send_keys("1")
    follow(driver, driver.find_element("css selector", "main button[type=submit]"))
    assert driver.find_elements("css selector", "[role=alert]") != []
    faults += in_every_size(driver, "sign-in with what is missing")
    browser = pages.browser()
    page = browser.sign_in(citizen, address)
    lend_cookies(driver, browser)
    driver.get(pages.issuer + page.request.path + f"?lang={language}")
    faults += in_every_size(driver, "decision")
    follow(driver, driver.find_element("css selector", "button[value=show]"))
    assert driver.find_elements("css selector", "p.value strong") != []
    faults += in_every_size(driver, "decision with the values")
    follow(driver, driver.find_element("css selector", "button[value=give]"))
    assert driver.find_elements("css selector", "[role=alert]") != []
    faults += in_every_size(driver, "decision with what is missing")
    for unknown in (
        "/citizen/requests/unknown",
        "/citizen/receipts/00000000-0000-7000-8000-000000000000.pdf",
    ):
        driver.get(f"{pages.issuer}{unknown}?lang={language}")
        faults += in_every_size(driver, unknown)
    assert faults == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_what_is_told_before_deciding_is_without_fault(
    pages: PagesWorld, driver: Chrome, language: str
) -> None:
    bank, weak, strong = pages.bank(), pages.citizen(with_codes=False), pages.citizen()
    browser = pages.browser()
    page = browser.sign_in(weak, bank.push(ui_locales=language))
    lend_cookies(driver, browser)
    driver.get(pages.issuer + page.request.path + f"?lang={language}")
    assert driver.find_elements("css selector", "button[value=show]") == []
    faults = in_every_size(driver, "decision for who has a password alone")
    assert bank.ask(strong.personal_id, {"vi": "Hồ sơ vay số 2", "en": "Loan 2"}).status == 201
    browser = pages.browser()
    browser.sign_in(strong, "/citizen/consents")
    lend_cookies(driver, browser)
    driver.get(f"{pages.issuer}/citizen/consents?lang={language}")
    follow(driver, driver.find_element("css selector", "main section a[href*='/citizen/consents/']"))
    faults += in_every_size(driver, "request in the inbox")
    follow(driver, driver.find_element("css selector", "button[value=show]"))
    assert driver.find_elements("css selector", "p.value strong") != []
    faults += in_every_size(driver, "request in the inbox with the values")
    assert faults == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_giving_of_a_shorter_time_and_changing_it_are_without_fault(
    pages: PagesWorld, driver: Chrome, language: str
) -> None:
    bank, citizen, today = pages.bank(), pages.citizen(), datetime.now(UTC).date()
    item = {name: value for name, value in INCOME.items() if name != "type"}
    item |= {"data_range": {"first_day": f"{today - timedelta(days=90)}", "last_day": f"{today}"}}
    assert bank.ask(citizen.personal_id, items=[item]).status == 201
    browser = pages.browser()
    browser.sign_in(citizen, "/citizen/consents")
    lend_cookies(driver, browser)
    driver.get(f"{pages.issuer}/citizen/consents?lang={language}")
    follow(driver, driver.find_element("css selector", "main section a[href*='/citizen/consents/']"))
    assert len(driver.find_elements("css selector", "main input[type=date]")) == 2
    faults = in_every_size(driver, "request for a time, of which a shorter one can be chosen")
    for box in driver.find_elements("css selector", "main input[type=checkbox]"):
        box.click()
    follow(driver, driver.find_element("css selector", "button[value=give]"))
    follow(driver, driver.find_element("css selector", "main a[href*='/change']"))
    assert len(driver.find_elements("css selector", "main input[type=date]")) == 2
    faults += in_every_size(driver, "change")
    follow(driver, driver.find_element("css selector", "main button[type=submit]"))
    assert driver.find_elements("css selector", "[role=alert]") != []
    faults += in_every_size(driver, "change of nothing")
    assert faults == []


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_childs_pages_are_without_fault(
    pages: PagesWorld, insurance: InsuranceDatabase, driver: Chrome, language: str
) -> None:
    engine = create_engine(insurance.owner_url)
    household = Household(engine)
    try:
        mother = household.add(35, role="head")
        child = household.add(5, parent=mother)
        for _ in range(2):
            assert pages.bank().ask(child.personal_id).status == 201
        browser = pages.browser()
        browser.sign_in(pages.citizen(mother.personal_id))
        lend_cookies(driver, browser)
        driver.get(f"{pages.issuer}/citizen/representation?lang={language}")
        follow(driver, driver.find_element("css selector", "main section li a"))
        for box in driver.find_elements("css selector", "main input[type=checkbox]"):
            box.click()
        follow(driver, driver.find_element("css selector", "button[value=give]"))
        reached, faults = reachable_pages(browser), []
        for endpoint in (
            *("representation", "child_request", "child_consent", "child_withdrawal"),
            "child_extension",
        ):
            address = reached[f"citizen.{endpoint}"].partition("?")[0]
            driver.get(f"{pages.issuer}{address}?lang={language}")
            assert driver.find_element("tag name", "html").get_attribute("lang") == language, endpoint
            faults += in_every_size(driver, endpoint)
        driver.get(f"{pages.issuer}{reached['citizen.child_request'].partition('?')[0]}?lang={language}")
        follow(driver, driver.find_element("css selector", "button[value=show]"))
        assert driver.find_elements("css selector", "p.value strong") != []
        faults += in_every_size(driver, "child_request with the values")
    finally:
        household.clear()
        engine.dispose()
    assert faults == []


class Watched:
    """A real browser in which a citizen is signed in: opens, presses, and has every answer looked at."""

    def __init__(self, driver: Chrome, browser: PagesBrowser, language: str) -> None:
        lend_cookies(driver, browser)
        self.driver, self.browser, self.language = driver, browser, language
        self.faults: list[str] = []

    def open(self, path: str) -> None:
        self.driver.get(self.browser.world.issuer + in_language(path, self.language))

    def press(self, selector: str, what: str, *, status: int, shows: str) -> None:
        """Press a button; what comes has this status and an element of this kind, and axe finds nothing."""
        follow(self.driver, self.driver.find_element("css selector", selector))
        self.look(what, status=status, shows=shows)

    def look(self, what: str, *, status: int, shows: str) -> None:
        assert status_of(self.driver) == status, what
        assert self.driver.find_elements("css selector", shows) != [], what
        assert self.driver.find_element("tag name", "html").get_attribute("lang") == self.language, what
        self.faults += in_every_size(self.driver, what)

    def type(self, selector: str, text: str) -> None:
        self.driver.find_element("css selector", selector).click()
        self.driver.execute_cdp_cmd("Input.insertText", {"text": text})


@pytest.mark.parametrize("language", ["vi", "en"])
def test_what_comes_after_a_form_is_without_fault(
    pages: PagesWorld, driver: Chrome, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = after_much(pages)
    reached, seen = reachable_pages(browser), Watched(driver, browser, language)
    send = "main button[type=submit]"
    seen.open("/citizen/record")
    seen.press(send, "record with the values", status=200, shows="main section dl dd")
    seen.open(reached["citizen.complaint_form"])
    seen.type("textarea", "   ")
    seen.press(send, "complaint with what is missing", status=422, shows="[role=alert]")
    seen.type("textarea", "Tôi không cho phép việc này.")
    seen.press(send, "complaint that was filed", status=200, shows="main section")
    seen.open(reached["citizen.extension"])
    seen.press(send, "extension with what is missing", status=422, shows="[role=alert]")
    [receipt] = re.findall(r'href="([^"]+\.jws[^"]*)"', browser.get("/citizen/receipts").text)[:1]
    genuine = browser.get(receipt).text
    for shown, what in (
        (genuine, "receipt that is genuine"),
        (genuine[:-6] + "AAAAAA", "and one that is not"),
    ):
        seen.open("/receipts/check")
        seen.type("textarea", shown)
        seen.press(send, what, status=200, shows="main .note, main [role=status], main [role=alert]")

    def moves(*_given: object, **_named: object) -> None:
        raise ConsentMoved("another was faster")

    seen.open("/citizen/consents")
    with monkeypatch.context() as patch:
        patch.setattr(PostgresConsents, "write", moves)
        seen.press("button[value=pause_all]", "what is not paused", status=409, shows="[role=alert]")
    seen.open("/citizen/sessions")
    seen.press("button[value=all]", "signed out everywhere", status=200, shows="main")
    driver.get(f"{pages.issuer}/oauth/authorize?client_id=nobody&request_uri=urn:x&lang={language}")
    seen.faults += in_every_size(driver, "request of nobody")
    assert seen.faults == []
