"""The evidence entry of a look into the evidence itself: who looked at whose history, and by what right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_hash,
    is_instant,
    is_keyed_hash,
    is_reference,
    one_of,
    or_null,
    shaped_bytes,
)

READ_SCHEMA_VERSION: Final = 1
Reader: TypeAlias = Literal["own", "operator", "auditor"]

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "at": is_instant,
    "data_subject_commit": or_null(is_hash),
    "legal_basis": is_code,
    "reader": one_of(get_args(Reader)),
    "reference": is_reference,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRead:
    """Who looked at whose history.

    reader: the person's own look, or an operator's or auditor's. data_subject_commit: hex; None where no one
    person's history was read, but the log as a whole. legal_basis: code of the right to look.
    acting_person: keyed hash in hex of the operator or auditor, None for one's own look. at: aware UTC.
    """

    reference: str
    at: datetime
    reader: Reader
    legal_basis: str
    data_subject_commit: str | None
    acting_person: str | None = None


def log_read_entry_bytes(read: LogRead) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    content = shaped_bytes(
        "log_read",
        READ_SCHEMA_VERSION,
        _SHAPE,
        {
            "acting_person": read.acting_person,
            "at": instant_text(read.at),
            "data_subject_commit": read.data_subject_commit,
            "legal_basis": read.legal_basis,
            "reader": read.reader,
            "reference": read.reference,
        },
    )
    _check_reader(read.reader, read.acting_person, read.data_subject_commit)
    return content


def check_log_read_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "log_read", READ_SCHEMA_VERSION, _SHAPE)
    _check_reader(entry["reader"], entry["acting_person"], entry["data_subject_commit"])


def _check_reader(reader: object, acting_person: object, data_subject_commit: object) -> None:
    if reader == "own" and (acting_person is not None or data_subject_commit is None):
        raise ValueError("reader does not fit: one's own look is at oneself, and nobody else acts")
    if reader != "own" and acting_person is None:
        raise ValueError("reader does not fit: an operator or auditor is somebody")
