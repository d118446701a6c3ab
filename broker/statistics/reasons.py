"""Why a statistical export is refused: every code that this heart says, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

Reason: TypeAlias = Literal[
    "parameters_infeasible",
    "table_unsolved",
    "table_malformed",
    "secret_malformed",
    "cells_malformed",
    "cells_differ",
    "rule_malformed",
    "plan_malformed",
    "name_unregistered",
    "plan_too_large",
    "release_differs",
    "tables_exhausted",
    "overlap_exhausted",
    "cell_narrowed",
    "audit_unsolved",
    "release_closed",
    "release_less_strict",
    "recipient_key_missing",
    "period_malformed",
    "manifest_malformed",
    "revisions_exhausted",
    "revision_unlikely",
]

REASONS: Final[Mapping[Reason, str]] = {
    "parameters_infeasible": "no perturbation table has these parameters",
    "table_unsolved": "the solver found no perturbation table, although the parameters could have one",
    "table_malformed": "the kept perturbation table is not the one of its parameters",
    "secret_malformed": "a secret of a release has 32 bytes",
    "cells_malformed": "the aggregates of cells are not of their form, or contradict themselves",
    "cells_differ": "the aggregates are of different tables",
    "rule_malformed": "a rule of protection is outside of what is meant for it",
    "plan_malformed": "the question is not of its form: a table is asked for, and nothing else",
    "name_unregistered": "the question names what is not registered",
    "plan_too_large": "the question asks for more dimensions, filters, measures or cells than one table has",
    "release_differs": "the question is for another release",
    "tables_exhausted": "the release has as many distinct tables as it may have",
    "overlap_exhausted": "too many tables of the release differ from this one by a filter alone",
    "cell_narrowed": "with what is released already, a hidden cell could be told too closely",
    "audit_unsolved": "the auditor came to no result: nothing leaves",
    "release_closed": "the release takes no questions any more",
    "release_less_strict": "the agreement asks for more protection than the release keeps",
    "recipient_key_missing": "the recipient has no key registered to encrypt to",
    "period_malformed": "a release is of a quarter of a year",
    "manifest_malformed": "the manifest of a release is not of its form, or of another release",
    "revisions_exhausted": "the quarter has as many releases as it may have",
    "revision_unlikely": "the new release differs from the former one by too little or too much",
}
"""Each code in plain words, for developers and for the method note."""

ALL_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
_DETAIL_LENGTH_MAX: Final = 400


class StatisticsRefused(ValueError):
    """Nothing is computed or nothing leaves. reason: a closed code. detail: where, and what is allowed.

    A detail may name what somebody asked for: it is cut, and holds nothing that a terminal would obey. It
    never holds a count, a sum or a key of a cell.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        detail = "".join(one if one.isprintable() else "?" for one in detail[:_DETAIL_LENGTH_MAX])
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
