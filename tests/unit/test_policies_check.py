"""The lint: what loads and yet should not be signed; and the comparison of two revisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from policies.check import Finding, check_policies
from policies.compare import Change, compare_agreements, compare_policies, form_text
from policies.load import Policies, load_directory
from policies.model import Agreement, Citation, DenyRule, Form, Limit, Organisation, RowScope, Rule
from policies.vocabulary import CARRIED_OUT, OBLIGATIONS

SHIPPED = load_directory()
DAY = date(2026, 11, 2)


def shipped(agreement_id: str) -> Agreement:
    agreement = SHIPPED.find_agreement(agreement_id)
    assert agreement is not None
    return agreement


HOSPITAL = shipped("hospital_entitlement_check")
EMPLOYER = shipped("employer_own_unit_contributions")
BANK = shipped("bank_income_proof")
PROVINCE = shipped("province_peoples_committee")


def findings(*agreements: Agreement) -> tuple[Finding, ...]:
    return check_policies(Policies(agreements, SHIPPED.cases, SHIPPED.catalogue, SHIPPED.registers))


def codes(*agreements: Agreement) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in findings(*agreements)}


def releasing(agreement: Agreement, *names: str, form: Form | None = None) -> Agreement:
    rule = Rule("more", names, form or Form("value"), "because")
    return replace(agreement, rules=(*agreement.rules, rule))


def test_the_shipped_agreements_have_no_error() -> None:
    found = check_policies(SHIPPED, DAY)
    assert [finding for finding in found if finding.severity == "error"] == []
    assert {finding.code for finding in found} <= {"unverified_citation", "not_served"}


def test_agreements_that_no_route_serves_yet_are_told() -> None:
    told = {one.agreement: one.message for one in check_policies(SHIPPED) if one.code == "not_served"}
    assert told == {
        "employer_own_unit_contributions": "no route serves share_record on this basis yet",
        "province_peoples_committee": "no route serves share_record on this basis yet",
    }


@pytest.mark.parametrize("agreement", [HOSPITAL, BANK], ids=lambda agreement: agreement.id)
@pytest.mark.parametrize("obligation", OBLIGATIONS)
def test_an_obligation_that_nothing_carries_out_is_an_error(agreement: Agreement, obligation: str) -> None:
    changed = replace(agreement, obligations=agreement.obligations | {obligation})
    told = [one for one in findings(changed) if one.code == "obligation_not_carried_out"]
    if obligation in CARRIED_OUT[agreement.action]:
        assert told == []
        return
    words = f"{obligation}: nothing carries it out in {agreement.action}, so every release is refused"
    assert told == [Finding("error", "obligation_not_carried_out", agreement.id, words)]


@pytest.mark.parametrize("agreement", [EMPLOYER, BANK], ids=lambda agreement: agreement.id)
def test_no_health_field_for_lenders_and_employers(agreement: Agreement) -> None:
    """Domain BAS-6, BAS-7: every health field of the catalogue, one by one."""
    health = [name for name, field in SHIPPED.catalogue.fields.items() if "health" in field.reveals]
    assert {"benefit_kind", "copay_ytd", "contribution_plan", "visit_diagnosis", "lookup_history"} <= set(
        health
    )
    for name in health:
        assert ("error", "prohibited_field") in codes(releasing(agreement, name)), name


def test_visits_and_lookups_go_to_nobody() -> None:
    """Domain BAS-8 and pitfall 6."""
    assert ("error", "prohibited_field") in codes(releasing(HOSPITAL, "lookup_history"))


def test_two_agreements_for_one_thing_conflict() -> None:
    twin = replace(HOSPITAL, id="twin", rules=(Rule("r", ("hi_card",), Form("present"), "w"),))
    found = [finding for finding in findings(HOSPITAL, twin) if finding.code == "conflict"]
    assert [finding.severity for finding in found] == ["error"]
    assert "different forms for hi_card" in found[0].message
    later = replace(twin, valid_from=date(2031, 1, 1), valid_to=date(2032, 1, 1))
    assert ("error", "conflict") not in codes(HOSPITAL, later)
    one, other = (
        replace(twin, recipients=frozenset({"h1"})),
        replace(twin, id="x", recipients=frozenset({"h2"})),
    )
    assert ("error", "conflict") not in codes(one, other)


def denying(**conditions: Any) -> Agreement:
    return replace(PROVINCE, denies=(DenyRule("d", "because", **conditions),))


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"first_day": date(2040, 1, 1)}, "outside the agreement's validity"),
        ({"last_day": date(2020, 1, 1)}, "outside the agreement's validity"),
        ({"first_day": date(2027, 1, 2), "last_day": date(2027, 1, 1)}, "first_day lies after last_day"),
        ({"recipient_kinds": frozenset({"bank"})}, "other kinds of recipients"),
        ({"purposes": frozenset({"prove_income"})}, "other purposes"),
        ({"lookup_keys": frozenset({"hi_card"})}, "none of the agreement's lookup keys"),
        ({"batch": True}, "about batches"),
        (
            {"established": frozenset({"own_employees"}), "not_established": frozenset({"own_employees"})},
            "same fact",
        ),
        ({"fields": frozenset({"bank_account"})}, "only what nobody permits"),
    ],
    ids=str,
)
def test_a_deny_rule_that_can_never_match_is_found(conditions: dict[str, Any], words: str) -> None:
    found = [
        finding.message for finding in findings(denying(**conditions)) if finding.code == "never_matches"
    ]
    assert any(words in message for message in found)


def test_a_deny_rule_for_others_recipients_is_found() -> None:
    agreement = replace(denying(recipients=frozenset({"x"})), recipients=frozenset({"y"}))
    assert ("error", "never_matches") in codes(agreement)


def test_a_permit_that_is_always_taken_away_is_found() -> None:
    for fields in (frozenset(), frozenset({"si_status"})):
        found = [f.message for f in findings(denying(fields=fields)) if f.code == "never_matches"]
        assert any(message.startswith("release contributes") for message in found)
    assert ("error", "never_matches") not in codes(
        denying(fields=frozenset({"si_status"}), last_day=date(2027, 1, 1))
    )


@pytest.mark.parametrize(
    ("citations", "code"),
    [
        ((), "sensitive_without_basis"),
        ((Citation("law_91_2025", "19.1.c", "U"),), "sensitive_without_basis"),
        ((Citation("decree_13_2023", "17", "S-full"),), "sensitive_without_basis"),
    ],
)
def test_a_sensitive_field_needs_a_basis_that_was_read_and_is_in_force(
    citations: tuple[Citation, ...], code: str
) -> None:
    assert ("error", code) in codes(replace(HOSPITAL, citations=citations))
    assert ("error", "unverified_basis") in codes(replace(PROVINCE, citations=citations))


def test_what_is_unverified_or_repealed_is_said() -> None:
    citations = (
        *HOSPITAL.citations,
        Citation("decree_13_2023", "17", "S"),
        Citation("decree_164_2025", "x", "U"),
    )
    found = codes(replace(HOSPITAL, citations=citations))
    assert {("error", "repealed_instrument"), ("warning", "unverified_citation")} <= found


def test_a_basis_that_is_not_in_force_is_found() -> None:
    past = replace(HOSPITAL, valid_from=date(2024, 1, 1), valid_to=date(2024, 12, 31))
    assert ("error", "never_matches") in codes(past)


@pytest.mark.parametrize(
    "changed",
    [
        replace(EMPLOYER, row_scopes=()),
        replace(EMPLOYER, conditions=frozenset({"residents_of_province"})),
        releasing(EMPLOYER, "employer_name"),
    ],
)
def test_an_employer_stays_within_its_own_unit(changed: Agreement) -> None:
    """Domain BAS-6."""
    assert ("error", "employer_beyond_own_unit") in codes(changed)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        (replace(PROVINCE, must_match=()), ("error", "no_match_field")),
        (releasing(HOSPITAL, "birth_date"), ("warning", "precision_lost")),
        (releasing(shipped("citizen_own_record"), "visit_diagnosis"), ("warning", "field_not_held")),
        (
            replace(BANK, row_scopes=(RowScope("benefits", "recent", "benefit_from", 3),)),
            ("warning", "never_matches"),
        ),
        (replace(HOSPITAL, id="new"), ("warning", "no_case")),
    ],
)
def test_the_lint_says(changed: Agreement, finding: tuple[str, str]) -> None:
    assert finding in codes(changed)


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (date(2027, 9, 1), None),
        (date(2027, 11, 1), ("warning", "review_overdue_soon")),
        (date(2028, 1, 1), ("error", "review_overdue")),
        (date(2030, 12, 1), ("warning", "agreement_expired_soon")),
        (date(2031, 1, 1), ("error", "agreement_expired")),
    ],
)
def test_what_runs_out_is_said(day: date, code: tuple[str, str] | None) -> None:
    policies = Policies((HOSPITAL,), SHIPPED.cases, SHIPPED.catalogue, SHIPPED.registers)
    found = {(finding.severity, finding.code) for finding in check_policies(policies, day)}
    assert (code in found) if code else not found


# Comparison


def changes(new: Agreement, old: Agreement = HOSPITAL) -> list[Change]:
    return list(compare_agreements(old, new))


def directions(new: Agreement, old: Agreement = HOSPITAL) -> set[tuple[str, str]]:
    return {(change.direction, change.where) for change in changes(new, old)}


def test_nothing_changes_against_itself() -> None:
    assert compare_policies(SHIPPED, SHIPPED) == ()


Edit = Callable[[Agreement], Agreement]
CLAUSES: list[tuple[Edit, str, str]] = [
    # an edit, the clause it touches, and what it does; undoing it does the opposite
    (lambda a: replace(a, batch_maximum=201), "batch_maximum", "widens"),
    (lambda a: replace(a, retention_days=91), "retention_days", "widens"),
    (lambda a: replace(a, valid_from=date(2025, 12, 31)), "valid_from", "widens"),
    (lambda a: replace(a, valid_to=date(2031, 1, 1)), "valid_to", "widens"),
    (lambda a: replace(a, review_date=date(2028, 1, 1)), "review_date", "widens"),
    (lambda a: replace(a, limits=(Limit("client_day", 20001), *a.limits[1:])), "limits.client_day", "widens"),
    (lambda a: replace(a, limits=a.limits[1:]), "limits.client_day", "widens"),
    (lambda a: replace(a, lookup_keys=(*a.lookup_keys, "phone")), "lookup_keys", "widens"),
    (lambda a: replace(a, computing_fields=(*a.computing_fields, "address")), "computing_fields", "widens"),
    (lambda a: replace(a, must_match=("full_name",)), "must_match", "widens"),
    (lambda a: replace(a, must_supply=()), "must_supply", "widens"),
    (lambda a: replace(a, conditions=frozenset()), "conditions", "widens"),
    (lambda a: replace(a, obligations=frozenset({"evidence_receipt"})), "obligations", "widens"),
    (lambda a: replace(a, denies=(DenyRule("d", "w"),)), "deny.d", "narrows"),
    (
        lambda a: replace(a, row_scopes=(RowScope("hi_cards", "recent", "valid_from", 24),)),
        "row_scope",
        "narrows",
    ),
]
OPPOSITE = {"widens": "narrows", "narrows": "widens"}


@pytest.mark.parametrize(("edit", "clause", "direction"), CLAUSES)
def test_every_clause_widens_one_way_and_narrows_the_other(edit: Edit, clause: str, direction: str) -> None:
    changed = edit(HOSPITAL)
    assert directions(changed) == {(direction, clause)}
    assert directions(HOSPITAL, old=changed) == {(OPPOSITE[direction], clause)}


CELL = "hospital/* x verify_entitlement x check_health_insurance_entitlement x "


def test_a_field_more_widens_its_cell() -> None:
    more = releasing(HOSPITAL, "address")
    found = [change for change in changes(more) if change.where.startswith("hospital/")]
    assert found == [Change("widens", HOSPITAL.id, CELL + "address", "", "value")]
    back = [change for change in changes(HOSPITAL, old=more) if change.where.startswith("hospital/")]
    assert back == [Change("narrows", HOSPITAL.id, CELL + "address", "value", "")]


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        (Form("value"), Form("present"), "narrows"),
        (Form("present"), Form("value"), "widens"),
        (Form("year"), Form("year_month"), "widens"),
        (Form("year_month"), Form("year"), "narrows"),
        (Form("aggregate"), Form("year"), "widens"),
        (Form("year"), Form("aggregate"), "narrows"),
        (Form("year"), Form("months_since"), "widens"),  # no order: somebody has to look at it
        (Form("months_since"), Form("year"), "widens"),
        (Form("amount_band", (("edges", "5"),)), Form("amount_band", (("edges", "5,9"),)), "widens"),
        (Form("amount_band", (("edges", "5,9"),)), Form("amount_band", (("edges", "5"),)), "narrows"),
        (Form("amount_band", (("edges", "5"),)), Form("amount_band", (("edges", "6"),)), "widens"),
        (Form("masked_keep_last", (("keep", 4),)), Form("masked_keep_last", (("keep", 5),)), "widens"),
        # a value of four characters was hidden whole, and now shows three
        (Form("masked_keep_last", (("keep", 4),)), Form("masked_keep_last", (("keep", 3),)), "widens"),
        (Form("latest", (("by", "valid_from"),)), Form("present"), "widens"),
        (Form("value"), Form("predicate", (("operator", "in_range"), ("to_field", "valid_to"))), "widens"),
        (Form("predicate", (("operator", ">="),)), Form("predicate", (("operator", "<="),)), "widens"),
    ],
    ids=str,
)
def test_forms_are_put_in_order_or_count_as_wider(before: Form, after: Form, direction: str) -> None:
    old = replace(HOSPITAL, rules=(Rule("r", ("copay_ytd",), before, "w"),))
    new = replace(HOSPITAL, rules=(Rule("r", ("copay_ytd",), after, "w"),))
    (change,) = changes(new, old)
    assert (change.direction, change.where) == (direction, CELL + "copay_ytd")
    assert (change.before, change.after) == (form_text(before), form_text(after))


def test_naming_recipients_narrows_an_accession_and_back() -> None:
    named = replace(HOSPITAL, recipients=frozenset({"h1"}))
    assert {direction for direction, _ in directions(named)} == {"narrows"}
    assert all(change.where.startswith("hospital/* ") for change in changes(named)), "h1 keeps its cells"
    assert {direction for direction, _ in directions(HOSPITAL, old=named)} == {"widens"}


def test_another_purpose_opens_new_cells_and_closes_the_old() -> None:
    other = replace(HOSPITAL, purpose="prove_income")
    assert {direction for direction, _ in directions(other)} == {"widens", "narrows"}


def test_another_legal_basis_counts_as_wider() -> None:
    assert ("widens", "legal_basis") in directions(replace(HOSPITAL, legal_basis="L19_1_dd"))


def test_a_changed_deny_rule_counts_as_wider_and_a_reworded_one_does_not() -> None:
    old = replace(HOSPITAL, denies=(DenyRule("d", "w", fields=frozenset({"hi_card"})),))
    changed = replace(HOSPITAL, denies=(DenyRule("d", "w", fields=frozenset({"valid_to"})),))
    reworded = replace(HOSPITAL, denies=(DenyRule("d", "other words", fields=frozenset({"hi_card"})),))
    assert directions(changed, old) == {("widens", "deny.d")}
    assert directions(reworded, old) == {("rewords", "deny.why")}


@pytest.mark.parametrize(
    ("member", "value", "clause"),
    [
        ("title_en", "x", "title"),
        ("data_owner", Organisation("x", "x"), "data_owner"),
        ("accession_framework", "x", "accession_framework"),
        ("citations", (), "citation"),
        ("procedure", "x", "procedure"),
        ("risk_assessment", "x", "risk_assessment"),
        ("complaint_contact", "x", "complaint_contact"),
        ("items", (), "items"),
        ("revision_hash", "x", "revision"),
    ],
)
def test_words_are_compared_too(member: str, value: object, clause: str) -> None:
    changed: dict[str, Any] = {member: value}
    assert directions(replace(HOSPITAL, **changed)) == {("rewords", clause)}


def test_a_new_agreement_widens_and_a_lost_one_narrows() -> None:
    assert {c.direction for c in compare_agreements(None, HOSPITAL)} == {"widens"}
    assert {c.direction for c in compare_agreements(HOSPITAL, None)} == {"narrows"}
    without = replace(SHIPPED, agreements=tuple(a for a in SHIPPED.agreements if a.id != HOSPITAL.id))
    assert {change.direction for change in compare_policies(without, SHIPPED)} == {"widens"}


def test_a_lost_prohibition_widens() -> None:
    open_registers = replace(SHIPPED.registers, prohibitions=())
    opened = replace(SHIPPED, registers=open_registers)
    assert {change.direction for change in compare_policies(SHIPPED, opened)} == {"widens"}
    closed = compare_policies(opened, SHIPPED)
    assert {change.direction for change in closed} == {"narrows"}
    assert any(change.where == "bank x copay_ytd" for change in closed)
