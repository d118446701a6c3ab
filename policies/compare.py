"""What B widens or narrows against A: all that decides, as written and as compiled, and the registers.

Fail closed: where two forms, two words or two clauses cannot be put in order, the change counts as widening,
and so does a member that nobody listed here. Somebody has to look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from datetime import date
from typing import Final

from policies.compare_cells import compare_cells, compiled_openings, form_text, ruled_openings
from policies.compare_change import Change, Direction, compare_amount, compare_members
from policies.compare_registers import compare_registers
from policies.compare_statistics import compare_statistics
from policies.compile import AgreementTable, compile_policies
from policies.load import Policies
from policies.model import Agreement, DenyRule, RowScope, Rule

__all__ = ["Change", "Direction", "compare_agreements", "compare_policies", "form_text"]

_NO_KEY: Final = "(no key)"
"""Stands for the lookup key "", which an agreement without lookup keys permits."""

COMPARED: Final = frozenset(
    {
        *("id", "revision", "revision_hash", "file", "text", "title_vi", "title_en", "data_owner", "action"),
        *("purpose", "recipient_kind", "recipients", "accession_framework", "legal_basis", "citations"),
        *("procedure", "risk_assessment", "complaint_contact", "conditions", "lookup_keys", "must_match"),
        *("must_supply", "computing_fields", "rules", "denies", "row_scopes", "limits", "batch_maximum"),
        *("obligations", "retention_days", "valid_from", "valid_to", "review_date", "items", "told"),
        *("hidden_days", "disclosure_control", "export_limits"),
    }
)
"""Members of an agreement that are compared (file and text say nothing); another that differs widens."""

COMPARED_AS_COMPILED: Final = frozenset(
    {
        # by the clauses of the agreement
        *("agreement", "recipients", "lookup_keys", "required_supplied", "required_established", "denies"),
        *("row_scopes", "always_read"),
        # by the cells and the forms in them
        *("covered", "permitted", "permitted_by", "withheld", "prohibited_by", "companions"),
        # by _compare_tables and the order of the catalogue
        *("first_day", "last_day", "needs_consent", "defect", "positions", "memo"),
    }
)
"""Members of a compiled table that are compared; another that differs widens."""


def _scope_text(scope: RowScope) -> str:
    return f"{scope.group}: {scope.keep} {scope.field}" + (f" {scope.months} months" if scope.months else "")


_AMOUNTS: Final[tuple[tuple[str, bool, Callable[[Agreement], int | date]], ...]] = (
    # clause, whether more (or later) is wider, its amount
    ("valid_from", False, lambda agreement: agreement.valid_from),
    ("batch_maximum", True, lambda agreement: agreement.batch_maximum),
    ("retention_days", True, lambda agreement: agreement.retention_days),
    ("hidden_days", True, lambda agreement: agreement.hidden_days),
    ("valid_to", True, lambda agreement: agreement.valid_to),
    ("review_date", True, lambda agreement: agreement.review_date),
)

_MEMBERS: Final[tuple[tuple[str, bool, Callable[[Agreement], set[str]]], ...]] = (
    # clause, whether one member more is wider, its members
    ("lookup_keys", True, lambda agreement: set(agreement.lookup_keys) or {_NO_KEY}),
    ("computing_fields", True, lambda agreement: set(agreement.computing_fields)),
    ("must_match", False, lambda agreement: set(agreement.must_match)),
    ("must_supply", False, lambda agreement: set(agreement.must_supply)),
    ("conditions", False, lambda agreement: set(agreement.conditions)),
    ("obligations", False, lambda agreement: set(agreement.obligations)),
)

_WORDS: Final[tuple[tuple[str, Callable[[Agreement], object]], ...]] = (
    ("title", lambda agreement: (agreement.title_vi, agreement.title_en)),
    ("data_owner", lambda agreement: agreement.data_owner),
    ("accession_framework", lambda agreement: agreement.accession_framework),
    ("citation", lambda agreement: agreement.citations),
    ("procedure", lambda agreement: agreement.procedure),
    ("risk_assessment", lambda agreement: agreement.risk_assessment),
    ("complaint_contact", lambda agreement: agreement.complaint_contact),
    ("items", lambda agreement: agreement.items),
    ("told", lambda agreement: agreement.told),
)


def _compare_amounts(old: Agreement, new: Agreement) -> Iterator[Change]:
    for clause, more_is_wider, read in _AMOUNTS:
        yield from compare_amount(new.id, clause, read(old), read(new), more_is_wider=more_is_wider)
    limits = {limit.scope: limit.count for limit in old.limits}
    for limit in new.limits:
        # A limit that was not there before can only narrow; one that is gone is found below.
        count = limits.pop(limit.scope, None)
        if count != limit.count:
            wider = count is not None and limit.count > count
            yield Change(
                "widens" if wider else "narrows",
                new.id,
                f"limits.{limit.scope}",
                str(count or ""),
                str(limit.count),
            )
    for scope, count in limits.items():
        yield Change("widens", new.id, f"limits.{scope}", str(count), "")


def _compare_sets(old: Agreement, new: Agreement) -> Iterator[Change]:
    for clause, more_is_wider, read in _MEMBERS:
        yield from compare_members(new.id, clause, read(old), read(new), more_is_wider=more_is_wider)
    scopes_before, scopes_after = set(old.row_scopes), set(new.row_scopes)
    for scope in sorted(scopes_before - scopes_after, key=_scope_text):
        yield Change("widens", new.id, "row_scope", _scope_text(scope), "")
    for scope in sorted(scopes_after - scopes_before, key=_scope_text):
        yield Change("narrows", new.id, "row_scope", "", _scope_text(scope))


def _compare_denies(old: Agreement, new: Agreement) -> Iterator[Change]:
    rules = {rule.id: rule for rule in old.denies}
    for rule in new.denies:
        before = rules.pop(rule.id, None)
        if before is None:
            yield Change("narrows", new.id, f"deny.{rule.id}", "", rule.why)
        elif replace(before, why=rule.why) != rule:
            yield Change(
                "widens", new.id, f"deny.{rule.id}", before.why, f"{rule.why} (fields or conditions changed)"
            )
    for rule in rules.values():
        yield Change("widens", new.id, f"deny.{rule.id}", rule.why, "")


def _compare_words(old: Agreement, new: Agreement) -> Iterator[Change]:
    if old.legal_basis != new.legal_basis:
        yield Change("widens", new.id, "legal_basis", old.legal_basis, new.legal_basis)
    for clause, read in _WORDS:
        if read(old) != read(new):
            yield Change("rewords", new.id, clause, "(before)", "(changed)")
    for clause, before, after in (
        ("release.why", _reasons(old.rules), _reasons(new.rules)),
        (
            "release.why_vi",
            {one.id: one.why_vi for one in old.rules},
            {one.id: one.why_vi for one in new.rules},
        ),
        ("deny.why", _reasons(old.denies), _reasons(new.denies)),
    ):
        if any(before.get(rule_id, words) != words for rule_id, words in after.items()):
            yield Change("rewords", new.id, clause, "(before)", "(changed)")
    if old.revision_hash != new.revision_hash and new.revision <= old.revision:
        yield Change("rewords", new.id, "revision", str(old.revision), f"{new.revision} (should have risen)")


def _reasons(rules: Iterable[Rule | DenyRule]) -> dict[str, str]:
    return {rule.id: rule.why for rule in rules}


def _compare_rest(old: Agreement, new: Agreement) -> Iterator[Change]:
    names, others = ([rule.id for rule in side.rules for _ in rule.fields] for side in (old, new))
    if set(names) != set(others):
        yield Change(
            "changes", new.id, "release.id", ", ".join(sorted(set(names))), ", ".join(sorted(set(others)))
        )
    for member in fields(Agreement):
        one, other = getattr(old, member.name), getattr(new, member.name)
        if member.name not in COMPARED and one != other:
            yield Change("widens", new.id, member.name, str(one), str(other))


def _compare_clauses(old: Agreement, new: Agreement) -> Iterator[Change]:
    for compare in (
        *(_compare_amounts, _compare_sets, _compare_denies, compare_statistics),
        *(_compare_words, _compare_rest),
    ):
        yield from compare(old, new)


def _compare_tables(old: AgreementTable, new: AgreementTable) -> Iterator[Change]:
    """Compare what the registers decide: the days on which all holds, and whether a consent is due."""
    where = new.agreement.id
    yield from compare_amount(where, "first_day", old.first_day, new.first_day, more_is_wider=False)
    yield from compare_amount(where, "last_day", old.last_day, new.last_day, more_is_wider=True)
    if old.needs_consent != new.needs_consent:
        words = ("yes", "no") if old.needs_consent else ("no", "yes")
        yield Change("widens" if old.needs_consent else "narrows", where, "needs_consent", *words)
    if old.defect != new.defect:
        yield Change(
            "narrows" if new.defect and not old.defect else "widens", where, "defect", old.defect, new.defect
        )
    for member in fields(AgreementTable):
        one, other = getattr(old, member.name), getattr(new, member.name)
        if member.name not in COMPARED_AS_COMPILED and one != other:
            yield Change("widens", where, member.name, str(one), str(other))


def compare_agreements(old: Agreement | None, new: Agreement | None) -> tuple[Change, ...]:
    """Return every difference between two revisions as written; None = not there on that side.

    What the registers make of them is not looked at: see `compare_policies`.
    """
    changes = list(compare_cells(old, new, ruled_openings(old), ruled_openings(new)))
    if old is not None and new is not None:
        changes.extend(_compare_clauses(old, new))
    return tuple(changes)


def _compare_compiled(old: AgreementTable | None, new: AgreementTable | None) -> Iterator[Change]:
    before = {} if old is None else compiled_openings(old)
    after = {} if new is None else compiled_openings(new)
    written, rewritten = (None if side is None else side.agreement for side in (old, new))
    yield from compare_cells(written, rewritten, before, after)
    if old is not None and new is not None:
        yield from _compare_clauses(old.agreement, new.agreement)
        yield from _compare_tables(old, new)


def compare_policies(old: Policies, new: Policies) -> tuple[Change, ...]:
    """Return every difference between two policy directories: registers, then agreements as compiled.

    Raises PolicyError if one of them cannot be compiled.
    """
    changes = list(compare_registers((old.catalogue, old.registers), (new.catalogue, new.registers)))
    before = compile_policies(old.agreements, old.catalogue, old.registers).tables
    after = compile_policies(new.agreements, new.catalogue, new.registers).tables
    for agreement_id in sorted(before.keys() | after.keys()):
        changes.extend(_compare_compiled(before.get(agreement_id), after.get(agreement_id)))
    return tuple(changes)
