"""The code flow from end to end, and what each of its parts may not do (RFC 6749, 7636, 9126, 9207, 9396)."""

from __future__ import annotations

import logging

import pytest

from tests.oauth_flow import COMPLETED, Attempt, Flow, agreed
from tests.oauth_world import Database, World


@pytest.fixture
def flow(database: Database) -> Flow:
    return Flow(World(database))


def test_a_citizen_gives_and_the_bank_gets_a_token_for_just_that(flow: Flow) -> None:
    answer = flow.redeem(flow.granted())
    assert answer.status_code == 200, answer.get_json()
    body = answer.get_json()
    assert set(body) == {
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "authorization_details",
        "grant_id",
        "refresh_token",
    }
    assert body["token_type"] == "DPoP"
    assert body["expires_in"] == 120
    assert agreed(body["authorization_details"]) == [COMPLETED]
    assert flow.is_good(body["access_token"])
    renewed = flow.refresh(body["refresh_token"])
    assert renewed.status_code == 200, renewed.get_json()
    assert "refresh_token" not in renewed.get_json()
    assert flow.is_good(renewed.get_json()["access_token"])


def test_nothing_secret_or_personal_of_a_whole_flow_reaches_a_log(
    flow: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    citizen, attempt = flow.citizen(), Attempt()
    with caplog.at_level(logging.DEBUG):
        flow.push(attempt)
        flow.decide(citizen, attempt)
        body = flow.redeem(attempt).get_json()
        flow.refresh(body["refresh_token"])
        flow.is_good(body["access_token"])
        flow.redeem(attempt)
    session = flow.signed_in(citizen).get_cookie("__Host-broker-citizen", "broker.example")
    assert session is not None
    secrets = [
        citizen.personal_id,
        citizen.password,
        citizen.totp_secret,
        attempt.verifier,
        attempt.state,
        attempt.request_uri.rpartition(":")[2],
        attempt.code,
        body["refresh_token"],
        body["access_token"].split(".")[2],
        body["grant_id"],
        session.value,
    ]
    assert all(len(secret) > 5 for secret in secrets)
    assert [secret for secret in secrets if secret in caplog.text] == []
