"""Agreements → lookup tables. A decision then costs microseconds, however many agreements there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from policies.catalogue import Catalogue
from policies.forms import companions, is_over_rows
from policies.model import (
    Agreement,
    Decision,
    DenyRule,
    FieldRelease,
    Form,
    PolicyError,
    RowScope,
    Withheld,
)
from policies.registers import Registers
from policies.vocabulary import DERIVED_CONDITIONS, OBLIGATIONS

MEMO_SIZE = 1024
"""Answers kept per agreement; when full it is emptied, so that no asker can make it grow."""


@dataclass(frozen=True, slots=True)
class AgreementTable:
    """One agreement made ready for deciding. Frozen but for `memo`, which only remembers equal answers.

    first_day, last_day: days on which agreement, review and legal basis all hold. recipients: None = every
    organisation of the kind that acceded. permitted: field → its release. withheld: field → why it can
    never leave. denies: those that can apply to this agreement. defect: reason that refuses everything.
    always_read, companions: columns the source is asked for besides, or together with, a released field.
    """

    agreement: Agreement
    defect: str
    first_day: date
    last_day: date
    recipients: frozenset[str] | None
    lookup_keys: frozenset[str]
    required_supplied: frozenset[str]
    required_established: frozenset[str]
    needs_consent: bool
    covered: frozenset[str]
    permitted: Mapping[str, FieldRelease]
    permitted_by: Mapping[str, str]
    withheld: Mapping[str, Withheld]
    prohibited_by: Mapping[str, str]
    denies: tuple[DenyRule, ...]
    always_read: frozenset[str]
    companions: Mapping[str, frozenset[str]]
    row_scopes: tuple[RowScope, ...]
    positions: Mapping[str, int]
    memo: dict[object, Decision] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All agreements by id, ready for `decide`."""

    tables: Mapping[str, AgreementTable]
    catalogue: Catalogue
    registers: Registers
    by_action: Mapping[tuple[str, str], tuple[Agreement, ...]]

    def find_agreement(self, agreement_id: str) -> Agreement | None:
        """Return the agreement with this id, or None."""
        table = self.tables.get(agreement_id)
        return None if table is None else table.agreement

    def agreements_for(self, action: str, recipient_kind: str) -> tuple[Agreement, ...]:
        """Return the agreements of one action and kind of recipient, in the order of their ids."""
        return self.by_action.get((action, recipient_kind), ())


def _release(name: str, form: Form, catalogue: Catalogue) -> FieldRelease:
    definition = catalogue.fields[name]
    if definition.precision_field and form.name in ("age_band", "year_month"):
        form = Form(form.name, (*form.parameters, ("precision_field", definition.precision_field)))
    return FieldRelease(name, form, definition.group if definition.repeats else "")


def _check_known(agreement: Agreement, catalogue: Catalogue, registers: Registers) -> None:
    """Refuse an agreement whose words the tables do not know (made in code, or with other registers)."""
    ruled = [name for rule in agreement.rules for name in rule.fields]
    named = {*ruled, *agreement.must_match, *agreement.computing_fields, *agreement.lookup_keys}
    unknown = sorted(named - set(catalogue.fields))
    if unknown:
        raise PolicyError(agreement.file, "fields", 0, f"{', '.join(unknown)}: not in the field catalogue")
    if len(set(ruled)) != len(ruled):
        raise PolicyError(agreement.file, "release", 0, "a field has two forms; a field has exactly one")
    if agreement.legal_basis not in registers.legal_bases:
        raise PolicyError(agreement.file, "legal_basis.code", 0, "is not in the register of legal bases")
    for rule in agreement.rules:
        for name in rule.fields:
            if is_over_rows(rule.form) and not catalogue.fields[name].repeats:
                raise PolicyError(agreement.file, f"release.{rule.id}", 0, f"{name} does not repeat")


def _can_apply(rule: DenyRule, agreement: Agreement) -> bool:
    if rule.recipient_kinds and agreement.recipient_kind not in rule.recipient_kinds:
        return False
    return not rule.purposes or agreement.purpose in rule.purposes


