"""The insurance database as a `Source`: guarded, bounded in time, and checked to answer what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from sqlalchemy.engine import make_url

from connectors.base import (
    LookupKey,
    Since,
    SourceAnswerRefused,
    SourceTooSlow,
    SourceUnavailable,
)
from connectors.circuit import Bulkhead, CircuitBreaker
from connectors.national_insurance.dialect_reader import DialectReader
from connectors.national_insurance.postgres_reader import PostgresReader
from connectors.postgres import DatabaseError, DatabaseRefused, DatabaseTooSlow
from policies.model import Record

PING_SECONDS = 1.0
_RETRY_AFTER_REFUSAL_SECONDS = 60
_PATIENCE_SECONDS = 0.1
"""How long a request waits for a place at the source; ten look-ups at their usual pace and more."""
_DIGITS = {"si_number": 10, "personal_id": 12}
_CARD_KEYS = {10: "si_number", 12: "personal_id", 15: "si_number"}
_HIGHEST_PERSON_KEY = 2**63 - 1


class _Reader(Protocol):
    """What reads persons: one for PostgreSQL, one for every other dialect."""

    def fetch(
        self,
        key_field: str,
        value: str,
        columns: tuple[str, ...],
        deadline_seconds: float,
        since: Since = (),
    ) -> Record | None: ...

    def ping(self, deadline_seconds: float) -> None: ...

    def sql(self, key_field: str, columns: tuple[str, ...]) -> str: ...

    def close(self) -> None: ...


class InsuranceSource:
    """Reads records of the insurance database, whose tables are those of `schema`; any SQLAlchemy dialect.

    url: SQLAlchemy URL, as a role that may only read. deadline_seconds: the most that one fetch may take,
    whatever its caller allows. concurrency: requests of this process that may wait on the source at once.
    failures_to_open, open_seconds: see `CircuitBreaker`. Safe to build before a fork and to share by threads.
    """

    def __init__(
        self,
        url: str,
        deadline_seconds: float = 2.0,
        *,
        concurrency: int = 3,
        failures_to_open: int = 5,
        open_seconds: float = 5.0,
        connect_timeout_seconds: float = 1.0,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._circuit = CircuitBreaker(failures_to_open, open_seconds, probe_seconds=2 * deadline_seconds)
        self._bulkhead = Bulkhead(concurrency, _PATIENCE_SECONDS)
        self._reader: _Reader = (
            PostgresReader(url, connect_timeout_seconds)
            if make_url(url).get_backend_name() == "postgresql"
            else DialectReader(url, concurrency)
        )

    def fetch(
        self, key: LookupKey, columns: Sequence[str], deadline_seconds: float, since: Since = ()
    ) -> Record | None:
        """Return the record of the one person whom key names, with the named columns only (`Source.fetch`).

        key: si_number (10 digits), personal_id (12 digits), hi_card (10 or 12 digits, or 15 characters: the
        last ten are the SI number, and comparing the first five is the broker's work) or person_key (the
        data_subject of an earlier record). A value that cannot be such a number names nobody.
        columns: catalogue names, see `schema.FIELDS`. since: see `Since`. None: nobody has this key.
        Raises SourceTooSlow, SourceUnavailable (also at once, when the circuit is open or too many wait) and
        SourceAnswerRefused (several_persons, unexpected_person, unexpected_column, wrong_type).
        """
        key_field, value = _looked_up(key)
        if not key_field:
            return None
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
            return self._fetch(key_field, value, tuple(columns), allowed, since)
        finally:
            self._bulkhead.leave(now)

    def _fetch(
        self, key_field: str, value: str, columns: tuple[str, ...], allowed: float, since: Since
    ) -> Record | None:
        """Ask the reader, and tell the circuit how it went: any answer is a success, even a refused one."""
        try:
            record = self._reader.fetch(key_field, value, columns, allowed, since)
        except DatabaseTooSlow:
            self._circuit.failed(monotonic())
            raise SourceTooSlow("the source did not answer in time") from None
        except DatabaseRefused as refusal:
            self._circuit.failed(monotonic())
            detail = f"the source refused the statement ({refusal})"
            raise SourceUnavailable(detail, _RETRY_AFTER_REFUSAL_SECONDS) from None
        except DatabaseError:
            self._circuit.failed(monotonic())
            raise SourceUnavailable("the source is away") from None
        except SourceAnswerRefused as refusal:
            if refusal.fact != "unexpected_column":
                self._circuit.succeeded()
            raise
        self._circuit.succeeded()
        return record

    def is_available(self) -> bool:
        """Return whether the source answers now, within a second; asks it even when the circuit is open."""
        try:
            self._reader.ping(PING_SECONDS)
        except (DatabaseError, SourceAnswerRefused):
            return False
        return True

    def circuit_state(self) -> str:
        """Return closed, open or half_open, for the operators' metrics."""
        return self._circuit.state(monotonic())

    def sql(self, key_field: str, columns: Sequence[str]) -> str:
        """Return the SQL that a fetch by si_number, personal_id or person_key of these columns runs."""
        return self._reader.sql(key_field, tuple(columns))

    def close(self) -> None:
        """Close the connections of this process."""
        self._reader.close()


def _looked_up(key: LookupKey) -> tuple[str, str]:
    """Return the column and value to look up; an empty column when no person can have such a key.

    Raises SourceAnswerRefused (unexpected_column) for a field by which nobody can be looked up.
    """
    field, value = key.field, key.value
    if field == "hi_card":
        field = _CARD_KEYS.get(len(value), "")
        value = value[-10:] if len(value) == 15 else value
    if field == "person_key":
        is_number = len(value) <= 19 and value.isascii() and value.isdigit() and str(int(value)) == value
        return (field, value) if is_number and int(value) <= _HIGHEST_PERSON_KEY else ("", "")
    if field in _DIGITS:
        return (
            (field, value)
            if len(value) == _DIGITS[field] and value.isascii() and value.isdigit()
            else ("", "")
        )
    if field:
        raise SourceAnswerRefused("unexpected_column", f"nobody can be looked up by {field}")
    return "", ""
