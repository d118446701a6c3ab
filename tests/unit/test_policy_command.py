"""`broker policy`: what it prints, in words and in JSON, and how it exits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.cli import main
from policies.load import SHIPPED


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED / "agreements", tmp_path / "agreements")
    shutil.copytree(SHIPPED / "cases", tmp_path / "cases")
    return tmp_path


def edit(directory: Path, name: str, old: str, new: str) -> Path:
    path = directory / "agreements" / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["check", "test", "explain", "matrix", "compare"])
def test_each_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output
    assert f"  {command} " in run("--help").output


def test_check_finds_no_error_in_what_ships() -> None:
    result = run("check", "--on-date", "2026-11-02")
    assert result.exit_code == 0, result.output
    assert "9 agreements, 0 errors" in result.output


def test_check_exits_1_on_an_error_and_says_which(directory: Path) -> None:
    edit(directory, "bank_income_proof", 'fields = ["si_status"]', 'fields = ["si_status", "copay_ytd"]')
    result = run("check", "--directory", directory, "--on-date", "2026-11-02")
    assert result.exit_code == 1
    assert "error: bank_income_proof: prohibited_field: copay_ytd" in result.output


def test_check_in_json(directory: Path) -> None:
    result = run("check", "--json", "--directory", directory, "--on-date", "2028-06-01")
    content = json.loads(result.output)
    assert result.exit_code == 1
    assert content["agreements"] == 9
    assert {"severity", "code", "agreement", "message"} == set(content["findings"][0])
    assert "review_overdue" in {finding["code"] for finding in content["findings"]}


def test_a_file_that_is_not_accepted_exits_2_with_place_and_remedy(directory: Path) -> None:
    path = edit(directory, "bank_income_proof", "batch_maximum = 0", 'batch_maximum = "none"')
    line = path.read_text(encoding="utf-8").splitlines().index('batch_maximum = "none"') + 1
    for command in ("check", "test", "matrix"):
        result = run(command, "--directory", directory)
        assert result.exit_code == 2
        assert f"bank_income_proof.toml:{line}: batch_maximum: must be a whole number" in result.output
    result = run("check", "--json", "--directory", directory)
    assert json.loads(result.output)["error"] == {
        "file": "bank_income_proof.toml", "key": "batch_maximum", "line": line,
        "remedy": "must be a whole number",
    }  # fmt: skip
    assert run("compare", SHIPPED, directory).exit_code == 2


def test_test_runs_the_named_cases() -> None:
    result = run("test")
    assert result.exit_code == 0
    assert "ok      Nobody browses: the person must be present" in result.output
    assert result.output.rstrip().endswith("0 failed")


def test_test_exits_1_and_says_where_a_case_differs(directory: Path) -> None:
    edit(directory, "hospital_entitlement_check", "batch_maximum = 200", "batch_maximum = 20")
    result = run("test", "--directory", directory)
    assert result.exit_code == 1
    assert "FAILED  A batch of two hundred is the most" in result.output
    assert "reason: expected permitted, got batch_too_large" in result.output
    content = json.loads(run("test", "--json", "--directory", directory).output)
    failed = [entry for entry in content if entry["differences"]]
    assert [entry["name"] for entry in failed] == ["A batch of two hundred is the most"]


def test_explain_says_in_english_what_leaves_and_what_not() -> None:
    asked = "hi_card,employer_name"
    result = run("explain", "--agreement", "hospital_entitlement_check", "--ask", asked, "--lang", "en",
                 "--on-date", "2026-11-02")  # fmt: skip
    assert result.exit_code == 0
    assert "Answer: PERMITTED" in result.output
    assert "+ Health-insurance card number [hi_card]: the value itself" in result.output
    assert "- Employer's name [employer_name]: not in the agreement" in result.output
    assert "secondary source" in result.output


def test_explain_speaks_vietnamese_by_default() -> None:
    result = run("explain", "--case", "A withdrawn consent ends it at once")
    assert result.exit_code == 1
    assert "Kết quả: TỪ CHỐI" in result.output
    assert "sự đồng ý đã được rút lại [consent_withdrawn]" in result.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--recipient-kind", "bank"], "recipient_kind_not_covered"),
        (["--purpose", "prove_income"], "purpose_not_covered"),
        (["--action", "share_record"], "action_not_covered"),
        (["--lookup-key", "phone"], "lookup_key_not_permitted"),
        (["--established", ""], "data_subject_not_in_scope"),
        (["--supplied", "full_name"], "match_field_missing"),
        (["--items", "201"], "batch_too_large"),
        (["--on-date", "2031-01-01"], "agreement_expired"),
        (["--ask", "ethnicity"], "no_rule_permits"),
    ],
)
def test_explain_varies_the_usual_question(options: list[str], reason: str) -> None:
    day = [] if "--on-date" in options else ["--on-date", "2026-11-02"]
    result = run("explain", "--agreement", "hospital_entitlement_check", "--json", *day, *options)
    content = json.loads(result.output)
    assert (content["reason"], content["permitted"], result.exit_code) == (reason, False, 1)


def test_explain_supposes_a_consent() -> None:
    result = run("explain", "--agreement", "bank_income_proof", "--consent-fields", "si_status", "--json",
                 "--on-date", "2026-11-02")  # fmt: skip
    content = json.loads(result.output)
    assert list(content["released"]) == ["si_status"]
    assert content["withheld"]["salary_base"] == "not_consented"


def test_explain_needs_to_know_of_what() -> None:
    assert run("explain").exit_code == 2
    assert run("explain", "--case", "no such case").exit_code == 2
    assert run("explain", "--agreement", "gone", "--on-date", "2026-11-02").exit_code == 1


def test_matrix_in_all_forms() -> None:
    table = run("matrix", "--agreement", "ministry_of_health_statistics")
    assert table.exit_code == 0
    assert "ministry/ministry_of_health" in table.output
    assert "hospital/*" not in table.output
    assert run("matrix", "--format", "csv").output.startswith("recipient,purpose,legal_basis,field")
    assert run("matrix", "--format", "html").output.startswith("<!doctype html>")
    rows = json.loads(run("matrix", "--json").output)
    assert {"recipient": "bank/*", "field": "salary_base"}.items() <= next(
        row for row in rows if row["agreement"] == "bank_income_proof" and row["field"] == "salary_base"
    ).items()


def test_compare_exits_3_when_b_widens_a(directory: Path) -> None:
    edit(directory, "hospital_entitlement_check", '"five_year_date"]', '"five_year_date", "address"]')
    result = run("compare", SHIPPED, directory)
    assert result.exit_code == 3
    assert "x address: (nothing) -> value" in result.output
    assert "1 widen, 0 narrow" in result.output


def test_compare_exits_0_when_b_only_narrows(directory: Path) -> None:
    path = edit(directory, "hospital_entitlement_check", "batch_maximum = 200", "batch_maximum = 20")
    old = SHIPPED / "agreements" / "hospital_entitlement_check.toml"
    result = run("compare", old, path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)[0] == {
        "direction": "narrows", "agreement": "hospital_entitlement_check", "where": "batch_maximum",
        "before": "200", "after": "20",
    }  # fmt: skip


def test_compare_with_itself_says_nothing() -> None:
    result = run("compare", SHIPPED, SHIPPED)
    assert (result.exit_code, result.output) == (0, "0 widen, 0 narrow, 0 reword\n")
