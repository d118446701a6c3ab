"""A real browser signs in and decides: without scripts, by keyboard, on a phone, and back to the client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from broker.oauth.authorization_request import AuthorizationRequest
from consent_ui.words import WORDS
from tests.citizen_world import INCOME, PASSWORD, Citizen, CitizenWorld
from tests.doors import wait_until
from tests.e2e.browser import driver_of, follow, needs_browser, page_width, set_screen, the_client
from tests.oauth_world import Database
from tests.serving import serving
from tests.spec.test_decision_page import contrast

OTHER = {**INCOME, "fields": ["first_contribution_month", "employer_tax_code"], "required_fields": []}
PHONE_WIDTHS = (360, 320)  # a small phone; the width to which WCAG 2.2, 1.4.10 wants pages to flow

pytestmark = [pytest.mark.slow, needs_browser]


class Person:
    """Somebody in front of a browser."""

    def __init__(self, world: CitizenWorld, driver: Chrome) -> None:
        self.world = world
        self.driver = driver

    def open(self, request: AuthorizationRequest) -> None:
        self.driver.get(self.world.issuer + self.world.page.address(request.request_ref))

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def sign_in(self, citizen: Citizen, password: str = PASSWORD) -> None:
        self.find("#personal_id").send_keys(citizen.personal_id)
        self.find("#password").send_keys(password)
        if citizen.totp_secret:
            self.find("#one_time_code").send_keys(self.world.code(citizen))
        self.follow(self.find("main button[type=submit]"))

    def tick(self, box: str) -> None:
        self.driver.find_element(By.ID, box).click()

    def choose(self, choice: str) -> None:
        self.follow(self.find(f"button[value={choice}]"))

    def follow(self, element: WebElement) -> None:
        """Click, and wait until the page is another one."""
        follow(self.driver, element)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def answer(self) -> dict[str, str]:
        """Return what the client got, once the browser is back there."""
        wait_until(lambda: self.driver.title == "back at the bank", "the browser is back at the client")
        location = urlsplit(self.driver.current_url)
        assert self.world.redirect_uri == f"{location.scheme}://{location.netloc}{location.path}"
        return {name: values[0] for name, values in parse_qs(location.query).items()}

    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def width(self, pixels: int) -> int:
        """Make the screen so wide, and return how wide the page then is."""
        set_screen(self.driver, pixels, is_mobile=True)
        return page_width(self.driver)

    def complaints(self) -> list[str]:
        """Return what the browser has complained about: refused styles, blocked redirects, missing files."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]


