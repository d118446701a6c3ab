"""Which SELECT reads exactly the named fields of one person.

Besides the named columns a statement reads only what holds an answer together: the opaque person_key, the
column by which the person was looked up, the line number of rows that repeat, and when the source was last
synchronised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from connectors.base import SourceAnswerRefused
from connectors.national_insurance.schema import (
    FIELDS,
    SOURCE_NAME,
    SourceField,
    employer,
    person,
    social_insurance,
    source_state,
)

PERSON_KEY_POSITION = 0
AS_OF_POSITION = 1
KEY_PARAMETER = "looked_up"

Statement: TypeAlias = Select[*tuple[Any, ...]]
"""A SELECT whose columns are only known at run time."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One statement and what its columns mean, by position.

    once: fields held once per person and their positions. joined: the one repeating group whose rows the
    rows of the answer are (None if there is none), with the position of its line number and its fields.
    nested: groups that come as one JSON array of arrays, in the order of their fields.
    """

    statement: Statement
    key_position: int
    once: tuple[tuple[SourceField, int], ...]
    joined: str | None = None
    line_position: int = 0
    joined_fields: tuple[tuple[SourceField, int], ...] = ()
    nested: tuple[tuple[str, int, tuple[SourceField, ...]], ...] = ()


def named_fields(columns: Sequence[str]) -> tuple[list[SourceField], dict[str, list[SourceField]]]:
    """Split catalogue names into fields held once and fields by repeating group.

    Raises SourceAnswerRefused (unexpected_column) for a name that the source does not hold.
    """
    once: list[SourceField] = []
    groups: dict[str, list[SourceField]] = {}
    for name in dict.fromkeys(columns):
        field = FIELDS.get(name)
        if field is None:
            raise SourceAnswerRefused("unexpected_column", f"the source holds no field {name}")
        if field.repeats:
            groups.setdefault(field.group, []).append(field)
        else:
            once.append(field)
    return once, groups


def reading(
    key_field: str,
    once: Sequence[SourceField],
    groups: dict[str, list[SourceField]],
    since: Sequence[str] = (),
) -> Reading:
    """Return the one statement that reads fields held once and any repeating groups of one person.

    A single group is a plain join, one row per row of the group. Several groups would multiply each other,
    so each becomes one JSON value (PostgreSQL only). since: fields whose groups give only rows from a day on,
    each a parameter of its name (`since_parameter`).
    """
    columns: list[ColumnElement[Any]] = [person.c.person_key, _as_of()]
    key_position = _place(columns, person.c[key_field])
    once_places = tuple((field, _place(columns, field.column)) for field in once)
    source = _joined_once(once)
    if len(groups) != 1:
        nested = []
        for group, fields in groups.items():
            columns.append(_nested(fields, since))
            nested.append((group, len(columns) - 1, tuple(fields)))
        statement = _select(columns, source, key_field)
        return Reading(statement, key_position, once_places, nested=tuple(nested))
    ((group, fields),) = groups.items()
    table = fields[0].table
    line_position = _place(columns, table.c.line_number)
    joined_places = tuple((field, _place(columns, field.column)) for field in fields)
    joined = and_(table.c.person_key == person.c.person_key, *_from_day(table, since))
    source = source.outerjoin(table, joined)
    statement = _select(columns, source, key_field).order_by(table.c.line_number)
    return Reading(statement, key_position, once_places, group, line_position, joined_places)


def since_parameter(name: str) -> str:
    """Return the name of the parameter that says from which day on rows are read."""
    return f"since_{name}"


def _from_day(table: FromClause, since: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the conditions on rows of one group. Raises SourceAnswerRefused (unexpected_column)."""
    named_fields(since)
    return [
        table.c[name] >= bindparam(since_parameter(name), type_=FIELDS[name].type)
        for name in since
        if FIELDS[name].table is table
    ]


def rows_of_group(fields: Sequence[SourceField], since: Sequence[str] = ()) -> Statement:
    """Return the statement that reads one group's rows by person_key (for dialects without JSON here)."""
    table = fields[0].table
    return (
        select(*(field.column for field in fields))
        .where(table.c.person_key == bindparam(KEY_PARAMETER), *_from_day(table, since))
        .order_by(table.c.line_number)
    )


def synchronised_at() -> Statement:
    """Return the statement that reads when the source was last synchronised."""
    return select(source_state.c.synchronised_at).where(
        source_state.c.source == literal_column(f"'{SOURCE_NAME}'")
    )


def _as_of() -> ScalarSelect[Any]:
    return synchronised_at().scalar_subquery()


def _place(columns: list[ColumnElement[Any]], column: Column[Any]) -> int:
    """Return the position of a column in the statement, adding it where it is not there yet."""
    for position, present in enumerate(columns):
        if present is column:
            return position
    columns.append(column)
    return len(columns) - 1


def _select(columns: list[ColumnElement[Any]], source: FromClause, key_field: str) -> Statement:
    key = person.c[key_field]
    return select(*columns).select_from(source).where(key == bindparam(KEY_PARAMETER, type_=key.type))


def _joined_once(once: Sequence[SourceField]) -> FromClause:
    """Join to person the tables that the fields held once need; the employer is that of the current unit."""
    tables = dict.fromkeys(field.table for field in once)
    if employer in tables:
        tables = {social_insurance: None, **tables}
    source: FromClause = person
    for table in tables:
        if table is employer:
            continue
        if table is not person:
            source = source.outerjoin(table, table.c.person_key == person.c.person_key)
    if employer in tables:
        source = source.outerjoin(employer, employer.c.unit_code == social_insurance.c.employer_unit_code)
    return source


def _nested(fields: Sequence[SourceField], since: Sequence[str]) -> ScalarSelect[Any]:
    """Return a group's rows as one JSON array of arrays, in the order of their line numbers."""
    table = fields[0].table
    row = func.json_build_array(*(field.column for field in fields))
    return (
        select(func.json_agg(aggregate_order_by(row, table.c.line_number)))
        .where(table.c.person_key == person.c.person_key, *_from_day(table, since))
        .correlate(person)
        .scalar_subquery()
    )
