"""`broker policy compare` and the registers: what a statute, a kind, a purpose or a field opens is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.cli import main
from policies.catalogue import Catalogue, FieldDefinition
from policies.compare import COMPARED, COMPARED_AS_COMPILED, Change, compare_policies
from policies.compare_registers import MEMBERS, compare_registers
from policies.compile import AgreementTable
from policies.load import SHIPPED, Policies, load_directory
from policies.model import Agreement
from policies.registers import Prohibition

HERE = load_directory()
L19_1_C = "[bases.L19_1_c]\n"
ENDS = "valid_to = 2027-06-30\n"
LATER = "valid_to = 2028-06-30\n"
BANK = 'sector = "private"\nlegal_bases = ["CONSENT"]\nlabel_vi = "Ngân hàng'
BANK_BY_LAW = BANK.replace('["CONSENT"]', '["CONSENT", "L19_1_dd"]')


def copy_of_shipped(place: Path) -> Path:
    shutil.copytree(SHIPPED, place, ignore=shutil.ignore_patterns("*.py", "__pycache__", "cases"))
    return place


def edit(directory: Path, name: str, old: str, new: str) -> None:
    path = directory / name
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal policy directories with registers of their own."""
    return copy_of_shipped(tmp_path / "a"), copy_of_shipped(tmp_path / "b")


def compare(old: Path, new: Path) -> tuple[int, set[tuple[str, str, str]]]:
    result = CliRunner().invoke(main, ["policy", "compare", str(old), str(new), "--json"])
    content = json.loads(result.output)
    assert all({"direction", "agreement", "where", "before", "after"} == set(one) for one in content)
    return result.exit_code, {(one["direction"], one["agreement"], one["where"]) for one in content}


HOSPITAL = "hospital_entitlement_check"
NEW_PURPOSE = """[purposes.sell_things]
label_vi = "a"
label_en = "b"
dpv = ["https://w3id.org/dpv#Marketing"]

"""
REPRODUCTIONS = [
    # file, text of A, text of B, (register, place) and (agreement, clause) that B widens; B to A narrows
    (
        "legal_bases.toml", L19_1_C + ENDS, L19_1_C,
        {("legal_bases", "L19_1_c.valid_to"), (HOSPITAL, "last_day")},
    ),
    (
        "legal_bases.toml", L19_1_C + ENDS, L19_1_C + "valid_to = 2027-07-01\n",
        {("legal_bases", "L19_1_c.valid_to"), (HOSPITAL, "last_day")},
    ),
    ("legal_bases.toml", L19_1_C + LATER, L19_1_C, {("legal_bases", "L19_1_c.valid_to")}),
    ("recipient_kinds.toml", BANK, BANK_BY_LAW, {("recipient_kinds", "bank.legal_bases")}),
    ("legal_bases.toml", 'certainty = "U"', 'certainty = "S"', {("legal_bases", "L19_1_c.certainty")}),
    (
        "purposes.toml", "", NEW_PURPOSE,
        {("purposes", "sell_things")},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "wider"), REPRODUCTIONS)
def test_a_register_widens_one_way_and_narrows_the_other(
    pair: tuple[Path, Path], name: str, before: str, after: str, wider: set[tuple[str, str]]
) -> None:
    anchor = {"legal_bases.toml": L19_1_C, "recipient_kinds.toml": BANK}.get(
        name, "[purposes.prove_income]\n"
    )
    if "certainty" in before:
        block = (
            (SHIPPED / name).read_text(encoding="utf-8").partition(L19_1_C)[2].partition('certainty = "S"')[0]
        )
        anchor = L19_1_C + block + 'certainty = "S"'
        before, after = L19_1_C + block + before, L19_1_C + block + after
    elif name == "purposes.toml":
        before, after = before + anchor, after + anchor
    edit(pair[0], name, anchor, before)
    edit(pair[1], name, anchor, after)
    code, found = compare(*pair)
    assert code == 3
    assert {("widens", *place) for place in wider} <= found
    assert {direction for direction, _, _ in found} == {"widens"}
    code, found = compare(pair[1], pair[0])
    assert code == 0
    assert {("narrows", *place) for place in wider} <= found
    assert {direction for direction, _, _ in found} == {"narrows"}


def test_a_basis_that_no_longer_demands_a_procedure_widens(pair: tuple[Path, Path]) -> None:
    text = (SHIPPED / "legal_bases.toml").read_text(encoding="utf-8")
    block = L19_1_C + text.partition(L19_1_C)[2].partition('needs = "procedure"')[0]
    edit(pair[1], "legal_bases.toml", block + 'needs = "procedure"', block + 'needs = "nothing"')
    assert compare(*pair) == (3, {("widens", "legal_bases", "L19_1_c.needs")})
    assert compare(pair[1], pair[0]) == (0, {("narrows", "legal_bases", "L19_1_c.needs")})


