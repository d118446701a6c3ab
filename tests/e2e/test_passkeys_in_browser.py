"""Passkeys in a real browser: its virtual authenticator makes one and signs in with it (WebDriver)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from sqlalchemy import text

from consent_ui.words import WORDS
from tests.citizen_world import INCOME, Citizen, CitizenWorld
from tests.doors import wait_until
from tests.e2e.browser import driver_of, needs_browser, shows, the_client
from tests.e2e.test_decision_page_in_browser import Person
from tests.oauth_world import Database
from tests.serving import serving

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def world(database: Database) -> Iterator[CitizenWorld]:
    with serving() as place, serving(the_client) as client:
        # A passkey belongs to a name: an address has none.
        issuer = f"http://localhost:{place.port}"
        world = CitizenWorld(database, issuer, f"{client.url}/callback", real_time=True)
        place.put(world.app)
        yield world


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with scripts."""
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=True) as driver:
        yield driver


@pytest.fixture
def person(world: CitizenWorld, driver: Chrome) -> Iterator[Person]:
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    person = Person(world, driver)
    person.complaints()
    try:
        yield person
    finally:
        driver.remove_virtual_authenticator()
    assert [line for line in person.complaints() if "favicon" not in line and "status of 4" not in line] == []


def with_authenticator(driver: Chrome, *, verifies: bool = True) -> None:
    """Give the browser a phone's authenticator. verifies: whether finger or PIN are right."""
    options = VirtualAuthenticatorOptions(
        protocol=VirtualAuthenticatorOptions.Protocol.CTAP2,
        transport=VirtualAuthenticatorOptions.Transport.INTERNAL,
        has_resident_key=True,
        has_user_verification=True,
        is_user_verified=verifies,
    )
    driver.add_virtual_authenticator(options)


def register(person: Person) -> Citizen:
    """Sign in with a code, and make a passkey; return who did."""
    world, citizen = person.world, person.world.citizen(with_codes=True)
    person.driver.get(f"{world.issuer}/citizen/passkeys")
    person.find("#personal_id").send_keys(citizen.personal_id)
    person.find("#password").send_keys(citizen.password)
    person.find("#one_time_code").send_keys(world.code(citizen))
    person.follow(person.all("main form")[-1].find_element(By.CSS_SELECTOR, "button"))
    person.find("#label").send_keys("Điện thoại")
    person.follow(person.all("main form")[-1].find_element(By.CSS_SELECTOR, "button"))
    assert not person.find("#passkey-unusable").is_displayed()
    return citizen


def test_somebody_makes_a_passkey_and_signs_in_with_it_to_decide(person: Person) -> None:
    with_authenticator(person.driver)
    register(person)
    person.follow(person.find("#passkey-go"))
    wait_until(lambda: shows(person.driver, "h1", WORDS["passkeys_title"][0]), "the list is there")
    assert person.find("h2").text == "Điện thoại"
    person.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    person.open(person.world.request(INCOME, level=2))
    person.follow(person.find("form[action$='/sign-in/passkey'] button"))
    person.follow(person.find("#passkey-go"))
    wait_until(lambda: person.all("button[value=give]") != [], "the decision page is there")
    person.tick("0.salary_base")
    person.choose("give")
    assert "code" in person.answer()


def test_an_authenticator_that_does_not_know_the_person_leaves_everything_as_it_was(person: Person) -> None:
    with_authenticator(person.driver, verifies=False)
    citizen = register(person)
    person.find("#passkey-go").click()
    wait_until(lambda: person.find("#passkey-failed").is_displayed(), "it says that nothing came of it", 150)
    assert person.find("#passkey-go").is_enabled()
    with person.world.owner.connect() as connection:
        statement = text("SELECT count(*) FROM citizen_passkeys WHERE citizen_id = :citizen")
        assert connection.execute(statement, {"citizen": citizen.citizen_id}).scalar_one() == 0
