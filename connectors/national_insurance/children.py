"""Whose parent the source says somebody is: read from the children's own records, never from the parent's.

A parent is whoever the child's record names as father or mother by personal id, and who is held in the same
household. A head of a household is no parent by that, and custody, guardians and adoption are not in this
database: what it cannot prove is not so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from time import monotonic
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal_column, or_, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import make_url

from connectors.base import Child, SourceAnswerRefused, SourceTooSlow, SourceUnavailable
from connectors.circuit import Bulkhead, CircuitBreaker
from connectors.national_insurance.schema import family_member, household_member, person
from connectors.postgres import (
    DatabaseError,
    DatabaseTooSlow,
    PreparedConnections,
    PreparedStatement,
    Row,
    conninfo_of_url,
)

_PERSONAL_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)
_PATIENCE_SECONDS: Final = 0.1
"""How long a look waits for a place at the source."""
PARENTS: Final = ("father", "mother")
_DIALECT: Final = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy leaves it bare
_SESSION: Final = {"default_transaction_read_only": "on", "application_name": "broker source"}


def _statement() -> Select[Any]:
    child, mine, theirs = (
        person.alias("child"),
        household_member.alias("mine"),
        household_member.alias("theirs"),
    )
    return (
        select(
            person.c.person_key,
            child.c.person_key,
            child.c.personal_id,
            child.c.full_name,
            child.c.birth_date,
            child.c.birth_precision,
            family_member.c.family_relation,
            mine.c.household_code,
        )
        .join_from(person, mine, mine.c.person_key == person.c.person_key)
        .join(family_member, family_member.c.family_personal_id == person.c.personal_id)
        .join(
            theirs,
            (theirs.c.person_key == family_member.c.person_key)
            & (theirs.c.household_code == mine.c.household_code),
        )
        .join(child, child.c.person_key == family_member.c.person_key)
        .where(person.c.personal_id == bindparam("looked_up"), mine.c.household_code != literal_column("''"))
        .where(
            or_(*(family_member.c.family_relation == literal_column(f"'{one}'") for one in PARENTS)),
            child.c.person_key != person.c.person_key,
        )
        .order_by(child.c.birth_date.desc(), child.c.person_key)
    )


class InsuranceFamilies:
    """Implements `connectors.base.Families` on the insurance database, as a role that may only read.

    Of a database that is not PostgreSQL nothing is proven: everybody is refused. deadline_seconds: the most
    that one look may take. concurrency: looks of this process that may wait at once; they have places and a
    circuit of their own, so that they hold up no release. Safe to build before a fork, and to share by
    threads.
    """

    def __init__(
        self,
        url: str,
        deadline_seconds: float = 2.0,
        *,
        concurrency: int = 2,
        failures_to_open: int = 5,
        open_seconds: float = 5.0,
        connect_timeout_seconds: float = 1.0,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._circuit = CircuitBreaker(failures_to_open, open_seconds, probe_seconds=2 * deadline_seconds)
        self._bulkhead = Bulkhead(concurrency, _PATIENCE_SECONDS)
        self._connections: PreparedConnections | None = None
        if make_url(url).get_backend_name() == "postgresql":
            self._connections = PreparedConnections(
                conninfo_of_url(url),
                session_settings=_SESSION,
                connect_timeout_seconds=connect_timeout_seconds,
            )
        sql = str(_statement().compile(dialect=_DIALECT))
        self._prepared = PreparedStatement("find_children", sql, repeatable=True)

    def find_children(self, personal_id: str, deadline_seconds: float) -> Sequence[Child]:
        """Return the children of the one person with this personal id; see `connectors.base.Families`.

        A row without the child's personal id or birth date proves nothing and is left out; its siblings stay.
        What is no personal id names nobody.
        """
        if self._connections is None:
            raise SourceUnavailable("this source proves no relation")
        if not _PERSONAL_ID.fullmatch(personal_id):
            return []
        allowed = min(deadline_seconds, self._deadline_seconds)
        if allowed <= 0:
            raise SourceTooSlow("no time was left to ask the source")
        now = monotonic()
        if not self._bulkhead.enter(now):
            raise SourceUnavailable("too many requests wait on the source", 1)
        try:
            retry_after = self._circuit.retry_after(now)
            if retry_after is not None:
                raise SourceUnavailable("the source failed repeatedly and is left alone", retry_after)
            rows = self._rows(self._connections, personal_id, allowed)
        finally:
            self._bulkhead.leave(now)
        if len({row[0] for row in rows}) > 1:
            raise SourceAnswerRefused("several_persons")
        return [child for row in rows if (child := _child(row)) is not None]

    def close(self) -> None:
        """Close the connections of this process."""
        if self._connections is not None:
            self._connections.close()

    def _rows(self, connections: PreparedConnections, personal_id: str, allowed: float) -> Sequence[Row]:
        """Ask the database, and tell the circuit how it went."""
        try:
            rows = connections.execute(self._prepared, (personal_id.encode(),), allowed)
        except DatabaseTooSlow:
            self._circuit.failed(monotonic())
            raise SourceTooSlow("the source did not answer in time") from None
        except DatabaseError:
            self._circuit.failed(monotonic())
            raise SourceUnavailable("the source is away") from None
        self._circuit.succeeded()
        return rows


def _child(row: Row) -> Child | None:
    """Return the child of a row, None for a row that is not whole."""
    parent_key, child_key, personal_id, name, born, precision, relation, household = (
        (value or b"").decode() for value in row
    )
    if not (_PERSONAL_ID.fullmatch(personal_id) and name):
        return None
    try:
        birth_date = date.fromisoformat(born)
    except ValueError:
        return None
    return Child(child_key, parent_key, personal_id, name, birth_date, precision, relation, household)
