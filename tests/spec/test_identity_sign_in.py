"""Signing in through a provider of identities, over HTTP on both sides: what lets somebody in, what never."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlalchemy import text
from werkzeug.test import TestResponse

from connectors.identity import IdentityProvider
from connectors.identity_exchange import Exchange
from connectors.identity_providers import ProviderEntry
from consent_ui.words import WORDS
from tests.citizen_world import INCOME, Browser, CitizenWorld, Form, Forms
from tests.doors import at_once
from tests.identity_host import (
    CLIENT_ID,
    HOST,
    NUMBER,
    Behaviour,
    IdentityHost,
    identity_host,
    send,
    slowly,
    unsigned,
)
from tests.key_host import Authority
from tests.oauth_world import Database, MovableClock

SECRET = "a secret of many characters: & + %"
SECONDS = 1.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def host(authority: Authority, tmp_path: Path) -> Iterator[IdentityHost]:
    with identity_host(authority.context(tmp_path, HOST), time.time) as host:
        yield host


@pytest.fixture
def entry(host: IdentityHost, authority: Authority) -> ProviderEntry:
    return ProviderEntry(
        key="vneid",
        issuer=host.issuer,
        client_id=CLIENT_ID,
        labels=("Định danh Thử", "Trial identity"),
        acr_levels={"loa1": 1, "loa2": 2},
        private_key=None,
        key_id="",
        key_algorithm="",
        assertion_audience="issuer",
        client_secret=SECRET,
        scopes=("openid",),
        algorithms=("ES256", "RS256"),
        personal_id_claim="SoDinhDanh",
        personal_id_from="id_token",
        form_origins=(host.issuer,),
        authorities=authority.pem,
        private_host=True,
        plain_loopback=False,
    )


class Place:
    """A broker with one provider, and the provider."""

    def __init__(self, database: Database, host: IdentityHost, entry: ProviderEntry) -> None:
        self.host = host
        exchange = Exchange(entry, resolve=host.resolve, seconds=SECONDS)
        self.world = CitizenWorld(database, providers={"vneid": IdentityProvider(entry, exchange)})
        assert isinstance(self.world.clock, MovableClock)
        self.clock = self.world.clock
        host.now = lambda: self.clock().timestamp()

    def form(self, browser: Browser, **request: Any) -> Form:
        """Return the provider's form on the sign-in page of a request."""
        asked_for = self.world.request(INCOME, **request)
        led = browser.get(self.world.page.address(asked_for.request_ref))
        shown = browser.get(led.headers["Location"])
        return next(one for one in Forms(shown.text).forms if one.action.endswith("/with/vneid"))

    def leave(self, browser: Browser, **request: Any) -> str:
        """Press the provider's button, and return where that leads."""
        form = self.form(browser, **request)
        answer = browser.post(form.action, form.fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def come_back(self, browser: Browser, answer: dict[str, str]) -> TestResponse:
        query = "&".join(f"{name}={value}" for name, value in answer.items())
        return browser.get(f"/citizen/sign-in/callback/vneid?{query}")

    def go_through(self, browser: Browser | None = None, **request: Any) -> TestResponse:
        """Leave, sign in there, and come back."""
        browser = browser or self.world.browser()
        return self.come_back(browser, self.host.sign_in(self.leave(browser, **request)))

    def accounts(self) -> list[Any]:
        with self.world.owner.connect() as connection:
            return list(connection.execute(text("SELECT * FROM citizens ORDER BY registered_at")).mappings())

    def is_nobody_signed_in(self) -> bool:
        return self.world.count("citizen_sessions") == 0


@pytest.fixture
def place(database: Database, host: IdentityHost, entry: ProviderEntry) -> Place:
    with database.owner.begin() as connection:
        connection.execute(text("TRUNCATE sign_in_challenges"))
    return Place(database, host, entry)


class TestWhoGetsIn:
    def test_somebody_new_gets_an_account_without_a_password_and_goes_on_to_the_request(
        self, place: Place
    ) -> None:
        browser = place.world.browser()
        came_back = place.go_through(browser, level=2)
        assert came_back.status_code == 303
        assert came_back.headers["Location"].startswith("/citizen/requests/")
        session = place.world.sign_in.find_session(browser.cookie(), place.clock())
        assert session is not None
        assert (session.level, place.world.sign_in.personal_id(session)) == (2, NUMBER)
        [account] = place.accounts()
        assert account["password_hash"] is None
        assert "0.salary_base" in browser.get(came_back.headers["Location"]).text

    def test_what_is_sent_out_is_all_that_the_standard_asks_and_nothing_of_the_request(
        self, place: Place
    ) -> None:
        address = place.leave(place.world.browser(), level=2)
        for part in (
            "response_type=code", f"client_id={CLIENT_ID}", "scope=openid", "code_challenge_method=S256",
            "prompt=login", "max_age=300", "acr_values=loa2&", "nonce=", "state=",
            "redirect_uri=https%3A%2F%2Fbroker.example%2Fcitizen%2Fsign-in%2Fcallback%2Fvneid",
        ):  # fmt: skip
            assert part in address + "&", part
        for part in ("bank", "income", "salary"):
            assert part not in address

    def test_the_code_is_redeemed_with_the_secret_in_the_header_alone(self, place: Place) -> None:
        place.go_through()
        path, form = next(one for one in place.host.asked if one[0] == "/token")
        header = place.host.headers[place.host.asked.index((path, form))]["authorization"]
        told = base64.b64decode(header.removeprefix("Basic ")).decode()
        assert told == "insurance-broker:a+secret+of+many+characters%3A+%26+%2B+%25"
        assert sorted(form) == ["code", "code_verifier", "grant_type", "redirect_uri"]

    def test_a_key_of_ours_proves_us_to_the_issuer_alone(
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        key = ECKey.generate_key("P-256", private=True)
        ours = replace(entry, client_secret="", private_key=key, key_id="ours", key_algorithm="ES256")
        assert Place(database, host, ours).go_through().status_code == 303
        form = next(form for path, form in host.asked if path == "/token")
        header, payload, _ = (
            base64.urlsafe_b64decode(part + "==") for part in form["client_assertion"].split(".")
        )
        claims = json.loads(payload)
        assert json.loads(header) == {"alg": "ES256", "kid": "ours", "typ": "JWT"}
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, host.issuer)
        assert claims["exp"] - claims["iat"] == 60

    def test_an_assertion_for_the_token_endpoint_is_made_only_where_that_is_the_issuers(
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        key = ECKey.generate_key("P-256", private=True)
        ours = replace(
            entry,
            client_secret="",
            private_key=key,
            key_algorithm="ES256",
            assertion_audience="token_endpoint",
        )
        assert Place(database, host, ours).go_through().status_code == 303
        form = next(form for path, form in host.asked if path == "/token")
        claims = json.loads(base64.urlsafe_b64decode(form["client_assertion"].split(".")[1] + "=="))
        assert claims["aud"] == f"{host.issuer}/token"
        host.behaviour = Behaviour(metadata={"token_endpoint": "https://victim.example/token"})
        place = Place(database, host, ours)
        browser = place.world.browser()
        page = place.form(browser)
        assert browser.post(page.action, page.fields).status_code == 503

    def test_a_person_with_an_account_enters_that(self, place: Place) -> None:
        citizen = place.world.citizen()
        place.host.behaviour = Behaviour(claims={"SoDinhDanh": citizen.personal_id})
        browser = place.world.browser()
        assert place.go_through(browser).status_code == 303
        session = place.world.sign_in.find_session(browser.cookie(), place.clock())
        assert session is not None
        assert session.citizen_id == citizen.citizen_id

    def test_who_was_here_before_is_known_without_a_number(self, place: Place) -> None:
        place.go_through()
        place.host.behaviour = Behaviour(claims={"SoDinhDanh": None})
        assert place.go_through().status_code == 303
        assert len(place.accounts()) == 1

    def test_the_level_is_what_the_acr_counts_for(self, place: Place) -> None:
        place.host.behaviour = Behaviour(claims={"acr": "loa1"})
        browser = place.world.browser()
        place.go_through(browser)
        session = place.world.sign_in.find_session(browser.cookie(), place.clock())
        assert session is not None
        assert session.level == 1

    def test_the_number_may_stand_at_userinfo(
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        other = replace(entry, personal_id_from="userinfo", personal_id_claim="citizenId")
        place = Place(database, host, other)
        browser = place.world.browser()
        assert place.go_through(browser).status_code == 303
        session = place.world.sign_in.find_session(browser.cookie(), place.clock())
        assert session is not None
        assert place.world.sign_in.personal_id(session) == NUMBER

    def test_two_who_are_new_and_the_same_open_one_account(self, place: Place) -> None:
        browsers = [place.world.browser() for _ in range(2)]
        answers = [place.host.sign_in(place.leave(browser)) for browser in browsers]
        came = at_once(
            lambda number: place.come_back(browsers[number], answers[number]).status_code, range(2)
        )
        assert came == [303, 303]
        assert (len(place.accounts()), place.world.count("citizen_sessions")) == (1, 2)

    def test_nothing_of_the_providers_answer_is_kept_but_a_hash(self, place: Place) -> None:
        place.go_through()
        with place.world.owner.connect() as connection:
            rows = connection.execute(text("SELECT * FROM citizen_identities")).mappings().all()
            kept = [str(row) for row in rows]
            tables = ("citizens", "citizen_sessions", "citizen_identities", "sign_in_challenges")
            for table in tables:
                statement = text(f"SELECT t::text FROM {table} t")  # noqa: S608
                kept += [str(row) for row in connection.execute(statement)]
        assert len(rows) == 1
        for value in (NUMBER, "person-1", "NGUYỄN", "eyJ"):
            assert not any(value in one for one in kept), value

    def test_a_new_key_of_the_provider_is_read_anew(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def kept_for_long(handler: BaseHTTPRequestHandler, path: str) -> bool:
            if path == "/jwks":
                keys = {"keys": [place.host.key.as_dict(private=False)]}
                send(handler, 200, keys, cache_control="max-age=300")
            return path == "/jwks"

        def readings() -> int:
            return [path for path, _ in place.host.asked].count("/jwks")

        place.host.behaviour = Behaviour(answer=kept_for_long)
        assert [place.go_through().status_code for _ in range(2)] == [303, 303]
        assert readings() == 1, "the keys may be kept"
        place.host.key = ECKey.generate_key("P-256", {"kid": "key-2", "use": "sig"}, private=True)
        place.host.behaviour = Behaviour(header={"kid": "key-2"}, answer=kept_for_long)
        monkeypatch.setattr("connectors.client_keys.RENEW_SECONDS", 0)
        assert place.go_through().status_code == 303
        assert readings() == 2

    def test_a_success_gives_its_attempt_back(self, place: Place) -> None:
        place.go_through()
        with place.world.owner.connect() as connection:
            used = connection.execute(text("SELECT sum(used_count) FROM usage_counters")).scalar_one()
        assert used == 0


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
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        other = replace(entry, personal_id_from="userinfo", personal_id_claim="citizenId")
        place = Place(database, host, other)
        host.behaviour = Behaviour(userinfo={"sub": "person-2"})
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
        slowly(handler, 5)
    return path == "/token"


def html(handler: BaseHTTPRequestHandler, path: str) -> bool:
    if path == "/token":
        send(handler, 200, b"<title>welcome</title>", "text/html")
    return path == "/token"


class TestAProviderThatIsNoneNow:
    @pytest.mark.parametrize("answer", [redirects, oversize, slow, html])
    def test_it_holds_nobody_up_and_opens_nothing(self, place: Place, answer: Any) -> None:
        place.host.behaviour = Behaviour(answer=answer)
        browser = place.world.browser()
        back = place.host.sign_in(place.leave(browser))
        began = time.monotonic()
        told = place.come_back(browser, back)
        assert time.monotonic() - began < 4.5, "it waited for the 5 s of the slow one"
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
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        place = Place(database, host, replace(entry, private_host=False))
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, form.fields).status_code == 503
        assert host.asked == []

    def test_a_certificate_of_an_unknown_authority_is_refused(
        self, database: Database, host: IdentityHost, entry: ProviderEntry
    ) -> None:
        place = Place(database, host, replace(entry, authorities=Authority().pem))
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, form.fields).status_code == 503


class TestTheForm:
    def test_only_the_pages_own_form_leads_out(self, place: Place) -> None:
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post(form.action, {**form.fields, "token": "x"}).status_code == 403
        assert browser.post(form.action, form.fields, Sec_Fetch_Site="cross-site").status_code == 403
        assert place.world.browser().post(form.action, form.fields).status_code == 403

    def test_an_unknown_provider_and_an_unknown_request_are_404(self, place: Place) -> None:
        browser = place.world.browser()
        form = place.form(browser)
        assert browser.post("/citizen/sign-in/with/other", form.fields).status_code == 404
        assert browser.post(form.action, {**form.fields, "next": "x"}).status_code == 404

    def test_the_page_lets_its_form_lead_to_the_provider_and_nowhere_else(self, place: Place) -> None:
        browser = place.world.browser()
        request = place.world.request(INCOME)
        led = browser.get(place.world.page.address(request.request_ref))
        policy = browser.get(led.headers["Location"]).headers["Content-Security-Policy"]
        assert f"form-action 'self' {place.host.issuer};" in policy
        assert "script-src" not in policy

    def test_too_many_from_one_address_wait(self, place: Place) -> None:
        browser = place.world.browser()
        form = place.form(browser)
        with place.world.owner.begin() as connection:
            browser.post(form.action, form.fields)
            connection.execute(text("UPDATE usage_counters SET used_count = 100, limit_count = 100"))
        answer = browser.post(form.action, form.fields)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) <= 900
