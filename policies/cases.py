"""Named decision cases: a question to the policies and the answer a lawyer expects, beside the agreements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.compile import PolicySet
from policies.decide import decide
from policies.model import Agreement, ConsentFacts, DecisionRequest
from policies.reading import Table, read_toml


@dataclass(frozen=True, slots=True)
class Case:
    """One question and its expected answer.

    reason: "permitted" or the refusal's code. released, withheld: what the file says must hold, field →
    form name or reason; None = the case does not say. determining_rules: these must be among them.
    """

    name: str
    file: str
    request: DecisionRequest
    reason: str
    released: Mapping[str, str] | None
    withheld: Mapping[str, str] | None
    determining_rules: frozenset[str]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case went; differences is empty when it went as expected."""

    case: Case
    differences: tuple[str, ...]


def _read_consent(entry: Table) -> ConsentFacts:
    consent = ConsentFacts(
        consent_id=entry.text("consent_id"),
        consent_version=entry.integer("consent_version", minimum=1),
        state=entry.text("state"),
        purpose=entry.text("purpose"),
        recipient=entry.text("recipient"),
        fields=frozenset(entry.words("fields", None)),
        valid_from=entry.day("valid_from"),
        valid_to=entry.day("valid_to"),
    )
    entry.finish()
    return consent


def _read_request(entry: Table, agreements: Mapping[str, Agreement]) -> DecisionRequest:
    """Read a request; what it leaves out comes from its agreement, so that a case says what it is about."""
    agreement_id = entry.text("agreement")
    known = agreements.get(agreement_id)
    if known is None:
        # A case may ask for an agreement that is not there, to show the refusal.
        known = next(iter(agreements.values()))
    request = DecisionRequest(
        action=entry.text("action") if entry.has("action") else known.action,
        agreement_id=agreement_id,
        recipient=entry.text("recipient"),
        recipient_kind=entry.text("recipient_kind") if entry.has("recipient_kind") else known.recipient_kind,
        purpose=entry.text("purpose") if entry.has("purpose") else known.purpose,
        lookup_key="" if entry.value("lookup_key") == "" else entry.text("lookup_key"),
        on_date=entry.day("on_date"),
        supplied=frozenset(entry.words("supplied", None, optional=True)),
        established=frozenset(entry.words("established", None, optional=True)),
        asked_fields=frozenset(entry.words("asked_fields", None)) if entry.has("asked_fields") else None,
        consent=_read_consent(entry.table("consent")) if entry.has("consent") else None,
        item_count=entry.integer("item_count", minimum=0) if entry.has("item_count") else 1,
    )
    entry.finish()
    return request


def _read_expected(entry: Table, key: str) -> dict[str, str] | None:
    if not entry.has(key):
        return None
    table = entry.table(key)
    return {name: table.text(name) for name in table.keys}


def read_cases(text: str, file: str, agreements: Mapping[str, Agreement]) -> tuple[Case, ...]:
    """Read [[case]] tables. Raises PolicyError for anything not understood."""
    top = read_toml(text, file)
    cases = []
    for entry in top.tables("case"):
        expect = entry.table("expect")
        case = Case(
            name=entry.text("name"),
            file=file,
            request=_read_request(entry.table("request"), agreements),
            reason=expect.text("reason"),
            released=_read_expected(expect, "released"),
            withheld=_read_expected(expect, "withheld"),
            determining_rules=frozenset(expect.words("determining_rules", None, optional=True)),
        )
        expect.finish()
        entry.finish()
        cases.append(case)
    top.finish()
    return tuple(cases)


def run_case(case: Case, policies: PolicySet) -> CaseResult:
    """Decide the case's request and say, in words without values, where the answer differs."""
    decision = decide(case.request, policies)
    differences = []
    if decision.reason != case.reason:
        differences.append(f"reason: expected {case.reason}, got {decision.reason}")
    released = {release.field: release.form.name for release in decision.released}
    if case.released is not None and released != dict(case.released):
        differences.append(f"released: expected {dict(case.released)}, got {released}")
    withheld = {entry.field: entry.reason for entry in decision.withheld}
    if case.withheld is not None and withheld != dict(case.withheld):
        differences.append(f"withheld: expected {dict(case.withheld)}, got {withheld}")
    missing = case.determining_rules - set(decision.determining_rules)
    if missing:
        differences.append(f"determining rules: {', '.join(sorted(missing))} did not decide")
    return CaseResult(case, tuple(differences))
