"""What people do, from the first page to the last, in a real browser without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from sqlalchemy import create_engine, text

from consent_ui.words import WORDS
from tests.citizen_world import Citizen
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.doors import wait_until
from tests.e2e.browser import driver_of, follow, needs_browser, page_width, set_screen, shows, the_client
from tests.e2e.crawl import reachable_pages
from tests.e2e.pages import PagesBank, PagesBrowser, PagesWorld, pages_world
from tests.oauth_flow import INCOME
from tests.own_pages_world import open_session
from tests.release_world import World
from tests.serving import serving
from tests.spec.test_idor_matrix import of_kind
from tests.spec.test_representation import Household

SCREENSHOTS = Path(__file__).parents[2] / ".artifacts" / "screenshots"
SIZES = {"phone": (360, 740), "desktop": (1280, 900)}
Language = Literal["vi", "en"]

pytestmark = [pytest.mark.slow, needs_browser]


@dataclass
class Person:
    """Somebody in front of a browser, with a language and a screen. taken: pictures so far."""

    pages: PagesWorld
    driver: Chrome
    citizen: Citizen
    language: Language
    size: str
    journey: str
    taken: int = 0

    def says(self, key: str, **values: Any) -> str:
        return WORDS[key][0 if self.language == "vi" else 1].format(**values)

    def open(self, address: str) -> None:
        """Open an address of the broker, in one's own language."""
        address = address if address.startswith("http") else self.pages.issuer + address
        if urlsplit(address).path.startswith(("/citizen", "/receipts")):
            address += ("&" if "?" in address else "?") + f"lang={self.language}"
        self.driver.get(address)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self) -> str:
        return self.find("body").text

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, element: WebElement) -> None:
        """Click, and wait until the page is another one."""
        follow(self.driver, element)

    def button(self, selector: str) -> None:
        self.click(self.find(selector))

    def sign_in(self) -> None:
        self.picture("sign-in")
        self.find("#personal_id").send_keys(self.citizen.personal_id)
        self.find("#password").send_keys(self.citizen.password)
        self.find("#one_time_code").send_keys(pyotp.TOTP(self.citizen.totp_secret).now())
        self.button("main form:has(#password) button[type=submit]")

    def tick(self, *names: str) -> None:
        for box in self.all("input[type=checkbox]"):
            if (box.get_attribute("value") or "").split(".")[-1] in names:
                box.click()

    def ticked(self) -> set[str]:
        """Return the values of the boxes that are ticked."""
        boxes = self.all("input[type=checkbox]")
        return {str(box.get_attribute("value")) for box in boxes if box.is_selected()}

    def choose(self, name: str, value: str) -> None:
        """Choose one of a list."""
        Select(self.find(f"#{name}")).select_by_value(value)

    def lent_browser(self) -> PagesBrowser:
        """Return a browser of the tests that is signed in as this one is."""
        browser, cookie = self.pages.browser(), self.driver.get_cookie("broker-citizen")
        assert cookie is not None
        browser.http.set_cookie("broker-citizen", cookie["value"], domain="127.0.0.1")
        return browser

    def fetch(self, address: str) -> str:
        """Return a file, as the browser would save it."""
        answer = self.lent_browser().get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    def press_until(self, is_there: Callable[[WebElement], bool]) -> None:
        """Press Tab until the focus is where it should be."""
        for _ in range(60):
            if is_there(self.driver.switch_to.active_element):
                return
            self.press(Keys.TAB)
        raise AssertionError("the keyboard does not lead there")

    def history_counts(self) -> tuple[int, int]:
        """Return how many releases and how many refused attempts the history shows."""
        self.open("/citizen/history")
        results = [one.text for one in self.all("section.entry > p strong")]
        words = [self.says(f"history_result_{result}") for result in ("released", "refused")]
        assert set(results) <= set(words), results
        return results.count(words[0]), results.count(words[1])

    def is_at_the_client(self) -> dict[str, str]:
        """Return what the client was told, once the browser is back there."""
        wait_until(lambda: self.driver.title == "back at the bank", "the browser is back at the client")
        query = parse_qs(urlsplit(self.driver.current_url).query)
        return {name: values[0] for name, values in query.items()}

    def picture(self, name: str) -> None:
        """Keep a picture of the page, which must not be wider than the screen."""
        self.taken += 1
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = f"{self.journey}-{self.language}-{self.size}-{self.taken:02d}-{name}.png"
        self.driver.save_screenshot(str(SCREENSHOTS / file))
        assert page_width(self.driver) <= SIZES[self.size][0], f"{name} is wider than the screen"
        assert self.find("html").get_attribute("lang") == self.language, name


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[PagesWorld]:
    with serving() as place, pages_world(world, insurance, place.url) as made:
        place.put(made.app)
        yield made


