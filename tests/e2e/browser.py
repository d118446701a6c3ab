"""A real browser, driven: how it is started, how its pages are left, and how wide they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.doors import wait_until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()), reason="there is no Chromium with its driver here"
)


@contextmanager
def driver_of(directory: Path, *, scripts: bool) -> Iterator[Chrome]:
    """Give a browser whose data lie in a directory; it is ended whatever happens."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={directory}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    blocked = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
    options.add_experimental_option("prefs", {"intl.accept_languages": "vi", **blocked})
    driver = Chrome(options=options, service=ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def is_gone(element: WebElement) -> bool:
    """Return whether an element's page was left; the driver says so in more than one way."""
    try:
        element.is_enabled()
    except WebDriverException:
        return True
    return False


def shows(driver: Chrome, selector: str, words: str) -> bool:
    """Return whether an element of the page shows these words; one that is just being left does not."""
    try:
        return any(words in one.text for one in driver.find_elements(By.CSS_SELECTOR, selector))
    except StaleElementReferenceException:
        return False


def follow(driver: Chrome, element: WebElement) -> None:
    """Click, and wait until the page is another one."""
    before = driver.find_element(By.TAG_NAME, "html")
    element.click()
    wait_until(lambda: is_gone(before), "another page is there")


def set_screen(driver: Chrome, width: int, height: int = 740, *, is_mobile: bool = False) -> None:
    """Make the screen so large, in pixels of CSS."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def page_width(driver: Chrome) -> int:
    """Return how wide the page is, in pixels; asked of the browser, not of the page."""
    return int(driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["width"])


def the_client(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """The bank's own page, to which browsers come back."""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [b'<!DOCTYPE html><html lang="en"><title>back at the bank</title>']
