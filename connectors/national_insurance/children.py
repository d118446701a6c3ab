"""Whose parent the source says somebody is: read from the children's own records, never from the parent's.

A parent is whoever the child's record names as father or mother by personal id, and who is held in the same
household. A head of a household is no parent by that, and custody, guardians and adoption are not in this
database: what it cannot prove is not so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal_column, or_, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import make_url

from connectors.base import Child, SourceAnswerRefused, SourceTooSlow, SourceUnavailable
from connectors.national_insurance.schema import family_member, household_member, person
from connectors.postgres import (
    DatabaseError,
    DatabaseTooSlow,
    PreparedConnections,
    PreparedStatement,
    Row,
    conninfo_of_url,
)

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

    Of a database that is not PostgreSQL nothing is proven: everybody is refused. Safe to build before a fork.
    """

    def __init__(self, url: str, connect_timeout_seconds: float = 1.0) -> None:
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
        """Return the children of the one person with this personal id; see `connectors.base.Families`."""
        if self._connections is None:
            raise SourceUnavailable("this source proves no relation")
        try:
            rows = self._connections.execute(self._prepared, (personal_id.encode(),), deadline_seconds)
        except DatabaseTooSlow:
            raise SourceTooSlow("the source did not answer in time") from None
        except DatabaseError:
            raise SourceUnavailable("the source is away") from None
        if len({row[0] for row in rows}) > 1:
            raise SourceAnswerRefused("several_persons")
        return [_child(row) for row in rows]

    def close(self) -> None:
        """Close the connections of this process."""
        if self._connections is not None:
            self._connections.close()


def _child(row: Row) -> Child:
    if any(value is None for value in row):
        raise SourceAnswerRefused("wrong_type")
    parent_key, child_key, personal_id, name, born, precision, relation, household = (
        (value or b"").decode() for value in row
    )
    try:
        birth_date = date.fromisoformat(born)
    except ValueError:
        raise SourceAnswerRefused("wrong_type") from None
    return Child(child_key, parent_key, personal_id, name, birth_date, precision, relation, household)