@pytest.fixture(scope="module")
def client_address() -> Iterator[str]:
    """The address of the bank, to which browsers come back."""
    with serving(the_client) as place:
        yield f"{place.url}/callback"


@pytest.fixture
def bank(pages: PagesWorld, client_address: str) -> PagesBank:
    return pages.bank(client_address)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without scripts."""
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=False) as driver:
        yield driver


@pytest.fixture
def person(
    request: pytest.FixtureRequest, pages: PagesWorld, driver: Chrome, language: Language, size: str
) -> Person:
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    set_screen(driver, *SIZES[size], is_mobile=size == "phone")
    journey = str(request.function.__name__).removeprefix("test_")
    return Person(pages, driver, pages.citizen(), language, size, journey[:40])


def _is_within_main(element: WebElement) -> bool:
    return bool(element.find_elements(By.XPATH, "ancestor::main"))


both_languages = pytest.mark.parametrize("language", ["vi", "en"])
both_sizes = pytest.mark.parametrize("size", SIZES)
# Pages that are laid out as others are: each language and each size once, for the time that it takes.
crossed = pytest.mark.parametrize(("language", "size"), [("vi", "phone"), ("en", "desktop")])


@both_languages
@both_sizes
def test_a_bank_sends_the_browser_and_gets_a_code_for_what_was_given(person: Person, bank: PagesBank) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.picture("decision")
    assert not any(box.is_selected() for box in person.all("input[type=checkbox]"))
    person.tick("salary_base", "contribution_from")
    person.button("button[name=choice][value=give]")
    told = person.is_at_the_client()
    assert (told["iss"], told["state"]) == (person.pages.issuer, "state-1")
    answer = bank.redeem(told["code"])
    assert answer.status == 200, answer.body
    [given] = answer.json()["authorization_details"]
    assert given["fields"] == ["contribution_from", "salary_base"]
    read = bank.read(answer.json()["access_token"])
    assert read.status == 200
    rows = read.json()["groups"]["contributions"]
    assert {name for row in rows for name in row} == {"contribution_from", "salary_base"}


TERMS: Final = (
    "valid", "terms_often", "terms_range", "terms_mode", "retention", "terms_afterwards", "terms_who_else",
    "terms_harm", "legal_basis", "agreement", "withdraw",
)  # fmt: skip


def check_terms(person: Person) -> None:
    """Check that every row stands on the page, with words, and why each field is asked."""
    rows = {
        row.find_element(By.TAG_NAME, "dt").text: row.find_element(By.TAG_NAME, "dd").text
        for row in person.all("dl > div")
    }
    assert all(rows[person.says(key)].strip() for key in TERMS), rows
    boxes = person.all("div.box")
    assert boxes
    assert all(person.says("why_field", why="") in box.text for box in boxes)


@both_languages
@both_sizes
def test_all_terms_and_the_very_values_stand_there_before_anything_is_given(
    person: Person, bank: PagesBank
) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    check_terms(person)
    assert person.all("p.value") == []
    person.button("button[name=choice][value=show]")
    person.picture("values")
    check_terms(person)
    assert not any(box.is_selected() for box in person.all("input[type=checkbox]"))
    shown = person.find("[id='0.salary_base-form'] p.value strong").text.split("; ")
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    answer = bank.redeem(person.is_at_the_client()["code"])
    rows = bank.read(answer.json()["access_token"]).json()["groups"]["contributions"]
    plain = [re.sub(r"(?<=\d)[.,](?=\d{3})", "", one) for one in shown]
    assert plain == [row["salary_base"]["value"] for row in rows], "what was shown is what was read"


@both_languages
@both_sizes
def test_a_request_in_the_inbox_tells_all_terms_and_shows_the_values(person: Person, bank: PagesBank) -> None:
    item = {name: value for name, value in INCOME.items() if name != "type"}
    asked = {**item, "mode": "store", "frequency": {"use_count": 2, "per": "week"}, "valid_days": 20}
    assert bank.ask(person.citizen.personal_id, items=[asked]).status == 201
    person.open("/citizen/consents")
    person.sign_in()
    person.click(person.find("main section a[href*='/citizen/consents/']"))
    check_terms(person)
    assert person.says("terms_mode_store") in person.text()
    assert person.says("consents_per_week", count=2) in person.text()
    person.button("button[name=choice][value=show]")
    person.picture("values")
    assert len(person.all("p.value strong")) == len(INCOME["fields"])
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    assert person.says("consents_state_active") in person.text()


@both_languages
@both_sizes
def test_a_receipt_is_fetched_and_anybody_can_check_it(person: Person, bank: PagesBank) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    person.is_at_the_client()
    person.open("/citizen/receipts")
    person.picture("receipts")
    [jws] = [one.get_attribute("href") or "" for one in person.all("main a[href*='.jws']")]
    receipt = person.fetch(jws)
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", receipt)
    person.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    for shown, key in ((receipt, "receipt_genuine"), (receipt[:-6] + "AAAAAA", "receipt_not_genuine")):
        person.open("/receipts/check")
        person.find("textarea").click()
        person.driver.execute_cdp_cmd("Input.insertText", {"text": shown})
        person.button("main button[type=submit]")
        person.picture(key)
        assert person.says(key) in person.text()


@both_languages
@both_sizes
def test_what_was_read_and_what_was_refused_stand_in_the_history(person: Person, bank: PagesBank) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    tokens = bank.redeem(person.is_at_the_client()["code"]).json()
    assert bank.read(tokens["access_token"]).status == 200
    assert person.history_counts() == (1, 0)
    ended = bank.caller.request("DELETE", f"/oauth/grants/{tokens['grant_id']}")
    assert ended.status == 204
    refused = bank.read(tokens["access_token"])
    # The consent ended with its grant; a recipient is told no more than that it is over (ADR 0016).
    assert (refused.status, refused.json()["reason"]) == (403, "not_active_expired")
    assert person.history_counts() == (1, 1)
    person.picture("history")


@pytest.mark.parametrize("language", ["vi"])
@pytest.mark.parametrize("size", ["desktop"])
def test_the_keyboard_alone_leads_from_the_sign_in_to_the_own_record(person: Person) -> None:
    person.open("/citizen/record")
    person.press_until(lambda here: here.get_attribute("id") == "personal_id")
    code = pyotp.TOTP(person.citizen.totp_secret).now()
    person.press(person.citizen.personal_id, Keys.TAB, person.citizen.password)
    person.press_until(lambda here: here.get_attribute("id") == "one_time_code")
    person.press(code, Keys.ENTER)
    wait_until(lambda: person.driver.current_url.partition("?")[0].endswith("/citizen/record"), "it opened")
    person.press_until(lambda here: here.tag_name == "button" and _is_within_main(here))
    person.press(Keys.ENTER)
    wait_until(lambda: person.all("section[aria-labelledby=g-person], main section dl") != [], "it is read")
    person.picture("record")
    assert person.citizen.personal_id in person.text()


@pytest.mark.parametrize("language", ["vi"])
@pytest.mark.parametrize("size", ["desktop"])
def test_at_twice_the_size_nothing_needs_scrolling_sideways(person: Person, bank: PagesBank) -> None:
    """WCAG 2.2, 1.4.4 and 1.4.10: a screen of 1280 pixels at 200 % has room for 640."""
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    person.is_at_the_client()
    browser = person.lent_browser()
    reached = reachable_pages(browser)
    assert set(of_kind("page")) <= set(reached)
    for endpoint, path in reached.items():
        person.open(path)
        for width in (640, 320):
            set_screen(person.driver, width, 700)
            assert page_width(person.driver) <= width, f"{endpoint} at {width}"


def give_by_inbox(person: Person, bank: PagesBank) -> None:
    """Be asked through the inbox, sign in on the way to one's page, look at what waits, and give a part."""
    asked = bank.ask(person.citizen.personal_id, {"vi": "Hồ sơ vay số 1", "en": "Loan 1"})
    assert asked.status == 201, asked.body
    person.open("/citizen/")
    person.sign_in()
    person.picture("home")
    person.click(person.driver.find_element(By.LINK_TEXT, person.says("home_waiting", count=1)))
    person.picture("consents")
    person.click(person.find("section[aria-labelledby=s-waiting] li a"))
    person.picture("request")
    assert not any(box.is_selected() for box in person.all("input[type=checkbox]"))
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    assert person.says("consents_state_active") in person.find(".note").text


