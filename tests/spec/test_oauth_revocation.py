"""Revocation (RFC 7009) and suspension: what is taken or given back opens nothing at the next request."""

from __future__ import annotations

import hashlib
import random
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from broker.errors import StoreUnavailable
from broker.storage.grants import PostgresGrants
from tests.contracts.test_recording import assert_refused
from tests.doors import at_once, in_process_caller, post
from tests.oauth_flow import Flow
from tests.oauth_world import ASSERTION_TYPE, Database, Party
from tests.oauth_world import World as OAuthWorld
from tests.release_world import World
from tests.spec.test_oauth_introspection import (
    INACTIVE,
    MTLS,
    CertificateBank,
    introspect,
    machine_token,
    told,
)


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(OAuthWorld(database))


def revoke(flow: Flow, token: Any, party: Party | None = None, **more: Any) -> TestResponse:
    """Give a token back; a parameter that is ... is left out."""
    return flow.post("/oauth/revoke", {"token": token, **more}, party, proof="")


def done(answer: TestResponse) -> None:
    """Check the one answer of the endpoint: 200 and nothing (RFC 7009, 2.2)."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.get_data() == b""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


class TestAccessTokens:
    def test_rfc7009_2_a_revoked_access_token_opens_nothing_at_the_next_request(self, flow: Flow) -> None:
        body = flow.tokens()
        assert flow.is_good(body["access_token"])
        done(revoke(flow, body["access_token"]))
        answer = flow.get("/v1/token-info", body["access_token"])
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert told(introspect(flow, body["access_token"])) == INACTIVE

    def test_rfc7009_2_1_the_grant_and_its_refresh_token_stay(self, flow: Flow) -> None:
        body = flow.tokens()
        done(revoke(flow, body["access_token"]))
        renewed = flow.refresh(body["refresh_token"])
        assert renewed.status_code == 200
        assert flow.is_good(renewed.get_json()["access_token"])
        assert not flow.is_good(body["access_token"])

    def test_rfc7009_2_only_the_token_that_was_named_ends(self, flow: Flow) -> None:
        one, other = machine_token(flow), machine_token(flow)
        done(revoke(flow, one))
        assert not flow.is_good(one)
        assert flow.is_good(other)

    def test_rfc7009_2_a_token_bound_to_a_certificate_can_be_given_back(self, database: Database) -> None:
        flow = Flow(OAuthWorld(database, **MTLS))
        bank = CertificateBank(flow)
        token = bank.token()
        headers = {"Authorization": f"Bearer {token}"}
        assert bank.send("/v1/token-info", "GET", headers=headers).status_code == 200
        done(bank.send("/oauth/revoke", token=token))
        assert bank.send("/v1/token-info", "GET", headers=headers).status_code == 401

    def test_the_instant_of_the_first_revocation_stays(self, flow: Flow) -> None:
        token = machine_token(flow)
        done(revoke(flow, token))
        first = flow.world.clock()
        flow.world.clock.move(5)
        done(revoke(flow, token))
        with flow.world.engine.connect() as connection:
            kept = connection.execute(text("SELECT revoked_at FROM access_tokens")).scalar_one()
        assert kept == first


class TestRefreshTokens:
    def test_rfc7009_2_1_a_refresh_token_takes_its_grant_and_every_access_token_with_it(
        self, flow: Flow
    ) -> None:
        body = flow.tokens()
        second = flow.refresh(body["refresh_token"]).get_json()["access_token"]
        done(revoke(flow, body["refresh_token"]))
        assert not flow.is_good(body["access_token"])
        assert not flow.is_good(second)
        answer = flow.refresh(body["refresh_token"])
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
        with flow.world.engine.connect() as connection:
            found = connection.execute(text("SELECT revoked_at, revoked_by FROM grants")).one()
        assert tuple(found) == (flow.world.clock(), "client")

    def test_rfc7009_2_1_another_grant_of_the_same_citizen_stays(self, flow: Flow) -> None:
        citizen = flow.citizen()
        first, second = flow.tokens(citizen), flow.tokens(citizen)
        done(revoke(flow, first["refresh_token"]))
        assert not flow.is_good(first["access_token"])
        assert flow.is_good(second["access_token"])

    def test_a_refresh_that_runs_beside_the_revocation_leaves_no_living_token(self, flow: Flow) -> None:
        """Again and again, until the refresh was first at least once, and late at least once."""
        statuses: set[int] = set()
        for _ in range(30):
            statuses |= self.race(flow)
            if statuses == {200, 400}:
                break
        assert statuses == {200, 400}

    @staticmethod
    def race(flow: Flow) -> set[int]:
        """Revoke a refresh token while it is used; return what its use was answered with."""
        body = flow.tokens()
        at, party, world = flow.world.clock(), flow.bank, flow.world

        def ask(path: str) -> TestResponse:
            if path == "/oauth/token":  # which is quick: some of them come first, some too late
                time.sleep(random.random() * 0.15)
            form = {
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": party.assertion(at),
                "grant_type": "refresh_token",
                "refresh_token": body["refresh_token"],
                "token": body["refresh_token"],
            }
            headers = {"DPoP": party.proof(at, url=world.issuer + path)}
            answer: TestResponse = world.app.test_client().post(
                path, data=form, headers=headers, base_url=world.issuer
            )
            return answer

        revoked, *used = at_once(ask, ["/oauth/revoke", "/oauth/token", "/oauth/token", "/oauth/token"])
        done(revoked)
        refused = [answer.get_json()["error"] for answer in used if answer.status_code == 400]
        assert set(refused) <= {"invalid_grant"}
        issued = [answer.get_json()["access_token"] for answer in used if answer.status_code == 200]
        assert not any(flow.is_good(token) for token in issued)
        return {answer.status_code for answer in used}


class TestNoOracle:
    def test_rfc7009_2_2_whatever_is_given_back_the_answer_is_the_same(self, flow: Flow) -> None:
        body = flow.tokens()
        other = flow.register_bank("bank-b", organisation_id="bank-2")
        given = [
            (body["access_token"], other),
            (body["refresh_token"], other),
            ("unknown", flow.bank),
            ("x.y.z", flow.bank),
            ("é" * 1000, flow.bank),
            (body["access_token"], flow.bank),
            (body["access_token"], flow.bank),
        ]
        answers = [revoke(flow, token, party) for token, party in given]
        for answer in answers:
            done(answer)
        kept = {"Content-Type", "Cache-Control", "Pragma", "Content-Length"}
        seen = {
            tuple(sorted((name, value) for name, value in one.headers if name in kept)) for one in answers
        }
        assert len(seen) == 1

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_rfc7009_2_1_a_token_of_another_client_is_not_revoked(self, flow: Flow, kind: str) -> None:
        body = flow.tokens()
        for other in (flow.register_bank("bank-b", organisation_id="bank-2"), flow.register_bank("bank-a2")):
            done(revoke(flow, body[kind], other))
        assert flow.is_good(body["access_token"])
        assert flow.refresh(body["refresh_token"]).status_code == 200


class TestRequests:
    def test_rfc7009_2_1_the_token_is_needed(self, flow: Flow) -> None:
        for token in (..., ""):
            answer = revoke(flow, token)
            assert answer.status_code == 400
            assert answer.get_json() == {"error": "invalid_request", "error_description": "token is missing"}

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("hint", ["access_token", "refresh_token", "urn:example:other", "x y"])
    def test_rfc7009_2_1_and_2_2_1_no_hint_hinders(self, flow: Flow, kind: str, hint: str) -> None:
        """An unknown hint is ignored: unsupported_token_type is for kinds that cannot be revoked."""
        body = flow.tokens()
        done(revoke(flow, body[kind], token_type_hint=hint))
        assert not flow.is_good(body["access_token"])

    def test_rfc7009_2_1_the_client_must_authenticate(self, flow: Flow) -> None:
        token = machine_token(flow)
        for changes in ({"client_assertion": ...}, {"client_assertion": "x.y.z"}, {"client_id": "bank-z"}):
            answer = revoke(flow, token, **changes)
            assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client")
        assert flow.is_good(token), "and nothing was revoked"

    def test_rfc7523_3_an_assertion_revokes_once(self, flow: Flow) -> None:
        one, other = machine_token(flow), machine_token(flow)
        assertion = flow.bank.assertion(flow.world.clock())
        done(revoke(flow, one, client_assertion=assertion))
        answer = revoke(flow, other, client_assertion=assertion)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client")
        assert flow.is_good(other)

    def test_rfc7009_2_parameters_in_the_query_and_other_methods_are_refused(self, flow: Flow) -> None:
        token = machine_token(flow)
        asked = flow.post(f"/oauth/revoke?token={token}", {"token": token}, proof="")
        assert (asked.status_code, asked.get_json()["error"]) == (400, "invalid_request")
        assert flow.world.http.get("/oauth/revoke").status_code == 405
        assert flow.is_good(token)

    def test_rfc7009_2_2_1_a_store_that_does_not_answer_is_503_and_a_time_to_come_back(
        self, flow: Flow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise StoreUnavailable("secret-host")

        monkeypatch.setattr(PostgresGrants, "revoke_access_token", fail)
        answer = revoke(flow, "unknown")
        assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert b"secret-host" not in answer.get_data()


def test_rfc7009_2_a_token_given_back_releases_nothing_at_the_next_request(app: Flask, world: World) -> None:
    """Through the recording statement: the release that follows is refused and on record."""
    hospital = world.register_hospital(agreements=("hospital_without_batch",), staff=2)
    caller = in_process_caller(app, world.settings.issuer, hospital)
    assert post(caller, world.document(hospital=hospital)).status == 200
    issuer, token = world.settings.issuer, caller.token()
    with world.engine.connect() as connection:
        statement = text("SELECT revoked_at FROM access_tokens WHERE token_hash = :hash")
        values = {"hash": hashlib.sha256(token.encode()).digest()}
        assert connection.execute(statement, values).scalar_one() is None
    form = {
        "token": token,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": hospital.key.assertion(hospital.client_id, issuer, datetime.now(UTC)),
    }
    done(app.test_client().post("/oauth/revoke", data=form, base_url=issuer))
    assert_refused(world, caller, hospital, "token-invalid", "token_not_active")


class TestSuspension:
    """An operator suspends a client: whatever it holds opens nothing at the next request."""

    @pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke", "/oauth/par", "/oauth/token"])
    def test_a_suspended_client_is_refused_at_every_endpoint(self, flow: Flow, path: str) -> None:
        body = flow.tokens()
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        form = {"token": body["access_token"], "grant_type": "refresh_token"}
        answer = flow.post(path, {**form, "refresh_token": body["refresh_token"]})
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client")

    def test_its_tokens_are_dead_at_once_and_stay_so_after_it_is_resumed(self, flow: Flow) -> None:
        body = flow.tokens()
        own = machine_token(flow)
        assert flow.is_good(body["access_token"])
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        assert not flow.is_good(body["access_token"])
        assert not flow.is_good(own)
        flow.world.clients.resume_client("bank-a")
        for token in (body["access_token"], own):
            assert not flow.is_good(token)
            assert told(introspect(flow, token)) == INACTIVE

    def test_its_code_cannot_be_redeemed_then_or_later(self, flow: Flow) -> None:
        attempt = flow.granted()
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        assert flow.redeem(attempt).get_json()["error"] == "invalid_client"
        flow.world.clients.resume_client("bank-a")
        assert flow.redeem(attempt).get_json()["error"] == "invalid_grant"

    def test_what_citizens_gave_rests_and_may_be_refreshed_once_it_is_resumed(self, flow: Flow) -> None:
        body = flow.tokens()
        flow.world.clients.suspend_client("bank-a", flow.world.clock())
        assert flow.refresh(body["refresh_token"]).get_json()["error"] == "invalid_client"
        flow.world.clients.resume_client("bank-a")
        renewed = flow.refresh(body["refresh_token"])
        assert renewed.status_code == 200, "the consent is the citizen's, not the operator's to end"
        assert flow.is_good(renewed.get_json()["access_token"])

    def test_a_registration_that_has_ended_ends_its_tokens(self, flow: Flow) -> None:
        token = machine_token(flow)
        with flow.world.engine.begin() as connection:
            # By both clocks that judge it: the database's, and the test's, which stands still.
            statement = text("UPDATE clients SET expires_at = least(now(), :at) WHERE client_id = 'bank-a'")
            connection.execute(statement, {"at": flow.world.clock()})
        assert not flow.is_good(token)
        assert introspect(flow, token).get_json()["error"] == "invalid_client"