def test_a_field_that_reveals_less_is_no_longer_prohibited(pair: tuple[Path, Path]) -> None:
    for directory in pair:
        edit(directory, "agreements/bank_income_proof.toml", '["si_status"]', '["si_status", "copay_ytd"]')
    line = next(
        line
        for line in (SHIPPED / "fields.toml").read_text(encoding="utf-8").splitlines()
        if line.startswith("copay_ytd =")
    )
    edit(pair[1], "fields.toml", line, line.replace('reveals = ["health"], ', ""))
    cell = "bank/* x share_record x prove_income x copay_ytd"
    places = {
        ("fields", "copay_ytd.reveals"),
        ("prohibitions", "bank x copay_ytd"),
        ("bank_income_proof", cell),
    }
    code, found = compare(*pair)
    assert code == 3
    assert {("widens", *place) for place in places} <= found
    code, found = compare(pair[1], pair[0])
    assert code == 0
    assert {("narrows", *place) for place in places} <= found


@pytest.mark.parametrize(
    ("old", "new"),
    [("dpv#CreditChecking", "dpv#Marketing"), ("Prove income for a credit decision", "Sell loans")],
)
def test_a_purpose_that_means_something_else_has_no_order(
    pair: tuple[Path, Path], old: str, new: str
) -> None:
    edit(pair[1], "purposes.toml", old, new)
    for one, other in (pair, (pair[1], pair[0])):
        code, found = compare(one, other)
        assert code == 3
        assert {(direction, register) for direction, register, _ in found} == {("widens", "purposes")}


def test_labels_are_reworded_and_an_order_only_changes(pair: tuple[Path, Path]) -> None:
    edit(pair[1], "recipient_kinds.toml", 'label_en = "Employer"', 'label_en = "Employing unit"')
    lines = (SHIPPED / "fields.toml").read_text(encoding="utf-8").splitlines(keepends=True)
    phone, email = (
        next(line for line in lines if line.startswith(f"{name} =")) for name in ("phone", "email")
    )
    edit(pair[1], "fields.toml", phone + email, email + phone)
    assert compare(*pair) == (
        0, {("rewords", "recipient_kinds", "employer.label_en"), ("changes", "fields", "(order)")},
    )  # fmt: skip
    plain = CliRunner().invoke(main, ["policy", "compare", *map(str, pair)]).output
    assert plain.endswith("0 widen, 0 narrow, 1 reword, 1 change\n")


@pytest.mark.parametrize(
    ("word", "clause"),
    [("why", "release.why"), ("why_vi", "release.why_vi"), ("harm.vi", "told"), ("who_else.en", "told")],
)
def test_other_words_for_citizens_are_reworded(pair: tuple[Path, Path], word: str, clause: str) -> None:
    lines = (SHIPPED / "agreements/bank_income_proof.toml").read_text("utf-8").splitlines()
    [first, *_] = [line for line in lines if line.startswith(f"{word} = ")]
    edit(pair[1], "agreements/bank_income_proof.toml", first, f'{word} = "x"')
    assert compare(*pair) == (
        0, {("rewords", "bank_income_proof", clause), ("rewords", "bank_income_proof", "revision")},
    )  # fmt: skip


def with_field(name: str, **changes: Any) -> Catalogue:
    known = HERE.catalogue.fields
    return replace(HERE.catalogue, fields={**known, name: replace(known[name], **changes)})


def found_in(old: Catalogue, new: Catalogue) -> set[tuple[str, str]]:
    changes = compare_registers((old, HERE.registers), (new, HERE.registers))
    return {(change.direction, change.where) for change in changes}


@pytest.mark.parametrize(
    ("name", "member", "value", "direction", "back"),
    [
        ("ethnicity", "field_class", "basic", "widens", "narrows"),
        ("ethnicity", "field_class", "organisation", "widens", "narrows"),
        ("nationality", "field_class", "sensitive_by_inference", "narrows", "widens"),
        ("ethnicity", "reveals", frozenset(), "widens", "narrows"),
        ("nationality", "held", False, "narrows", "widens"),
        ("nationality", "group", "contact", "widens", "widens"),
        ("nationality", "repeats", True, "widens", "widens"),
        ("nationality", "type", "text", "widens", "widens"),
        ("nationality", "values", ("VN",), "widens", "widens"),
        ("birth_date", "precision_field", "", "widens", "narrows"),
        ("birth_date", "precision_field", "sex", "widens", "widens"),
    ],
)
def test_every_member_of_a_field_is_compared(
    name: str, member: str, value: object, direction: str, back: str
) -> None:
    changed = with_field(name, **{member: value})
    assert found_in(HERE.catalogue, changed) == {(direction, f"{name}.{member}")}
    assert found_in(changed, HERE.catalogue) == {(back, f"{name}.{member}")}