@pytest.fixture(scope="module")
def world(database: Database) -> Iterator[CitizenWorld]:
    with serving() as place, serving(the_client) as client:
        world = CitizenWorld(database, place.url, f"{client.url}/callback", real_time=True)
        place.put(world.app)
        yield world


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without scripts."""
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=False) as driver:
        yield driver


@pytest.fixture
def person(world: CitizenWorld, driver: Chrome) -> Iterator[Person]:
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    person = Person(world, driver)
    person.complaints()
    yield person
    assert [line for line in person.complaints() if "favicon" not in line and "status of 4" not in line] == []


def test_scripts_are_off_in_the_browser_of_these_tests(driver: Chrome) -> None:
    driver.get("data:text/html,<title>plain</title><script>document.title='scripted'</script>")
    assert driver.title == "plain"


def test_somebody_signs_in_with_a_code_ticks_gives_and_is_back_at_the_client(person: Person) -> None:
    citizen = person.world.citizen(with_codes=True)
    person.open(person.world.request(INCOME, OTHER, level=2))
    person.sign_in(citizen)
    assert not any(box.is_selected() for box in person.all("input[type=checkbox]"))
    person.tick("0.salary_base")
    person.find("label[for='1.employer_tax_code']").click()
    person.choose("give")
    assert sorted(person.answer()) == ["code", "iss", "state"]
    [grant] = [one for one in person.world.grants() if str(one["citizen_id"]) == citizen.citizen_id]
    assert [detail["fields"] for detail in grant["authorization_details"]] == [
        ["salary_base"],
        ["employer_tax_code"],
    ]


def test_somebody_refuses_and_is_back_at_the_client(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    person.choose("refuse")
    assert person.answer()["error"] == "access_denied"


def test_a_wrong_password_is_told_and_the_right_one_then_taken(person: Person) -> None:
    citizen = person.world.citizen()
    person.open(person.world.request(INCOME))
    person.sign_in(citizen, "something quite else")
    assert WORDS["sign_in_refused"][0] in person.find("[role=alert]").text
    assert person.find("#password").get_attribute("value") == ""
    person.sign_in(citizen)
    assert person.find("h1").text == WORDS["decide_title"][0]


def test_what_is_wrong_takes_the_focus_and_leads_to_its_place(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    person.tick("0.si_status")
    person.choose("give")
    summary = person.find("[role=alert]")
    # The browser moves the focus when it next paints, which may be after it has told that the page is there.
    wait_until(lambda: person.focused() == summary, "what is wrong has the focus")
    summary.find_element(By.CSS_SELECTOR, "a").click()
    wait_until(lambda: person.focused().get_attribute("id") == "0.salary_base", "its place has the focus")
    assert person.find("[id='0.si_status']").is_selected()
    person.press(Keys.SPACE)
    person.choose("give")
    assert "code" in person.answer()


def test_the_keyboard_alone_is_enough(person: Person) -> None:
    citizen = person.world.citizen()
    person.open(person.world.request(INCOME))
    person.press(Keys.TAB)
    assert person.focused().text == WORDS["skip"][0]
    person.press(Keys.ENTER, Keys.TAB)
    assert person.focused().get_attribute("id") == "personal_id"
    person.press(citizen.personal_id, Keys.TAB, PASSWORD, Keys.ENTER)
    wait_until(lambda: person.all("button[value=give]") != [], "the decision page is there")
    reached, ticked = [], 0
    for _ in range(40):
        person.press(Keys.TAB)
        here = person.focused()
        reached.append(here.get_attribute("id") or here.get_attribute("value") or here.text)
        if here.get_attribute("id") in ("0.salary_base", "0.si_status"):
            person.press(Keys.SPACE)
            ticked += 1
        if here.get_attribute("value") == "give":
            break
    assert ticked == 2
    assert reached.index("refuse") == reached.index("give") - 1
    assert {f"0.{field}" for field in INCOME["fields"]} <= set(reached)
    person.press(Keys.ENTER)
    assert "code" in person.answer()


def test_enter_on_an_untouched_page_is_a_refusal(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    for _ in range(20):
        person.press(Keys.TAB)
        if person.focused().get_attribute("type") == "checkbox":
            break
    person.press(Keys.ENTER)
    assert person.answer()["error"] == "access_denied"


def test_where_the_focus_is_can_be_seen(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    seen = 0
    for _ in range(12):
        person.press(Keys.TAB)
        here = person.focused()
        if here.tag_name in ("a", "button", "input"):
            assert here.value_of_css_property("outline-style") == "solid"
            assert float(here.value_of_css_property("outline-width").removesuffix("px")) >= 3
            assert here.value_of_css_property("box-shadow") != "none"
            seen += 1
    assert seen >= 8


@pytest.mark.parametrize("pixels", PHONE_WIDTHS)
def test_on_a_phone_nothing_is_wider_than_the_screen(person: Person, pixels: int) -> None:
    person.open(person.world.request(INCOME, OTHER))
    assert person.width(pixels) <= pixels, "the sign-in page"
    person.sign_in(person.world.citizen())
    assert person.width(pixels) <= pixels, "the decision page"
    person.choose("give")
    assert person.width(pixels) <= pixels, "the page shown again"
    for button in person.all("main button"):
        assert button.rect["width"] <= pixels
        assert button.rect["x"] >= 0
    person.tick("1.employer_tax_code")
    person.choose("give")
    assert "code" in person.answer()


def test_the_buttons_are_alike(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    refuse, give = person.find("button[value=refuse]"), person.find("button[value=give]")
    for name in (
        "color",
        "background-color",
        "font-size",
        "font-weight",
        "border-top-color",
        "height",
        "width",
    ):
        assert refuse.value_of_css_property(name) == give.value_of_css_property(name), name


def test_everything_that_can_be_used_has_a_name_and_is_large_enough(person: Person) -> None:
    """WCAG 2.2: 1.3.1, 2.4.2, 2.5.8, 3.1.1, 3.3.2, 4.1.2."""
    person.open(person.world.request(INCOME, OTHER))
    for step in ("sign-in", "decision", "shown again"):
        if step == "decision":
            person.sign_in(person.world.citizen())
        if step == "shown again":
            person.choose("give")
        assert person.find("html").get_attribute("lang") == "vi", step
        assert WORDS["service"][0] in person.driver.title, step
        identifiers = [one.get_attribute("id") for one in person.all("[id]")]
        assert len(identifiers) == len(set(identifiers)), step
        for one in person.all("input:not([type=hidden])"):
            assert len(person.all(f"label[for='{one.get_attribute('id')}']")) == 1, step
            for described_by in (one.get_attribute("aria-describedby") or "").split():
                assert described_by in identifiers, step
        for one in person.all("input:not([type=hidden]), button, header a, [role=alert] a"):
            if one.is_displayed():
                assert one.accessible_name.strip(), step
                assert min(one.rect["width"], one.rect["height"]) >= 24, (step, one.accessible_name)
        for one in person.all("fieldset"):
            assert one.find_element(By.CSS_SELECTOR, "legend").text.strip(), step
        assert len(person.all("main")) == len(person.all("h1")) == 1, step


def colour(text: str) -> tuple[str, float]:
    """Return #rrggbb and opacity of what CSS calls rgb(...) or rgba(...)."""
    numbers = [float(number) for number in re.findall(r"[0-9.]+", text)]
    return "#" + "".join(f"{int(number):02x}" for number in numbers[:3]), ([*numbers, 1.0])[3]


