"""What a provider of identities says that opens nothing, and providers that are none now."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from connectors.identity_providers import ProviderEntry
from consent_ui.words import WORDS
from tests.citizen_world import INCOME
from tests.doors import at_once
from tests.identity_host import (
    CLIENT_ID,
    NUMBER,
    Behaviour,
    IdentityHost,
    send,
    slowly,
    unsigned,
)
from tests.identity_place import Place
from tests.key_host import Authority
from tests.oauth_world import Database

WRONG_KEY = ECKey.generate_key("P-256", {"kid": "key-1"}, private=True)
REFUSED: dict[str, tuple[Behaviour, str]] = {
    "another nonce": (Behaviour(claims={"nonce": "x"}), "the ID token is not right"),
    "no nonce": (Behaviour(claims={"nonce": None}), "the ID token is not right"),
    "another issuer": (Behaviour(claims={"iss": "https://other.example"}), "the ID token is not right"),
    "for somebody else": (Behaviour(claims={"aud": "other"}), "the ID token is not right"),
    "for many without azp": (Behaviour(claims={"aud": [CLIENT_ID, "other"]}), "the ID token is not right"),
    "for many, by another": (
        Behaviour(claims={"aud": [CLIENT_ID, "other"], "azp": "other"}),
        "the ID token is not right",
    ),
    "expired": (Behaviour(claims={"exp": 1_700_000_000}), "the ID token is not right"),
    "from the future": (Behaviour(claims={"iat": 4_000_000_000}), "the ID token is not right"),
    "without iat": (Behaviour(claims={"iat": None}), "the ID token is not right"),
    "good for years": (Behaviour(claims={"exp": 4_000_000_000}), "the ID token lives too long"),
    "exp as a word": (Behaviour(claims={"exp": "soon"}), "the ID token is not right"),
    "wrong at_hash": (Behaviour(claims={"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), "the ID token is not right"),
    "unsigned": (Behaviour(sign=unsigned), "the ID token is signed in a way that the entry does not name"),
    "a wrong key": (Behaviour(key=WRONG_KEY), "the ID token is not right"),
    "an unknown kid": (Behaviour(header={"kid": "key-9"}), "the ID token names no key of the provider"),
    "signed with a public key as a secret": (
        Behaviour(header={"alg": "HS256"}, key=OctKey.import_key(b"x" * 32)),
        "the ID token is signed in a way that the entry does not name",
    ),
    "an algorithm that the entry does not name": (
        Behaviour(header={"alg": "PS256"}, key=RSAKey.generate_key(2048, {"kid": "key-1"}, private=True)),
        "the ID token is signed in a way that the entry does not name",
    ),
    "an algorithm that does not fit the key of that name": (
        Behaviour(header={"alg": "RS256"}, key=RSAKey.generate_key(2048, {"kid": "key-1"}, private=True)),
        "the ID token names no key of the provider",
    ),
    "not a token": (Behaviour(sign=lambda *_: "x.y"), "the ID token is not right"),
    "no ID token": (Behaviour(response={"id_token": None}), "there is no ID token, or it is too long"),
    "an acr that counts for nothing": (
        Behaviour(claims={"acr": "loa0"}),
        "the acr is none that the entry of the provider knows",
    ),
    "no acr": (Behaviour(claims={"acr": None}), "the acr is none that the entry of the provider knows"),
    "no auth_time": (Behaviour(claims={"auth_time": None}), "the ID token is not right"),
    "a sign-in of this morning": (
        Behaviour(claims={"auth_time": 1_700_000_000}),
        "the person did nothing to be recognised this time",
    ),
    "no sub": (Behaviour(claims={"sub": None}), "the ID token is not right"),
    "an empty sub": (Behaviour(claims={"sub": ""}), "sub is not of the form of one"),
    "somebody new without a number": (
        Behaviour(claims={"SoDinhDanh": None}),
        "the provider's person is new here and comes without a personal id",
    ),
    "a number that is none": (
        Behaviour(claims={"SoDinhDanh": "00109901234x"}),
        "the personal id is not of the form of one",
    ),
    "a number as a number": (
        Behaviour(claims={"SoDinhDanh": 1099012345}),
        "the personal id is not of the form of one",
    ),
}


class TestWhatOpensNothing:
    @pytest.mark.parametrize("name", REFUSED)
    def test_an_answer_that_is_not_right_is_one_plain_page_and_a_line_without_values(
        self, place: Place, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        place.host.behaviour, reason = REFUSED[name]
        browser = place.world.browser()
        with caplog.at_level(logging.WARNING, "broker.identity"):
            answer = place.go_through(browser)
        assert answer.status_code == 403, name
        assert WORDS["provider_refused"][0] in answer.text
        assert (browser.cookie(), place.is_nobody_signed_in(), place.accounts()) == ("", True, [])
        assert caplog.messages == [f"a sign-in through a provider is refused: vneid: {reason}"]

    def test_a_code_is_taken_to_the_provider_once(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        assert place.come_back(browser, answer).status_code == 303
        again = place.come_back(browser, answer)
        assert (again.status_code, WORDS["sign_in_unknown"][0] in again.text) == (403, True)
        assert len([path for path, _ in place.host.asked if path == "/token"]) == 1

    def test_a_state_is_good_once_on_all_workers(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        assert sorted(at_once(lambda _: place.come_back(browser, answer).status_code, range(2))) == [303, 403]

    def test_a_state_is_good_in_the_browser_that_left_and_no_other_spoils_it(self, place: Place) -> None:
        browser, other = place.world.browser(), place.world.browser()
        place.leave(other)
        answer = place.host.sign_in(place.leave(browser))
        assert place.come_back(other, answer).status_code == 403
        assert place.come_back(place.world.browser(), answer).status_code == 403
        assert place.come_back(browser, answer).status_code == 303

    def test_an_answer_that_comes_late_is_none(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        place.clock.move(timedelta(minutes=10).total_seconds())
        assert place.come_back(browser, answer).status_code == 403
        assert place.is_nobody_signed_in()

    @pytest.mark.parametrize("issuer", ["https://other.example", ""])
    def test_an_answer_of_another_issuer_is_refused_before_its_code_is_used(
        self, place: Place, issuer: str
    ) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        changed = {**answer, "iss": issuer} if issuer else {"code": answer["code"], "state": answer["state"]}
        assert place.come_back(browser, changed).status_code == 403
        assert [path for path, _ in place.host.asked if path == "/token"] == []

    def test_a_repeated_parameter_is_refused(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        assert place.come_back(browser, {**answer, "code": f"{answer['code']}&code=x"}).status_code == 403
        assert place.is_nobody_signed_in()

    def test_who_stops_at_the_provider_is_told_so(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        stopped = {"error": "access_denied", "state": answer["state"], "iss": answer["iss"]}
        told = place.come_back(browser, stopped)
        assert (told.status_code, WORDS["provider_said_no"][0] in told.text) == (403, True)

    def test_a_code_that_the_provider_does_not_take_opens_nothing(self, place: Place) -> None:
        browser = place.world.browser()
        answer = place.host.sign_in(place.leave(browser))
        assert place.come_back(browser, {**answer, "code": "made-up"}).status_code == 403

    def test_a_closed_account_is_not_entered(self, place: Place) -> None:
        place.go_through()
        place.world.store.suspend_citizen(place.world.references.citizen_ref(NUMBER))
        assert place.go_through().status_code == 403
        assert place.is_nobody_signed_in()

    def test_an_account_with_codes_is_not_entered_at_level_1(self, place: Place) -> None:
        citizen = place.world.citizen(with_codes=True)
        place.host.behaviour = Behaviour(claims={"SoDinhDanh": citizen.personal_id, "acr": "loa1"})
        assert place.go_through().status_code == 403
        place.host.behaviour = Behaviour(claims={"SoDinhDanh": citizen.personal_id})
        assert place.go_through().status_code == 303

    def test_one_sub_with_another_number_than_before_is_refused(self, place: Place) -> None:
        place.go_through()
        place.host.behaviour = Behaviour(claims={"SoDinhDanh": "001099054321"})
        assert place.go_through().status_code == 403
        assert len(place.accounts()) == 1

    def test_userinfo_about_somebody_else_is_refused(
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        other = replace(provider_entry, personal_id_from="userinfo", personal_id_claim="citizenId")
        place = Place(database, provider_host, other)
        provider_host.behaviour = Behaviour(userinfo={"sub": "person-2"})
        assert place.go_through().status_code == 403
        assert place.is_nobody_signed_in()

    def test_an_account_without_password_is_entered_with_none(self, place: Place) -> None:
        place.go_through()
        request = place.world.request(INCOME)
        for password in ("", "None", "con mèo trèo cây cau"):
            answer = place.world.browser().try_sign_in(request, personal_id=NUMBER, password=password)
            assert answer.status_code in (403, 422)


def redirects(handler: BaseHTTPRequestHandler, path: str) -> bool:
    if path == "/token":
        handler.send_response(302)
        handler.send_header("Location", "https://127.0.0.1/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    return path == "/token"


def oversize(handler: BaseHTTPRequestHandler, path: str) -> bool:
    if path == "/token":
        send(handler, 200, b'{"id_token": "' + b"x" * 70_000 + b'"}')
    return path == "/token"


def slow(handler: BaseHTTPRequestHandler, path: str) -> bool:
    if path == "/token":
        slowly(handler, 60)
    return path == "/token"


def html(handler: BaseHTTPRequestHandler, path: str) -> bool:
    if path == "/token":
        send(handler, 200, b"<title>welcome</title>", "text/html")
    return path == "/token"


class TestAProviderThatIsNoneNow:
    @pytest.mark.parametrize("answer", [redirects, oversize, slow, html])
    def test_it_holds_nobody_up_and_opens_nothing(
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry, answer: Any
    ) -> None:
        place = Place(database, provider_host, provider_entry, seconds=2.0 if answer is slow else 60.0)
        place.host.behaviour = Behaviour(answer=answer)
        browser = place.world.browser()
        back = place.host.sign_in(place.leave(browser))
        began = time.monotonic()
        told = place.come_back(browser, back)
        assert time.monotonic() - began < 30, "it waited for the minute of the slow one"
        assert (told.status_code, told.headers["Retry-After"]) == (503, "5")
        assert WORDS["provider_unavailable"][0] in told.text
        assert place.is_nobody_signed_in()

    @pytest.mark.parametrize(
        "metadata",
        [
            {"issuer": "https://other.example"},
            {"authorization_endpoint": "https://other.example/authorize"},
            {"token_endpoint": None},
            {"jwks_uri": 7},
        ],
    )
    def test_metadata_that_do_not_fit_lead_nobody_out(self, place: Place, metadata: dict[str, Any]) -> None:
        place.host.behaviour = Behaviour(metadata=metadata)
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, form.fields).status_code == 503

    def test_endpoints_at_inner_addresses_are_not_reached(
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        place = Place(database, provider_host, replace(provider_entry, private_host=False))
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, form.fields).status_code == 503
        assert provider_host.asked == []

    def test_a_certificate_of_an_unknown_authority_is_refused(
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        place = Place(database, provider_host, replace(provider_entry, authorities=Authority().pem))
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, form.fields).status_code == 503