def take_back(person: Person) -> int:
    """Take the only consent back from the list on; return how many clicks that took."""
    person.click(person.find("section[aria-labelledby=s-active] li a[href*='/withdraw']"))
    person.picture("what-follows")
    assert person.says("withdrawal_at_once") in person.text()
    person.button("button[name=choice][value=withdraw]")
    return 2


@both_languages
@both_sizes
def test_a_request_of_the_inbox_is_decided_and_taken_back_in_two_clicks(
    person: Person, bank: PagesBank
) -> None:
    give_by_inbox(person, bank)
    person.open("/citizen/consents")
    assert take_back(person) <= 2
    person.picture("taken-back")
    assert person.says("consents_state_withdrawn") in person.find(".note").text
    assert person.says("told_consent_withdrawn") in person.find("section[aria-labelledby=told]").text
    person.open("/citizen/consents")
    assert person.all("section[aria-labelledby=s-active] li") == []


@both_languages
@both_sizes
def test_everything_is_paused_with_one_button_and_resumed_one_by_one(person: Person, bank: PagesBank) -> None:
    give_by_inbox(person, bank)
    person.open("/citizen/consents")
    person.button("button[name=choice][value=pause_all]")
    person.picture("paused")
    assert person.all("section[aria-labelledby=s-active] li") == []
    person.click(person.find("section[aria-labelledby=s-resting] li a"))
    assert person.says("consents_state_paused") in person.find(".note").text
    person.button("button[name=choice][value=resume]")
    assert person.says("consents_state_active") in person.find(".note").text


