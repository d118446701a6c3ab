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
from tests.doors import free_port, running_app, wait_until
from tests.e2e.test_decision_page_in_browser import CHROMIUM, DRIVER, Serving, _is_gone, driver_of
from tests.history_world import Told, keep, reference_at
from tests.own_pages_world import COMPLAINTS, HISTORY, RECORD, REPRESENTATION, Visitor, signed_in
from tests.release_world import World

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and DRIVER.exists()), reason="there is no Chromium with its driver here"
    ),
]
WIDTHS = (360, 320)
LONG = "Trung tâm Chăm sóc Sức khỏe Liênkếthợptácxãdịchvụytếvàbảohiểmtoàntỉnhkhôngcókhoảngtrắng"


@pytest.fixture(scope="module")
def visitor(world: World, app_log: Any) -> Iterator[Visitor]:
    """A person with some history, signed in at a broker on a port; the cookie is for its browser."""
    port = free_port()
    settings = replace(world.settings, issuer=f"http://127.0.0.1:{port}")
    with running_app(settings) as app:
        serving = Serving(app, port)
        try:
            made = signed_in(app, world, world.unseen_person().personal_id)
            organisation = f"long-{secrets.token_hex(4)}"
            world.clients.register_organisation(
                Organisation(organisation_id=organisation, kind="hospital", name_vi=LONG, name_en=LONG)
            )
            ref = world.pseudonyms.data_subject_ref(f"citizen:{made.citizen_id}")
            at = datetime.now(UTC)
            keep(
                world.owner,
                [
                    Told(
                        reference_at(at - timedelta(days=20 * one), one),
                        at - timedelta(days=20 * one),
                        ref,
                        organisation,
                    )
                    for one in range(15)
                ],
            )
            yield replace(made, issuer=settings.issuer)
        finally:
            serving.stop()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, visitor: Visitor) -> Iterator[Chrome]:
    driver = driver_of(tmp_path_factory.mktemp("chromium"), scripts=False)
    driver.get(f"{visitor.issuer}/citizen/sign-in?next=who_saw")
    driver.add_cookie({"name": visitor.cookie[0], "value": visitor.cookie[1]})
    yield driver
    driver.quit()


def overflow(driver: Chrome) -> int:
    """Return by how many pixels a page is wider than its screen; asked of the browser, not of the page."""
    metrics = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
    return int(metrics["cssContentSize"]["width"] - metrics["cssLayoutViewport"]["clientWidth"])


def follow(driver: Chrome, selector: str) -> str:
    """Press the first button there is, wait for another page, and return what stands on it."""
    before = driver.find_element(By.TAG_NAME, "html")
    driver.find_elements(By.CSS_SELECTOR, selector)[0].click()
    wait_until(lambda: _is_gone(before), "another page is there")
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
    size = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    too_wide = []
    for language in ("vi", "en"):
        for path in pages(visitor):
            driver.get(f"{visitor.issuer}{path}{'&' if '?' in path else '?'}lang={language}")
            assert driver.find_elements(By.TAG_NAME, "h1"), path
            for details in driver.find_elements(By.CSS_SELECTOR, "details > summary"):
                details.click()
            if overflow(driver) > 0:
                too_wide.append((path, language, overflow(driver)))
    assert too_wide == []


def test_the_whole_record_is_read_on_a_phone_and_complained_about(driver: Chrome, visitor: Visitor) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(f"{visitor.issuer}{RECORD}?lang=en")
    assert "This look was written into your history" in follow(driver, "main form button")
    assert overflow(driver) == 0
    driver.get(f"{visitor.issuer}{HISTORY}?lang=en&result=released")
    # Entries of one's own have no such button.
    follow(driver, "section.entry form button")
    driver.find_element(By.ID, "text").send_keys("I was never there.")
    told = follow(driver, "main form[method=post] button")
    assert "I was never there." in told
    assert "Acknowledged at the latest on" in told
