"""From an error to its answer: what has no row of its own is logged by type and place, never by its words."""

from __future__ import annotations

import json
import logging
from typing import NoReturn

import pytest

from broker.api.calls import Call
from broker.api.exchange import Exchange
from broker.api.operations_log import LOG, JsonLines
from broker.consent.chain import ConsentChainBroken
from broker.errors import BrokerError, StoreUnavailable, TokenInvalid
from broker.keys import SigningKeyUnavailable
from broker.oauth.caller_facts import CallerFacts
from broker.oauth.citizen_secrets import CitizenSecretUnreadable

EXCHANGE = Exchange("https://broker.example", lambda: "fresh")
CALL = Call(
    method="POST",
    path="/v1/things",
    authorization=None,
    dpop=None,
    accept="",
    accept_language="en",
    request_id="3b0a0f1e-0000-4000-8000-000000000001",
    reference="3b0a0f1e-0000-7000-8000-000000000002",
    body=b"",
    caller=CallerFacts(source_address="203.0.113.1"),
)


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(LOG, "propagate", True)
    caplog.set_level(logging.WARNING, LOG.name)
    return caplog


@pytest.mark.parametrize(
    "error",
    [CitizenSecretUnreadable("secret"), ConsentChainBroken(1), BrokerError("secret"), ValueError("secret")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_without_a_row_is_logged_by_type_and_place(
    error: Exception, written: pytest.LogCaptureFixture
) -> None:
    def fails(_: Call) -> NoReturn:
        raise error

    reply = EXCHANGE.answer(fails, CALL, 0.0)
    assert (reply.status, json.loads(reply.body)["type"]) == (500, "https://broker.example/problems/internal")
    [record] = [one for one in written.records if one.levelno >= logging.ERROR]
    line = json.loads(JsonLines().format(record))
    assert (line["event"], line["exception"]) == ("unexpected", type(error).__name__)
    assert line["raised_at"].startswith("tests.unit.test_exchange:")
    assert line["request_id"] == CALL.request_id
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize("error", [StoreUnavailable("x"), TokenInvalid("x"), SigningKeyUnavailable("x")])
def test_an_error_with_a_row_is_told_by_its_row(
    error: BrokerError, written: pytest.LogCaptureFixture
) -> None:
    EXCHANGE.refusal(error, CALL)
    assert written.records == []


def test_without_a_key_to_sign_with_the_answer_says_to_come_back() -> None:
    reply = EXCHANGE.refusal(SigningKeyUnavailable("no key"), CALL)
    assert (reply.status, dict(reply.headers)["Retry-After"]) == (503, "5")
    assert json.loads(reply.body)["type"] == "https://broker.example/problems/evidence-unavailable"
