"""Reading what an agreement about aggregates says of tables: [disclosure_control] and [export_limits]."""

from __future__ import annotations

from typing import Final

from policies.reading import Table
from policies.statistics_terms import DISCLOSURE, EXPORT_FORMATS, LIMITS, DisclosureTerms, ExportLimits

_ANY_MOST: Final = 1_000_000


def read_disclosure(top: Table, *, is_aggregate: bool) -> DisclosureTerms:
    """Read [disclosure_control], every key of which has a default. Raises PolicyError."""
    entry = _optional(top, DISCLOSURE, is_aggregate=is_aggregate)
    usual = DisclosureTerms()
    terms = DisclosureTerms(
        bound=_whole(entry, "bound", usual.bound, 1, 100),
        variance=_real(entry, "variance", usual.variance, 10_000),
        barred=_whole(entry, "barred", usual.barred, 0, 100),
        sum_bound=_whole(entry, "sum_bound", usual.sum_bound, 1, 100),
        sum_variance=_real(entry, "sum_variance", usual.sum_variance, 10_000),
        share_small=_real(entry, "share_small", usual.share_small, 1),
        share_large=_real(entry, "share_large", usual.share_large, 1),
        threshold=_whole(entry, "threshold", usual.threshold, 3, 1000),
        dominance_percent=_whole(entry, "dominance_percent", usual.dominance_percent, 1, 100),
        digits=_whole(entry, "digits", usual.digits, 1, 6),
        audit_persons=_whole(entry, "audit_persons", usual.audit_persons, 1, 100),
        audit_percent=_whole(entry, "audit_percent", usual.audit_percent, 1, 100),
    )
    entry.finish()
    return terms


def read_export_limits(top: Table, *, is_aggregate: bool) -> ExportLimits:
    """Read [export_limits]. Raises PolicyError."""
    entry = _optional(top, LIMITS, is_aggregate=is_aggregate)
    formats = entry.words("formats", EXPORT_FORMATS, minimum=1) if entry.has("formats") else EXPORT_FORMATS
    levels = entry.table("levels", optional=True)
    narrowed = tuple((name, levels.words(name, None, minimum=1)) for name in sorted(levels.keys))
    limits = ExportLimits(
        dimensions=_most(entry, "dimensions", 1),
        filters=_most(entry, "filters", 0),
        measures=_most(entry, "measures", 0),
        cells=_most(entry, "cells", 1),
        formats=tuple(sorted(formats)),
        levels=narrowed,
    )
    levels.finish()
    entry.finish()
    return limits


def _optional(top: Table, name: str, *, is_aggregate: bool) -> Table:
    if top.has(name) and not is_aggregate:
        raise top.refusal(name, 'is for agreements with the condition "nobody_individually": remove it')
    return top.table(name, optional=True)


def _whole(entry: Table, key: str, usual: int, least: int, most: int) -> int:
    return entry.integer(key, minimum=least, maximum=most) if entry.has(key) else usual


def _real(entry: Table, key: str, usual: float, most: float) -> float:
    return entry.number(key, maximum=most) if entry.has(key) else usual


def _most(entry: Table, key: str, least: int) -> int | None:
    return entry.integer(key, minimum=least, maximum=_ANY_MOST) if entry.has(key) else None
