"""Which pages somebody who is signed in can reach: one example of each, found by following their links."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException

from tests.citizen_world import Form, Forms
from tests.e2e.pages import PagesBrowser

PLACES = ("/citizen/", "/receipts/")


class _Page(Forms):
    """Reads the links of a page, and its forms with how they are sent."""

    def __init__(self, html: str) -> None:
        self.links: list[str] = []
        self.methods: list[str] = []
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "form":
            self.methods.append(given.get("method", "get").lower())

    def addresses(self) -> list[str]:
        """Return where links and forms lead that ask for a page and change nothing."""
        asking = [
            f"{form.action}?{urlencode(form.fields)}"
            for form, method in zip(self.forms, self.methods, strict=True)
            if method == "get"
        ]
        return [*self.links, *asking]


def in_language(address: str, language: str) -> str:
    """Return an address of a page with its query and a language, whichever it had before."""
    parts = urlsplit(address)
    query = [one for one in parse_qsl(parts.query) if one[0] != "lang"]
    return f"{parts.path}?{urlencode([*query, ('lang', language)])}"


def posted_forms(html: str) -> list[Form]:
    """Return the forms of a page that change something."""
    page = _Page(html)
    return [form for form, method in zip(page.forms, page.methods, strict=True) if method == "post"]


def endpoint_of(app: Flask, address: str, method: str = "GET") -> str | None:
    """Return the endpoint that answers a request, None where there is none."""
    try:
        endpoint, _ = app.url_map.bind("").match(urlsplit(address).path, method)
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
        waiting += [urljoin(path, address) for address in _Page(answer.text).addresses()]
    return found
