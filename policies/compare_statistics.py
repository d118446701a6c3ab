"""What a revision widens or narrows of tables: how they are protected, and how much may be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from policies.compare_change import NARROWS, WIDENS, Change, compare_amount, compare_members
from policies.model import Agreement
from policies.statistics_terms import DISCLOSURE, LIMITS, LOOSER, DisclosureTerms

_AMOUNTS: Final = ("dimensions", "filters", "measures", "cells")


def compare_statistics(old: Agreement, new: Agreement) -> Iterator[Change]:
    """Yield every difference of [disclosure_control] and [export_limits]."""
    for member in fields(DisclosureTerms):
        before = getattr(old.disclosure_control, member.name)
        after = getattr(new.disclosure_control, member.name)
        clause = f"{DISCLOSURE}.{member.name}"
        yield from compare_amount(new.id, clause, before, after, more_is_wider=member.name in LOOSER)
    yield from _compare_limits(old, new)


def _compare_limits(old: Agreement, new: Agreement) -> Iterator[Change]:
    before, after = old.export_limits, new.export_limits
    for name in _AMOUNTS:
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            # No limit of one's own is as wide as the release is.
            wider = other is None or (one is not None and other > one)
            told = ("" if one is None else str(one), "" if other is None else str(other))
            yield Change(WIDENS if wider else NARROWS, new.id, f"{LIMITS}.{name}", *told)
    yield from compare_members(new.id, f"{LIMITS}.formats", before.formats, after.formats, more_is_wider=True)
    levels, others = dict(before.levels), dict(after.levels)
    for name in sorted(levels.keys() | others.keys()):
        clause = f"{LIMITS}.levels.{name}"
        if name not in levels:
            yield Change(NARROWS, new.id, clause, "", ", ".join(sorted(others[name])))
        elif name not in others:
            yield Change(WIDENS, new.id, clause, ", ".join(sorted(levels[name])), "")
        else:
            yield from compare_members(new.id, clause, levels[name], others[name], more_is_wider=True)