@both_languages
@both_sizes
def test_a_consent_is_extended_by_a_length_that_is_chosen(person: Person, bank: PagesBank) -> None:
    give_by_inbox(person, bank)
    person.click(person.find("main a[href*='/extend']"))
    person.picture("lengths")
    assert not any(one.is_selected() for one in person.all("input[type=radio]"))
    person.button("main button[type=submit]")
    assert person.says("extension_choose") in person.find("[role=alert]").text
    person.all("input[type=radio]")[-1].click()
    person.button("main button[type=submit]")
    person.picture("extended")
    assert person.says("consents_event_extended") in person.text()
    person.open("/citizen/consents")
    assert person.says("consents_state_superseded") in person.find("section[aria-labelledby=s-ended]").text


@both_languages
@both_sizes
def test_a_consent_for_fewer_days_is_changed_and_one_field_is_taken_away(
    person: Person, bank: PagesBank
) -> None:
    assert bank.ask(person.citizen.personal_id, {"vi": "Hồ sơ vay số 1", "en": "Loan 1"}).status == 201
    person.open("/citizen/consents")
    person.sign_in()
    person.click(person.find("section[aria-labelledby=s-waiting] li a"))
    assert person.says("consents_event_viewed") in person.text()
    assert person.find("#valid_days").get_attribute("value") == "", "as asked, unless one chooses"
    person.choose("valid_days", "7")
    person.tick("salary_base", "si_status")
    person.picture("for-fewer-days")
    person.button("button[name=choice][value=give]")
    assert person.says("days_many", days=7) in person.find("dl").text
    person.click(person.find("main a[href*='/change']"))
    person.picture("change")
    assert person.ticked() == {"salary_base", "si_status"}
    person.button("main button[type=submit]")
    assert person.says("change_nothing") in person.find("[role=alert]").text
    person.tick("salary_base")
    person.button("main button[type=submit]")
    person.picture("what-is-needed")
    assert person.says("change_required", field="").split("”")[1] in person.find("[role=alert]").text
    person.tick("salary_base", "si_status")
    person.choose("valid_days", "1")
    person.button("main button[type=submit]")
    person.picture("changed")
    assert person.says("consents_event_amended") in person.text()
    assert person.says("days_one", days=1) in person.find("dl").text
    assert person.says("told_consent_changed") not in person.text(), "that is told with the old one"
    person.open("/citizen/consents")
    assert person.says("consents_state_superseded") in person.find("section[aria-labelledby=s-ended]").text
    person.open("/citizen/receipts")
    title = {"vi": "Bạn đã thay đổi sự đồng ý", "en": "You changed your consent"}[person.language]
    assert title in person.text()


