"""Cells that an agreement opens (recipient x action x purpose x field), and which form tells less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from policies.compare_change import Change, direction_of
from policies.compile import AgreementTable
from policies.form_context import read_edges
from policies.forms import is_over_rows
from policies.model import Agreement, FieldRelease, Form

Cell: TypeAlias = tuple[str, str, str, str]
"""Recipient ("hospital/*" = every one that acceded), action, purpose, field."""

_UNSURE: Final = frozenset({"aggregate", "present", "count", "predicate"})


@dataclass(frozen=True, slots=True)
class Opening:
    """How one field stands in an agreement. prohibited: a rule names it, and a prohibition takes it away."""

    release: FieldRelease
    prohibited: bool = False


def form_text(form: Form) -> str:
    """Return a form and its parameters in one line."""
    inner = ", ".join(f"{name}={value}" for name, value in form.parameters if name != "precision_field")
    return f"{form.name}({inner})" if inner else form.name


def _says_whether_present(form: Form) -> bool:
    """Return whether the form gives nothing exactly where there is no value."""
    return form.name not in (*_UNSURE, "latest", "parent_code", "age_band") and not is_over_rows(form)


def _is_coarser(one: Form, other: Form) -> bool:
    """Compare two forms of one name; a parameter that is not put in order must be the same."""
    mine, theirs = dict(one.parameters), dict(other.parameters)
    precision, was = mine.pop("precision_field", None), theirs.pop("precision_field", None)
    if was is not None and precision != was:
        return False
    if "edges" in mine and "edges" in theirs:
        return set(read_edges({"edges": mine.pop("edges")})) <= set(
            read_edges({"edges": theirs.pop("edges")})
        )
    # A mask that keeps fewer characters shows part of a value that was hidden whole: it has no order.
    return mine == theirs


def is_at_most(one: Form, other: Form) -> bool:
    """Return whether `one` tells no more than `other` does, as far as that is certain."""
    if one == other:
        return True
    if one.name == other.name:
        return _is_coarser(one, other)
    if other.name == "value":
        # A form that reads another field as well may tell of that one.
        return not {"to_field", "by"} & dict(one.parameters).keys()
    if one.name == "aggregate":
        return other.name not in _UNSURE
    if one.name == "present":
        return _says_whether_present(other)
    return (one.name, other.name) == ("year", "year_month")


def ruled_openings(agreement: Agreement | None) -> dict[str, Opening]:
    """Return field → opening by the agreement's own words; nothing if it is not there."""
    if agreement is None:
        return {}
    return {name: Opening(FieldRelease(name, rule.form)) for rule in agreement.rules for name in rule.fields}


def compiled_openings(table: AgreementTable) -> dict[str, Opening]:
    """Return field → opening as compiled: with catalogue, registers and prohibitions laid over it."""
    openings = {name: Opening(release) for name, release in table.permitted.items()}
    ruled = ruled_openings(table.agreement)
    for name in table.covered - openings.keys():
        openings[name] = Opening(ruled[name].release, prohibited=True)
    return openings


def _cells(
    agreement: Agreement, openings: Mapping[str, Opening], named: frozenset[str]
) -> dict[Cell, Opening]:
    """Return every cell that an agreement opens; an accession opens all named organisations' cells too."""
    return {
        (f"{agreement.recipient_kind}/{organisation}", agreement.action, agreement.purpose, name): opening
        for organisation in agreement.recipients or (named | {"*"})
        for name, opening in openings.items()
    }


def _is_narrower(before: Opening | None, after: Opening | None) -> bool:
    if after is None:
        return True
    if before is None or (before.prohibited and not after.prohibited):
        return False
    same_rows = before.prohibited or after.prohibited or before.release.group == after.release.group
    return same_rows and is_at_most(after.release.form, before.release.form)


def _text(opening: Opening | None, other: Opening | None) -> str:
    if opening is None:
        return ""
    text = form_text(opening.release.form)
    if opening.prohibited:
        return f"{text}, prohibited"
    if other is None or other.prohibited or form_text(other.release.form) != text:
        return text
    # The words are the same: say what the catalogue lays over them.
    precision = dict(opening.release.form.parameters).get("precision_field", "none")
    return f"{text}, rows of {opening.release.group or 'none'}, precision by {precision}"


def compare_cells(
    old: Agreement | None,
    new: Agreement | None,
    old_openings: Mapping[str, Opening],
    new_openings: Mapping[str, Opening],
) -> Iterator[Change]:
    """Compare two agreements cell by cell; None = not there on that side."""
    named = frozenset().union(*(agreement.recipients for agreement in (old, new) if agreement))
    before = _cells(old, old_openings, named) if old else {}
    after = _cells(new, new_openings, named) if new else {}
    for cell in sorted(before.keys() | after.keys()):
        one, other = before.get(cell), after.get(cell)
        if one != other:
            direction = direction_of(wider=not _is_narrower(one, other))
            agreement_id = (new or old).id  # type: ignore[union-attr]
            yield Change(direction, agreement_id, " x ".join(cell), _text(one, other), _text(other, one))
