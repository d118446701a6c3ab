"""Theorems of the decision, checked against the slow reference in tests/reference/decide.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.compile import MEMO_SIZE, PolicySet, compile_policies
from policies.decide import decide
from policies.load import load_directory
from policies.model import (
    Agreement,
    ConsentFacts,
    Decision,
    DecisionRequest,
    DenyRule,
    Form,
    Limit,
    Organisation,
    RowScope,
    Rule,
)
from policies.reasons import FIELD_REASONS, REASONS
from policies.vocabulary import ITEMS
from tests.reference.decide import decide as decide_slowly

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
            st.sampled_from([frozenset({"evidence_receipt"})] * 4 + [frozenset({"sing_a_song"})])
        ),
        retention_days=draw(st.integers(0, 9)),
        valid_from=DAYS[start],
        valid_to=DAYS[draw(st.integers(start, 7))],
        review_date=DAYS[draw(st.integers(start, 7))],
        items=tuple((item, "text") for item in ITEMS),
    )


@st.composite
def consents(draw: st.DrawFn, usual: DecisionRequest) -> ConsentFacts | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    return ConsentFacts(
        consent_id="c",
        consent_version=1,
        state=draw(
            st.sampled_from(["given"] * 5 + ["requested", "refused", "withdrawn", "expired", "paused"])
        ),
        purpose=draw(st.sampled_from([usual.purpose] * 5 + PURPOSES)),
        recipient=draw(st.sampled_from([usual.recipient] * 5 + RECIPIENTS)),
        fields=draw(some(FIELDS)),
        valid_from=draw(st.sampled_from(DAYS[:3])),
        valid_to=draw(st.sampled_from(DAYS[3:])),
    )


@st.composite
def requests(draw: st.DrawFn, agreement: Agreement) -> DecisionRequest:
    """Requests that mostly fit the agreement, so that all the later reasons are reached as well."""

    def mostly(right: str, others: list[str]) -> str:
        return draw(st.sampled_from([right] * 6 + others))

    request = DecisionRequest(
        action=mostly(agreement.action, ACTIONS),
        agreement_id=mostly(agreement.id, ["b", "nowhere"]),
        recipient=mostly(min(agreement.recipients, default="r9"), [*RECIPIENTS, ""]),
        recipient_kind=mostly(agreement.recipient_kind, KINDS),
        purpose=mostly(agreement.purpose, PURPOSES),
        lookup_key=mostly(min(agreement.lookup_keys, default=""), [*KEYS, "", "phone"]),
        on_date=draw(st.sampled_from([agreement.valid_from] * 4 + DAYS)),
        supplied=draw(st.sampled_from([frozenset(SUPPLIES)] * 4))
        if draw(st.booleans())
        else draw(some(SUPPLIES)),
        established=agreement.conditions if draw(st.booleans()) else draw(some(CONDITIONS)),
        asked_fields=draw(st.none() | some(ASKABLE)),
        item_count=draw(st.sampled_from([1, 1, 1, 0, 2, 3, 4])),
    )
    return replace(request, consent=draw(consents(request)))


@st.composite
def questions(draw: st.DrawFn) -> tuple[tuple[Agreement, ...], DecisionRequest]:
    """Some agreements, and one request that is about the first of them."""
    first = draw(agreements("a"))
    known = (first, draw(agreements("b"))) if draw(st.booleans()) else (first,)
    return known, draw(requests(first))


def compiled(*known: Agreement) -> PolicySet:
    return compile_policies(known, CATALOGUE, REGISTERS)


@settings(max_examples=300, deadline=None)
@given(questions())
def test_decide_agrees_with_the_slow_reference(
    question: tuple[tuple[Agreement, ...], DecisionRequest],
) -> None:
    known, request = question
    policies = compiled(*known)
    expected = decide_slowly(request, known, CATALOGUE, REGISTERS)
    assert decide(request, policies) == expected
    assert decide(request, policies) == expected, "a remembered answer is the same answer"


@given(questions())
def test_default_deny(question: tuple[tuple[Agreement, ...], DecisionRequest]) -> None:
    """No agreement permits anything that no rule of it names."""
    known, request = question
    decision = decide(request, compiled(*known))
    ruled = {name for agreement in known for rule in agreement.rules for name in rule.fields}
    assert {release.field for release in decision.released} <= ruled
    assert decide(request, compiled()).reason == "no_agreement"
    assert not decide(request, compiled()).permitted


@given(questions(), st.booleans())
def test_deny_overrides(question: tuple[tuple[Agreement, ...], DecisionRequest], whole: bool) -> None:
    """A deny rule takes away what a rule permits, whatever else stands there."""
    known, request = question
    before = decide(request, compiled(*known))
    assume(before.permitted)
    taken = frozenset() if whole else frozenset({before.released[0].field})
    barred = replace(known[0], denies=(*known[0].denies, DenyRule("no", "because", fields=taken)))
    after = decide(request, compiled(barred, *known[1:]))
    assert "a/no" in after.determining_rules
    left = {release.field for release in after.released}
    if whole:
        assert after.reason == "denied_by_rule"
        assert not left
    else:
        assert left == {release.field for release in before.released} - taken


@given(questions(), st.randoms(use_true_random=False))
def test_order_is_irrelevant(question: tuple[tuple[Agreement, ...], DecisionRequest], random: object) -> None:
    """Neither the order of agreements, nor of rules, denies or lists in them, changes a decision."""
    known, request = question
    shuffle = random.shuffle  # type: ignore[attr-defined]
    turned = []
    for agreement in known:
        rules, denies, scopes = list(agreement.rules), list(agreement.denies), list(agreement.row_scopes)
        for parts in (rules, denies, scopes):
            shuffle(parts)
        turned.append(replace(agreement, rules=tuple(rules), denies=tuple(denies), row_scopes=tuple(scopes)))
    shuffle(turned)
    assert decide(request, compiled(*turned)) == decide(request, compiled(*known))


@given(
    questions(),
    st.sampled_from(["on_date", "supplied", "established", "item_count", "asked_fields", "agreement_id"]),
)
def test_error_denies(question: tuple[tuple[Agreement, ...], DecisionRequest], broken: str) -> None:
    """A fact of the wrong kind is a refusal, never an exception and never a release."""
    known, request = question
    malformed: object = ["not", "hashable"] if broken in ("asked_fields", "agreement_id") else object()
    changes: dict[str, Any] = {broken: malformed}
    decision = decide(replace(request, **changes), compiled(*known))
    assert not decision.permitted
    assert not decision.released
    assert decision.reason in REASONS


def test_an_error_inside_is_the_refusal_policy_error() -> None:
    request = DecisionRequest("", "a", "", "", "", "", date(2026, 1, 1), frozenset(), frozenset())
    decision = decide(request, None)  # type: ignore[arg-type]
    assert decision == Decision(False, "policy_error", ("policy_error",))


@given(questions())
def test_released_within_permitted_and_asked(question: tuple[tuple[Agreement, ...], DecisionRequest]) -> None:
    """released ⊆ agreement ∩ asked ∩ consent; what is asked is either released or withheld, with a reason."""
    known, request = question
    decision = decide(request, compiled(*known))
    released = {release.field for release in decision.released}
    withheld = {entry.field for entry in decision.withheld}
    permitted = {name: rule.form for rule in known[0].rules for name in rule.fields}
    if decision.permitted:
        assert released <= set(permitted)
        assert released <= set(decision.source_columns)
        for release in decision.released:
            assert release.form.name == permitted[release.field].name
    if request.asked_fields is not None:
        assert released <= request.asked_fields
        if decision.reason != "policy_error":
            assert released | withheld == request.asked_fields
    assert not released & withheld
    if decision.permitted and decision.legal_basis == "CONSENT":
        assert request.consent is not None
        assert released <= request.consent.fields
    assert {entry.reason for entry in decision.withheld} <= set(FIELD_REASONS) | set(REASONS)


@given(questions(), some(FIELDS))
def test_asking_for_more_never_takes_anything_away(
    question: tuple[tuple[Agreement, ...], DecisionRequest], more: frozenset[str]
) -> None:
    known, request = question
    assume(request.asked_fields is not None)
    policies = compiled(*known)
    asked = request.asked_fields or frozenset()
    fewer = {release.field for release in decide(request, policies).released}
    wider = {
        release.field for release in decide(replace(request, asked_fields=asked | more), policies).released
    }
    assert fewer <= wider


@given(questions(), agreements("c"))
def test_another_agreement_changes_nothing(
    question: tuple[tuple[Agreement, ...], DecisionRequest], other: Agreement
) -> None:
    known, request = question
    assume(request.agreement_id != "c")
    assert decide(request, compiled(*known, other)) == decide(request, compiled(*known))


@given(questions())
def test_consent_does_not_touch_a_release_by_law(
    question: tuple[tuple[Agreement, ...], DecisionRequest],
) -> None:
    """Domain BAS-2: whoever refuses consents still gets treated."""
    known, request = question
    assume(all(agreement.legal_basis != "CONSENT" for agreement in known))
    policies = compiled(*known)
    assert decide(request, policies) == decide(replace(request, consent=None), policies)


@given(agreements())
def test_an_obligation_nobody_understands_denies(agreement: Agreement) -> None:
    strange = replace(agreement, obligations=agreement.obligations | {"sing_a_song"})
    request = DecisionRequest(
        agreement.action, "a", "r1", agreement.recipient_kind, agreement.purpose, "personal_id",
        agreement.valid_from, frozenset(SUPPLIES), frozenset(CONDITIONS),
    )  # fmt: skip
    assert decide(request, compiled(strange)).reason == "unknown_obligation"


def test_what_is_remembered_does_not_grow_without_bound() -> None:
    policies = compile_policies(SHIPPED.agreements, CATALOGUE, REGISTERS)
    hospital = SHIPPED.find_agreement("hospital_entitlement_check")
    assert hospital is not None
    request = DecisionRequest(
        hospital.action, hospital.id, "h1", "hospital", hospital.purpose, "hi_card", date(2026, 11, 2),
        frozenset({"full_name", "birth_date", "acting_person"}), frozenset({"presenting_at_facility"}),
    )  # fmt: skip
    for number in range(3 * MEMO_SIZE):
        assert decide(
            replace(request, asked_fields=frozenset({"hi_card", f"field{number}"})), policies
        ).permitted
    assert len(policies.tables[hospital.id].memo) <= MEMO_SIZE


def test_equal_questions_get_the_same_shared_answer() -> None:
    policies = compile_policies(SHIPPED.agreements, CATALOGUE, REGISTERS)
    request = SHIPPED.cases[-1].request
    assert decide(request, policies) == decide(replace(request), policies)
    permitted = next(case.request for case in SHIPPED.cases if case.reason == "permitted")
    assert decide(permitted, policies) is decide(replace(permitted), policies)
