"""What ships: the catalogue is whole, the registers say what they may say, every named case holds."""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path

import pytest

from connectors.national_insurance.schema import FIELDS as HELD_FIELDS
from policies.cases import Case, run_case
from policies.compile import compile_policies
from policies.decide import decide
from policies.explain import decision_content, describe_reason, explain
from policies.forms import FORMS
from policies.load import SHIPPED, load_directory
from policies.matrix import COLUMNS, matrix_csv, matrix_html, matrix_rows, matrix_table
from policies.model import DecisionRequest
from policies.question import usual_question, vary_question
from policies.reasons import FIELD_REASONS, REASONS
from policies.vocabulary import ACTIONS, CONDITIONS, ITEMS, LIMIT_SCOPES, OBLIGATIONS, SUPPLIED

POLICIES = load_directory()
COMPILED = compile_policies(POLICIES.agreements, POLICIES.catalogue, POLICIES.registers)
DOCS = Path(__file__).parents[2] / "docs" / "policies.md"

DOMAIN_FIELDS = {
    # domain 2.2: field → class (B basic, S sensitive, I sensitive by inference, P organisation)
    "B": (
        "personal_id old_id si_number full_name birth_date sex nationality address province commune phone "
        "email family_relation family_name family_personal_id household_code valid_from valid_to "
        "five_year_date salary_base contribution_from contribution_to contribution_rate "
        "unemployment_from unemployment_to "
        "unemployment_amount unemployment_status tax_code"
    ),
    "S": (
        "ethnicity visit_history visit_facility visit_diagnosis visit_result benefit_kind benefit_from "
        "benefit_to benefit_amount bank_account"
    ),
    "I": (
        "hi_card hi_card_15 subject_type benefit_level living_area primary_facility copay_ytd lookup_history "
        "contribution_plan"
    ),
    "P": "employer_name employer_tax_code employer_address employer_industry",
}
CLASSES = {"B": "basic", "S": "sensitive", "I": "sensitive_by_inference", "P": "organisation"}


@pytest.mark.parametrize("letter", list(DOMAIN_FIELDS))
def test_every_field_of_the_domain_is_in_the_catalogue_with_its_class(letter: str) -> None:
    for name in DOMAIN_FIELDS[letter].split():
        assert POLICIES.catalogue.fields[name].field_class == CLASSES[letter], name


def test_the_catalogue_and_the_source_speak_of_the_same_fields() -> None:
    held = {name: field for name, field in POLICIES.catalogue.fields.items() if field.held}
    assert set(held) == set(HELD_FIELDS)
    for name, source in HELD_FIELDS.items():
        assert (held[name].group, held[name].repeats) == (source.group, source.repeats), name


def test_groups_that_repeat_are_those_with_rows() -> None:
    repeating = {name for name, group in POLICIES.catalogue.groups.items() if group.repeats}
    assert repeating == {
        "family",
        "hi_cards",
        "contributions",
        "unemployment",
        "benefits",
        "visits",
        "lookups",
    }


def test_labels_are_in_two_languages() -> None:
    for field in POLICIES.catalogue.fields.values():
        assert field.label_vi != field.label_en


def test_the_register_holds_the_bases_of_the_law_and_what_they_need() -> None:
    bases = POLICIES.registers.legal_bases
    assert {code: basis.needs for code, basis in bases.items()} == {
        "SELF": "nothing", "CONSENT": "consent", "L19_1_a": "procedure", "L19_1_b": "procedure",
        "L19_1_c": "procedure", "L19_1_d": "procedure", "L19_1_dd": "procedure",
    }  # fmt: skip
    assert all(basis.certainty != "U" for basis in bases.values()), "what is unverified is no law"
    assert POLICIES.registers.instruments["decree_13_2023"].valid_to == date(2025, 12, 31)
    assert POLICIES.registers.instruments["decree_43_2021"].valid_to == date(2025, 6, 30)


DPV_PURPOSES = {
    # terms of dpv/modules/purposes of DPV 2.0 and 2.1
    "Verification", "PaymentManagement", "HumanResourceManagement", "PersonnelHiring", "LegalCompliance",
    "CreditChecking",
    "ProvideOfficialStatistics", "ImproveHealthcare", "PublicPolicyMaking", "ImprovePublicServices",
    "RightsFulfillment",
}  # fmt: skip
DPV_BASES = {
    "LegalObligation", "Consent", "VitalInterestOfDataSubject", "PublicInterest", "ContractPerformance",
    "OfficialAuthorityOfController",
}  # fmt: skip