def ground_of(element: WebElement) -> str:
    """Return the colour behind an element: of the nearest around it that has one."""
    while element.tag_name != "html":
        found, opacity = colour(element.value_of_css_property("background-color"))
        if opacity == 1.0:
            return found
        element = element.find_element(By.XPATH, "..")
    return "#ffffff"


def test_all_text_can_be_read_as_the_browser_paints_it(person: Person) -> None:
    """WCAG 2.2, 1.4.3."""
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    person.choose("give")
    read = 0
    for element in person.all("p, h1, h2, dt, dd, legend, label span, button, a, li"):
        if element.is_displayed() and element.text.strip():
            ink, _ = colour(element.value_of_css_property("color"))
            assert contrast(ink, ground_of(element)) >= 4.5, element.text
            read += 1
    assert read > 30


def test_the_language_is_switched_by_a_link(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.follow(person.find("header a[lang=en]"))
    assert person.find("h1").text == WORDS["sign_in_title"][1]
    person.sign_in(person.world.citizen())
    assert person.find("html").get_attribute("lang") == "en"
    assert person.find("h1").text == WORDS["decide_title"][1]
    person.follow(person.find("header a[lang=vi]"))
    assert person.find("h1").text == WORDS["decide_title"][0]


def test_signing_out_leads_to_the_sign_in_page(person: Person) -> None:
    person.open(person.world.request(INCOME))
    person.sign_in(person.world.citizen())
    person.follow(person.find("form.who button"))
    assert person.find("h1").text == WORDS["sign_in_title"][0]
    assert person.driver.get_cookie("broker-citizen") is None


def test_a_browser_with_scripts_does_the_same(world: CitizenWorld, tmp_path: Path) -> None:
    with driver_of(tmp_path / "chromium", scripts=True) as driver:
        person = Person(world, driver)
        person.open(world.request(INCOME))
        person.sign_in(world.citizen())
        assert driver.execute_script("return document.scripts.length") == 0
        assert driver.execute_script("return document.cookie") == "", "no script may read the session"
        person.tick("0.salary_base")
        person.choose("give")
        assert "code" in person.answer()
        assert [line for line in person.complaints() if "favicon" not in line] == []
