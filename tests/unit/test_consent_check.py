"""The checks at fetch: every reason, their order, and fields that are dropped without an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any, Final

import pytest

from broker.actions.consent_facts import wait_seconds
from broker.consent import life
from broker.consent.check import DENIALS, FetchFacts, find_denial, released_fields
from broker.consent.codec import record_hash
from broker.consent.ranges import is_range_within, period_end
from broker.consent.record import Consent, DataRange, Frequency
from broker.consent.standing import state_at
from tests.consent_lives import AT, STATES, TERMS, active, notice, requested, signer

YEAR: Final = DataRange(date(2025, 1, 1), date(2025, 12, 31))


def facts(consent: Consent | None = None, **changed: Any) -> FetchFacts:
    one = active() if consent is None else consent
    known = FetchFacts(
        consent=one,
        agreed_hash=record_hash(one),
        token_valid=True,
        client_id="bank-a",
        organisation_id="bank-1",
        subject="citizen:pairwise",
        agreement_id="bank_income_proof",
        record_hash=record_hash(one),
        purpose="prove_income",
    )
    return replace(known, **changed)


# Reason → what alone brings it about, in the order of consent.md 1.5.
FAULTS: Final[dict[str, Callable[[FetchFacts], FetchFacts]]] = {
    "token_invalid": lambda one: replace(one, token_valid=False),
    "recipient_mismatch": lambda one: replace(one, client_id="bank-b"),
    "subject_mismatch": lambda one: replace(one, subject="citizen:another"),
    "service_mismatch": lambda one: replace(one, agreement_id="another"),
    "not_active_paused": lambda one: replace(one, consent=replace(one.consent, state="paused")),
    "record_hash_mismatch": lambda one: replace(one, record_hash="0" * 64),
    "purpose_mismatch": lambda one: replace(one, purpose="local_social_policy"),
    "outside_range": lambda one: replace(one, asked_range=DataRange(date(2024, 12, 31), None)),
    "frequency_exceeded": lambda one: replace(one, used_count=2),
    "quota_exceeded": lambda one: replace(one, quota_exceeded=True),
    "policy_denied": lambda one: replace(one, policy_permits=False),
}


def test_nothing_stands_against_a_consent_that_was_given_for_this() -> None:
    assert find_denial(facts(), AT) is None
    assert find_denial(facts(asked_range=YEAR, used_count=1), AT) is None


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_alone_is_told_by_its_own_word(reason: str) -> None:
    assert find_denial(FAULTS[reason](facts()), AT) == reason


@pytest.mark.parametrize(("first", "second"), list(combinations(FAULTS, 2)))
def test_of_two_faults_the_first_in_the_order_is_told(first: str, second: str) -> None:
    assert find_denial(FAULTS[second](FAULTS[first](facts())), AT) == first


def test_the_documented_order_is_the_one_that_is_checked() -> None:
    assert [reason.removesuffix("_paused") for reason in FAULTS] == list(DENIALS)


@pytest.mark.parametrize("changed", [{"client_id": "bank-b"}, {"organisation_id": "bank-2"}])
def test_another_client_and_another_organisation_are_another_recipient(changed: dict[str, Any]) -> None:
    assert find_denial(facts(**changed), AT) == "recipient_mismatch"


@pytest.mark.parametrize("state", [state for state in STATES if state != "active"])
def test_rig_1_in_every_other_state_nothing_leaves(state: Any) -> None:
    assert find_denial(facts(STATES[state]), AT) == f"not_active_{state}"


def test_rig_1_the_state_is_the_one_of_this_instant_whether_or_not_anybody_swept() -> None:
    consent, end = active(), AT + timedelta(days=30)
    assert find_denial(facts(consent), end - timedelta(microseconds=1)) is None
    assert find_denial(facts(consent), end) == "not_active_expired"


def test_a_record_made_active_by_hand_releases_nothing() -> None:
    forged = replace(requested(), state="active")
    assert state_at(forged, AT) == "active"
    assert find_denial(facts(forged), AT) == "not_active_incomplete"


@pytest.mark.parametrize(
    "changed",
    [
        {"decisions": ()},
        {"signers": ()},
        {"given_days": 29},
        {"valid_to_at": AT + timedelta(days=31)},
        {"terms": replace(TERMS, retention_days=91)},
        {"notice": notice(rendered_hash="d" * 64)},
        {"given_range": YEAR},
        {"citizen_id": "another"},
    ],
)
def test_con_7_a_record_that_was_changed_does_not_fit_the_token(changed: dict[str, Any]) -> None:
    token_hash = record_hash(active())
    assert find_denial(facts(replace(active(), **changed), record_hash=token_hash), AT) == (
        "record_hash_mismatch"
    )


def test_a_hash_that_is_no_hash_fits_nothing() -> None:
    for text in ("", "é", record_hash(active()).upper()):
        assert find_denial(facts(record_hash=text), AT) == "record_hash_mismatch"


def test_con_9_the_range_that_was_given_counts_not_the_one_asked_for() -> None:
    half = DataRange(date(2025, 7, 1), date(2025, 12, 31))
    consent = life.decide(requested(), TERMS.field_names, signer(), notice(), AT, data_range=half).consent
    assert find_denial(facts(consent, asked_range=half), AT) is None
    assert find_denial(facts(consent, asked_range=YEAR), AT) == "outside_range"


def test_con_9_what_was_not_given_is_dropped_without_an_error() -> None:
    part = active(given=frozenset({"salary_base"}))
    assert released_fields(part) == ("salary_base",)
    assert released_fields(part, frozenset({"si_status", "salary_base"})) == ("salary_base",)
    assert released_fields(part, frozenset({"si_status"})) == ()
    assert released_fields(active(), frozenset({"si_status", "full_name"})) == ("si_status",)
    assert released_fields(active()) == ("salary_base", "si_status")


@pytest.mark.parametrize(
    ("inner", "outer", "is_within"),
    [
        (None, None, True),
        (YEAR, None, True),
        (None, YEAR, False),
        (YEAR, YEAR, True),
        (DataRange(None, date(2025, 12, 31)), YEAR, False),
        (DataRange(date(2025, 1, 1), None), YEAR, False),
        (DataRange(date(2025, 1, 1), date(2026, 1, 1)), YEAR, False),
        (DataRange(date(2025, 6, 2), date(2025, 6, 1)), YEAR, False),
        (DataRange(date(2025, 6, 1), date(2025, 6, 1)), YEAR, True),
    ],
)
def test_one_range_lies_in_another_or_not(
    inner: DataRange | None, outer: DataRange | None, is_within: bool
) -> None:
    assert is_range_within(inner, outer) is is_within


@pytest.mark.parametrize(
    ("per", "ends_at"),
    [
        # 00:30 on Sunday 1 March 2026 in Viet Nam is still Saturday in UTC.
        ("day", datetime(2026, 3, 1, 17, tzinfo=UTC)),
        ("week", datetime(2026, 3, 1, 17, tzinfo=UTC)),
        ("month", datetime(2026, 3, 31, 17, tzinfo=UTC)),
        ("consent", active().valid_to_at),
    ],
)
def test_periods_are_civil_ones_of_viet_nam(per: Any, ends_at: datetime) -> None:
    consent = replace(active(), terms=replace(TERMS, frequency=Frequency(1, per)))
    assert period_end(consent, datetime(2026, 2, 28, 17, 30, tzinfo=UTC)) == ends_at


@pytest.mark.parametrize("per", ["day", "week", "month"])
def test_a_period_ends_after_every_instant_of_it_and_the_next_one_later(per: Any) -> None:
    consent = replace(active(), terms=replace(TERMS, frequency=Frequency(1, per)))
    at = datetime(2027, 12, 1, tzinfo=UTC)
    for _ in range(1000):
        ends_at = period_end(consent, at)
        assert ends_at is not None
        assert at < ends_at <= at + timedelta(days=31)
        assert period_end(consent, ends_at - timedelta(microseconds=1)) == ends_at
        after = period_end(consent, ends_at)
        assert after is not None
        assert after > ends_at
        at += timedelta(hours=7)


@pytest.mark.parametrize(
    ("per", "left", "is_told"),
    [
        ("day", timedelta(days=2), True),
        ("month", timedelta(days=40), True),
        ("month", timedelta(hours=1), False),
        ("consent", timedelta(days=40), False),
    ],
)
def test_a_count_begins_again_only_where_the_consent_lasts_until_then(
    per: Any, left: timedelta, is_told: bool
) -> None:
    at = datetime(2026, 3, 10, 5, tzinfo=UTC)
    terms = replace(TERMS, frequency=Frequency(1, per))
    consent = replace(active(), terms=terms, valid_to_at=at + left)
    ends_at = period_end(consent, at)
    assert ends_at is not None
    assert wait_seconds(consent, at) == ((ends_at - at).total_seconds() if is_told else None)


def test_where_nothing_is_counted_no_period_ends() -> None:
    uncounted = replace(active(), terms=replace(TERMS, frequency=None))
    assert period_end(uncounted, AT) is None
    assert find_denial(facts(uncounted, used_count=10**6), AT) is None