def _never_released(
    agreement: Agreement,
    permitted: Mapping[str, FieldRelease],
    prohibited: Mapping[str, str],
    catalogue: Catalogue,
) -> dict[str, Withheld]:
    reasons = dict.fromkeys(catalogue.fields, "not_in_agreement")
    reasons.update(dict.fromkeys(agreement.computing_fields, "computing_only"))
    reasons.update(dict.fromkeys(agreement.must_match, "matching_only"))
    reasons.update(dict.fromkeys(prohibited, "prohibited"))
    return {name: Withheld(name, reason) for name, reason in reasons.items() if name not in permitted}


def _compile(agreement: Agreement, catalogue: Catalogue, registers: Registers) -> AgreementTable:
    _check_known(agreement, catalogue, registers)
    basis = registers.legal_bases[agreement.legal_basis]
    ruled = {name: rule for rule in agreement.rules for name in rule.fields}
    prohibited = {
        name: f"prohibitions/{prohibition.id}"
        for prohibition in sorted(
            registers.prohibitions, key=lambda prohibition: prohibition.id, reverse=True
        )
        if agreement.recipient_kind in prohibition.recipient_kinds
        for name in prohibition.fields & set(ruled)
    }
    names = catalogue.in_order(set(ruled) - set(prohibited))
    permitted = {name: _release(name, ruled[name].form, catalogue) for name in names}
    row_fields: dict[str, set[str]] = {}
    for scope in agreement.row_scopes:
        row_fields.setdefault(scope.group, set()).add(scope.field)
    return AgreementTable(
        agreement=agreement,
        defect="" if agreement.obligations <= set(OBLIGATIONS) else "unknown_obligation",
        first_day=max(agreement.valid_from, basis.valid_from),
        last_day=min(agreement.valid_to, agreement.review_date, basis.valid_to),
        recipients=agreement.recipients or None,
        lookup_keys=frozenset(agreement.lookup_keys) or frozenset({""}),
        required_supplied=frozenset((*agreement.must_match, *agreement.must_supply)),
        required_established=agreement.conditions - DERIVED_CONDITIONS,
        needs_consent=basis.needs == "consent",
        covered=frozenset(ruled),
        permitted=permitted,
        permitted_by={name: f"{agreement.id}/{ruled[name].id}" for name in names},
        withheld=_never_released(agreement, permitted, prohibited, catalogue),
        prohibited_by=prohibited,
        denies=tuple(sorted((r for r in agreement.denies if _can_apply(r, agreement)), key=lambda r: r.id)),
        always_read=frozenset((*agreement.must_match, *agreement.computing_fields)),
        companions={
            name: frozenset((name, *companions(release.form))) | row_fields.get(release.group, set())
            for name, release in permitted.items()
        },
        row_scopes=tuple(sorted(agreement.row_scopes, key=lambda s: (s.group, s.keep, s.field, s.months))),
        positions={name: definition.position for name, definition in catalogue.fields.items()},
    )


def compile_policies(
    agreements: Iterable[Agreement], catalogue: Catalogue, registers: Registers
) -> PolicySet:
    """Return the tables for `decide`; the order of the agreements does not matter.

    Raises PolicyError if two agreements share an id, or one speaks of a field or legal basis that the
    catalogue or the registers do not know.
    """
    tables: dict[str, AgreementTable] = {}
    by_action: dict[tuple[str, str], tuple[Agreement, ...]] = {}
    for agreement in sorted(agreements, key=lambda agreement: agreement.id):
        if agreement.id in tables:
            raise PolicyError(agreement.file, "id", 0, f'"{agreement.id}" is there twice; ids are unique')
        tables[agreement.id] = _compile(agreement, catalogue, registers)
        key = (agreement.action, agreement.recipient_kind)
        by_action[key] = (*by_action.get(key, ()), agreement)
    return PolicySet(tables, catalogue, registers, by_action)
