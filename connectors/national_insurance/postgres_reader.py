"""Reads one person from PostgreSQL in one round trip, over prepared statements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import NoReturn

from sqlalchemy.dialects.postgresql.base import PGDialect

from connectors.base import Since, SourceAnswerRefused
from connectors.national_insurance.decoding import FromPython, FromText, from_json, from_text, instant
from connectors.national_insurance.statements import (
    AS_OF_POSITION,
    KEY_PARAMETER,
    PERSON_KEY_POSITION,
    Reading,
    named_fields,
    reading,
    since_parameter,
    synchronised_at,
)
from connectors.postgres import PreparedConnections, PreparedStatement, Row, conninfo_of_url
from policies.model import Record, Value

PLANS = 256
"""Combinations of key and columns kept compiled; beyond that all are compiled anew."""

_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy leaves it bare
_SESSION = {"default_transaction_read_only": "on", "application_name": "broker source"}


class _Plan:
    """A prepared statement and the decoders of its columns."""

    __slots__ = (
        "joined",
        "joined_fields",
        "key_position",
        "line_position",
        "nested",
        "once",
        "parameters",
        "statement",
    )

    def __init__(self, read: Reading) -> None:
        compiled = read.statement.compile(dialect=_DIALECT)
        sql, self.parameters = str(compiled), tuple(compiled.positiontup or (KEY_PARAMETER,))
        name = "fetch_" + hashlib.sha256(sql.encode()).hexdigest()[:16]
        self.statement = PreparedStatement(name, sql, repeatable=True)
        self.key_position = read.key_position
        self.once: list[tuple[str, int, FromText]] = [(f.name, at, from_text(f)) for f, at in read.once]
        self.joined = read.joined
        self.line_position = read.line_position
        self.joined_fields: list[tuple[str, int, FromText]] = [
            (field.name, at, from_text(field)) for field, at in read.joined_fields
        ]
        self.nested: list[tuple[str, int, list[tuple[str, FromPython]]]] = [
            (group, at, [(field.name, from_json(field)) for field in fields])
            for group, at, fields in read.nested
        ]

    def bound(self, asked: bytes, since: Since) -> tuple[bytes, ...]:
        """Return the parameters in the order in which the statement names them."""
        given = {since_parameter(name): day.isoformat().encode() for name, day in since}
        given[KEY_PARAMETER] = asked
        return tuple([given[name] for name in self.parameters])

    def groups(self, rows: list[Row]) -> Mapping[str, tuple[Mapping[str, Value], ...]]:
        """Return the rows of the repeating groups; a group without rows is there and empty."""
        if self.joined is not None:
            fields, line = self.joined_fields, self.line_position
            return {
                self.joined: tuple(
                    [
                        {
                            name: raw if (raw := row[at]) is None else decode(raw)
                            for name, at, decode in fields
                        }
                        for row in rows
                        if row[line] is not None
                    ]
                )
            }
        return {
            group: tuple(
                {name: decode(value) for (name, decode), value in zip(fields, line, strict=True)}
                for line in json.loads(rows[0][at] or b"[]")
            )
            for group, at, fields in self.nested
        }

    def refuse_type(self, rows: list[Row]) -> NoReturn:
        """Find the field whose value has the wrong type, and refuse naming the field alone."""
        for name, at, decode in [*self.once, *self.joined_fields]:
            for row in rows:
                raw = row[at]
                try:
                    if raw is not None:
                        decode(raw)
                except ValueError:
                    raise SourceAnswerRefused("wrong_type", f"{name} has the wrong type") from None
        raise SourceAnswerRefused("wrong_type", "a row of a repeating group has the wrong type") from None


class PostgresReader:
    """Reads persons over one libpq connection per thread, as a role that may only read."""

    def __init__(self, url: str, connect_timeout_seconds: float) -> None:
        self._connections = PreparedConnections(
            conninfo_of_url(url), session_settings=_SESSION, connect_timeout_seconds=connect_timeout_seconds
        )
        self._plans: dict[tuple[str, tuple[str, ...], tuple[str, ...]], _Plan] = {}
        self._ping = PreparedStatement(
            "source_synchronised_at", str(synchronised_at().compile(dialect=_DIALECT))
        )
        self._instant: tuple[bytes | None, datetime] | None = None

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
        plan = self._plans.get((key_field, columns, bounds)) or self._compiled(key_field, columns, bounds)
        asked = value.encode()
        parameters = (asked,) if not since else plan.bound(asked, since)
        rows = self._connections.execute(plan.statement, parameters, deadline_seconds)
        if not rows:
            return None
        first = rows[0]
        person_key = first[PERSON_KEY_POSITION]
        if len(rows) > 1 and any(row[PERSON_KEY_POSITION] != person_key for row in rows):
            raise SourceAnswerRefused("several_persons")
        if person_key is None or first[plan.key_position] != asked:
            raise SourceAnswerRefused("unexpected_person")
        try:
            fields = {
                name: raw if (raw := first[at]) is None else decode(raw) for name, at, decode in plan.once
            }
            groups = plan.groups(rows)
        except ValueError:
            plan.refuse_type(rows)
        return Record(person_key.decode(), self._as_of(first[AS_OF_POSITION]), fields, groups)

    def ping(self, deadline_seconds: float) -> None:
        """Ask the source for its last synchronisation; raises DatabaseError or SourceAnswerRefused."""
        rows = self._connections.execute(self._ping, (), deadline_seconds)
        instant(rows[0][0] if rows else None)

    def sql(self, key_field: str, columns: tuple[str, ...]) -> str:
        """Return the text of the statement that `fetch` runs."""
        plan = self._plans.get((key_field, columns, ())) or self._compiled(key_field, columns, ())
        return plan.statement.sql

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _compiled(self, key_field: str, columns: tuple[str, ...], since: tuple[str, ...]) -> _Plan:
        plan = _Plan(reading(key_field, *named_fields(columns), since))
        if len(self._plans) >= PLANS:
            self._plans.clear()
        self._plans[key_field, columns, since] = plan
        return plan

    def _as_of(self, raw: bytes | None) -> datetime:
        """Decode the instant of the last synchronisation, which is mostly that of the answer before."""
        known = self._instant
        if known is not None and known[0] == raw:
            return known[1]
        decoded = instant(raw)
        self._instant = (raw, decoded)
        return decoded
