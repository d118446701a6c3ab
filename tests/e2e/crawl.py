"""Which pages somebody who is signed in can reach: one example of each, found by following their links."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException

from tests.e2e.pages import PagesBrowser

PLACES = ("/citizen/", "/receipts/")


class _Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if tag == "a" and name == "href"]


def endpoint_of(app: Flask, address: str) -> str | None:
    """Return the endpoint that answers a GET of an address, None where there is none."""
    try:
        endpoint, _ = app.url_map.bind("").match(urlsplit(address).path, "GET")
    except HTTPException:
        return None
    return str(endpoint)


def pages_without_names(app: Flask) -> list[str]:
    """Return the paths of all citizens' pages whose addresses name nothing."""
    return sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.arguments and f"{rule.rule}/".startswith(PLACES)
    )


def reachable_pages(browser: PagesBrowser) -> Mapping[str, str]:
    """Return endpoint → path of one HTML page each: those without names in them, and what they lead to."""
    app, found = browser.world.app, dict[str, str]()
    waiting = deque(pages_without_names(app))
    while waiting:
        path = waiting.popleft()
        endpoint = endpoint_of(app, path)
        if endpoint is None or endpoint in found or not f"{urlsplit(path).path}/".startswith(PLACES):
            continue
        answer = browser.get(path)
        assert answer.status_code < 500, f"{path}: {answer.text}"
        if answer.status_code != 200 or answer.mimetype != "text/html":
            continue
        found[endpoint] = path
        waiting += [urljoin(path, link) for link in _Links(answer.text).found]
    return found
