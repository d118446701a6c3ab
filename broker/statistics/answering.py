"""The whole way of a question, from what an engine counted to a table that may leave, or a refusal.

Whoever calls keeps what was answered, and lets questions to one release come one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.statistics.audit import check_audit
from broker.statistics.audit_rules import AuditRules
from broker.statistics.axes import on_grid
from broker.statistics.cells import CellTable
from broker.statistics.plan import TablePlan
from broker.statistics.plan_layout import axes_of, layout_of
from broker.statistics.protect import Method, protected
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry
from broker.statistics.release_cap import may_release
from broker.statistics.views import Released


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Answered:
    """A plan with its table, what is hidden in it and why, and what is true of it. Only `table` leaves."""

    plan: TablePlan
    released: Released

    def __repr__(self) -> str:
        return f"Answered({self.plan.hash[:12]})"


def answered(
    registry: Registry,
    plan: TablePlan,
    cells: CellTable,
    method: Method,
    earlier: Sequence[Answered],
    rules: AuditRules,
) -> Answered:
    """Return the answer to a plan, given all earlier answers of its release.

    cells: what the engine counted for this very plan, margins too. A plan that was answered is answered with
    the same table. Raises StatisticsRefused: of the cap (`may_release`), of cells that are not the plan's or
    contradict themselves (cells_differ, cells_malformed), of the auditor (cell_narrowed, audit_unsolved).
    """
    allowance = may_release(registry, plan, [one.plan for one in earlier])
    if not allowance.is_new:
        return next(one for one in earlier if one.plan == plan)
    if cells.measures != plan.measures:
        raise StatisticsRefused("cells_differ", "the cells have other measures than the plan")
    grid = on_grid(cells, axes_of(registry, plan))
    released = Released(grid, protected(grid, method, plan.hash), layout_of(registry, plan))
    check_audit([*(one.released for one in earlier), released], method, rules)
    return Answered(plan, released)
