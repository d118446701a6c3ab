"""The citizen's browser in the demo: keeps cookies, follows redirects of one site, fills in forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import urlencode, urljoin

import urllib3

SECONDS: Final = 10.0
_SEE_OTHER: Final = 303


class PageUnexpected(OSError):
    """The broker showed something else than the form that was to be filled in."""


@dataclass(slots=True)
class Form:
    """A form as it stands on a page. boxes: values of its check boxes. fields: all else, by name."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "input" and self.forms and given.get("type") == "checkbox":
            self.forms[-1].boxes.append(given.get("value", ""))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[given.get("name", "")] = given.get("value", "")


@dataclass(slots=True)
class Browser:
    """One person's browser. site: URL of the broker, beyond which it does not go by itself.

    url: of the page that is shown, or to which the broker sent it away.
    """

    site: str
    url: str = ""
    _text: str = ""
    _cookies: dict[str, str] = field(default_factory=dict)
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def open(self, url: str, form: Mapping[str, Any] | None = None) -> int:
        """Open a URL, or post a form to it, and go where one is led; return the status of the last answer.

        303 means that the browser was sent away from the site, to `url`. Raises urllib3.HTTPError as OSError.
        """
        while True:
            answer = self._send(url, form)
            self.url, self._text = url, answer.data.decode()
            if answer.status != _SEE_OTHER:
                return int(answer.status)
            url, form = urljoin(url, answer.headers["Location"]), None
            if not url.startswith(self.site + "/"):
                self.url = url
                return int(answer.status)

    def has_form(self, name: str) -> bool:
        """Whether the last form of the page asks for a field."""
        return any(name in one.fields for one in _Forms(self._text).forms[-1:])

    def form(self) -> Form:
        """Return the last form of the page. Raises PageUnexpected."""
        forms = _Forms(self._text).forms
        if not forms:
            raise PageUnexpected("the page has no form")
        return forms[-1]

    def submit(self, typed: Mapping[str, Any]) -> int:
        """Fill in the last form of the page and send it; what is hidden in it goes along."""
        form = self.form()
        return self.open(urljoin(self.url, form.action), {**form.fields, **typed})

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _send(self, url: str, form: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if form is not None:
            body = urlencode(form, doseq=True)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.site}
        try:
            answer = self._pool.request(
                "GET" if form is None else "POST",
                url,
                body=body,
                headers=headers,
                redirect=False,
                timeout=SECONDS,
            )
        except urllib3.exceptions.HTTPError as fault:
            raise OSError(type(fault).__name__) from None
        for given in answer.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(given).items():
                self._cookies[name] = morsel.value
        self._cookies = {name: value for name, value in self._cookies.items() if value}
        return answer
