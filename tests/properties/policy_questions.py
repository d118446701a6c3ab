"""Invented agreements, consents and questions to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from policies.compile import PolicySet, compile_policies
from policies.load import load_directory
from policies.model import (
    Agreement,
    ConsentFacts,
    DecisionRequest,
    DenyRule,
    Form,
    Limit,
    Organisation,
    RowScope,
    Rule,
)
from policies.vocabulary import ITEMS

SHIPPED = load_directory()
CATALOGUE, REGISTERS = SHIPPED.catalogue, SHIPPED.registers
DAYS = [date(2026, 1, 1) + timedelta(days=30 * n) for n in range(8)]
KINDS = ["hospital", "bank", "employer", "citizen"]
BASES = ["L19_1_c", "CONSENT", "SELF"]
RECIPIENTS = ["r1", "r2", "r3"]
PURPOSES = ["prove_income", "local_social_policy"]
ACTIONS = ["verify_entitlement", "share_record"]
KEYS = ["personal_id", "si_number"]
CONDITIONS = ["presenting_at_facility", "own_employees"]
SUPPLIES = ["full_name", "birth_date", "acting_person"]
VALUE = Form("value")
FORMS_OF: dict[str, list[Form]] = {
    "full_name": [VALUE, Form("initials"), Form("pairwise_pseudonym"), Form("present")],
    "birth_date": [VALUE, Form("year"), Form("year_month"), Form("age_band", (("edges", "6,18,60"),))],
    "personal_id": [
        VALUE,
        Form("masked_keep_last", (("keep", 4),)),
        Form("masked_keep_first", (("keep", 3),)),
    ],
    "ethnicity": [VALUE, Form("predicate", (("operator", "=="), ("threshold", "01")))],
    "commune": [VALUE, Form("parent_code"), Form("parent_code", (("digits", 2),))],
    "family_name": [VALUE],
    "valid_from": [
        VALUE,
        Form("predicate", (("operator", "in_range"), ("to_field", "valid_to"))),
        Form("predicate", (("operator", "in_range"), ("to_field", "valid_to"), ("over", "any"))),
        Form("count"),
    ],
    "primary_facility": [
        VALUE,
        Form("latest", (("by", "valid_from"),)),
        Form("parent_code", (("digits", 2),)),
    ],
    "copay_ytd": [VALUE, Form("amount_band", (("edges", "100,1000"),)), Form("present")],
    "salary_base": [
        VALUE,
        Form("predicate", (("operator", ">="), ("threshold", 500))),
        Form("amount_band", (("edges", "0,500,2000"),)),
        Form("latest", (("by", "contribution_from"),)),
    ],
    "contribution_from": [VALUE, Form("months_since"), Form("year_month")],
    "benefit_kind": [VALUE, Form("present")],
}
FIELDS = list(FORMS_OF)
ASKABLE = [*FIELDS, "si_number", "card_status", "shoe_size"]
SCOPES = [
    RowScope("contributions", "own_units", "contribution_unit_code"),
    RowScope("contributions", "recent", "contribution_from", 6),
    RowScope("hi_cards", "recent", "valid_from", 12),
]


def some(values: list[str], *, least: int = 0) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), min_size=least)


@st.composite
def deny_rules(draw: st.DrawFn, number: int) -> DenyRule:
    first = draw(st.sampled_from([date.min, *DAYS]))
    return DenyRule(
        id=f"deny{number}",
        why="because",
        fields=draw(some(FIELDS)),
        recipients=draw(some(RECIPIENTS)),
        recipient_kinds=draw(some(KINDS)),
        purposes=draw(some(PURPOSES)),
        lookup_keys=draw(some(KEYS)),
        established=draw(some(CONDITIONS)),
        not_established=draw(some(CONDITIONS)),
        first_day=first,
        last_day=draw(st.sampled_from([*DAYS, date.max])),
        batch=draw(st.sampled_from([None, None, True, False])),
    )


@st.composite
def rules_of(draw: st.DrawFn) -> tuple[Rule, ...]:
    names = draw(st.lists(st.sampled_from(FIELDS), unique=True, min_size=1))
    return tuple(
        Rule(f"rule{index}", (name,), draw(st.sampled_from(FORMS_OF[name])), "because")
        for index, name in enumerate(names)
    )


@st.composite
def agreements(draw: st.DrawFn, agreement_id: str = "a") -> Agreement:
    basis = draw(st.sampled_from(BASES))
    start = draw(st.integers(0, 3))
    return Agreement(
        id=agreement_id,
        revision=draw(st.integers(1, 3)),
        revision_hash="0" * 64,
        file=f"{agreement_id}.toml",
        text="",
        title_vi="thỏa thuận",
        title_en="agreement",
        data_owner=Organisation("owner", "Owner"),
        action=draw(st.sampled_from(ACTIONS)),
        purpose=draw(st.sampled_from(PURPOSES)),
        recipient_kind=draw(st.sampled_from(KINDS)),
        recipients=draw(some(RECIPIENTS)),
        accession_framework="",
        legal_basis=basis,
        citations=(),
        procedure="p",
        risk_assessment="r",
        complaint_contact="c",
        conditions=draw(some(CONDITIONS)) | ({"has_consented"} if basis == "CONSENT" else set()),
        lookup_keys=tuple(draw(some(KEYS))),
        must_match=tuple(draw(some(["full_name", "birth_date"]))),
        must_supply=tuple(draw(some(["acting_person"]))),
        computing_fields=tuple(draw(some(["card_status", "si_number"]))),
        rules=draw(rules_of()),
        denies=tuple(draw(deny_rules(number)) for number in range(draw(st.integers(0, 3)))),
        row_scopes=tuple(draw(st.lists(st.sampled_from(SCOPES), unique=True))),
        limits=(Limit("client_day", 5),),
        batch_maximum=draw(st.sampled_from([0, 3])),
        obligations=draw(
            st.sampled_from([frozenset({"evidence_receipt"})] * 12 + [frozenset({"sing_a_song"})])
        ),
        retention_days=draw(st.integers(0, 9)),
        valid_from=DAYS[start],
        valid_to=DAYS[draw(st.integers(start, 7))],
        review_date=DAYS[draw(st.integers(start, 7))],
        items=tuple((item, "text") for item in ITEMS),
    )


def consents_in_force(agreement: Agreement, recipient: str) -> st.SearchStrategy[ConsentFacts]:
    """A consent to the agreement's purpose, to some or all of the fields."""
    ruled = [name for rule in agreement.rules for name in rule.fields]
    return st.builds(
        ConsentFacts,
        consent_id=st.just("c"),
        consent_version=st.just(1),
        state=st.just("given"),
        purpose=st.just(agreement.purpose),
        recipient=st.just(recipient),
        fields=some([*ruled, "family_name"], least=1),
        valid_from=st.sampled_from(DAYS[:1]),
        valid_to=st.sampled_from(DAYS[-1:]),
    )


