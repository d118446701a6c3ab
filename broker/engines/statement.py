"""The logical plan as one SQL statement, built with SQLAlchemy Core for every engine.

    kept_rows   rows that count, with the number of their cell
    persons     one row for each person and set of categories of dimensions with several
    the answer  one row for each cell: persons, sum of keys, sums, three largest totals

Of names there are only those of a release's columns, which have been judged; of values only whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    column,
    func,
    or_,
    select,
    table,
    union_all,
)
from sqlalchemy import literal_column as literal
from sqlalchemy.sql.expression import CompoundSelect, FromClause, TableClause

from broker.engines.logical import OUTSIDE, CutDimension, KeptLeaves, LogicalPlan
from broker.engines.mart import PERSON, RECORD_KEY
from broker.statistics.grouped import TOP, TOTAL

CELL: Final = "cell"
APART: Final = "apart"
_CELL_LAST: Final = "cell_last"


def several_label(at: int) -> str:
    """Return the name of the answer's column with the category of one of `LogicalPlan.several`."""
    return f"several_{at}"


def sum_label(at: int) -> str:
    """Return the name of the answer's column with the sum of a measure."""
    return f"sum_{at}"


def largest_label(at: int, rank: int | None = None) -> str:
    """Return the name of the answer's column with a measure's largest totals: one of them, or their list."""
    return f"largest_{at}" if rank is None else f"largest_{at}_{rank}"


def mart_columns(plan: LogicalPlan) -> list[str]:
    """Return the columns of the release's rows that a plan reads."""
    used = [*(one.column for one in plan.cut), *(one.column for one in plan.kept), *plan.columns]
    return [PERSON, RECORD_KEY, *dict.fromkeys(used)]


def statement_of(
    plan: LogicalPlan, mart: TableClause, *, lists_largest: bool
) -> Select[Any] | CompoundSelect[Any]:
    """Return the statement that counts a plan's cells on the rows of mart.

    lists_largest: whether the engine has max(x, n), and tells the largest totals of a measure as one list.
    """
    groupings = list(plan.groupings())
    collapsed = _persons(plan, mart)
    persons = collapsed.cte("persons") if len(groupings) > 1 else collapsed.subquery("persons")
    parts = []
    for shown in groupings:
        source = persons if all(shown) else _again(plan, persons, shown)
        parts.append(_cells(plan, source, shown, lists_largest=lists_largest))
    return parts[0] if len(parts) == 1 else union_all(*parts)


def _persons(plan: LogicalPlan, mart: TableClause) -> Select[Any]:
    """Return persons with their totals, cut by all dimensions with several categories."""
    source = (
        select(
            mart.c[PERSON],
            mart.c[RECORD_KEY],
            _packed(plan, mart).label(CELL),
            *(
                place_of(one, mart.c[one.column], -plan.cells - 2).label(several_label(at))
                for at, one in enumerate(plan.several)
            ),
            *(mart.c[name] for name in plan.columns),
        )
        .where(*(_is_kept(one, mart.c[one.column]) for one in plan.kept))
        .subquery("kept_rows")
    )
    shown = [source.c[several_label(at)] for at in range(len(plan.several))]
    return select(
        source.c[PERSON],
        func.min(source.c[RECORD_KEY]).label(RECORD_KEY),
        func.min(source.c[CELL]).label(CELL),
        func.max(source.c[CELL]).label(_CELL_LAST),
        *shown,
        *(_whole(func.sum(source.c[name])).label(name) for name in plan.columns),
    ).group_by(source.c[PERSON], *shown)


def _again(plan: LogicalPlan, persons: FromClause, shown: Sequence[bool]) -> FromClause:
    """Return persons collapsed further, over the dimensions that are not shown."""
    kept = [persons.c[several_label(at)] for at, is_shown in enumerate(shown) if is_shown]
    number = "".join(str(int(is_shown)) for is_shown in shown)
    return (
        select(
            persons.c[PERSON],
            func.min(persons.c[RECORD_KEY]).label(RECORD_KEY),
            func.min(persons.c[CELL]).label(CELL),
            func.max(persons.c[_CELL_LAST]).label(_CELL_LAST),
            *kept,
            *(_whole(func.sum(persons.c[name])).label(name) for name in plan.columns),
        )
        .group_by(persons.c[PERSON], *kept)
        .subquery(f"persons_{number}")
    )


