"""The evidence entry of a look into the evidence itself: who looked at what, whose it is, by what right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from broker.evidence.shapes import (
    Shape,
    check_shape,
    is_code,
    is_hash,
    is_id,
    is_instant,
    is_keyed_hash,
    is_reference,
    one_of,
    or_empty,
    or_null,
    shaped_bytes,
)

READ_SCHEMA_VERSION: Final = 1
Reader: TypeAlias = Literal["own", "operator", "auditor", "portal"]
What: TypeAlias = Literal["history", "evidence_file", "entry_count", "decision", "export"]
"""A person's history; one entry with what opens it; how many there are; a decision made again; a period."""
_OWN: Final = frozenset({"history", "evidence_file"})

_SHAPE: Final[Shape] = {
    "acting_person": or_null(is_keyed_hash),
    "agreement": or_empty(is_code),
    "agreement_revision": or_empty(is_hash),
    "at": is_instant,
    "client": or_empty(is_id),
    "data_subject_commit": or_null(is_hash),
    "entry": or_empty(is_reference),
    "legal_basis": is_code,
    "period_begin": or_empty(is_instant),
    "period_end": or_empty(is_instant),
    "reader": one_of(get_args(Reader)),
    "recipient": or_empty(is_id),
    "reference": is_reference,
    "what": one_of(get_args(What)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRead:
    """Who looked at what.

    reader: the person's own look, an operator's or auditor's, or that of a portal where the person is signed
    in, as it says: then client, recipient and agreement (with its revision's hash) are told, else "".
    data_subject_commit: hex; None where no one person's history was read, or nobody could say whose.
    legal_basis: code of the right to look. entry: reference of the one entry that was read, "" for more than
    one. period_begin, period_end: of what was exported or counted, the end not included; both or none.
    acting_person: keyed hash in hex of the operator or auditor, None for the others. All instants aware.
    """

    reference: str
    at: datetime
    reader: Reader
    what: What
    legal_basis: str
    data_subject_commit: str | None
    entry: str = ""
    period_begin: datetime | None = None
    period_end: datetime | None = None
    acting_person: str | None = None
    client: str = ""
    recipient: str = ""
    agreement: str = ""
    agreement_revision: str = ""


def log_read_entry_bytes(read: LogRead) -> bytes:
    """Return the RFC 8785 bytes of an entry. Raises ValueError for a value that is not of its form."""
    members: dict[str, Json] = {
        "acting_person": read.acting_person,
        "agreement": read.agreement,
        "agreement_revision": read.agreement_revision,
        "at": instant_text(read.at),
        "client": read.client,
        "data_subject_commit": read.data_subject_commit,
        "entry": read.entry,
        "legal_basis": read.legal_basis,
        "period_begin": _instant_or_empty(read.period_begin),
        "period_end": _instant_or_empty(read.period_end),
        "reader": read.reader,
        "recipient": read.recipient,
        "reference": read.reference,
        "what": read.what,
    }
    content = shaped_bytes("log_read", READ_SCHEMA_VERSION, _SHAPE, members)
    _check_reader(members)
    _check_what(members)
    return content


def check_log_read_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    check_shape(entry, "log_read", READ_SCHEMA_VERSION, _SHAPE)
    _check_reader(entry)
    _check_what(entry)


def _check_reader(entry: Mapping[str, object]) -> None:
    is_own, acting_person = entry["reader"] == "own", entry["acting_person"]
    if is_own and (acting_person is not None or entry["data_subject_commit"] is None):
        raise ValueError("reader does not fit: one's own look is at oneself, and nobody else acts")
    is_portal = entry["reader"] == "portal"
    if not is_own and (acting_person is None) != is_portal:
        raise ValueError("reader does not fit: an operator or auditor is somebody, a portal is none")
    told = [entry[name] != "" for name in ("client", "recipient", "agreement", "agreement_revision")]
    if not (all(told) if is_portal else not any(told)):
        raise ValueError("reader does not fit: a portal asks under an agreement, and nobody else does")
    if is_portal and entry["what"] != "history":
        raise ValueError("reader does not fit what was read")
    if is_own and entry["what"] not in _OWN:
        raise ValueError("reader does not fit what was read")


def _check_what(entry: Mapping[str, object]) -> None:
    what, begin, end = entry["what"], str(entry["period_begin"]), str(entry["period_end"])
    if (what in ("decision", "evidence_file")) != (entry["entry"] != ""):
        raise ValueError("entry does not fit what was read")
    # Instants of one spelling: their order is that of the texts.
    if (what in ("export", "entry_count")) != (begin != "" and begin < end) or (begin == "") != (end == ""):
        raise ValueError("period does not fit what was read")


def _instant_or_empty(at: datetime | None) -> str:
    return "" if at is None else instant_text(at)
