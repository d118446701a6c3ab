"""Given within requested within agreement: what may be asked, what is refused, and the token's detail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.consent import life
from broker.consent.codec import record_hash, terms_document, terms_from
from broker.consent.record import AskedField, DataRange, FieldDecision, Frequency, Terms
from broker.consent.terms import (
    AskedTerms,
    details_to_terms,
    is_within_agreement,
    is_within_terms,
    terms_of,
    terms_to_detail,
)
from broker.errors import ConsentTermsRefused
from policies.compile import AgreementTable, PolicySet, compile_policies
from policies.load import load_directory
from policies.shape import shape_of
from tests.consent_lives import AT, notice, requested, signer
from tests.oauth_flow import COMPLETED

POLICIES: Final = load_directory()
SHIPPED: Final[PolicySet] = compile_policies(POLICIES.agreements, POLICIES.catalogue, POLICIES.registers)
BANK: Final = "bank_income_proof"
TABLE: Final[AgreementTable] = SHIPPED.tables[BANK]
AGREEMENT: Final = TABLE.agreement
DAY: Final = date(2026, 11, 22)
ASKED: Final = AskedTerms(
    purpose="prove_income", field_names=["si_status", "salary_base"], required_names=["salary_base"]
)


def asked(**changed: Any) -> Terms:
    return terms_of(SHIPPED, BANK, replace(ASKED, **changed), DAY)


def reason_of(agreement_id: str = BANK, on_date: date = DAY, **changed: Any) -> str:
    with pytest.raises(ConsentTermsRefused) as refused:
        terms_of(SHIPPED, agreement_id, replace(ASKED, **changed), on_date)
    return refused.value.reason


def test_terms_have_catalogue_order_the_agreements_forms_and_the_catalogues_sensitivity() -> None:
    terms = asked()
    names = [field.name for field in terms.fields]
    assert names == list(POLICIES.catalogue.in_order({"si_status", "salary_base"}))
    assert {field.name: (field.form, field.is_required) for field in terms.fields} == {
        "salary_base": ("amount_band", True),
        "si_status": ("value", False),
    }
    assert all(
        field.is_sensitive is POLICIES.catalogue.fields[field.name].is_sensitive for field in terms.fields
    )
    assert (terms.agreement_id, terms.revision_hash) == (BANK, AGREEMENT.revision_hash)
    assert (terms.valid_days, terms.retention_days) == (30, AGREEMENT.retention_days)
    assert is_within_agreement(terms, TABLE, DAY)


def test_without_a_length_terms_end_with_the_agreement() -> None:
    assert terms_of(SHIPPED, BANK, ASKED, AGREEMENT.review_date).valid_days == 30
    later = replace(AGREEMENT, review_date=AGREEMENT.valid_to)
    policies = compile_policies([later], POLICIES.catalogue, POLICIES.registers)
    last_days = AGREEMENT.valid_to - timedelta(days=4)
    assert terms_of(policies, BANK, ASKED, last_days).valid_days == 5
    with pytest.raises(ConsentTermsRefused, match="valid_days_too_long"):
        terms_of(policies, BANK, replace(ASKED, valid_days=6), last_days)
    detail = {**COMPLETED, "valid_days": 90}
    assert details_to_terms(detail, policies, last_days).valid_days == 5


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("agreement_unknown", {"agreement_id": "nothing"}),
        ("purpose_not_covered", {"purpose": "local_social_policy"}),
        ("fields_not_covered", {"field_names": []}),
        ("fields_not_covered", {"field_names": ["salary_base", "hi_card"]}),
        ("fields_not_covered", {"field_names": ["salary_base", "shoe_size"]}),
        # Matched or computed with, never released.
        ("fields_not_covered", {"field_names": ["salary_base", "full_name"]}),
        ("fields_not_covered", {"field_names": ["salary_base", "birth_precision"]}),
        ("required_not_asked", {"required_names": ["contribution_from"]}),
        ("valid_days_too_long", {"valid_days": 366}),
        ("valid_days_too_long", {"valid_days": 0}),
        ("valid_days_too_long", {"valid_days": -1}),
        ("retention_too_long", {"retention_days": AGREEMENT.retention_days + 1}),
        ("retention_too_long", {"retention_days": 0}),
        ("range_too_wide", {"data_range": DataRange(date(2025, 10, 31), None)}),
        ("range_too_wide", {"data_range": DataRange(date(2026, 5, 2), date(2026, 5, 1))}),
        ("frequency_too_high", {"frequency": Frequency(4, "day")}),
        ("frequency_too_high", {"frequency": Frequency(22, "week")}),
        ("frequency_too_high", {"frequency": Frequency(91, "consent")}),
        ("frequency_too_high", {"frequency": Frequency(0, "day")}),
        ("agreement_not_in_force", {"on_date": AGREEMENT.review_date + timedelta(days=1)}),
        ("agreement_not_in_force", {"on_date": AGREEMENT.valid_from - timedelta(days=1)}),
        ("words_malformed", {"message": {"fr": "bonjour"}}),
        ("words_malformed", {"message": {"vi": ""}}),
        ("words_malformed", {"message": {"vi": "x" * 501}}),
        ("words_malformed", {"message": {"vi": "hai\ndòng"}}),
        ("words_malformed", {"message": {"vi": "ngược \u202e chiều"}}),
        ("words_malformed", {"message": {"vi": "\x00"}}),
    ],
)
def test_what_goes_beyond_the_agreement_is_refused_by_its_word(reason: str, changed: dict[str, Any]) -> None:
    assert reason_of(**changed) == reason


def test_an_agreement_that_does_not_rest_on_consent_is_none_to_ask_under() -> None:
    agreement = SHIPPED.tables["employer_own_unit_contributions"].agreement
    names = [agreement.rules[0].fields[0]]
    reason = reason_of(agreement.id, purpose=agreement.purpose, field_names=names, required_names=[])
    assert reason == "agreement_without_consent"


@pytest.mark.parametrize(
    "changed",
    [
        {"valid_days": 365},
        {"retention_days": 1},
        {"data_range": DataRange(date(2025, 11, 1), date(2026, 11, 1))},
        {"data_range": DataRange(None, date(2026, 11, 1))},
        {"frequency": Frequency(3, "day")},
        {"frequency": Frequency(90, "consent")},
        {"mode": "store"},
        {"message": {"vi": "Để xét khoản vay của bạn.", "en": "To judge your loan."}},
    ],
)
def test_what_the_agreement_allows_may_be_asked(changed: dict[str, Any]) -> None:
    assert is_within_agreement(asked(**changed), TABLE, DAY)


def test_every_field_of_the_agreement_may_be_asked_and_no_other() -> None:
    names = list(TABLE.permitted)
    assert len(asked(field_names=names).fields) == len(names)
    for name in POLICIES.catalogue.fields:
        if name not in TABLE.permitted:
            assert reason_of(field_names=["salary_base", name]) == "fields_not_covered"


SHAPE: Final = shape_of(TABLE.permitted["salary_base"], TABLE.agreement.row_scopes)
FIELD: Final = AskedField("salary_base", "amount_band", True, True, SHAPE)


@pytest.mark.parametrize(
    "changed",
    [
        {"fields": ()},
        {"fields": (FIELD, FIELD)},
        {"fields": (replace(FIELD, form="value"),)},
        {"fields": (replace(FIELD, name="hi_card"),)},
        {"fields": (replace(FIELD, shape=""),)},
        {"agreement_id": "another"},
        {"purpose": "another"},
        {"valid_days": 366},
        {"retention_days": 181},
        {"frequency": Frequency(1, "hour")},  # type: ignore[arg-type]
    ],
)
def test_terms_made_by_hand_are_held_against_the_agreement_too(changed: dict[str, Any]) -> None:
    assert is_within_agreement(replace(asked(), fields=(FIELD,)), TABLE, DAY)
    assert not is_within_agreement(replace(asked(), **changed), TABLE, DAY)


GIVEN: Final = FieldDecision("salary_base", "amount_band", is_given=True, is_required=True)
STATUS: Final = FieldDecision("si_status", "value", is_given=True, is_required=False)


@pytest.mark.parametrize(
    ("decisions", "is_within"),
    [
        ((), True),
        ((GIVEN,), True),
        ((GIVEN, STATUS), True),
        ((replace(GIVEN, is_given=False), replace(STATUS, is_given=False)), True),
        ((STATUS,), False),
        ((replace(GIVEN, is_given=False), STATUS), False),
        ((GIVEN, GIVEN), False),
        ((replace(GIVEN, form="value"),), False),
        ((replace(GIVEN, is_required=False),), False),
        ((GIVEN, replace(STATUS, name="full_name")), False),
        ((replace(STATUS, name="full_name", is_given=False),), False),
    ],
)
def test_given_is_within_requested_or_not(decisions: tuple[FieldDecision, ...], is_within: bool) -> None:
    assert is_within_terms(decisions, asked()) is is_within


def test_the_redirect_flows_detail_becomes_terms() -> None:
    terms = details_to_terms(COMPLETED, SHIPPED, DAY, {"vi": "Để xét khoản vay."})
    assert terms.field_names == set(COMPLETED["fields"])
    assert terms.required_names == {"salary_base"}
    assert (terms.valid_days, terms.retention_days, terms.mode) == (30, 180, "view")
    assert terms.message == (("vi", "Để xét khoản vay."),)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": "entitlement_check"}, "purpose_not_covered"),
        ({"agreement_id": "nothing"}, "agreement_unknown"),
        ({"purpose": "local_social_policy"}, "purpose_not_covered"),
        ({"fields": ["hi_card"], "required_fields": []}, "fields_not_covered"),
        ({"frequency": {"use_count": 1000, "per": "day"}}, "frequency_too_high"),
        ({"data_range": {"first_day": "2020-01-01", "last_day": None}}, "range_too_wide"),
    ],
)
def test_a_detail_that_goes_beyond_the_agreement_becomes_none(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConsentTermsRefused) as refused:
        details_to_terms({**COMPLETED, **changed}, SHIPPED, DAY)
    assert refused.value.reason == reason


def given_consent(terms: Terms, names: frozenset[str], **less: Any) -> Any:
    hand = signer()
    return life.decide(requested(terms), names, hand, notice(), AT, **less).consent


def test_a_tokens_detail_says_what_was_given_and_no_more() -> None:
    consent = given_consent(asked(), frozenset({"salary_base"}), valid_days=3)
    assert terms_to_detail(consent) == {
        "type": "insurance_record",
        "purpose": "prove_income",
        "fields": ["salary_base"],
        "required_fields": ["salary_base"],
        "agreement_id": BANK,
        "valid_days": 3,
        "retention_days": 180,
        "consent_id": "consent-1",
        "record_hash": record_hash(consent),
    }


def test_a_detail_has_range_frequency_and_mode_where_the_terms_have_them() -> None:
    days = DataRange(date(2026, 1, 1), None)
    terms = asked(data_range=days, frequency=Frequency(2, "week"), mode="store")
    half = DataRange(date(2026, 6, 1), date(2026, 6, 30))
    detail = terms_to_detail(given_consent(terms, terms.field_names, data_range=half))
    assert detail["data_range"] == {"first_day": "2026-06-01", "last_day": "2026-06-30"}
    assert detail["frequency"] == {"use_count": 2, "per": "week"}
    assert detail["mode"] == "store"


names_asked = st.frozensets(st.sampled_from(sorted(TABLE.permitted)), min_size=1)
days = st.none() | st.dates(date(2025, 11, 1), date(2026, 12, 31))


@st.composite
def askable(draw: st.DrawFn) -> AskedTerms:
    names = draw(names_asked)
    first, last = draw(days), draw(days)
    if first is not None and last is not None and first > last:
        first, last = last, first
    periods: list[Any] = ["day", "week", "month", "consent"]
    characters = st.characters(categories=["L", "N", "P", "Zs"])
    return AskedTerms(
        purpose="prove_income",
        field_names=names,
        required_names=draw(st.frozensets(st.sampled_from(sorted(names)))),
        valid_days=draw(st.none() | st.integers(1, 365)),
        retention_days=draw(st.none() | st.integers(1, 180)),
        mode=draw(st.sampled_from(["view", "store"])),
        data_range=draw(st.none() | st.just(DataRange(first, last))),
        frequency=draw(st.none() | st.builds(Frequency, st.integers(1, 3), st.sampled_from(periods))),
        message=draw(
            st.none() | st.dictionaries(st.sampled_from(["vi", "en"]), st.text(characters, min_size=1))
        ),
    )


def as_json(document: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(document, ensure_ascii=False))


@given(askable())
def test_terms_lie_within_the_agreement_and_come_back_from_json_as_they_were(wanted: AskedTerms) -> None:
    terms = terms_of(SHIPPED, BANK, wanted, DAY)
    assert is_within_agreement(terms, TABLE, DAY)
    assert terms_from(as_json(terms_document(terms))) == terms
    assert terms.field_names == set(wanted.field_names)
    assert terms.required_names == set(wanted.required_names)


@given(askable(), st.data())
def test_what_is_given_comes_back_from_the_detail_as_terms_that_ask_for_no_more(
    wanted: AskedTerms, data: st.DataObject
) -> None:
    terms = terms_of(SHIPPED, BANK, wanted, DAY)
    names = data.draw(st.frozensets(st.sampled_from(sorted(terms.field_names)))) | terms.required_names
    if not names:
        names = terms.field_names
    consent = given_consent(terms, names)
    assert is_within_terms(consent.decisions, terms)
    detail = as_json(terms_to_detail(consent))
    again = details_to_terms(detail, SHIPPED, DAY, dict(terms.message))
    asked_fields = tuple(field for field in terms.fields if field.name in names)
    assert again == replace(terms, fields=asked_fields)
