"""`broker policy`: check, test, explain, list and compare what may be shared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from broker.clock import system_clock
from broker.statistics.agreed import check_agreements
from policies.cases import run_case
from policies.check import check_policies
from policies.civil_time import civil_date
from policies.compare import compare_policies
from policies.compile import PolicySet, compile_policies
from policies.decide import decide
from policies.explain import decision_content, explain
from policies.load import SHIPPED, Policies, load_directory, load_path
from policies.matrix import matrix_csv, matrix_html, matrix_rows, matrix_table
from policies.model import DecisionRequest, PolicyError
from policies.question import usual_question, vary_question

NOT_AS_EXPECTED: Final = 1
"""Exit code: an error was found, a case went otherwise, or a decision is a refusal."""
NOT_ACCEPTED: Final = 2
"""Exit code: a policy file cannot be accepted, or the command was misused."""
WIDENS: Final = 3
"""Exit code of `compare`: B lets something out that A does not."""

F = TypeVar("F", bound=Callable[..., object])
_DAY = click.DateTime(["%Y-%m-%d"])


def _with_directory(command: F) -> F:
    option = click.option(
        "--directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=SHIPPED,
        help="Policy directory: agreements/*.toml, cases/*.toml and, if it has its own, the registers. "
        "Default: the one that comes with the broker.",
    )
    return option(command)


def _with_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def _refuse(error: PolicyError, *, as_json: bool) -> NoReturn:
    if as_json:
        fault = {"file": error.file, "key": error.key, "line": error.line, "remedy": error.remedy}
        click.echo(json.dumps({"error": fault}, ensure_ascii=False))
    else:
        click.echo(f"not accepted: {error}", err=True)
    raise SystemExit(NOT_ACCEPTED)


def _load(directory: Path, *, as_json: bool) -> tuple[Policies, PolicySet]:
    try:
        policies = load_directory(directory)
        check_agreements(policies.agreements)
        return policies, compile_policies(policies.agreements, policies.catalogue, policies.registers)
    except PolicyError as error:
        _refuse(error, as_json=as_json)


def _echo_json(content: object) -> None:
    click.echo(json.dumps(content, ensure_ascii=False, indent=2, default=str))


@click.group("policy")
def policy_group() -> None:
    """Check, test, explain, list and compare what may be shared.

    \b
    A first look:   broker policy matrix
    Before signing: broker policy check && broker policy test && broker policy compare OLD NEW
    Why was it so?  broker policy explain --agreement hospital_entitlement_check --recipient h1 --lang en

    Exit codes: 0 fine; 1 an error found, a case failed, or a refusal; 2 a file is not accepted (its name,
    key, line and remedy are said); 3 (compare) the new revision lets out more.
    """  # noqa: D301 - click reads the backspace as "keep these lines"


@policy_group.command("check")
@_with_directory
@_with_json
@click.option("--on-date", type=_DAY, help="Day for which expiry and review are judged. Default: today.")
def check_command(directory: Path, as_json: bool, on_date: datetime | None) -> None:
    """Find conflicts, prohibited fields, rules that can never match, bases that nothing carries.

    Exits 1 if there is an error; warnings alone exit 0.
    """
    policies, _ = _load(directory, as_json=as_json)
    day = on_date.date() if on_date else civil_date(system_clock())
    findings = check_policies(policies, day)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        _echo_json(
            {"agreements": len(policies.agreements), "findings": [asdict(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            click.echo(f"{finding.severity}: {finding.agreement}: {finding.code}: {finding.message}")
        warnings = len(findings) - errors
        click.echo(f"{len(policies.agreements)} agreements, {errors} errors, {warnings} warnings")
    raise SystemExit(NOT_AS_EXPECTED if errors else 0)


@policy_group.command("test")
@_with_directory
@_with_json
def test_command(directory: Path, as_json: bool) -> None:
    """Run the named decision cases beside the agreements (cases/*.toml). Exits 1 if one differs."""
    policies, compiled = _load(directory, as_json=as_json)
    results = [run_case(case, compiled) for case in policies.cases]
    failed = sum(bool(result.differences) for result in results)
    if as_json:
        _echo_json(
            [{"name": r.case.name, "file": r.case.file, "differences": list(r.differences)} for r in results]
        )
    else:
        for result in results:
            click.echo(f"{'FAILED' if result.differences else 'ok':6}  {result.case.name}")
            for difference in result.differences:
                click.echo(f"        {difference}")
        click.echo(f"{len(results)} cases, {failed} failed")
    raise SystemExit(NOT_AS_EXPECTED if failed else 0)


def _find_case(policies: Policies, name: str) -> DecisionRequest:
    for case in policies.cases:
        if case.name == name:
            return case.request
    raise click.BadParameter("no such case; `broker policy test` lists them", param_hint="--case")


@policy_group.command("explain")
@_with_directory
@_with_json
@click.option("--case", "case_name", help="Explain a named decision case instead of the options below.")
@click.option("--agreement", "agreement_id", help="Id of the agreement; the rest defaults to what it wants.")
@click.option("--recipient", help="Id of the organisation that asks.")
@click.option("--recipient-kind", help="For example hospital, employer, bank.")
@click.option("--purpose", help="Purpose code.")
@click.option("--action", help="Action id, for example verify_entitlement.")
@click.option("--lookup-key", help="Catalogue field by which the person is looked up.")
@click.option("--on-date", type=_DAY, help="Day of the request. Default: today.")
@click.option("--supplied", help="What the asker gave, comma-separated.")
@click.option("--established", help="What is established about data subject and recipient, comma-separated.")
@click.option(
    "--ask", "asked_fields", help="Fields asked for, comma-separated. Default: all that the agreement names."
)
@click.option("--consent-fields", help="Suppose a consent, given and in force, to these fields.")
@click.option("--items", type=int, help="Number of persons in the batch. Default: 1.")
@click.option("--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True)
def explain_command(directory: Path, as_json: bool, lang: str, **options: object) -> None:
    """Explain one decision in words: what leaves in which form, what is withheld and why, by which rules.

    \b
    broker policy explain --agreement hospital_entitlement_check --ask hi_card,employer_name --lang en
    broker policy explain --agreement bank_income_proof --consent-fields si_status,salary_base
    broker policy explain --case "Nobody browses: the person must be present"

    Exits 1 if the decision is a refusal.
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    policies, compiled = _load(directory, as_json=as_json)
    request = _asked_request(policies, options)
    decision = decide(request, compiled)
    if as_json:
        _echo_json(decision_content(decision, lang))
    else:
        click.echo(explain(request, decision, compiled, lang))
    raise SystemExit(0 if decision.permitted else NOT_AS_EXPECTED)


def _asked_request(policies: Policies, options: dict[str, object]) -> DecisionRequest:
    if options["case_name"]:
        return _find_case(policies, str(options["case_name"]))
    if not options["agreement_id"]:
        raise click.UsageError("say --agreement or --case; `broker policy matrix` lists the agreements")
    day = options.pop("on_date")
    items = options.pop("items")
    known = policies.find_agreement(str(options["agreement_id"])) or policies.agreements[0]
    usual = usual_question(known, day.date() if isinstance(day, datetime) else civil_date(system_clock()))
    said = {name: None if word is None else str(word) for name, word in options.items()}
    return vary_question(usual, said, items if isinstance(items, int) else 1)


@policy_group.command("matrix")
@_with_directory
@_with_json
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "html"]), default="table", show_default=True
)
@click.option("--agreement", "agreement_id", help="Only this agreement.")
def matrix_command(directory: Path, as_json: bool, form: str, agreement_id: str | None) -> None:
    """List who may see which field in which form. What is not listed may not leave to anybody."""
    _, compiled = _load(directory, as_json=as_json)
    rows = [row for row in matrix_rows(compiled) if agreement_id in (None, row.agreement)]
    if as_json:
        _echo_json([asdict(row) for row in rows])
        return
    write = {"table": matrix_table, "csv": matrix_csv, "html": matrix_html}[form]
    click.echo(write(rows).rstrip("\n"))


@policy_group.command("compare")
@click.argument("old", metavar="A", type=click.Path(exists=True, path_type=Path))
@click.argument("new", metavar="B", type=click.Path(exists=True, path_type=Path))
@_with_json
def compare_command(old: Path, new: Path, as_json: bool) -> None:
    """Say what B widens or narrows against A: two policy directories, or two agreement files.

    Covers all that decides, as compiled: every recipient, purpose, field and form, and limits, batches,
    lookup keys, conditions, what must match, days, retention, obligations and deny rules; and the registers:
    prohibitions, legal bases, kinds of recipients, purposes, catalogue. What has no order counts as wider.
    Exits 3 if B widens anything, 0 if it only narrows, changes what decides nothing, or rewords.
    """
    try:
        changes = compare_policies(load_path(old), load_path(new))
    except PolicyError as error:
        _refuse(error, as_json=as_json)
    if as_json:
        _echo_json([asdict(change) for change in changes])
    else:
        for change in changes:
            before, after = change.before or "(nothing)", change.after or "(nothing)"
            click.echo(f"{change.direction:8} {change.agreement}: {change.where}: {before} -> {after}")
        counts = Counter[str](change.direction for change in changes)
        words = ("widens", "narrows", "rewords")
        summary = "{} widen, {} narrow, {} reword".format(*(counts[word] for word in words))
        click.echo(f"{summary}, {counts['changes']} change" if counts["changes"] else summary)
    raise SystemExit(WIDENS if any(change.direction == "widens" for change in changes) else 0)