def test_purposes_and_bases_name_terms_that_exist() -> None:
    prefix = "https://w3id.org/dpv#"
    for purpose in POLICIES.registers.purposes.values():
        assert {iri.removeprefix(prefix) for iri in purpose.dpv} <= DPV_PURPOSES
    assert {basis.dpv.removeprefix(prefix) for basis in POLICIES.registers.legal_bases.values()} == DPV_BASES


@pytest.mark.parametrize("case", POLICIES.cases, ids=lambda case: case.name)
def test_the_named_case_holds(case: Case) -> None:
    assert run_case(case, COMPILED).differences == ()


def test_every_agreement_has_a_case_that_permits_and_one_that_refuses() -> None:
    reasons: dict[str, set[bool]] = {}
    for case in POLICIES.cases:
        reasons.setdefault(case.request.agreement_id, set()).add(case.reason == "permitted")
    for agreement in POLICIES.agreements:
        assert reasons[agreement.id] == {True, False}, agreement.id


def test_a_case_that_does_not_hold_says_where() -> None:
    case = next(case for case in POLICIES.cases if case.reason == "permitted" and case.released)
    wrong = Case("n", "f", case.request, "no_agreement", {"x": "value"}, {"y": "z"}, frozenset({"nobody"}))
    differences = run_case(wrong, COMPILED).differences
    assert [difference.split(":")[0] for difference in differences] == [
        "reason", "released", "withheld", "determining rules",
    ]  # fmt: skip


def test_the_hospital_gets_what_the_gateway_needs_and_reads_what_it_computes_with() -> None:
    agreement = COMPILED.tables["hospital_entitlement_check"].agreement
    decision = decide(usual_question(agreement, date(2026, 11, 2)), COMPILED)
    assert {release.field for release in decision.released} == {
        "hi_card", "valid_from", "valid_to", "benefit_level", "primary_facility", "five_year_date",
    }  # fmt: skip
    assert {release.form.name for release in decision.released} == {"value"}
    assert {"card_status", "managed_by", "hi_card_15", "previous_card", "full_name", "birth_date"} <= set(
        decision.source_columns
    )
    assert decision.obligations == {"acting_person_registered", "evidence_receipt"}
    assert [(limit.scope, limit.count) for limit in decision.limits] == [
        ("client_day", 20000), ("acting_person_hour", 300), ("data_subject_day", 20),
    ]  # fmt: skip


# In force, explained, listed


def test_agreements_are_found_by_action_and_kind() -> None:
    (found,) = COMPILED.agreements_for("verify_entitlement", "hospital")
    assert found is COMPILED.find_agreement("hospital_entitlement_check")
    assert COMPILED.agreements_for("verify_entitlement", "bank") == ()
    assert COMPILED.find_agreement("gone") is None


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("case", POLICIES.cases, ids=lambda case: case.name)
def test_every_case_can_be_explained(case: Case, lang: str) -> None:
    decision = decide(case.request, COMPILED)
    text = explain(case.request, decision, COMPILED, lang)
    assert f"[{decision.reason}]" in text
    for release in decision.released:
        assert f"[{release.field}]" in text
    content = decision_content(decision, lang)
    assert content["reason"] == decision.reason
    assert content["reason_text"] == describe_reason(decision.reason, 0 if lang == "vi" else 1)


def test_what_is_not_verified_is_never_presented_as_law() -> None:
    agreement = COMPILED.tables["employer_own_unit_contributions"].agreement
    request = usual_question(agreement, date(2026, 11, 2))
    decision = decide(request, COMPILED)
    assert "NOT VERIFIED, not law" in explain(request, decision, COMPILED, "en")
    assert "CHƯA XÁC MINH" in explain(request, decision, COMPILED, "vi")


def test_unknown_codes_stand_alone() -> None:
    assert describe_reason("strange", 1) == "strange"
    assert describe_reason("not_consented", 1) == FIELD_REASONS["not_consented"][1]


def test_a_question_can_be_varied() -> None:
    agreement = COMPILED.tables["bank_income_proof"].agreement
    usual = usual_question(agreement, date(2026, 11, 2))
    said = {
        "recipient": "b",
        "asked_fields": "si_status, salary_base ,",
        "consent_fields": "si_status",
        "supplied": "",
    }
    request = vary_question(usual, said, 2)
    assert request.asked_fields == frozenset({"si_status", "salary_base"})
    assert request.supplied == frozenset()
    assert request.item_count == 2
    assert request.consent is not None
    assert (request.consent.recipient, request.consent.fields) == ("b", frozenset({"si_status"}))


