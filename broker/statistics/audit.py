"""The auditor: nothing is released while a hidden cell could be told from what is released with it.

It looks at every table of a release together, the new one among them: what is hidden in one table must not
follow from another one, from margins, or from both. What is not shown to be safe is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from broker.statistics.audit_rules import AuditRules
from broker.statistics.exact import can_be_exact, intervals
from broker.statistics.grouped import Integers
from broker.statistics.moves import unsafe_cells
from broker.statistics.protect import Method
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.views import Released, View, persons_view, sum_view


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Hidden cells of a table that could be told too closely: internal, never beside the table.

    question: the table's. quantity: "persons" or a measure. cells: flat places on its grid.
    """

    question: str
    quantity: str
    cells: Integers


def narrowed(released: Sequence[Released], method: Method, rules: AuditRules) -> list[Narrowed]:
    """Return the hidden cells of all tables of a release that are not shown to be safe, in any order of them.

    Raises StatisticsRefused("audit_unsolved").
    """
    measures = sorted({measure for one in released for measure in one.grid.measures})
    found = []
    for quantity in ("persons", *measures):
        tables = [one for one in released if quantity == "persons" or quantity in one.grid.measures]
        views = [_view(one, method, rules, quantity) for one in tables]
        for at, cells in enumerate(narrow_cells(views)):
            if len(cells):
                found.append(Narrowed(tables[at].protected.table.question, quantity, cells))
    return found


def narrow_cells(views: Sequence[View]) -> list[Integers]:
    """Return of each view the flat places of hidden cells that nothing shows to be safe."""
    found = unsafe_cells(views)
    if not any(map(len, found)) or not can_be_exact(views, sum(map(len, found))):
        return found
    return [_too_narrow(views, at, cells) if len(cells) else cells for at, cells in enumerate(found)]


def check_audit(released: Sequence[Released], method: Method, rules: AuditRules) -> None:
    """Raise StatisticsRefused("cell_narrowed") unless every hidden cell of a release stays hidden."""
    if found := narrowed(released, method, rules):
        told = ", ".join(f"{len(one.cells)} of {one.quantity} in {one.question[:12]}" for one in found)
        raise StatisticsRefused("cell_narrowed", told)


def _view(released: Released, method: Method, rules: AuditRules, quantity: str) -> View:
    if quantity == "persons":
        return persons_view(released, method, rules.persons)
    return sum_view(released, method, quantity, rules.percent)


def _too_narrow(views: Sequence[View], at: int, cells: Integers) -> Integers:
    """Return which of some cells the exact programmes tell more closely than they may be told."""
    ends = intervals(views, at, cells)
    width = ends[:, 1] - ends[:, 0]
    # The solver is exact to about a billionth of the numbers.
    slack = 1e-6 * np.maximum(1.0, np.where(np.isfinite(ends[:, 1]), ends[:, 1], 1.0))
    return cells[width < views[at].width.reshape(-1)[cells] - slack]