def test_a_new_field_widens_and_a_lost_one_narrows() -> None:
    fewer = replace(
        HERE.catalogue, fields={k: v for k, v in HERE.catalogue.fields.items() if k != "nationality"}
    )
    assert found_in(fewer, HERE.catalogue) == {("widens", "nationality")}
    assert found_in(HERE.catalogue, fewer) == {("narrows", "nationality")}


def by_compiling(old: Policies, new: Policies, agreement_id: str) -> list[Change]:
    return [change for change in compare_policies(old, new) if change.agreement == agreement_id]


def test_an_inexact_birth_date_that_leaves_as_exact_widens_the_cell() -> None:
    hospital = HERE.find_agreement(HOSPITAL)
    assert hospital is not None
    form = replace(hospital.rules[0].form, name="year_month")
    rule = replace(hospital.rules[0], id="born", fields=("birth_date",), form=form)
    old = replace(HERE, agreements=(replace(hospital, rules=(*hospital.rules, rule)),))
    (change,) = by_compiling(
        old, replace(old, catalogue=with_field("birth_date", precision_field="")), HOSPITAL
    )
    assert change.direction == "widens"
    assert change.before.endswith("precision by birth_precision")
    assert change.after.endswith("precision by none")


def test_a_basis_without_consent_widens_and_asking_for_it_narrows() -> None:
    bases = HERE.registers.legal_bases
    law = replace(
        HERE.registers, legal_bases={**bases, "CONSENT": replace(bases["CONSENT"], needs="procedure")}
    )
    by_law = replace(HERE, registers=law)
    wider = Change("widens", "bank_income_proof", "needs_consent", "yes", "no")
    assert by_compiling(HERE, by_law, "bank_income_proof") == [wider]
    narrower = Change("narrows", "bank_income_proof", "needs_consent", "no", "yes")
    assert by_compiling(by_law, HERE, "bank_income_proof") == [narrower]


def test_an_agreement_without_lookup_keys_permits_questions_without_a_key() -> None:
    hospital = HERE.find_agreement(HOSPITAL)
    assert hospital is not None
    old, new = (replace(HERE, agreements=(replace(hospital, lookup_keys=k),)) for k in (("hi_card",), ()))
    assert {(c.direction, c.before, c.after) for c in compare_policies(old, new)} == {
        ("widens", "", "(no key)"), ("narrows", "hi_card", ""),
    }  # fmt: skip


@pytest.mark.parametrize("register", ["legal_bases", "instruments", "purposes", "recipient_kinds"])
def test_what_an_agreement_may_refer_to_widens_when_it_comes_and_narrows_when_it_goes(register: str) -> None:
    entries = getattr(HERE.registers, register)
    key = min(entries)
    without: dict[str, Any] = {register: {name: entry for name, entry in entries.items() if name != key}}
    fewer = (HERE.catalogue, replace(HERE.registers, **without))
    all_of_them = (HERE.catalogue, HERE.registers)
    assert compare_registers(fewer, all_of_them) == (Change("widens", register, key, "", key),)
    assert compare_registers(all_of_them, fewer) == (Change("narrows", register, key, key, ""),)


def test_a_prohibition_of_another_name_only_changes_and_of_other_words_is_reworded() -> None:
    first, *rest = HERE.registers.prohibitions

    def directions(other: Prohibition) -> set[str]:
        registers = replace(HERE.registers, prohibitions=(other, *rest))
        return {
            c.direction
            for c in compare_registers((HERE.catalogue, HERE.registers), (HERE.catalogue, registers))
        }

    assert directions(replace(first, id="other")) == {"changes"}
    assert directions(replace(first, why="other")) == {"rewords"}
    assert "widens" in directions(replace(first, recipient_kinds=frozenset({"bank"})))


def test_a_rule_of_another_name_only_changes() -> None:
    hospital = HERE.find_agreement(HOSPITAL)
    assert hospital is not None
    first, *rest = hospital.rules
    new = replace(HERE, agreements=(replace(hospital, rules=(replace(first, id="other"), *rest)),))
    old = replace(HERE, agreements=(hospital,))
    assert {(c.direction, c.where) for c in compare_policies(old, new)} == {("changes", "release.id")}


def test_a_later_day_on_which_the_basis_begins_narrows() -> None:
    bases = HERE.registers.legal_bases
    late = replace(bases["CONSENT"], valid_from=date(2027, 1, 1))
    new = replace(HERE, registers=replace(HERE.registers, legal_bases={**bases, "CONSENT": late}))
    assert {c.direction for c in compare_policies(HERE, new)} == {"narrows"}
    assert {c.direction for c in compare_policies(new, HERE)} == {"widens"}


def test_every_member_that_decides_is_listed() -> None:
    assert {member.name for member in fields(Agreement)} == COMPARED
    assert {member.name for member in fields(AgreementTable)} == COMPARED_AS_COMPILED
    assert MEMBERS["fields"].keys() < {member.name for member in fields(FieldDefinition)}
