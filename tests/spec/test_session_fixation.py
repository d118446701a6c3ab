"""Whichever way somebody signs in: no session that was laid ready is taken, and none before it is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from tests.authenticator import Authenticator
from tests.citizen_world import Browser, Citizen, CitizenWorld, Forms
from tests.identity_host import Behaviour
from tests.identity_place import Place
from tests.oauth_world import ISSUER
from tests.spec.test_citizen_sessions import SESSIONS, sign_in
from tests.spec.test_passkeys import add, form_of, options_of

HOST = ISSUER.removeprefix("https://")
SESSION = "__Host-broker-citizen"
LAID = "A" * 43
SIGN_IN, PASSKEY = "/citizen/sign-in?next=sessions", "/citizen/sign-in/passkey"
Way = Callable[[Browser], None]
"""Signs a citizen in, in a browser."""


def password_way(place: Place, citizen: Citizen) -> Way:
    def go(browser: Browser) -> None:
        form = next(one for one in Forms(browser.get(SIGN_IN).text).forms if "password" in one.fields)
        typed = {"personal_id": citizen.personal_id, "password": citizen.password}
        typed["one_time_code"] = place.world.code(citizen)
        check_entered(browser, browser.post(form.action, {**form.fields, **typed}))

    return go


def passkey_way(place: Place, citizen: Citizen) -> Way:
    owner, authenticator = place.world.browser(), Authenticator(ISSUER)
    sign_in(owner, citizen)
    assert add(owner, authenticator).status_code == 303

    def go(browser: Browser) -> None:
        asking = form_of(browser.get(SIGN_IN), PASSKEY)
        page = browser.post(asking.action, asking.fields)
        answer = authenticator.get(options_of(page))
        form = form_of(page, PASSKEY)
        check_entered(browser, browser.post(form.action, {**form.fields, "answer": answer}))

    return go


def provider_way(place: Place, citizen: Citizen) -> Way:
    place.host.behaviour = Behaviour(claims={"SoDinhDanh": citizen.personal_id})

    def go(browser: Browser) -> None:
        form = form_of(browser.get(SIGN_IN), "/citizen/sign-in/with/vneid")
        led = browser.post(form.action, form.fields)
        check_entered(browser, place.come_back(browser, place.host.sign_in(led.headers["Location"])))

    return go


def check_entered(browser: Browser, answer: TestResponse) -> None:
    assert answer.status_code == 303, answer.text
    assert browser.get(SESSIONS).status_code == 200


WAYS = {"password": password_way, "passkey": passkey_way, "provider": provider_way}


@pytest.fixture
def world(place: Place) -> CitizenWorld:
    return place.world


@pytest.fixture
def citizen(world: CitizenWorld) -> Citizen:
    return world.citizen(with_codes=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, place: Place, citizen: Citizen) -> Way:
    return WAYS[request.param](place, citizen)


def is_signed_in(world: CitizenWorld, value: str) -> bool:
    """Return whether a browser with that cookie, and nothing else, is somebody's."""
    thief = world.browser()
    thief.http.set_cookie(SESSION, value, domain=HOST, secure=True)
    return thief.get(SESSIONS).status_code == 200


def test_a_session_that_somebody_laid_ready_is_not_taken(
    world: CitizenWorld, citizen: Citizen, way: Way
) -> None:
    browser = world.browser()
    browser.http.set_cookie(SESSION, LAID, domain=HOST, secure=True)
    way(browser)
    cookie = browser.http.get_cookie(SESSION, HOST)
    assert cookie is not None
    assert cookie.value != LAID
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")
    session = world.sign_in.find_session(cookie.value, world.clock())
    assert session is not None
    assert session.citizen_id == citizen.citizen_id
    assert is_signed_in(world, cookie.value)
    assert not is_signed_in(world, LAID)


def test_a_sign_in_ends_the_session_that_lay_there_before_it(
    world: CitizenWorld, citizen: Citizen, way: Way
) -> None:
    """Somebody's own session, good as it is, lies in the browser in which another signs in."""
    attacker, attackers, browser = world.citizen(), world.browser(), world.browser()
    sign_in(attackers, attacker)
    browser.http.set_cookie(SESSION, attackers.cookie(), domain=HOST, secure=True)
    assert browser.get(SESSIONS).status_code == 200
    way(browser)
    session = world.sign_in.find_session(browser.cookie(), world.clock())
    assert session is not None
    assert session.citizen_id == citizen.citizen_id
    assert world.sign_in.find_session(attackers.cookie(), world.clock()) is None
    assert attackers.get(SESSIONS).status_code == 303