def test_the_matrix_lists_exactly_what_may_leave() -> None:
    rows = matrix_rows(COMPILED)
    listed = {(row.agreement, row.field) for row in rows}
    for agreement in POLICIES.agreements:
        request = usual_question(agreement, date(2026, 11, 2))
        everything = ",".join(POLICIES.catalogue.fields)
        request = vary_question(request, {"consent_fields": everything, "asked_fields": everything})
        released = {(agreement.id, release.field) for release in decide(request, COMPILED).released}
        assert released == {cell for cell in listed if cell[0] == agreement.id}
    assert {row.recipient for row in rows} >= {"hospital/*", "ministry/ministry_of_health", "bank/*"}


def test_the_matrix_is_written_three_ways() -> None:
    rows = matrix_rows(COMPILED)
    assert matrix_table(rows).splitlines()[0].split() == list(COLUMNS)
    assert len(matrix_csv(rows).splitlines()) == len(rows) + 1
    page = matrix_html(rows)
    assert page.count("<tr>") == len(rows) + 1
    assert "&gt;" in page or "operator" in page


# House


PURE = sorted(Path(SHIPPED).glob("*.py"))


@pytest.mark.parametrize("module", PURE, ids=lambda path: path.name)
def test_policies_reach_no_clock_chance_or_network(module: Path) -> None:
    forbidden = {"os", "time", "random", "socket", "secrets", "subprocess", "sys", "uuid", "importlib"}
    readers = {"pathlib"} if module.name != "load.py" else set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] not in forbidden | readers, f"{module.name} imports {name}"


def _agreement_keys() -> set[str]:
    """Every key that an agreement file may hold, from the code that reads it."""
    keys: set[str] = set()
    for name in ("agreement.py", "form_reading.py"):
        tree = ast.parse((SHIPPED / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                readers = {"text", "word", "words", "integer", "flag", "day", "table", "tables", "value"}
                if (
                    node.func.attr in readers
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    keys.add(first.value)
    return keys | set(LIMIT_SCOPES) | set(ITEMS)


def test_the_docs_name_every_key_form_word_and_command() -> None:
    text = DOCS.read_text(encoding="utf-8")
    marked = set(re.findall(r"`([^`\n]+)`", text))
    words = {word for phrase in marked for word in re.split(r"[^\w]+", phrase)}
    known = _agreement_keys()
    assert {"lookup_keys", "retention_days", "accession_framework", "edges", "not_established"} <= known
    for group in (
        known, FORMS, OBLIGATIONS, CONDITIONS, SUPPLIED, ACTIONS, REASONS, FIELD_REASONS,
        POLICIES.registers.legal_bases, POLICIES.registers.purposes, POLICIES.registers.recipient_kinds,
    ):  # fmt: skip
        missing = sorted(set(group) - words)
        assert not missing, f"docs/policies.md does not name {', '.join(missing)}"
    for command in ("check", "test", "explain", "matrix", "compare"):
        assert f"broker policy {command}" in text
    for agreement in POLICIES.agreements:
        assert agreement.id in words


def test_a_request_of_nonsense_is_refused() -> None:
    request = DecisionRequest(
        "", "", "", "", "", "", date(2026, 1, 1), frozenset(), frozenset(), frozenset({"x"})
    )
    decision = decide(request, COMPILED)
    assert decision.reason == "no_agreement"
    assert [(entry.field, entry.reason) for entry in decision.withheld] == [("x", "no_agreement")]


def test_what_citizens_are_asked_to_consent_to_is_told_in_vietnamese_and_in_english() -> None:
    asked = [one for one in POLICIES.agreements if "has_consented" in one.conditions]
    assert asked
    for agreement in asked:
        told = agreement.told
        assert told is not None, agreement.id
        pairs = {rule.id: (rule.why_vi, rule.why) for rule in agreement.rules}
        pairs |= {"afterwards": told.afterwards, "who_else": told.who_else, "harm": told.harm}
        for name, (vietnamese, english) in pairs.items():
            assert re.search("[àáâãèéêìíòóôõùúýăđĩũơưạ-ỹ]", vietnamese), (agreement.id, name)
            assert english.isascii(), (agreement.id, name)


def test_whatever_citizens_are_asked_to_share_they_may_look_at_themselves() -> None:
    """The decision page shows the values of an asked field through the agreement on the own record.

    A representative sees them through the one on a child's.
    """
    asked = [table for table in COMPILED.tables.values() if table.needs_consent]
    assert asked
    for looking in ("citizen_own_record", "representative_child_record"):
        permitted = COMPILED.tables[looking].permitted
        assert {name for table in asked for name in table.permitted} <= permitted.keys()
