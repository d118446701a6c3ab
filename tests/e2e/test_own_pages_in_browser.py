"""The pages about one's own data in a real browser: on a phone, without scripts, all of it fits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from broker.storage.clients import Organisation
from tests.doors import running_app
from tests.e2e.browser import driver_of, follow, needs_browser, page_width, set_screen
from tests.history_world import Told, keep, reference_at
from tests.own_pages_world import COMPLAINTS, HISTORY, RECORD, REPRESENTATION, Visitor, signed_in
from tests.release_world import World
from tests.serving import serving

pytestmark = [pytest.mark.slow, needs_browser]
WIDTHS = (360, 320)
LONG = "Trung tâm Chăm sóc Sức khỏe Liênkếthợptácxãdịchvụytếvàbảohiểmtoàntỉnhkhôngcókhoảngtrắng"


@pytest.fixture(scope="module")
def visitor(world: World, app_log: Any) -> Iterator[Visitor]:
    """A person with some history, signed in at a broker on a port; the cookie is for its browser."""
    with serving() as place, running_app(replace(world.settings, issuer=place.url)) as app:
        place.put(app)
        made = signed_in(app, world, world.unseen_person().personal_id)
        keep_history(world, made)
        yield replace(made, issuer=place.url)


def keep_history(world: World, made: Visitor) -> None:
    """Let an organisation with a long name have asked about somebody in every month of a year."""
    organisation = f"long-{secrets.token_hex(4)}"
    world.clients.register_organisation(
        Organisation(organisation_id=organisation, kind="hospital", name_vi=LONG, name_en=LONG)
    )
    ref = world.pseudonyms.data_subject_ref(f"citizen:{made.citizen_id}")
    days = [datetime.now(UTC) - timedelta(days=20 * one) for one in range(15)]
    keep(world, [Told(reference_at(at, one), at, ref, organisation) for one, at in enumerate(days)])


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, visitor: Visitor) -> Iterator[Chrome]:
    with driver_of(tmp_path_factory.mktemp("chromium"), scripts=False) as driver:
        driver.get(f"{visitor.issuer}/citizen/sign-in?next=who_saw")
        driver.add_cookie({"name": visitor.cookie[0], "value": visitor.cookie[1]})
        yield driver


def press(driver: Chrome, selector: str) -> str:
    """Press the first button there is, wait for another page, and return what stands on it."""
    follow(driver, driver.find_elements(By.CSS_SELECTOR, selector)[0])
    return driver.find_element(By.TAG_NAME, "main").text


def pages(visitor: Visitor) -> list[str]:
    reference = visitor.get(HISTORY).text.split("<code>")[1].split("</code>")[0]
    return [
        HISTORY,
        f"{HISTORY}?result=refused",
        RECORD,
        COMPLAINTS,
        f"{COMPLAINTS}/new?reference={reference}",
        REPRESENTATION,
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_a_phone(driver: Chrome, visitor: Visitor, width: int) -> None:
    set_screen(driver, width)
    too_wide = []
    for language in ("vi", "en"):
        for path in pages(visitor):
            driver.get(f"{visitor.issuer}{path}{'&' if '?' in path else '?'}lang={language}")
            assert driver.find_elements(By.TAG_NAME, "h1"), path
            for details in driver.find_elements(By.CSS_SELECTOR, "details > summary"):
                details.click()
            if page_width(driver) > width:
                too_wide.append((path, language, page_width(driver)))
    assert too_wide == []


def test_the_whole_record_is_read_on_a_phone_and_complained_about(driver: Chrome, visitor: Visitor) -> None:
    set_screen(driver, 360)
    driver.get(f"{visitor.issuer}{RECORD}?lang=en")
    assert "This look was written into your history" in press(driver, "main form button")
    assert page_width(driver) <= 360
    driver.get(f"{visitor.issuer}{HISTORY}?lang=en&result=released")
    # Entries of one's own have no such button.
    press(driver, "section.entry form button")
    driver.find_element(By.ID, "text").send_keys("I was never there.")
    told = press(driver, "main form[method=post] button")
    assert "I was never there." in told
    assert "Acknowledged at the latest on" in told
