"""Signing in through a provider of identities, over HTTP on both sides: what lets somebody in."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import text

from connectors.identity_providers import ProviderEntry
from tests.acting import entries, last_reference, told, without_entries
from tests.citizen_world import INCOME
from tests.doors import at_once
from tests.identity_host import (
    CLIENT_ID,
    NUMBER,
    Behaviour,
    IdentityHost,
    send,
)
from tests.identity_place import Place
from tests.oauth_world import Database


class TestWhoGetsIn:
    def test_somebody_new_gets_an_account_without_a_password_and_goes_on_to_the_request(
        self, place: Place
    ) -> None:
        browser, begun = place.world.browser(), last_reference(place.world.engine)
        came_back = place.go_through(browser, level=2)
        assert came_back.status_code == 303
        assert came_back.headers["Location"].startswith("/citizen/requests/")
        session = place.world.sign_in.find_session(browser.cookie(), place.clock())
        assert session is not None
        assert (session.level, place.world.sign_in.personal_id(session)) == (2, NUMBER)
        [account] = place.accounts()
        assert account["password_hash"] is None
        [opened] = entries(place.world.engine, "administration", begun)
        assert told(opened, "act", "actor", "acting_person") == ("citizen_created", "broker", None)
        assert opened["data_subject_commit"] is not None
        assert "0.salary_base" in browser.get(came_back.headers["Location"]).text

    def test_nobody_gets_an_account_whose_entry_cannot_be_written(
        self, place: Place, database: Database
    ) -> None:
        browser = place.world.browser()
        with without_entries(database.owner):
            assert place.go_through(browser).status_code == 500
        assert place.accounts() == []
        assert place.world.sign_in.find_session(browser.cookie(), place.clock()) is None

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
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        key = ECKey.generate_key("P-256", private=True)
        ours = replace(
            provider_entry, client_secret="", private_key=key, key_id="ours", key_algorithm="ES256"
        )
        assert Place(database, provider_host, ours).go_through().status_code == 303
        form = next(form for path, form in provider_host.asked if path == "/token")
        header, payload, _ = (
            base64.urlsafe_b64decode(part + "==") for part in form["client_assertion"].split(".")
        )
        claims = json.loads(payload)
        assert json.loads(header) == {"alg": "ES256", "kid": "ours", "typ": "JWT"}
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, provider_host.issuer)
        assert claims["exp"] - claims["iat"] == 60

    def test_an_assertion_for_the_token_endpoint_is_made_only_where_that_is_the_issuers(
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        key = ECKey.generate_key("P-256", private=True)
        ours = replace(
            provider_entry,
            client_secret="",
            private_key=key,
            key_algorithm="ES256",
            assertion_audience="token_endpoint",
        )
        assert Place(database, provider_host, ours).go_through().status_code == 303
        form = next(form for path, form in provider_host.asked if path == "/token")
        claims = json.loads(base64.urlsafe_b64decode(form["client_assertion"].split(".")[1] + "=="))
        assert claims["aud"] == f"{provider_host.issuer}/token"
        provider_host.behaviour = Behaviour(metadata={"token_endpoint": "https://victim.example/token"})
        place = Place(database, provider_host, ours)
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

    def test_who_has_an_account_gets_no_second_entry(self, place: Place) -> None:
        place.go_through()
        begun = last_reference(place.world.engine)
        place.go_through()
        assert entries(place.world.engine, "administration", begun) == []

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
        self, database: Database, provider_host: IdentityHost, provider_entry: ProviderEntry
    ) -> None:
        other = replace(provider_entry, personal_id_from="userinfo", personal_id_claim="citizenId")
        place = Place(database, provider_host, other)
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
