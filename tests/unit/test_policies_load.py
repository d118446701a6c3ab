"""Every way in which a policy file is refused: with file, key, line and remedy."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from policies.agreement import read_agreement, revision_hash
from policies.catalogue import read_catalogue
from policies.compile import compile_policies
from policies.decide import decide
from policies.load import SHIPPED, load_agreement, load_directory, load_path, load_registers
from policies.model import Agreement, Form, PolicyError, Rule
from policies.question import usual_question
from policies.reading import find_lines, read_toml
from policies.registers import read_legal_bases, read_prohibitions, read_purposes, read_recipient_kinds
from policies.vocabulary import ITEMS, LIMIT_SCOPES

CATALOGUE, REGISTERS = load_registers()
HOSPITAL = (SHIPPED / "agreements" / "hospital_entitlement_check.toml").read_text(encoding="utf-8")
EMPLOYER = (SHIPPED / "agreements" / "employer_own_unit_contributions.toml").read_text(encoding="utf-8")
BANK = (SHIPPED / "agreements" / "bank_income_proof.toml").read_text(encoding="utf-8")
PROVINCE = (SHIPPED / "agreements" / "province_peoples_committee.toml").read_text(encoding="utf-8")
HEALTH = (SHIPPED / "agreements" / "ministry_of_health_statistics.toml").read_text(encoding="utf-8")


def read(text: str) -> Agreement:
    return read_agreement(text, "x.toml", CATALOGUE, REGISTERS)


def refusal(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        read(text)
    assert caught.value.file == "x.toml"
    assert str(caught.value).startswith("x.toml")
    return caught.value


def line_of(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def edit(text: str, pattern: str, replacement: str) -> str:
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.M | re.S)
    assert count == 1, pattern
    return changed


TOP_KEYS = [
    "id",
    "revision",
    "action",
    "purpose",
    "risk_assessment",
    "complaint_contact",
    "conditions",
    "lookup_keys",
    "must_match",
    "must_supply",
    "batch_maximum",
    "obligations",
    "retention_days",
    "valid_from",
    "valid_to",
    "review_date",
]


@pytest.mark.parametrize("key", TOP_KEYS)
def test_a_missing_key_is_refused_by_name(key: str) -> None:
    fault = refusal(edit(HOSPITAL, rf"^{key} = .*?\n", ""))
    assert fault.key == key
    assert "is missing" in fault.remedy


@pytest.mark.parametrize("item", list(ITEMS))
def test_each_of_the_twelve_items_is_demanded(item: str) -> None:
    """Decree 47/2020 art. 38; domain AGR-3."""
    text = (
        edit(HOSPITAL, rf"^{item} = .*?\n(?=\w|\Z)", "")
        if item != "other"
        else edit(HOSPITAL, r"^other = .*\Z", "")
    )
    fault = refusal(text)
    assert fault.key == f"items.{item}"
    assert fault.line == line_of(text, "[items]")


@pytest.mark.parametrize("scope", list(LIMIT_SCOPES))
def test_each_limit_is_demanded(scope: str) -> None:
    fault = refusal(edit(HOSPITAL, rf"^{scope} = .*?\n", ""))
    assert fault.key == f"limits.{scope}"


def test_citizens_are_not_counted_together() -> None:
    own = (SHIPPED / "agreements" / "citizen_own_record.toml").read_text(encoding="utf-8")
    assert [one.scope for one in read(own).limits] == ["acting_person_hour", "data_subject_day"]
    fault = refusal(edit(own, r"^\[limits\]$", "[limits]\nclient_day = 200000"))
    assert (fault.key, "is not a known key here" in str(fault)) == ("limits.client_day", True)


@pytest.mark.parametrize("table", ["data_owner", "recipients", "legal_basis", "limits", "items"])
def test_a_missing_table_is_refused(table: str) -> None:
    fault = refusal(edit(HOSPITAL, rf"^\[{table}\]", "[something]"))
    assert fault.key.split(".")[0] in (table, "something")


def test_a_procedure_is_demanded_for_a_basis_of_article_19() -> None:
    """Law 91/2025 art. 19.2; domain BAS-4."""
    fault = refusal(edit(HOSPITAL, r"^procedure = .*?\n", ""))
    assert fault.key == "legal_basis.procedure"
    assert fault.line == line_of(HOSPITAL, "[legal_basis]")


def test_consent_needs_no_procedure() -> None:
    assert read(BANK).procedure == ""


WRONG: list[tuple[str, str, str, str, str]] = [
    # text to edit, pattern, replacement, key of the refusal, part of the remedy
    (HOSPITAL, r"^revision = 1$", 'revision = "1"', "revision", "must be a whole number"),
    (HOSPITAL, r"^revision = 1$", "revision = true", "revision", "must be a whole number"),
    (HOSPITAL, r"^revision = 1$", "revision = 0", "revision", "from 1 to"),
    (HOSPITAL, r"^batch_maximum = 200$", "batch_maximum = -1", "batch_maximum", "from 0 to"),
    (HOSPITAL, r"^retention_days = 90$", "retention_days = 1.5", "retention_days", "must be a whole number"),
    (HOSPITAL, r"^valid_from = .*?$", 'valid_from = "2026-01-01"', "valid_from", "without quotes"),
    (HOSPITAL, r"^valid_from = .*?$", "valid_from = 2026-01-01T00:00:00", "valid_from", "without quotes"),
    (HOSPITAL, r"^valid_to = .*?$", "valid_to = 2025-01-01", "valid_to", "before valid_from"),
    (HOSPITAL, r"^review_date = .*?$", "review_date = 2025-01-01", "review_date", "before valid_from"),
    (HOSPITAL, r"^id = .*?$", 'id = "  "', "id", "must not be empty"),
    (HOSPITAL, r"^id = .*?$", "id = 7", "id", "must be text"),
    (HOSPITAL, r"^action = .*?$", 'action = "sell_record"', "action", '"sell_record" is not known'),
    (HOSPITAL, r"^purpose = .*?$", 'purpose = "marketing"', "purpose", '"marketing" is not known'),
    (HOSPITAL, r"^conditions = .*?$", "conditions = []", "conditions", "at least 1"),
    (
        HOSPITAL,
        r"^conditions = .*?$",
        'conditions = ["in_a_hurry"]',
        "conditions",
        '"in_a_hurry" is not known',
    ),
    (
        HOSPITAL,
        r"^conditions = .*?$",
        'conditions = "presenting_at_facility"',
        "conditions",
        "a list of texts",
    ),
    (HOSPITAL, r"^conditions = .*?$", "conditions = [1]", "conditions", "a list of texts"),
    (HOSPITAL, r"^lookup_keys = .*?$", 'lookup_keys = ["hi_card", "hi_card"]', "lookup_keys", "twice"),
    (
        HOSPITAL,
        r"^lookup_keys = .*?$",
        'lookup_keys = ["shoe_size"]',
        "lookup_keys",
        '"shoe_size" is not known',
    ),
    (HOSPITAL, r"^lookup_keys = .*?$", "lookup_keys = []", "lookup_keys", "at least one field"),
    (HOSPITAL, r"^obligations = .*?$", 'obligations = ["sing"]', "obligations", '"sing" is not known'),
    (HOSPITAL, r"^must_supply = .*?$", "must_supply = []", "must_supply", '"acting_person"'),
    (HOSPITAL, r"^must_supply = .*?$", 'must_supply = ["a_smile"]', "must_supply", '"a_smile" is not known'),
    (HOSPITAL, r'^kind = "hospital"$', 'kind = "circus"', "recipients.kind", '"circus" is not known'),
    (HOSPITAL, r'^kind = "hospital"$', 'kind = "bank"', "legal_basis.code", "not open to a bank"),
    (HOSPITAL, r"^accession_framework = .*?$", "", "recipients", "not both and not neither"),
    (HOSPITAL, r"^(accession_framework = .*?)$", r'\1\norganisations = ["h1"]', "recipients", "not both"),
    (HOSPITAL, r'^code = "L19_1_c"$', 'code = "L99"', "legal_basis.code", '"L99" is not known'),
    (
        HOSPITAL,
        r'^certainty = "S"$',
        'certainty = "sure"',
        "legal_basis.citation.0.certainty",
        '"sure" is not known',
    ),
    (
        HOSPITAL,
        r'^instrument = "law_91_2025"$',
        'instrument = "x"',
        "legal_basis.citation.0.instrument",
        '"x" is not',
    ),
    (HOSPITAL, r"^client_day = 20000$", "client_day = 0", "limits.client_day", "from 1 to"),
    (HOSPITAL, r'^id = "card"$', 'id = "entitlement"', "release.1.id", "is taken"),
    (
        HOSPITAL,
        r'"hi_card", "valid_from"',
        '"benefit_level", "valid_from"',
        "release.1.fields",
        "exactly one",
    ),
    (HOSPITAL, r'"hi_card", "valid_from"', '"shoe_size", "valid_from"', "release.0.fields", "is not known"),
    (HOSPITAL, r'^form = "value"$', 'form = "raw"', "release.0.form", '"raw" is not known'),
    (HOSPITAL, r'^form = "value"$', 'form = "initials"', "release.0.form", "does not take valid_from"),
    (HOSPITAL, r'^form = "value"$', 'form = "value"\nkeep = 3', "release.0.keep", "is not a known key here"),
    (HOSPITAL, r'^form = "value"$', 'form = "aggregate"', "conditions", "nobody_individually"),
    (HOSPITAL, r"^why = .*?$", "", "release.0.why", "is missing"),
    (BANK, r"^why_vi = .*?$", 'why_vi = ""', "release.0.why_vi", "must not be empty"),
    (BANK, r"^why_vi", 'why_en = "w"\nwhy_vi', "release.0.why_en", "is not a known key here"),
    (BANK, r"^why_vi = .*?$", "", "release.0.why_vi", "is missing"),
    (BANK, r"^harm\.vi = .*?$", "", "told.harm.vi", "is missing"),
    (BANK, r"^harm\.en = .*?$", 'harm.en = ""', "told.harm.en", "must not be empty"),
    (BANK, r"^who_else\.vi", 'harm.fr = "x"\nwho_else.vi', "told.harm.fr", "is not a known key here"),
    (BANK, r"^who_else\.vi", 'gain.vi = "x"\nwho_else.vi', "told.gain", "is not a known key here"),
    (HOSPITAL, r"^\[items\]$", '[told]\nharm.vi = "x"\n\n[items]', "told", "nobody is asked under this one"),
    (
        HOSPITAL,
        r"^batch_maximum",
        "batch_minimum = 1\nbatch_maximum",
        "batch_minimum",
        "is not a known key here",
    ),
    (HOSPITAL, r"^\[limits\]$", "[limits]\nclient_year = 5", "limits.client_year", "is not a known key here"),
    (
        HOSPITAL,
        r"^\[data_owner\]$",
        '[data_owner]\ncolour = "red"',
        "data_owner.colour",
        "is not a known key",
    ),
    (BANK, r"^conditions = .*?$", 'conditions = ["own_employees"]', "conditions", "has_consented"),
    (HOSPITAL, r"^conditions = .*?$", 'conditions = ["has_consented"]', "conditions", "has_consented"),
    (BANK, r"^edges = .*?$", "", "release.1.edges", "rising whole numbers"),
    (BANK, r"^edges = .*?$", "edges = [5, 5]", "release.1.edges", "must rise"),
    (BANK, r"^edges = .*?$", "edges = [5, true]", "release.1.edges", "rising whole numbers"),
    (BANK, r"^edges = .*?$", "edges = [1.5]", "release.1.edges", "rising whole numbers"),
    (BANK, r"^months = 12$", "months = 0", "row_scope.0.months", "from 1 to"),
    (BANK, r'^keep = "recent"$', 'keep = "some"', "row_scope.0.keep", '"some" is not known'),
    (BANK, r'^group = "contributions"$', 'group = "person"', "row_scope.0.group", '"person" is not known'),
    (BANK, r'^field = "contribution_from"$', 'field = "salary_base"', "row_scope.0.field", "is not known"),
    (
        EMPLOYER,
        r'^field = "contribution_unit_code"$',
        'field = "hi_card"',
        "row_scope.0.field",
        "is not known",
    ),
    (
        EMPLOYER,
        r'lookup_keys = \["personal_id"\] }',
        'colour = "red" }',
        "deny.0.when.colour",
        "is not a known key",
    ),
    (EMPLOYER, r"batch = true,", 'batch = "yes",', "deny.0.when.batch", "true or false"),
    (EMPLOYER, r'^fields = \["si_number"\]\nwhy', 'fields = ["x"]\nwhy', "deny.0.fields", '"x" is not known'),
    (PROVINCE, r'^operator = "in_range"$', 'operator = "like"', "release.0.operator", '"like" is not known'),
    (PROVINCE, r'^to_field = "valid_to"$', 'to_field = "hi_card"', "release.0.to_field", "is not known"),
    (PROVINCE, r'^to_field = "valid_to"$', "", "release.0.to_field", "is missing"),
    (PROVINCE, r'^over = "any"$', 'over = "some"', "release.0.over", '"some" is not known'),
    (PROVINCE, r'^by = "unemployment_from"$', 'by = "unemployment_amount"', "release.2.by", "is not known"),
    (
        PROVINCE,
        r'^fields = \["valid_from"\]$',
        'fields = ["hi_card"]',
        "release.0.operator",
        "day or a month",
    ),
    (PROVINCE, r'^form = "latest"$', 'form = "count"', "release.2.by", "is not a known key here"),
    (
        PROVINCE,
        r'^fields = \["unemployment_status"\]$',
        'fields = ["si_office"]',
        "release.2.form",
        "repeating group",
    ),
    (PROVINCE, r'^fields = \["birth_date"\]$', 'fields = ["salary_base"]', "release.3.form", "does not take"),
    (PROVINCE, r'\["valid_from"\]', '["valid_from", "birth_date"]', "release.0.fields", "of one group"),
    (HEALTH, r"^lookup_keys = \[\]$", 'lookup_keys = ["personal_id"]', "lookup_keys", "must be empty"),
    (HEALTH, r"^must_match = \[\]$", 'must_match = ["full_name"]', "must_match", "no meaning for aggregates"),
    (HEALTH, r"^batch_maximum = 0$", "batch_maximum = 5", "must_match", "no meaning for aggregates"),
    (HEALTH, r'^form = "aggregate"$', 'form = "present"', "conditions", "for every field, and only so"),
]


@pytest.mark.parametrize(("text", "pattern", "replacement", "key", "remedy"), WRONG)
def test_what_is_wrong_is_refused_by_key_and_remedy(
    text: str, pattern: str, replacement: str, key: str, remedy: str
) -> None:
    fault = refusal(edit(text, pattern, replacement))
    assert fault.key == key
    assert remedy in fault.remedy
    assert fault.line > 0 or key in ("conditions",)


PREDICATES = [
    ('operator = ">="\nthreshold = "5"', "release.0.threshold", "must be a date"),
    ('operator = ">="\nthreshold = 2026-01-01T00:00:00', "release.0.threshold", "must be a date"),
    ('operator = ">="', "release.0.threshold", "must be a date"),
    ("threshold = 2026-01-01", "release.0.operator", "is missing"),
]


@pytest.mark.parametrize(("parameters", "key", "remedy"), PREDICATES)
def test_a_threshold_must_fit_the_field(parameters: str, key: str, remedy: str) -> None:
    text = edit(PROVINCE, r'^operator = "in_range"\nto_field = "valid_to"$', parameters)
    fault = refusal(text)
    assert (fault.key, remedy in fault.remedy) == (key, True)


@pytest.mark.parametrize(
    ("field", "parameters", "key"),
    [
        ("si_status", 'operator = ">="\nthreshold = "a"', "release.1.operator"),
        ("si_status", 'operator = "=="\nthreshold = 3', "release.1.threshold"),
        ("unemployment_reserved_months", 'operator = "<="\nthreshold = true', "release.1.threshold"),
        ("primary_facility_specialised", 'operator = "=="\nthreshold = 1', "release.1.threshold"),
        ("si_status", 'operator = "=="\nthreshold = "active"\nover = "any"', "release.1.over"),
    ],
)
def test_an_operator_must_fit_the_type(field: str, parameters: str, key: str) -> None:
    text = edit(
        PROVINCE,
        r'^fields = \["si_status"\]\nform = "value"$',
        f'fields = ["{field}"]\nform = "predicate"\n{parameters}',
    )
    assert refusal(text).key == key


def test_a_refusal_names_the_line_of_the_key() -> None:
    text = edit(HOSPITAL, r"^batch_maximum = 200$", 'batch_maximum = "200"')
    fault = refusal(text)
    assert fault.line == line_of(text, "batch_maximum")
    assert str(fault) == f"x.toml:{fault.line}: batch_maximum: must be a whole number"


def test_a_refusal_inside_the_second_rule_names_its_line() -> None:
    text = edit(HOSPITAL, r'^(id = "entitlement"\nfields = .*?\nform = )"value"$', r'\1"raw"')
    fault = refusal(text)
    assert text.splitlines()[fault.line - 1] == 'form = "raw"'
    assert fault.key == "release.1.form"


@pytest.mark.parametrize(
    ("text", "line"), [('id = "a"\nrevision = \n', 2), ('id = "a"\nid = "b"\n', 2), ("a = [1,\n2\n", 3)]
)
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    fault = refusal(text)
    assert fault.key == "(file)"
    assert "is not TOML" in fault.remedy
    assert abs(fault.line - line) <= 1


def test_lines_are_found_through_arrays_strings_and_tables() -> None:
    text = (
        'a = [\n  "x = 1",\n  [1, 2],\n]\n"""\nb = 3\n'.replace('"""\n', "")
        + "c = '''\nd = 4\n'''\n"
        + 'e.f = 5 # [not] a table\n[t]\ng = { h = 1 }\n[[l]]\ni = 1\n[[l]]\ni = "#"\n[l.m]\nj = 1\n'
    )
    lines = find_lines(text)
    assert lines[("a",)] == 1
    assert lines[("b",)] == 5
    assert lines[("c",)] == 6
    assert ("d",) not in lines
    assert lines[("e", "f")] == 9
    assert lines[("t", "g")] == 11
    assert lines[("l", 0, "i")] == 13
    assert lines[("l", 1, "i")] == 15
    assert lines[("l", 1, "m", "j")] == 17


def test_a_comment_makes_no_new_revision_but_a_word_does() -> None:
    assert revision_hash(HOSPITAL + "\n# a remark\n") == revision_hash(HOSPITAL)
    assert revision_hash(HOSPITAL.replace("20000", "20001")) != revision_hash(HOSPITAL)
    assert revision_hash('a = "2026-01-01"') != revision_hash("a = 2026-01-01")
    assert re.fullmatch("[0-9a-f]{64}", read(HOSPITAL).revision_hash)


def test_an_agreement_tells_all_that_others_need() -> None:
    agreement = load_agreement(HOSPITAL, "hospital.toml")
    assert agreement.text == HOSPITAL
    assert (agreement.id, agreement.revision, agreement.file) == (
        "hospital_entitlement_check",
        1,
        "hospital.toml",
    )
    assert agreement.data_owner.id == "national_insurance_agency"
    assert [limit.count for limit in agreement.limits] == [20000, 300, 20]
    assert dict(agreement.items).keys() == ITEMS.keys()


# Directories


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED / "agreements", tmp_path / "agreements")
    shutil.copytree(SHIPPED / "cases", tmp_path / "cases")
    return tmp_path


def test_the_shipped_directory_loads_in_the_order_of_ids() -> None:
    ids = [agreement.id for agreement in load_directory().agreements]
    assert ids == sorted(ids)
    assert ids == [
        "bank_income_proof",
        "citizen_own_record",
        "employer_own_unit_contributions",
        "employer_work_history",
        "hospital_entitlement_check",
        "ministry_of_finance_statistics",
        "ministry_of_health_statistics",
        "province_peoples_committee",
        "representative_child_record",
    ]


def test_a_directory_borrows_the_registers_it_lacks(directory: Path) -> None:
    assert load_directory(directory) == load_directory()


def test_a_directory_may_bring_its_own_registers(directory: Path) -> None:
    (directory / "prohibitions.toml").write_text("", encoding="utf-8")
    assert load_directory(directory).registers.prohibitions == ()


def test_two_agreements_with_one_id_are_refused(directory: Path) -> None:
    (directory / "agreements" / "zz.toml").write_text(HOSPITAL, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"zz\.toml: id: .*taken by hospital_entitlement_check\.toml"):
        load_directory(directory)


def test_a_directory_without_agreements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="holds no agreement"):
        load_directory(tmp_path)


def test_a_file_that_is_not_utf8_is_refused(directory: Path) -> None:
    (directory / "agreements" / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match=r"bad\.toml: \(file\): is not UTF-8"):
        load_directory(directory)


def test_a_file_that_is_far_too_large_is_refused(directory: Path) -> None:
    (directory / "agreements" / "big.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(PolicyError, match=r"big\.toml: \(file\): is larger than"):
        load_directory(directory)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_path(tmp_path / "none.toml")


def test_one_file_can_be_read_alone(directory: Path) -> None:
    policies = load_path(directory / "agreements" / "bank_income_proof.toml")
    assert [agreement.id for agreement in policies.agreements] == ["bank_income_proof"]
    assert policies.find_agreement("nothing") is None


_STRANGE_CASE = (
    '[[case]]\nname = "n"\nexpect.reason = "permitted"\n[case.request]\nagreement = "x"\n'
    'recipient = "r"\nlookup_key = ""\non_date = 2026-01-01\ncolour = "red"\n'
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "case"),
        ("case = 1", "case"),
        ("case = [1]", "case"),
        ('[[case]]\nname = "n"\n', "case.0.expect"),
        ('[[case]]\nname = "n"\nexpect.reason = "permitted"\n', "case.0.request"),
        (
            _STRANGE_CASE,
            "case.0.request.colour",
        ),
    ],
)
def test_a_case_that_is_not_understood_is_refused(directory: Path, text: str, key: str) -> None:
    (directory / "cases" / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_directory(directory)
    assert (caught.value.file, caught.value.key) == ("x.toml", key)


# Registers and catalogue


def test_a_purpose_must_name_terms_of_the_vocabulary() -> None:
    text = '[purposes.x]\nlabel_vi = "x"\nlabel_en = "x"\ndpv = ["https://example.org/#Marketing"]\n'
    with pytest.raises(PolicyError, match=r"p\.toml:4: purposes\.x\.dpv: must be a term under"):
        read_purposes(text, "p.toml")


def test_a_legal_basis_must_name_a_known_instrument() -> None:
    text = '[instruments]\n[bases.X]\ninstrument = "y"\n'
    with pytest.raises(PolicyError, match=r"b\.toml:3: bases\.X\.instrument"):
        read_legal_bases(text, "b.toml")


def test_a_recipient_kind_must_name_known_bases() -> None:
    text = '[kinds.x]\nsector = "public"\nlegal_bases = ["X"]\n'
    with pytest.raises(PolicyError, match=r"kinds\.x\.legal_bases"):
        read_recipient_kinds(text, "k.toml", REGISTERS.legal_bases)


def test_a_prohibition_of_nothing_is_refused() -> None:
    text = '[[prohibition]]\nid = "x"\nrecipient_kinds = ["bank"]\nwhy = "w"\n'
    with pytest.raises(PolicyError, match="forbids nothing"):
        read_prohibitions(text, "p.toml", REGISTERS.recipient_kinds, CATALOGUE)


def test_a_precision_field_must_stand_in_the_same_group() -> None:
    text = (
        '[groups]\na = { label_vi = "a", label_en = "a" }\n[fields]\n'
        'x = { group = "a", type = "date", class = "basic", label_vi = "x", label_en = "x", '
        'precision_field = "y" }\n'
    )
    with pytest.raises(PolicyError, match=r"f\.toml:4: fields\.x\.precision_field"):
        read_catalogue(text, "f.toml")


def test_a_catalogue_refuses_keys_it_does_not_know() -> None:
    text = '[groups]\na = { label_vi = "a", label_en = "a", size = 3 }\n[fields]\n'
    with pytest.raises(PolicyError, match=r"f\.toml:2: groups\.a\.size"):
        read_catalogue(text, "f.toml")


def test_a_table_that_is_no_table_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"x: must be a table"):
        read_toml("x = 1", "f.toml").table("x")


def test_an_agreement_that_permits_or_cites_nothing_is_refused() -> None:
    nothing = edit(HOSPITAL, r'^\[\[release\]\]\nid = "card".*?(?=^\[items\])', "")
    assert refusal(nothing).key == "release"
    assert refusal(f"release = []\n{nothing}").key == "release"
    uncited = edit(HOSPITAL, r"^\[\[legal_basis\.citation\]\].*?(?=^\[limits\])", "")
    assert refusal(uncited).key == "legal_basis.citation"
    listed = edit(uncited, r'^code = "L19_1_c"$', 'code = "L19_1_c"\ncitation = []')
    assert refusal(listed).remedy == "cite at least one article"


def test_two_deny_rules_with_one_id_are_refused() -> None:
    rule = '[[deny]]\nid = "no_number_lists"\nwhy = "w"\n\n[items]'
    assert refusal(edit(EMPLOYER, r"^\[items\]", rule)).key == "deny.1.id"


VALUE = Form("value")


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"must_match": ("shoe_size",)}, "shoe_size: not in the field catalogue"),
        ({"rules": (Rule("a", ("hi_card", "hi_card"), VALUE, "w"),)}, "two forms"),
        ({"legal_basis": "L99"}, "not in the register"),
        ({"rules": (Rule("a", ("full_name",), Form("count"), "w"),)}, "does not repeat"),
    ],
)
def test_compiling_refuses_what_catalogue_and_registers_do_not_know(
    changes: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(PolicyError, match=remedy):
        compile_policies([replace(read(HOSPITAL), **changes)], CATALOGUE, REGISTERS)


def test_compiling_refuses_two_agreements_with_one_id() -> None:
    agreement = read(HOSPITAL)
    with pytest.raises(PolicyError, match="ids are unique"):
        compile_policies([agreement, agreement], CATALOGUE, REGISTERS)


def test_an_agreement_outlives_its_legal_basis_by_nothing() -> None:
    """A repealed basis refuses on the next day, whatever the agreement's own validity says."""
    basis = replace(REGISTERS.legal_bases["L19_1_c"], valid_to=date(2026, 6, 30))
    registers = replace(REGISTERS, legal_bases={**REGISTERS.legal_bases, "L19_1_c": basis})
    agreement = read(HOSPITAL)
    compiled = compile_policies([agreement], CATALOGUE, registers)
    assert decide(usual_question(agreement, date(2026, 6, 30)), compiled).permitted
    assert decide(usual_question(agreement, date(2026, 7, 1)), compiled).reason == "legal_basis_not_in_force"


def test_an_agreement_that_needs_consent_tells_citizens_what_may_come_of_it() -> None:
    fault = refusal(edit(BANK, r"^\[told\].*?\n\n", ""))
    assert (fault.key, fault.remedy) == ("told", "is missing; write a table [told]")
