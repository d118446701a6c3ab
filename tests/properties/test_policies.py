"""Theorems of the decision, checked against the slow reference in tests/reference/decide.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.compile import MEMO_SIZE, compile_policies
from policies.decide import decide
from policies.model import (
    Agreement,
    Decision,
    DecisionRequest,
    DenyRule,
)
from policies.reasons import FIELD_REASONS, REASONS
from tests.properties.policy_questions import (
    CATALOGUE,
    CONDITIONS,
    FIELDS,
    REGISTERS,
    SHIPPED,
    SUPPLIES,
    agreements,
    compiled,
    questions,
    some,
)
from tests.reference.decide import decide as decide_slowly


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
