"""Lint of a policy directory: what loads, and yet should not be signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from policies.load import Policies
from policies.model import Agreement, DenyRule
from policies.vocabulary import CARRIED_OUT

_NEAR_DAYS = 90


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. severity: "error" (do not sign) or "warning" (look at it)."""

    severity: str
    code: str
    agreement: str
    message: str


def _error(code: str, agreement: Agreement, message: str) -> Finding:
    return Finding("error", code, agreement.id, message)


def _warning(code: str, agreement: Agreement, message: str) -> Finding:
    return Finding("warning", code, agreement.id, message)


def _fields(agreement: Agreement) -> list[str]:
    return [name for rule in agreement.rules for name in rule.fields]


def _overlap(one: Agreement, other: Agreement) -> bool:
    same = (one.action, one.purpose, one.recipient_kind) == (
        other.action,
        other.purpose,
        other.recipient_kind,
    )
    named = not one.recipients or not other.recipients or bool(one.recipients & other.recipients)
    return same and named and one.valid_from <= other.valid_to and other.valid_from <= one.valid_to


def check_conflicts(policies: Policies) -> Iterator[Finding]:
    """Two agreements for one recipient, action and purpose: nobody could say which one holds."""
    for one, other in combinations(policies.agreements, 2):
        if not _overlap(one, other):
            continue
        forms = {name: rule.form for rule in one.rules for name in rule.fields}
        twice = {name: rule.form for rule in other.rules for name in rule.fields if name in forms}
        differing = sorted(name for name, form in twice.items() if form != forms[name])
        detail = f"; different forms for {', '.join(differing)}" if differing else ""
        yield _error("conflict", one, f"covers the same recipients, action and purpose as {other.id}{detail}")