@st.composite
def strays(draw: st.DrawFn, request: DecisionRequest) -> DecisionRequest:
    """The same request with one thing about it drawn anew: often wrong, always well-formed."""
    drawn: dict[str, st.SearchStrategy[Any]] = {
        "action": st.sampled_from(ACTIONS),
        "agreement_id": st.sampled_from(["a", "b", "nowhere"]),
        "recipient": st.sampled_from([*RECIPIENTS, ""]),
        "recipient_kind": st.sampled_from(KINDS),
        "purpose": st.sampled_from(PURPOSES),
        "lookup_key": st.sampled_from([*KEYS, "", "phone"]),
        "on_date": st.sampled_from(DAYS),
        "supplied": some(SUPPLIES),
        "established": some(CONDITIONS),
        "item_count": st.sampled_from([0, 2, 3, 4]),
        "consent": st.none(),
        "consent.state": st.sampled_from(["requested", "refused", "withdrawn", "expired", "paused"]),
        "consent.purpose": st.sampled_from(PURPOSES),
        "consent.recipient": st.sampled_from(RECIPIENTS),
        "consent.valid_from": st.sampled_from(DAYS),
        "consent.valid_to": st.sampled_from(DAYS),
    }
    member = draw(st.sampled_from(list(drawn)))
    _, _, part = member.partition(".")
    if not part:
        return replace(request, **{member: draw(drawn[member])})
    if request.consent is None:
        return request
    changes: dict[str, Any] = {part: draw(drawn[member])}
    return replace(request, consent=replace(request.consent, **changes))


@st.composite
def requests(draw: st.DrawFn, agreement: Agreement) -> DecisionRequest:
    """Requests that fit the agreement, or stray from it in one or two things."""
    recipient = min(agreement.recipients, default="r9")
    request = DecisionRequest(
        action=agreement.action,
        agreement_id=agreement.id,
        recipient=recipient,
        recipient_kind=agreement.recipient_kind,
        purpose=agreement.purpose,
        lookup_key=min(agreement.lookup_keys, default=""),
        on_date=agreement.valid_from,
        supplied=frozenset(SUPPLIES),
        established=agreement.conditions | draw(some(CONDITIONS)),
        asked_fields=draw(st.none() | some([*ASKABLE, *FIELDS])),
        consent=draw(consents_in_force(agreement, recipient)),
        item_count=1,
    )
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        request = draw(strays(request))
    return request


@st.composite
def questions(draw: st.DrawFn) -> tuple[tuple[Agreement, ...], DecisionRequest]:
    """Some agreements, and one request that is about the first of them."""
    first = draw(agreements("a"))
    known = (first, draw(agreements("b"))) if draw(st.booleans()) else (first,)
    return known, draw(requests(first))


def compiled(*known: Agreement) -> PolicySet:
    return compile_policies(known, CATALOGUE, REGISTERS)
