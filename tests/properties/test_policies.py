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
    left = {release.field for release in before.released}
    taken = frozenset() if whole else frozenset(sorted(left)[:1])
    barred = [replace(one, denies=(*one.denies, DenyRule("no", "because", fields=taken))) for one in known]
    after = decide(request, compiled(*barred))
    if not before.permitted:
        assert not after.permitted, "a deny rule never opens anything"
        return
    assert f"{request.agreement_id}/no" in after.determining_rules
    if whole:
        assert after.reason == "denied_by_rule"
        assert not after.released
    else:
        assert {release.field for release in after.released} == left - taken


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
