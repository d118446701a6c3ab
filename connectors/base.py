"""What every connector promises: the `Source` protocol and the kinds of failure that cross the border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Protocol, TypeAlias

from policies.model import Record


@dataclass(frozen=True, slots=True)
class LookupKey:
    """How a data subject is looked up: catalogue field (personal_id, si_number ...) and its value."""

    field: str
    value: str


Since: TypeAlias = tuple[tuple[str, date], ...]
"""Day fields of repeating groups, each with the earliest day of the rows that are wanted."""


class ConnectorError(Exception):
    """An outside system did not give a usable answer. Carries no value of a record."""

    kind: ClassVar[str] = "connector_error"


class SourceUnavailable(ConnectorError):
    """The source is down, refused the connection, or its circuit is open.

    retry_after_seconds: when asking again may make sense.
    """

    kind: ClassVar[str] = "source_unavailable"

    def __init__(self, detail: str, retry_after_seconds: int = 5) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class SourceTooSlow(SourceUnavailable):
    """The deadline passed before the source answered."""

    kind: ClassVar[str] = "source_too_slow"


class SourceAnswerRefused(ConnectorError):
    """The source answered, but not with what was asked: wrong type, several persons, another person.

    fact: wrong_type | several_persons | unexpected_person | unexpected_column.
    """

    kind: ClassVar[str] = "source_answer_refused"

    def __init__(self, fact: str, detail: str = "") -> None:
        super().__init__(detail or fact)
        self.fact = fact


class WitnessUnreachable(ConnectorError):
    """A witness gave no answer, or none in time. The text is fixed words."""

    kind: ClassVar[str] = "witness_unreachable"


class AuthorityUnreachable(ConnectorError):
    """A time-stamp authority gave no answer, or none in time. The text is fixed words."""

    kind: ClassVar[str] = "authority_unreachable"


@dataclass(frozen=True, slots=True)
class Child:
    """Somebody whose own record names the person who asks as father or mother, held in the same household.

    child_key, parent_key: opaque keys of the source. relation: father | mother. birth_precision: day, month
    or year.
    """

    child_key: str
    parent_key: str
    personal_id: str = field(repr=False)
    full_name: str = field(repr=False)
    birth_date: date
    birth_precision: str
    relation: str
    household_code: str = field(repr=False)


class Families(Protocol):
    """Who is whose child, as far as a source can prove it."""

    def find_children(self, personal_id: str, deadline_seconds: float) -> Sequence[Child]:
        """Return the children of the one person with this personal id, of any age, the youngest first.

        Raises SourceTooSlow, SourceUnavailable, SourceAnswerRefused.
        """
        ...


class Source(Protocol):
    """A read-only store of insurance records."""

    def fetch(
        self, key: LookupKey, columns: Sequence[str], deadline_seconds: float, since: Since = ()
    ) -> Record | None:
        """Return the record of the one data subject whom key names, with the named columns only.

        columns: catalogue field names; nothing else is read from the source. since: of the groups of these
        fields only rows from that day on. None: nobody has this key.
        Raises SourceTooSlow after deadline_seconds, SourceUnavailable when the source is down,
        SourceAnswerRefused when the answer is not about exactly the one person asked for.
        """
        ...

    def is_available(self) -> bool:
        """Return whether the source could answer now (asks it, within a short deadline)."""
        ...
