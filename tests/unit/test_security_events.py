"""Security event claims and the waits between tries: RFC 8417 member by member, without any store."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.consent.delivery import LONGEST_WAIT, TRIES_MAX, next_try_at
from broker.consent.record import AskedField, Consent, FieldDecision, State, Terms
from broker.consent.security_events import (
    NOTICE_KINDS,
    NoticeKind,
    event_claims,
    queued_notice,
    told_state,
)

ISSUER = "https://broker.example"
AT = datetime(2026, 11, 22, 4, 5, 6, 789_000, UTC)
CONSENT = Consent(
    consent_id="0193f0a0-0000-7000-8000-00000000000c",
    request_id="0193f0a0-0000-7000-8000-00000000000a",
    client_id="bank-a",
    organisation_id="bank-1",
    citizen_id="0193f0a0-0000-7000-8000-0000000000c1",
    subject="pairwise-for-bank-a",
    terms=Terms(
        agreement_id="bank_income_proof",
        revision_hash="r",
        purpose="prove_income",
        fields=(AskedField("salary_base", "band", True, False),),
        valid_days=30,
        retention_days=180,
        message=(("vi", "Lời của ngân hàng"),),
    ),
    state="withdrawn",
    state_reason="data_subject",
    state_since_at=AT,
    version=4,
    requested_at=AT - timedelta(days=1),
    request_expires_at=AT,
    decisions=(FieldDecision("salary_base", "band", True, True),),
    valid_from_at=AT - timedelta(hours=1),
    valid_to_at=datetime(2026, 12, 22, 4, 5, 6, tzinfo=UTC),
)


def claims(kind: NoticeKind = "consent_withdrawn", consent: Consent = CONSENT) -> dict[str, Any]:
    return event_claims(queued_notice(consent, kind, message_id="m-1", at=AT), ISSUER)


def event_of(told: dict[str, Any]) -> dict[str, Any]:
    [event] = told["events"].values()
    return dict(event)


def test_rfc8417_2_2_a_withdrawal_is_told_with_these_claims_and_no_others() -> None:
    seconds = int(AT.timestamp())
    assert claims() == {
        "iss": ISSUER,
        "aud": "bank-a",
        "iat": seconds,
        "jti": "m-1",
        "txn": f"{CONSENT.consent_id}.4",
        "toe": seconds,
        "sub_id": {"format": "opaque", "id": "pairwise-for-bank-a"},
        "events": {
            "https://broker.example/events/consent-withdrawn": {
                "consent_id": CONSENT.consent_id,
                "purpose": "prove_income",
                "state": "withdrawn",
                "reason": "data_subject",
                "version": 4,
                "valid_to": "2026-12-22T04:05:06Z",
                "obey_by": "2026-12-12T04:05:06Z",
            }
        },
    }


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_every_kind_has_a_uri_of_its_own_under_the_issuer(kind: NoticeKind) -> None:
    assert list(claims(kind)["events"]) == [f"{ISSUER}/events/{kind.replace('_', '-')}"]


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_only_what_must_be_stopped_or_deleted_has_a_day_by_which_it_must(kind: NoticeKind) -> None:
    assert ("obey_by" in event_of(claims(kind))) is (kind == "consent_withdrawn")


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_nobody_and_nothing_of_a_record_is_told(kind: NoticeKind) -> None:
    text = json.dumps(claims(kind))
    for secret in (CONSENT.citizen_id, "salary_base", "Lời", "bank-1", CONSENT.request_id):
        assert secret not in text


def test_rfc8417_4_a_token_is_none_of_the_others() -> None:
    assert {"sub", "exp", "nonce", "scope", "client_id"}.isdisjoint(claims())


def test_a_consent_that_never_began_has_no_end() -> None:
    assert "valid_to" not in event_of(claims(consent=replace(CONSENT, valid_to_at=None)))


def test_a_consent_that_another_took_the_place_of_says_which() -> None:
    changed = replace(CONSENT, state="superseded", superseded_by="0193f0a0-0000-7000-8000-00000000000d")
    assert event_of(claims("consent_changed", changed))["superseded_by"] == changed.superseded_by
    assert "superseded_by" not in event_of(claims("consent_changed"))


def test_two_notices_of_one_change_share_their_transaction_and_not_their_id() -> None:
    one = queued_notice(CONSENT, "consent_withdrawn", message_id="m-1", at=AT)
    other = queued_notice(CONSENT, "consent_withdrawn", message_id="m-2", at=AT)
    told = [event_claims(notice, ISSUER) for notice in (one, other)]
    assert told[0]["txn"] == told[1]["txn"]
    assert told[0]["jti"] != told[1]["jti"]


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("invalidated", "fraud", ("withdrawn", "")),
        ("invalidated", "court_order", ("withdrawn", "")),
        ("inapplicable", "agreement_ended", ("expired", "agreement_ended")),
        ("inapplicable", "by_client", ("expired", "by_client")),
        ("refresh_due", "confirmation_due", ("paused", "")),
        ("paused", "by_representative", ("paused", "by_citizen")),
        ("expired", "used_up", ("expired", "used_up")),
    ],
)
def test_a_recipient_learns_neither_of_birthdays_nor_of_orders_and_fraud(
    state: State, reason: str, told: tuple[str, str]
) -> None:
    changed = replace(CONSENT, state=state, state_reason=reason)
    event = event_of(claims("consent_expired", changed))
    assert (event["state"], event["reason"]) == told
    assert told_state(state) == told[0]


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^there is no such kind of notice$"):
        queued_notice(CONSENT, "consent_sold", message_id="m", at=AT)  # type: ignore[arg-type]


def test_waits_double_up_to_six_hours_and_end() -> None:
    waits = [next_try_at(count, AT, 1.0) for count in range(1, TRIES_MAX)]
    seconds = [(wait - AT).total_seconds() for wait in waits if wait is not None]
    assert seconds[:4] == [10, 20, 40, 80]
    assert seconds[11:] == [20_480] + [LONGEST_WAIT.total_seconds()] * (TRIES_MAX - 13)
    assert next_try_at(TRIES_MAX, AT, 0.0) is None


def test_all_tries_together_take_three_days_in_the_mean() -> None:
    waits = [next_try_at(count, AT, 0.5) for count in range(1, TRIES_MAX)]
    total = sum((wait - AT for wait in waits if wait is not None), timedelta())
    assert timedelta(days=2.5) < total < timedelta(days=3.5)


@pytest.mark.parametrize("count", range(1, TRIES_MAX))
def test_the_whole_wait_is_left_to_chance_and_never_nothing(count: int) -> None:
    assert next_try_at(count, AT, 0.0) == AT + timedelta(seconds=1)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ValueError, match=r"^a share lies from 0 to 1$"):
        next_try_at(1, AT, share)
