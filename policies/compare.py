"""What a new revision widens or narrows: recipient x purpose x field x form, and every clause around them.

Where two forms cannot be put in order, the change counts as widening: somebody has to look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, TypeAlias

from policies.form_context import read_edges
from policies.load import Policies
from policies.model import Agreement, Form, RowScope
from policies.registers import Registers

Direction: TypeAlias = Literal["widens", "narrows", "rewords"]
Cell: TypeAlias = tuple[str, str, str, str]
"""Recipient ("hospital/*" = every one that acceded), action, purpose, field."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. where: the cell or clause; before and after: "" = absent."""

    direction: Direction
    agreement: str
    where: str
    before: str
    after: str


def form_text(form: Form) -> str:
    """Return a form and its parameters in one line."""
    inner = ", ".join(f"{name}={value}" for name, value in form.parameters if name != "precision_field")
    return f"{form.name}({inner})" if inner else form.name


def _is_at_most(one: Form, other: Form) -> bool:
    """Return whether `one` tells no more than `other` does, as far as that is certain."""
    if one == other or other.name == "value":
        return True
    if one.name in ("aggregate", "present") and other.name not in (
        "aggregate",
        "present",
        "count",
        "predicate",
    ):
        return True
    if (one.name, other.name) == ("year", "year_month"):
        return True
    if one.name != other.name:
        return False
    mine, theirs = dict(one.parameters), dict(other.parameters)
    if one.name in ("age_band", "amount_band"):
        return set(read_edges(mine)) <= set(read_edges(theirs))
    if one.name in ("masked_keep_first", "masked_keep_last"):
        return int(str(mine["keep"])) <= int(str(theirs["keep"]))
    return False


def _cells(agreement: Agreement, named: frozenset[str]) -> dict[Cell, Form]:
    """Return every cell that an agreement opens; an accession opens all named organisations' cells too."""
    kind = agreement.recipient_kind
    organisations = agreement.recipients or (named | {"*"})
    return {
        (f"{kind}/{organisation}", agreement.action, agreement.purpose, name): rule.form
        for organisation in organisations
        for rule in agreement.rules
        for name in rule.fields
    }


def _compare_cells(old: Agreement | None, new: Agreement | None) -> Iterator[Change]:
    agreement_id = (new or old).id  # type: ignore[union-attr]
    named = frozenset().union(*(agreement.recipients for agreement in (old, new) if agreement))
    before = _cells(old, named) if old else {}
    after = _cells(new, named) if new else {}
    for cell in sorted(before.keys() | after.keys()):
        form, other = before.get(cell), after.get(cell)
        if form == other:
            continue
        narrower = other is None or (form is not None and _is_at_most(other, form))
        yield Change(
            "narrows" if narrower else "widens",
            agreement_id,
            " x ".join(cell),
            form_text(form) if form else "",
            form_text(other) if other else "",
        )


def _scope_text(scope: RowScope) -> str:
    return f"{scope.group}: {scope.keep} {scope.field}" + (f" {scope.months} months" if scope.months else "")


_MORE_IS_WIDER: tuple[tuple[str, Callable[[Agreement], int | date]], ...] = (
    ("batch_maximum", lambda agreement: agreement.batch_maximum),
    ("retention_days", lambda agreement: agreement.retention_days),
    ("valid_to", lambda agreement: agreement.valid_to),
    ("review_date", lambda agreement: agreement.review_date),
)

_MEMBERS: tuple[tuple[str, bool, Callable[[Agreement], set[str]]], ...] = (
    # clause, whether one member more is wider, its members
    ("lookup_keys", True, lambda agreement: set(agreement.lookup_keys)),
    ("computing_fields", True, lambda agreement: set(agreement.computing_fields)),
    ("must_match", False, lambda agreement: set(agreement.must_match)),
    ("must_supply", False, lambda agreement: set(agreement.must_supply)),
    ("conditions", False, lambda agreement: set(agreement.conditions)),
    ("obligations", False, lambda agreement: set(agreement.obligations)),
)

_WORDS: tuple[tuple[str, Callable[[Agreement], object]], ...] = (
    ("title", lambda agreement: (agreement.title_vi, agreement.title_en)),
    ("data_owner", lambda agreement: agreement.data_owner),
    ("accession_framework", lambda agreement: agreement.accession_framework),
    ("citation", lambda agreement: agreement.citations),
    ("procedure", lambda agreement: agreement.procedure),
    ("risk_assessment", lambda agreement: agreement.risk_assessment),
    ("complaint_contact", lambda agreement: agreement.complaint_contact),
    ("items", lambda agreement: agreement.items),
)


def _ordered(clause: str, agreement: str, before: int | date, after: int | date, *, wider: bool) -> Change:
    return Change("widens" if wider else "narrows", agreement, clause, str(before), str(after))


def _compare_amounts(old: Agreement, new: Agreement) -> Iterator[Change]:
    if new.valid_from != old.valid_from:
        wider = new.valid_from < old.valid_from
        yield _ordered("valid_from", new.id, old.valid_from, new.valid_from, wider=wider)
    for clause, read in _MORE_IS_WIDER:
        before, after = read(old), read(new)
        if before != after:
            wider = after > before  # type: ignore[operator]
            yield _ordered(clause, new.id, before, after, wider=wider)
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


def _compare_members(old: Agreement, new: Agreement) -> Iterator[Change]:
    for clause, more_is_wider, read in _MEMBERS:
        before, after = read(old), read(new)
        for member in sorted(after - before):
            yield Change("widens" if more_is_wider else "narrows", new.id, clause, "", member)
        for member in sorted(before - after):
            yield Change("narrows" if more_is_wider else "widens", new.id, clause, member, "")
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
        ("release.why", old.rules, new.rules),
        ("deny.why", old.denies, new.denies),
    ):
        words = {rule.id: rule.why for rule in before}
        if any(words.get(rule.id, rule.why) != rule.why for rule in after):
            yield Change("rewords", new.id, clause, "(before)", "(changed)")
    if old.revision_hash != new.revision_hash and new.revision <= old.revision:
        yield Change("rewords", new.id, "revision", str(old.revision), f"{new.revision} (should have risen)")


def compare_agreements(old: Agreement | None, new: Agreement | None) -> tuple[Change, ...]:
    """Return every difference between two revisions; None = the agreement is not there on that side."""
    changes = list(_compare_cells(old, new))
    if old is not None and new is not None:
        for compare in (_compare_amounts, _compare_members, _compare_denies, _compare_words):
            changes.extend(compare(old, new))
    return tuple(changes)


def _compare_prohibitions(old: Registers, new: Registers) -> Iterator[Change]:
    before, after = (
        {
            f"{kind} x {name}"
            for rule in side.prohibitions
            for kind in rule.recipient_kinds
            for name in rule.fields
        }
        for side in (old, new)
    )
    for pair in sorted(before - after):
        yield Change("widens", "prohibitions", pair, "prohibited", "")
    for pair in sorted(after - before):
        yield Change("narrows", "prohibitions", pair, "", "prohibited")


def compare_policies(old: Policies, new: Policies) -> tuple[Change, ...]:
    """Return every difference between two policy directories: prohibitions, then agreement by agreement."""
    changes = list(_compare_prohibitions(old.registers, new.registers))
    ids = {agreement.id for agreement in (*old.agreements, *new.agreements)}
    for agreement_id in sorted(ids):
        changes.extend(compare_agreements(old.find_agreement(agreement_id), new.find_agreement(agreement_id)))
    return tuple(changes)