def check_prohibitions(policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """Fields that no agreement with this kind of recipient may permit (Law 91/2025 art. 26)."""
    for prohibition in policies.registers.prohibitions:
        if agreement.recipient_kind not in prohibition.recipient_kinds:
            continue
        for name in sorted(prohibition.fields & set(_fields(agreement))):
            yield _error("prohibited_field", agreement, f"{name}: {prohibition.why} ({prohibition.id})")


def _why_never(rule: DenyRule, agreement: Agreement) -> list[str]:
    """Return, in words, every reason why a deny rule of this agreement can never apply."""
    unmet = (
        (rule.first_day > rule.last_day, "first_day lies after last_day"),
        (
            rule.first_day > agreement.valid_to or rule.last_day < agreement.valid_from,
            "its days lie outside the agreement's validity",
        ),
        (
            bool(rule.recipient_kinds) and agreement.recipient_kind not in rule.recipient_kinds,
            "names other kinds of recipients",
        ),
        (
            bool(rule.recipients and agreement.recipients and not rule.recipients & agreement.recipients),
            "names none of the agreement's recipients",
        ),
        (bool(rule.purposes) and agreement.purpose not in rule.purposes, "names other purposes"),
        (
            bool(rule.lookup_keys) and not rule.lookup_keys & set(agreement.lookup_keys),
            "names none of the agreement's lookup keys",
        ),
        (bool(rule.batch) and not agreement.batch_maximum, "is about batches, which are not permitted"),
        (bool(rule.established & rule.not_established), "wants the same fact to hold and not to hold"),
        (
            bool(rule.fields) and not rule.fields & set(_fields(agreement)),
            "takes away only what nobody permits",
        ),
    )
    return [words for holds, words in unmet if holds]


def _always_applies(rule: DenyRule) -> bool:
    return rule == DenyRule(id=rule.id, why=rule.why, fields=rule.fields)


def check_dead_rules(_policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """Rules that can never match: they look like protection, or like permission, and are neither."""
    taken: set[str] = set()
    for rule in agreement.denies:
        for words in _why_never(rule, agreement):
            yield _error("never_matches", agreement, f"deny rule {rule.id}: {words}")
        if _always_applies(rule):
            taken |= set(rule.fields or _fields(agreement))
    for permit in agreement.rules:
        if set(permit.fields) <= taken:
            yield _error("never_matches", agreement, f"release {permit.id}: a deny rule always takes it away")


def check_legal_basis(policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """A basis must rest on something that was read and is in force; "U" is never law."""
    instruments = policies.registers.instruments
    basis = policies.registers.legal_bases[agreement.legal_basis]
    sound = [
        citation
        for citation in agreement.citations
        if citation.certainty != "U" and instruments[citation.instrument].valid_to >= agreement.valid_from
    ]
    sensitive = [name for name in _fields(agreement) if policies.catalogue.fields[name].is_sensitive]
    if not sound or basis.certainty == "U":
        about = f"sensitive fields ({', '.join(sensitive)})" if sensitive else "the release"
        code = "sensitive_without_basis" if sensitive else "unverified_basis"
        yield _error(code, agreement, f"no citation that was read and is in force carries {about}")
    for citation in agreement.citations:
        instrument = instruments[citation.instrument]
        if instrument.valid_to < agreement.valid_from:
            yield _error("repealed_instrument", agreement, f"{citation.instrument} was no longer in force")
        if citation.certainty == "U":
            yield _warning(
                "unverified_citation", agreement, f"{citation.instrument} {citation.article}: not verified"
            )
    if agreement.valid_to < basis.valid_from or agreement.valid_from > basis.valid_to:
        yield _error("never_matches", agreement, f"{basis.code} is not in force while the agreement is")


def check_scope(policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """Who may see whose rows: employers their own unit's only (BAS-6); who asks must be matched."""
    fields = policies.catalogue.fields
    groups = {fields[name].group for name in _fields(agreement)}
    own = {scope.group for scope in agreement.row_scopes if scope.keep == "own_units"}
    if agreement.recipient_kind == "employer" and agreement.legal_basis != "CONSENT":
        if "contributions" in groups and "contributions" not in own:
            yield _error(
                "employer_beyond_own_unit", agreement, "contributions need a row_scope keep = own_units"
            )
        if "own_employees" not in agreement.conditions:
            yield _error("employer_beyond_own_unit", agreement, 'conditions must name "own_employees"')
        beyond = sorted(
            name for name in _fields(agreement) if fields[name].group not in ("contributions", "person")
        )
        if beyond:
            yield _error("employer_beyond_own_unit", agreement, f"{', '.join(beyond)}: needs consent")
    person_level = "nobody_individually" not in agreement.conditions
    if person_level and agreement.legal_basis != "SELF" and not agreement.must_match:
        yield _error(
            "no_match_field", agreement, "whoever has a number learns all; name fields in must_match"
        )
    for scope in agreement.row_scopes:
        if scope.group not in groups:
            yield _warning(
                "never_matches", agreement, f"row_scope of {scope.group}: no field of it is permitted"
            )


def _is_served(agreement: Agreement) -> bool:
    """Return whether an enforcement point exists; records are shared by consent alone so far."""
    by_consent = "has_consented" in agreement.conditions
    return agreement.action in CARRIED_OUT and (agreement.action != "share_record" or by_consent)


def check_obligations(_policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """Agreements that decide, and yet nothing leaves under them."""
    if not _is_served(agreement):
        yield _warning("not_served", agreement, f"no route serves {agreement.action} on this basis yet")
        return
    for name in sorted(agreement.obligations - CARRIED_OUT[agreement.action]):
        message = f"{name}: nothing carries it out in {agreement.action}, so every release is refused"
        yield _error("obligation_not_carried_out", agreement, message)


def check_fields(policies: Policies, agreement: Agreement) -> Iterator[Finding]:
    """Fields the source does not hold, and dates that would look more exact than they are."""
    for rule in agreement.rules:
        for name in rule.fields:
            definition = policies.catalogue.fields[name]
            if not definition.held:
                yield _warning("field_not_held", agreement, f"{name}: the source does not hold it")
            exact = definition.precision_field and rule.form.name == "value"
            if exact and definition.precision_field not in _fields(agreement):
                message = f"{name} leaves as if exact; permit {definition.precision_field} beside it"
                yield _warning("precision_lost", agreement, message)


def check_dates(_policies: Policies, agreement: Agreement, on_date: date) -> Iterator[Finding]:
    """What has run out, or will within 90 days."""
    for code, day in (("agreement_expired", agreement.valid_to), ("review_overdue", agreement.review_date)):
        if day < on_date:
            yield _error(code, agreement, f"since {day.isoformat()}: every request is refused")
        elif (day - on_date).days <= _NEAR_DAYS:
            yield _warning(
                f"{code}_soon", agreement, f"on {day.isoformat()}; after it every request is refused"
            )


_CHECKS: tuple[Callable[[Policies, Agreement], Iterator[Finding]], ...] = (
    check_prohibitions,
    check_dead_rules,
    check_legal_basis,
    check_scope,
    check_obligations,
    check_fields,
)


def check_policies(policies: Policies, on_date: date | None = None) -> tuple[Finding, ...]:
    """Return all findings, errors first. on_date: also say what has run out on that day (None = do not)."""
    findings = list(check_conflicts(policies))
    for agreement in policies.agreements:
        for check in _CHECKS:
            findings.extend(check(policies, agreement))
        if on_date is not None:
            findings.extend(check_dates(policies, agreement, on_date))
    tested = {case.request.agreement_id for case in policies.cases}
    findings.extend(
        _warning("no_case", agreement, "has no decision case; write one in cases/")
        for agreement in policies.agreements
        if agreement.id not in tested
    )
    return tuple(sorted(findings, key=lambda f: (f.severity, f.agreement, f.code, f.message)))