def _cells(
    plan: LogicalPlan, persons: FromClause, shown: Sequence[bool], *, lists_largest: bool
) -> Select[Any]:
    """Return the aggregates of cells, from persons with their totals."""
    names = [several_label(at) for at, is_shown in enumerate(shown) if is_shown]
    if not lists_largest:
        persons = _ranked(plan, persons, names)
    groups = [persons.c[CELL], *(persons.c[name] for name in names)]
    columns: list[ColumnElement[Any]] = [persons.c[CELL]]
    for at in range(len(plan.several)):
        label = several_label(at)
        columns.append(persons.c[label] if label in names else literal(str(TOTAL), BigInteger).label(label))
    columns += [
        func.count().label("persons"),
        _whole(func.sum(persons.c[RECORD_KEY])).label("keys"),
        func.max(persons.c[_CELL_LAST] - persons.c[CELL]).label(APART),
    ]
    for at, name in enumerate(plan.columns):
        columns.append(_whole(func.sum(persons.c[name])).label(sum_label(at)))
        if lists_largest:
            columns.append(func.max(persons.c[name], literal(str(TOP))).label(largest_label(at)))
            continue
        for rank in range(1, TOP + 1):
            is_rank = persons.c[f"rank_{at}"] == literal(str(rank))
            largest = func.max(case((is_rank, persons.c[name]), else_=literal("0")))
            columns.append(largest.label(largest_label(at, rank)))
    return select(*columns).group_by(*groups)


def _ranked(plan: LogicalPlan, persons: FromClause, names: Sequence[str]) -> FromClause:
    """Return persons with their rank in their cell by each measure."""
    groups = [persons.c[CELL], *(persons.c[name] for name in names)]
    ranks = [
        func.row_number().over(partition_by=groups, order_by=persons.c[name].desc()).label(f"rank_{at}")
        for at, name in enumerate(plan.columns)
    ]
    return select(*persons.c, *ranks).subquery(f"ranked_{'_'.join(['', *names]).strip('_') or 'all'}")


def _whole(value: ColumnElement[Any]) -> ColumnElement[int]:
    """Return a sum in 64 bits: an engine that would have to cut it off says so instead."""
    return cast(value, BigInteger)


def _packed(plan: LogicalPlan, mart: TableClause) -> ColumnElement[Any]:
    """Return the number of a row's cell, below 0 where a code is no category."""
    packed: ColumnElement[Any] = literal("0", BigInteger)
    for one in plan.ones:
        place = place_of(one, mart.c[one.column], -plan.cells - 2)
        packed = place if one is plan.ones[0] else packed * literal(str(one.size)) + place
    return cast(packed, BigInteger) if not plan.ones else packed


def place_of(one: CutDimension, code: ColumnElement[Any], wrong: int) -> ColumnElement[Any]:
    """Return the place in the table of a row's finest category, `wrong` where it is no category.

    A tree of comparisons: few of them for each row, and nothing that an engine might not have.
    """
    runs = _runs(one.places)
    value = cast(code, BigInteger)
    steps = {place - leaf for leaf, place in enumerate(one.places) if place != OUTSIDE}
    if len(steps) == 1:
        inner = value if steps == {0} else value + literal(f"({steps.pop()})")
    else:
        inner = _tree(runs, code)
    is_leaf = code.between(literal("0"), literal(str(len(one.places) - 1)))
    return case((is_leaf, inner), else_=cast(literal(f"({wrong})"), BigInteger))


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return the last leaf of each run of leaves with one place, and the place. `OUTSIDE` goes with any."""
    runs: list[tuple[int, int]] = []
    for leaf, place in enumerate(places):
        if runs and place in (OUTSIDE, runs[-1][1]):
            runs[-1] = (leaf, runs[-1][1])
        elif place != OUTSIDE:
            runs.append((leaf, place))
    return runs


def _tree(runs: Sequence[tuple[int, int]], code: ColumnElement[Any]) -> ColumnElement[Any]:
    if len(runs) == 1:
        return cast(literal(str(runs[0][1])), BigInteger)
    half = len(runs) // 2
    is_left = code <= literal(str(runs[half - 1][0]))
    return case((is_left, _tree(runs[:half], code)), else_=_tree(runs[half:], code))


def _is_kept(one: KeptLeaves, code: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a row's finest category is in: whole stretches of codes."""
    stretches: list[list[int]] = []
    for leaf in one.leaves:
        if stretches and stretches[-1][1] == leaf - 1:
            stretches[-1][1] = leaf
        else:
            stretches.append([leaf, leaf])
    return or_(*(and_(code >= literal(str(first)), code <= literal(str(last))) for first, last in stretches))


def mart_table(name: str, plan: LogicalPlan) -> TableClause:
    """Return the table of a release's rows, with the columns that a plan reads."""
    return table(name, *(column(one, BigInteger) for one in mart_columns(plan)))