@both_languages
@both_sizes
def test_a_parent_decides_for_a_child_and_takes_it_back(
    person: Person, bank: PagesBank, insurance: InsuranceDatabase
) -> None:
    engine = create_engine(insurance.owner_url)
    household = Household(engine)
    try:
        mother = household.add(35, role="head")
        child = household.add(5, parent=mother)
        person.citizen = person.pages.citizen(mother.personal_id)
        assert bank.ask(child.personal_id).status == 201
        person.open("/citizen/representation")
        person.sign_in()
        person.picture("children")
        assert child.name in person.text()
        person.click(person.driver.find_element(By.LINK_TEXT, person.says("representation_open")))
        person.picture("request")
        person.tick("salary_base")
        person.button("button[name=choice][value=give]")
        person.picture("given")
        person.click(person.find("main a[href*='/withdraw']"))
        person.picture("what-follows")
        assert child.name in person.text()
        person.button("button[name=choice][value=withdraw]")
        person.picture("taken-back")
        assert person.says("consents_state_withdrawn") in person.find("main").text
        assert person.all("main a[href*='/withdraw']") == []
    finally:
        household.clear()
        engine.dispose()


@pytest.mark.parametrize("language", ["vi"])
@pytest.mark.parametrize("size", ["desktop"])
def test_the_keyboard_alone_takes_a_consent_back(person: Person, bank: PagesBank) -> None:
    give_by_inbox(person, bank)
    person.open("/citizen/consents")
    person.press_until(lambda here: "/withdraw" in (here.get_attribute("href") or ""))
    person.press(Keys.ENTER)
    wait_until(lambda: person.all("button[value=withdraw]") != [], "what follows is said")
    person.press_until(lambda here: here.get_attribute("value") == "withdraw")
    person.press(Keys.ENTER)
    told = person.says("consents_state_withdrawn")
    wait_until(lambda: shows(person.driver, ".note", told), "it is taken back")


