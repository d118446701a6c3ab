"""What is granted lies within what was asked, and what was asked within the agreement, whatever is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from broker.api.details import detail_reader
from broker.oauth.narrowing import is_narrowing, narrowed
from broker.oauth.registration import ClientRegistration
from broker.oauth.token_errors import InvalidAuthorizationDetails
from tests.oauth_flow import COMPLETED, INCOME
from tests.oauth_world import ISSUER, policy_set
from tests.reference.authorization_details import are_no_more_than, is_no_more_than

AGREEMENT_ID: Final = "bank_income_proof"
_found = policy_set().find_agreement(AGREEMENT_ID)
assert _found is not None
AGREEMENT: Final = _found
FIELDS: Final = sorted({name for rule in AGREEMENT.rules for name in rule.fields})
OUTSIDE: Final = "hi_card"
NOW: Final = datetime(2026, 11, 1, 3, tzinfo=UTC)
BOUNDED: Final = ("data_range", "frequency", "mode")
RANGES: Final[list[Any]] = [
    {},
    {"first_day": "2026-01-01"},
    {"first_day": "2025-10-31"},
    {"last_day": "2020-01-01"},
    {"first_day": "2026-06-01", "last_day": "2026-06-30"},
    {"first_day": "2026-07-01", "last_day": "2026-06-30"},
    {"first_day": "20260101"},
    {"first_day": None},
    {"since": "2026-01-01"},
]
FREQUENCIES: Final[list[Any]] = [
    {"use_count": 3, "per": "day"},
    {"use_count": 4, "per": "day"},
    {"use_count": 21, "per": "week"},
    {"use_count": 90, "per": "consent"},
    {"use_count": 91, "per": "consent"},
    {"use_count": 0, "per": "day"},
    {"use_count": True, "per": "day"},
    {"use_count": 1, "per": "hour"},
    {"per": "day"},
]
bounded = st.fixed_dictionaries(
    {},
    optional={
        "data_range": st.sampled_from(RANGES),
        "frequency": st.sampled_from(FREQUENCIES),
        "mode": st.sampled_from(["view", "store", "keep"]),
    },
)
"""What may be asked besides fields and days, within the agreement, beyond it, and malformed."""


def check_within_agreement(detail: Mapping[str, Any]) -> None:
    """Hold one accepted detail against the text of the agreement, member by member."""
    assert detail["type"] == "insurance_record"
    assert detail["agreement_id"] == AGREEMENT_ID
    assert detail["purpose"] == AGREEMENT.purpose
    assert detail["fields"]
    assert set(detail["fields"]) <= set(FIELDS)
    assert set(detail["required_fields"]) <= set(detail["fields"])
    assert 1 <= detail["valid_days"] <= 365
    assert 1 <= detail["retention_days"] <= AGREEMENT.retention_days
    assert detail.get("actions", ["read"]) == ["read"]
    assert detail.keys() - {"locations", "actions", *BOUNDED} == COMPLETED.keys()
    check_bounds(detail)


def check_bounds(detail: Mapping[str, Any]) -> None:
    """Hold range, frequency and mode of an accepted detail against what the agreement says of them."""
    days, frequency = detail.get("data_range", {}), detail.get("frequency")
    if "first_day" in days:
        # Row scopes keep the last 12 months; NOW is the 1st of November 2026.
        assert days["first_day"] >= "2025-11-01"
        assert days["first_day"] <= days.get("last_day", "9999-12-31")
    if frequency is not None:
        many = {"day": 1, "week": 7, "month": 31, "consent": detail["valid_days"]}[frequency["per"]]
        assert 1 <= frequency["use_count"] <= 3 * many
    assert detail.get("mode", "view") in ("view", "store")


fields = st.lists(st.sampled_from([*FIELDS, OUTSIDE]), min_size=1, max_size=5, unique=True)
days = st.sampled_from([1, 2, 29, 30, 31])
requests = st.builds(
    lambda named, required, valid, kept, more: {
        **COMPLETED,
        **more,
        "fields": named,
        "required_fields": [one for one in named if one in required],
        "valid_days": valid,
        "retention_days": kept,
    },
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique=True),
    st.frozensets(st.sampled_from(FIELDS), max_size=1),
    days,
    days,
    bounded,
)
"""Details as the broker has completed them."""
changes = st.fixed_dictionaries(
    {},
    optional={
        "fields": fields,
        "required_fields": st.lists(st.sampled_from(FIELDS), max_size=2, unique=True),
        "valid_days": days | st.sampled_from([0, -1, 366]),
        "retention_days": days | st.sampled_from([0, -1, 181]),
        "purpose": st.sampled_from(["prove_income", "other"]),
        "agreement_id": st.sampled_from([AGREEMENT_ID, "other"]),
        "type": st.sampled_from(["insurance_record", "entitlement_check"]),
        "data_range": st.sampled_from(RANGES),
        "frequency": st.sampled_from(FREQUENCIES),
        "mode": st.sampled_from(["view", "store"]),
    },
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(FIELDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=6,
)
odd_changes = st.dictionaries(
    st.sampled_from([*COMPLETED, *BOUNDED, "locations", "actions", "more"]), json_values, max_size=4
)


@given(st.lists(requests, min_size=1, max_size=3), st.lists(changes, max_size=3), st.data())
def test_narrowing_is_what_the_reference_calls_no_more(
    requested: list[dict[str, Any]], changed: list[dict[str, Any]], data: st.DataObject
) -> None:
    granted = [{**data.draw(st.sampled_from(requested)), **change} for change in changed]
    positive = all(one["valid_days"] > 0 and one["retention_days"] > 0 for one in granted)
    assert is_narrowing(granted, requested) is (positive and are_no_more_than(granted, requested))


@given(requests, st.data())
def test_every_choice_that_keeps_the_required_fields_is_a_narrowing(
    requested: dict[str, Any], data: st.DataObject
) -> None:
    chosen = data.draw(st.frozensets(st.sampled_from(requested["fields"]))) | set(
        requested["required_fields"]
    )
    assume(chosen)
    cut = {
        **requested,
        "fields": sorted(chosen),
        "valid_days": data.draw(st.integers(1, requested["valid_days"])),
        "retention_days": data.draw(st.integers(1, requested["retention_days"])),
    }
    assert is_narrowing([cut], [requested])
    assert narrowed(json.dumps([cut]), (requested,)) == (cut,)


@given(st.lists(requests, min_size=1, max_size=3), st.lists(changes | odd_changes, min_size=1, max_size=3))
def test_a_token_request_gets_no_more_than_was_granted(
    granted: list[dict[str, Any]], asked: Sequence[Mapping[str, Any]]
) -> None:
    try:
        found = narrowed(json.dumps(asked), tuple(granted))
    except InvalidAuthorizationDetails:
        return
    assert len(found) == len(asked) == len({one["agreement_id"] for one in found})
    assert are_no_more_than(found, granted)
    kinds = [one.keys() for one in granted]
    assert all(one.keys() in kinds for one in found)
    for one, words in zip(found, asked, strict=True):
        assert {name: one[name] for name in words} == dict(words)


@given(json_values | st.text(max_size=40))
def test_no_text_widens_what_was_granted(value: Any) -> None:
    given_text = value if isinstance(value, str) else json.dumps(value)
    try:
        found = narrowed(given_text, (COMPLETED,))
    except InvalidAuthorizationDetails:
        return
    assert all(is_no_more_than(one, COMPLETED) for one in found)


def client(**changes: Any) -> ClientRegistration:
    registration = ClientRegistration(
        client_id="bank-a",
        organisation_id="bank-1",
        organisation_kind="bank",
        is_active=True,
        scopes=frozenset({"share_record"}),
        grant_types=frozenset({"authorization_code"}),
        expires_at=datetime.max.replace(tzinfo=UTC),
        agreement_ids=(AGREEMENT_ID,),
    )
    return replace(registration, **changes)


SINGLE: Final[list[dict[str, Any]]] = [
    {},
    {"retention_days": AGREEMENT.retention_days},
    {"retention_days": AGREEMENT.retention_days + 1},
    {"valid_days": 365},
    {"valid_days": 366},
    {"valid_days": 30.0},
    {"valid_days": True},
    {"fields": [*FIELDS, OUTSIDE]},
    {"fields": [FIELDS[0], FIELDS[0]]},
    {"fields": FIELDS, "required_fields": FIELDS},
    {"required_fields": [OUTSIDE]},
    {"required_fields": FIELDS},
    {"actions": ["read", "write"]},
    {"locations": ["https://elsewhere.example"]},
    {"locations": [ISSUER]},
    {"agreement_id": "hospital_entitlement_check"},
    {"more": 1},
]
one_change = st.sampled_from(SINGLE)
near = st.one_of(
    st.lists(one_change.map(lambda change: {**INCOME, **change}), min_size=1, max_size=3),
    st.lists(bounded.map(lambda change: {**INCOME, **change}), min_size=1, max_size=1),
    st.lists(odd_changes.map(lambda change: {**INCOME, **change}), min_size=1, max_size=3),
    st.lists(changes.map(lambda change: {**INCOME, **change}), min_size=1, max_size=3),
    json_values,
)


@given(near)
def test_what_is_read_lies_within_the_agreement_and_within_what_was_asked(value: Any) -> None:
    try:
        found = detail_reader(policy_set(), ISSUER).read(json.dumps(value), client(), NOW, personal=True)
    except InvalidAuthorizationDetails:
        return
    assert len(found) == len(value)
    for detail, asked in zip(found, value, strict=True):
        check_within_agreement(detail)
        # A day has several spellings in ISO 8601; it is kept in the one of RFC 3339.
        spelled = {"20260101": "2026-01-01"}
        days = {end: spelled.get(day, day) for end, day in asked.get("data_range", {}).items()}
        told = {**asked, "data_range": days} if "data_range" in asked else asked
        assert {name: detail[name] for name in asked} == told


@given(near)
@pytest.mark.parametrize(
    "other", [{"agreement_ids": ()}, {"organisation_kind": "hospital"}, {"detail_types": frozenset()}]
)
def test_nothing_is_read_for_a_client_that_has_no_agreement_or_is_another_kind(
    other: dict[str, Any], value: Any
) -> None:
    with pytest.raises(InvalidAuthorizationDetails):
        detail_reader(policy_set(), ISSUER).read(json.dumps(value), client(**other), NOW, personal=True)
