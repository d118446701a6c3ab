"""Minimisation: of a record, only the permitted fields leave, and only in their permitted form.

A plan is made once per decision, because decisions are shared; the store of plans is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from policies.by_identity import ByIdentity
from policies.form_context import RowsForm, ValueForm, as_day, months_before
from policies.forms import FormContext, FormRefused, build_rows_form, build_value_form, is_over_rows
from policies.model import Decision, FieldRelease, Record, Released, RowScope, Value

__all__ = ["FormRefused", "minimise"]

Row: TypeAlias = Mapping[str, Value]
RowFilter: TypeAlias = Callable[[Row, FormContext], bool]


@dataclass(frozen=True, slots=True)
class _GroupPlan:
    """What leaves of one repeating group: names unchanged, forms per row, forms over all rows."""

    group: str
    filters: tuple[RowFilter, ...]
    plain: tuple[str, ...]
    formed: tuple[tuple[str, ValueForm], ...]
    over_rows: tuple[tuple[str, RowsForm], ...]
    gives_rows: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    plain: tuple[str, ...]
    formed: tuple[tuple[str, ValueForm], ...]
    groups: tuple[_GroupPlan, ...]


_NO_ROWS: tuple[Row, ...] = ()


def _row_filter(scope: RowScope) -> RowFilter:
    name, months = scope.field, scope.months
    if scope.keep == "own_units":
        return lambda row, context: row.get(name) in context.own_units

    # The same for all rows of a day; a record may have hundreds.
    first_day = lru_cache(maxsize=4)(months_before)

    def is_recent(row: Row, context: FormContext) -> bool:
        day = as_day(row.get(name))
        return day is not None and first_day(context.on_date, months) <= day <= context.on_date

    return is_recent


def _split(
    releases: tuple[FieldRelease, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ValueForm], ...]]:
    plain = tuple(release.field for release in releases if release.form.name == "value")
    formed = tuple(
        (release.field, build_value_form(release.field, release.form))
        for release in releases
        if release.form.name != "value"
    )
    return plain, formed


def _plan_group(group: str, releases: tuple[FieldRelease, ...], scopes: tuple[RowScope, ...]) -> _GroupPlan:
    per_row = tuple(release for release in releases if not is_over_rows(release.form))
    plain, formed = _split(per_row)
    over_rows = tuple(
        (release.field, build_rows_form(release.field, release.form))
        for release in releases
        if is_over_rows(release.form)
    )
    filters = tuple(_row_filter(scope) for scope in scopes if scope.group == group)
    return _GroupPlan(group, filters, plain, formed, over_rows, bool(per_row))


def _make_plan(decision: Decision) -> _Plan:
    once = tuple(release for release in decision.released if not release.group)
    for release in once:
        if is_over_rows(release.form):
            raise FormRefused(release.form.name, release.field, "bad_parameters")
    names = dict.fromkeys(release.group for release in decision.released if release.group)
    plain, formed = _split(once)
    groups = tuple(
        _plan_group(name, tuple(r for r in decision.released if r.group == name), decision.row_scopes)
        for name in names
    )
    return _Plan(plain, formed, groups)


_plan_for: Final = ByIdentity(_make_plan)


def _rows(plan: _GroupPlan, rows: tuple[Row, ...], context: FormContext) -> tuple[dict[str, Value], ...]:
    released = []
    for row in rows:
        find = row.get
        values = {name: find(name) for name in plan.plain}
        for name, form in plan.formed:
            values[name] = form(find(name), row, context)
        released.append(values)
    return tuple(released)


def minimise(record: Record, decision: Decision, context: FormContext) -> Released:
    """Return the permitted fields of a record in their permitted form, and nothing else.

    Every permitted field stands in the answer, with None where the record has no value, so the shape of an
    answer tells nothing. A field of a repeating group stands in `groups`, unless its form makes one value of
    all rows; then it stands in `fields`. A refusal releases nothing.
    Raises FormRefused (names only, never a value) for an unknown or impossible form, or a missing secret.
    """
    if not decision.permitted:
        return Released({}, {})
    plan = _plan_for(decision)
    once = record.fields
    fields = {name: once.get(name) for name in plan.plain}
    for name, form in plan.formed:
        fields[name] = form(once.get(name), once, context)
    groups: dict[str, tuple[Mapping[str, Value], ...]] = {}
    for group in plan.groups:
        rows = record.groups.get(group.group, _NO_ROWS)
        for keep in group.filters:
            rows = tuple([row for row in rows if keep(row, context)])
        if group.gives_rows:
            groups[group.group] = _rows(group, rows, context)
        for name, over in group.over_rows:
            fields[name] = over(rows, context)
    return Released(fields, groups)
