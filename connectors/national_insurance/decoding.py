"""From what a driver gives to the typed values of a record; anything else is a refusal, never a guess.

Three ways lead here: PostgreSQL's text format (bytes), JSON inside it, and the Python values of another
driver. A refusal names the field and never the value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TypeAlias

from sqlalchemy import BigInteger, Boolean, Date, Integer, String

from connectors.base import SourceAnswerRefused
from connectors.national_insurance.schema import SourceField
from policies.model import Value

FromText: TypeAlias = Callable[[bytes], Value]
FromPython: TypeAlias = Callable[[object], Value]

_BOOLEANS = {b"t": True, b"f": False}
_KINDS: dict[type, str] = {
    Date: "date",
    Boolean: "boolean",
    Integer: "integer",
    BigInteger: "integer",
    String: "text",
}


def _day_from_text(raw: bytes) -> date:
    return date.fromisoformat(raw.decode())


def _boolean_from_text(raw: bytes) -> bool:
    try:
        return _BOOLEANS[raw]
    except KeyError:
        raise ValueError from None


_FROM_TEXT: dict[str, FromText] = {
    "date": _day_from_text,
    "boolean": _boolean_from_text,
    "integer": int,
    "text": bytes.decode,
}


def _exactly(kind: type) -> FromPython:
    def check(value: object) -> Value:
        if value is not None and type(value) is not kind:
            raise ValueError
        return value  # type: ignore[return-value] # its type was just checked

    return check


def _day_from_json(value: object) -> Value:
    if value is None:
        return None
    if type(value) is not str:
        raise ValueError
    return date.fromisoformat(value)


_FROM_PYTHON: dict[str, FromPython] = {
    "date": _exactly(date),
    "boolean": _exactly(bool),
    "integer": _exactly(int),
    "text": _exactly(str),
}
_FROM_JSON: dict[str, FromPython] = {**_FROM_PYTHON, "date": _day_from_json}


def from_text(field: SourceField) -> FromText:
    """Return the decoder of a field from PostgreSQL's text format; it raises ValueError for a wrong type."""
    return _FROM_TEXT[_KINDS[type(field.type)]]


def from_json(field: SourceField) -> FromPython:
    """Return the decoder of a field from JSON; it raises ValueError for a wrong type."""
    return _FROM_JSON[_KINDS[type(field.type)]]


def from_python(field: SourceField) -> FromPython:
    """Return the check of a field that a driver gave as a Python value; ValueError for a wrong type."""
    return _FROM_PYTHON[_KINDS[type(field.type)]]


def instant(value: object) -> datetime:
    """Return the aware instant of the last synchronisation; one without a zone is UTC (SQLite keeps none)."""
    if isinstance(value, bytes):
        try:
            value = datetime.fromisoformat(value.decode())
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise SourceAnswerRefused("wrong_type", "the source does not say when it was synchronised")
    return value if value.tzinfo else value.replace(tzinfo=UTC)
