"""Reads one person through SQLAlchemy from any database that it speaks to.

The deadline holds whatever the driver does: the statements run on a small pool of threads, and the caller
waits no longer than it may. A thread that the driver holds is lost to the pool until the driver lets go,
which the circuit breaker in front turns into refusals.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors.base import Since, SourceAnswerRefused
from connectors.national_insurance.decoding import from_python, instant
from connectors.national_insurance.schema import SourceField
from connectors.national_insurance.statements import (
    AS_OF_POSITION,
    KEY_PARAMETER,
    PERSON_KEY_POSITION,
    Reading,
    named_fields,
    reading,
    rows_of_group,
    since_parameter,
    synchronised_at,
)
from connectors.postgres import DatabaseTooSlow, DatabaseUnavailable
from policies.model import Record, Value

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Plan:
    """The first statement, and one more for each repeating group where there are several."""

    read: Reading
    groups: Mapping[str, Sequence[SourceField]]
    since: tuple[str, ...]


class DialectReader:
    """Reads persons over a SQLAlchemy engine per process."""

    def __init__(self, url: str, concurrency: int) -> None:
        self._url = url
        self._concurrency = concurrency
        self._plans: dict[tuple[str, tuple[str, ...], tuple[str, ...]], _Plan] = {}
        self._process: tuple[int, Engine, ThreadPoolExecutor] | None = None

    def fetch(
        self,
        key_field: str,
        value: str,
        columns: tuple[str, ...],
        deadline_seconds: float,
        since: Since = (),
    ) -> Record | None:
        """Return the one person whose key_field has this value, or None; raises as `Source.fetch` does."""
        bounds = tuple([name for name, _ in since])
        plan = self._plans.get((key_field, columns, bounds))
        if plan is None:
            once, groups = named_fields(columns)
            read = reading(key_field, once, groups if len(groups) == 1 else {}, bounds)
            plan = _Plan(read, groups, bounds)
            self._plans[key_field, columns, bounds] = plan
        engine, threads = self._mine()
        asked = int(value) if key_field == "person_key" else value
        days = {since_parameter(name): day for name, day in since}
        return _within(deadline_seconds, threads.submit(_fetch, engine, plan, asked, days))

    def ping(self, deadline_seconds: float) -> None:
        """Ask the source for its last synchronisation; raises DatabaseError or SourceAnswerRefused."""
        engine, threads = self._mine()
        _within(deadline_seconds, threads.submit(_ping, engine))

    def sql(self, key_field: str, columns: tuple[str, ...]) -> str:
        """Return the text of the first statement that `fetch` runs."""
        once, groups = named_fields(columns)
        read = reading(key_field, once, groups if len(groups) == 1 else {})
        return str(read.statement.compile(dialect=self._mine()[0].dialect))

    def close(self) -> None:
        """Close all connections of this process."""
        if self._process is not None and self._process[0] == os.getpid():
            self._process[2].shutdown(wait=False, cancel_futures=True)
            self._process[1].dispose()
        self._process = None

    def _mine(self) -> tuple[Engine, ThreadPoolExecutor]:
        """Return this process's engine and threads; neither survives a fork."""
        if self._process is None or self._process[0] != os.getpid():
            engine = create_engine(self._url, pool_pre_ping=True, hide_parameters=True)
            self._process = (os.getpid(), engine, ThreadPoolExecutor(self._concurrency, "source"))
        return self._process[1], self._process[2]


def _within(deadline_seconds: float, answer: Future[_Answer]) -> _Answer:
    """Wait for an answer, and turn what the driver says into facts without values."""
    try:
        return answer.result(max(0.0, deadline_seconds))
    except TimeoutError:
        answer.cancel()
        raise DatabaseTooSlow("the deadline passed") from None
    except DBAPIError as error:
        raise DatabaseUnavailable(f"the source failed ({type(error.orig).__name__})") from None
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"the source failed ({type(error).__name__})") from None


def _fetch(engine: Engine, plan: _Plan, asked: int | str, days: Mapping[str, date]) -> Record | None:
    try:
        with engine.connect() as connection:
            # Days belong to the first statement only where it joins the one group that repeats.
            bounds = days if plan.read.joined is not None else {}
            rows = connection.execute(plan.read.statement, {KEY_PARAMETER: asked, **bounds}).all()
            return _record(connection, plan, rows, asked, days) if rows else None
    except (ValueError, TypeError):
        raise SourceAnswerRefused("wrong_type") from None


def _record(
    connection: Connection,
    plan: _Plan,
    rows: Sequence[Row[Any]],
    asked: int | str,
    days: Mapping[str, date],
) -> Record:
    read, first = plan.read, rows[0]
    person_key = first[PERSON_KEY_POSITION]
    if any(row[PERSON_KEY_POSITION] != person_key for row in rows):
        raise SourceAnswerRefused("several_persons")
    if type(person_key) is not int or first[read.key_position] != asked:
        raise SourceAnswerRefused("unexpected_person")
    fields = {field.name: from_python(field)(first[at]) for field, at in read.once}
    groups: dict[str, tuple[Mapping[str, Value], ...]] = {}
    if read.joined is not None:
        groups[read.joined] = tuple(
            {field.name: from_python(field)(row[at]) for field, at in read.joined_fields}
            for row in rows
            if row[read.line_position] is not None
        )
    else:
        for group, members in plan.groups.items():
            statement = rows_of_group(members, plan.since)
            found = connection.execute(statement, {KEY_PARAMETER: person_key, **days}).all()
            groups[group] = tuple(
                {field.name: from_python(field)(value) for field, value in zip(members, row, strict=True)}
                for row in found
            )
    return Record(str(person_key), instant(first[AS_OF_POSITION]), fields, groups)


def _ping(engine: Engine) -> None:
    with engine.connect() as connection:
        instant(connection.execute(synchronised_at()).scalar())
