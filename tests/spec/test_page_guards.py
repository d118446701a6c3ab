"""What every citizen's page keeps out: forged forms, frames, other sites, foreign sessions, markup."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.citizen_world import Form, Forms
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.crawl import PLACES, endpoint_of, in_language, posted_forms, reachable_pages
from tests.e2e.pages import PagesBrowser, PagesWorld, pages_world
from tests.release_world import World
from tests.spec.test_idor_matrix import MATRIX, PAGES_OF_THINGS, Somebody, of_kind, rules_of, somebody

ISSUER: Final = "https://guards.example"
SESSION: Final = "__Host-broker-citizen"
POLICY: Final = {
    "default-src": ["'none'"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
    "style-src": ["'self'"],
}
NAMED: Final = {
    *("citizen.complaint_form", "citizen.consent", "citizen.consents", "citizen.receipts", "citizen.who_saw"),
}
"""Pages that name an organisation or show its words."""
EVIL: Final = "https://evil.example"
SCRIPT: Final = "<script>alert('x')</script>"
BREAKER: Final = "\" onmouseover=\"alert('x')\" '><img src=x onerror=alert('x')>"
ADDRESS: Final = "javascript:alert('x')"


@pytest.fixture(scope="module")
def pages(world: World, insurance: InsuranceDatabase) -> Iterator[PagesWorld]:
    with pages_world(world, insurance, ISSUER) as made:
        yield made


@pytest.fixture(scope="module")
def owner(pages: PagesWorld) -> Somebody:
    return somebody(pages)


def guards(answer: TestResponse, what: str) -> None:
    """Check what an answer tells the browser to keep from it."""
    headers = answer.headers
    policy = {
        name: values
        for name, *values in (part.split() for part in headers["Content-Security-Policy"].split(";"))
    }
    assert {name: policy[name] for name in POLICY} == POLICY, what
    assert policy["form-action"][0] == "'self'", what
    assert set(policy) <= {*POLICY, "form-action", "script-src", "img-src", "font-src"}, what
    assert policy.get("script-src", ["'self'"]) == ["'self'"], what
    assert policy.get("img-src", ["'self'"]) == ["'self'"], what
    assert policy.get("font-src", ["'self'"]) == ["'self'"], what
    assert headers["X-Frame-Options"] == "DENY", what
    assert headers["X-Content-Type-Options"] == "nosniff", what
    assert headers["Referrer-Policy"] == "no-referrer", what
    assert headers["Cache-Control"] == "no-store", what
    assert [name for name in headers.keys() if name.lower().startswith("access-control-")] == [], what  # noqa: SIM118


def test_every_page_is_guarded(owner: Somebody) -> None:
    reached = reachable_pages(owner.browser)
    assert {*of_kind("page"), *PAGES_OF_THINGS} <= set(reached)
    for endpoint, path in reached.items():
        guards(owner.browser.get(path, Origin=EVIL), endpoint)
        guards(owner.world.browser().get(path), f"{endpoint}, not signed in")


@pytest.mark.parametrize("endpoint", of_kind("thing", "child's thing"))
def test_everything_that_is_somebodys_is_guarded(owner: Somebody, endpoint: str) -> None:
    path, _, _ = rules_of(owner.world, endpoint)
    guards(owner.browser.get(path.format(**owner.ids(endpoint))), endpoint)
    guards(owner.world.browser().get(path.format(**owner.ids(endpoint))), endpoint)


def test_the_pages_around_a_decision_are_guarded(pages: PagesWorld) -> None:
    citizen, browser, address = pages.citizen(), pages.browser(), pages.bank().push()
    led = browser.get(address)
    guards(browser.get(led.headers["Location"]), "led to the sign-in")
    page = browser.sign_in(citizen, address)
    guards(page, "decision")
    guards(browser.decide(page, []), "decision with what is missing")
    given = browser.decide(page)
    guards(given, "back to the client")
    guards(browser.get(page.request.path), "decided")


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_no_other_site_may_read_a_page(owner: Somebody, method: str) -> None:
    for endpoint in of_kind("page", "entry"):
        path, names, _ = rules_of(owner.world, endpoint)
        asked = {"Origin": EVIL, "Access_Control_Request_Method": "POST"}
        answer = owner.browser.open(path.format(**dict.fromkeys(names, "x")), method, None, **asked)
        found = [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
        assert found == [], endpoint


def forms_of(browser: PagesBrowser) -> Iterator[tuple[str, Form]]:
    """Yield the endpoint that each form on a page that can be reached is posted to, and the form."""
    for path in reachable_pages(browser).values():
        for form in posted_forms(browser.get(path).text):
            endpoint = endpoint_of(browser.world.app, form.action, "POST")
            if endpoint is not None and MATRIX.get(endpoint) in ("form", "form on a thing"):
                yield endpoint, form


def filled(form: Form, button: tuple[str, str], **changes: str) -> dict[str, Any]:
    """Return what a browser sends: every box ticked, one button pressed."""
    data: dict[str, Any] = {**form.fields, "field": list(form.boxes)}
    if button[0]:
        data[button[0]] = button[1]
    return {**data, **changes}


FORGERIES: Final[dict[str, dict[str, str]]] = {
    "no token": {"token": ""},
    "a token of nobody": {"token": "WzE3MDAwMDAwMDAsIngiXQ.c2lnbmF0dXJl"},
}
FOREIGN: Final[dict[str, dict[str, str]]] = {
    "another site": {"Sec_Fetch_Site": "cross-site"},
    "a neighbour": {"Sec_Fetch_Site": "same-site"},
    "another origin": {"Origin": EVIL},
}


def test_a_form_without_its_own_token_or_from_another_site_changes_nothing(pages: PagesWorld) -> None:
    owner, other = somebody(pages), somebody(pages)
    others = {endpoint: form.fields["token"] for endpoint, form in forms_of(other.browser)}
    # To look at what waits opens it: that is before the forms are tried.
    forms = list(forms_of(owner.browser))
    before, tried = owner.state(), set()
    for endpoint, form in forms:
        changed = {**FORGERIES, "a token of another session": {"token": others.get(endpoint, "x")}}
        for button in form.buttons or [("", "")]:
            for name, changes in changed.items():
                answer = owner.browser.post(form.action, filled(form, button, **changes))
                assert answer.status_code in (303, 403), (endpoint, name, answer.status_code)
                assert owner.state() == before, (endpoint, name)
            for name, headers in FOREIGN.items():
                answer = owner.browser.post(form.action, filled(form, button), **headers)
                assert answer.status_code in (303, 403), (endpoint, name, answer.status_code)
                assert owner.state() == before, (endpoint, name)
        tried.add(endpoint)
    assert tried == set(of_kind("form", "form on a thing"))


def test_an_answer_to_a_request_needs_its_own_form(pages: PagesWorld) -> None:
    owner, bank = somebody(pages), pages.bank()
    page = owner.browser.follow(owner.browser.get(bank.push()))
    other = owner.browser.follow(owner.browser.get(bank.push()))
    before = owner.state()
    form, foreign = (Forms(one.text).forms[-1] for one in (page, other))
    for name, changes in {**FORGERIES, "another request's": {"token": foreign.fields["token"]}}.items():
        answer = owner.browser.post(form.action, filled(form, ("choice", "give"), **changes))
        assert answer.status_code == 403, name
    for name, headers in FOREIGN.items():
        answer = owner.browser.post(form.action, filled(form, ("choice", "give")), **headers)
        assert answer.status_code == 403, name
    assert owner.state() == before
    assert owner.browser.post(form.action, filled(form, ("choice", "give"))).status_code == 303
    assert owner.state() != before


def test_a_session_that_somebody_laid_ready_is_not_taken(pages: PagesWorld) -> None:
    citizen, browser = pages.citizen(), pages.browser()
    laid = "A" * 43
    host = urlsplit(ISSUER).hostname or ""
    browser.http.set_cookie(SESSION, laid, domain=host, secure=True)
    browser.sign_in(citizen)
    cookie = browser.http.get_cookie(SESSION, host)
    assert cookie is not None
    assert cookie.value != laid
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")
    thief = pages.browser()
    thief.http.set_cookie(SESSION, laid, domain=host, secure=True)
    assert thief.get("/citizen/sessions").status_code == 303


def test_a_sign_in_ends_the_session_before_it(pages: PagesWorld) -> None:
    first, second, browser, host = pages.citizen(), pages.citizen(), pages.browser(), "guards.example"
    browser.sign_in(first)
    before = browser.http.get_cookie(SESSION, host)
    assert before is not None
    browser.sign_in(second, "/citizen/sign-in?next=sessions")
    thief = pages.browser()
    thief.http.set_cookie(SESSION, before.value, domain=host, secure=True)
    assert thief.get("/citizen/sessions").status_code == 303


class _Markup(HTMLParser):
    """What in a page could act: scripts and their addresses, attributes that run, addresses that run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.acting: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        is_refresh = tag == "meta" and "http-equiv" in dict(attrs)
        if tag in ("iframe", "object", "embed", "base") or is_refresh:
            self.acting.append(tag)
        for name, value in attrs:
            address = (value or "").strip().lower()
            if name.startswith("on") or name == "style":
                self.acting.append(f"{tag} {name}")
            if name in ("href", "src", "action", "formaction") and not address.startswith(("/", "#", "?")):
                self.acting.append(f"{tag} {name}={address}")
        if tag in ("script", "img") and not dict(attrs).get("src", "").startswith("/citizen/"):  # type: ignore[union-attr]
            self.acting.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("name", [SCRIPT, BREAKER, ADDRESS], ids=["script", "attribute", "address"])