@both_languages
@both_sizes
def test_help_is_there_before_anybody_signs_in(person: Person) -> None:
    person.open("/citizen/sign-in")
    person.click(person.find("footer a"))
    person.picture("help")
    assert person.says("help_end") in person.text()
    person.click(person.driver.find_element(By.LINK_TEXT, person.says("to_sign_in")))
    person.sign_in()
    assert person.says("home_nothing_waits") in person.text()


@both_languages
@both_sizes
def test_who_refuses_goes_back_to_the_bank_with_nothing_and_finds_that_in_the_list(
    person: Person, bank: PagesBank
) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.button("button[name=choice][value=refuse]")
    told = person.is_at_the_client()
    assert (told["error"], told["state"]) == ("access_denied", "state-1")
    assert "code" not in told
    person.open("/citizen/consents")
    person.picture("refused")
    assert person.says("consents_state_refused") in person.find("section[aria-labelledby=s-ended]").text


@both_languages
@both_sizes
def test_the_own_record_is_read_and_what_somebody_else_read_is_complained_about(
    person: Person, bank: PagesBank
) -> None:
    person.open(bank.push(ui_locales=person.language))
    person.sign_in()
    person.tick("salary_base")
    person.button("button[name=choice][value=give]")
    tokens = bank.redeem(person.is_at_the_client()["code"]).json()
    assert bank.read(tokens["access_token"]).status == 200
    person.open("/citizen/record")
    assert person.citizen.personal_id not in person.text()
    person.button("main button[type=submit]")
    person.picture("record")
    assert person.citizen.personal_id in person.text()
    person.open("/citizen/history")
    person.button("section.entry form[method=get] button")
    person.find("textarea").click()
    person.driver.execute_cdp_cmd("Input.insertText", {"text": "Tôi không xin vay ở ngân hàng này."})
    person.button("main button[type=submit]")
    person.picture("filed")
    person.open("/citizen/complaints")
    person.picture("complaints")
    assert "Tôi không xin vay ở ngân hàng này." in person.text()


@crossed
def test_whoever_signs_out_everywhere_is_signed_out_in_the_other_browser_too(person: Person) -> None:
    other = person.pages.browser()
    name, value = open_session(person.pages.world, person.citizen.citizen_id, issuer=person.pages.issuer)
    other.http.set_cookie(name, value, domain="127.0.0.1")
    assert other.get("/citizen/sessions").status_code == 200
    person.open("/citizen/sessions")
    person.sign_in()
    person.picture("sessions")
    assert len(person.all("button[name=session]")) >= 2
    person.button("button[name=session][value=all]")
    person.picture("signed-out")
    assert other.get("/citizen/sessions").status_code == 303
    person.open("/citizen/consents")
    assert person.all("#personal_id") != [], "here too one is asked to sign in again"


@crossed
def test_what_has_fallen_due_is_confirmed_with_one_button(person: Person, bank: PagesBank) -> None:
    give_by_inbox(person, bank)
    due_at = datetime.now(UTC)
    with person.pages.world.owner.begin() as connection:
        connection.execute(
            text(
                "UPDATE consents SET refresh_due_at = :due, record = jsonb_set(record, '{refresh_due_at}',"
                " to_jsonb(CAST(:written AS text))) WHERE citizen_id = CAST(:me AS uuid)"
            ),
            {"due": due_at, "written": due_at.isoformat(), "me": person.citizen.citizen_id},
        )
    person.open("/citizen/consents")
    due = person.find("section[aria-labelledby=s-resting]")
    assert person.says("consents_state_refresh_due") in due.text
    person.click(due.find_element(By.CSS_SELECTOR, "a:not([href*='/withdraw'])"))
    person.picture("due")
    person.button("button[name=choice][value=confirm]")
    person.picture("confirmed")
    assert person.says("consents_state_active") in person.find(".note").text
    assert person.all("button[value=confirm]") == []