def test_names_and_messages_are_text_and_nothing_else(pages: PagesWorld, name: str, language: str) -> None:
    citizen, browser = pages.citizen(), pages.browser()
    bank = pages.bank(names=(f"Vi {name}", f"En {name}"), client_name=f"App {name}")
    page = browser.sign_in(citizen, bank.push(ui_locales=language))
    shown = {"decision": page.text}
    location = browser.decide(page).headers["Location"]
    token = bank.redeem(parse_qs(urlsplit(location).query)["code"][0]).json()["access_token"]
    assert bank.read(token).status == 200
    asked = bank.ask(citizen.personal_id, {"vi": f"Lời {name}", "en": f"Words {name}"})
    assert asked.status == 201, asked.body
    waiting = browser.follow(browser.get(bank.push(ui_locales=language)))
    shown["decision again"] = browser.decide(waiting, []).text
    for endpoint, path in reachable_pages(browser).items():
        answer = browser.get(in_language(path, language))
        assert answer.status_code == 200, endpoint
        shown[endpoint] = answer.text
    told = set()
    for where, html in shown.items():
        markup = _Markup(html)
        assert markup.acting == [], where
        told |= {where} if name in " ".join(markup.words) else set()
    assert told >= {"decision", "decision again", *NAMED}, sorted(shown)


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200b", "\u0000"], ids=ascii)
def test_a_message_cannot_turn_the_writing_or_hide_in_it(pages: PagesWorld, mark: str) -> None:
    citizen, bank = pages.citizen(), pages.bank()
    asked = bank.ask(citizen.personal_id, {"vi": f"Hồ sơ {mark} vay"})
    assert asked.status in (400, 422), asked.body
    assert mark not in asked.body.decode()


def test_every_route_that_takes_a_form_is_known_here(pages: PagesWorld) -> None:
    posted = {
        rule.endpoint
        for rule in pages.app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and f"{rule.rule}/".startswith(PLACES)
    }
    known = {*of_kind("form", "form on a thing", "held", "entry"), "citizen.check_receipt"}
    assert posted <= known
