"""What a person reads of the own evidence: entries as values, and what may be looked for among them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from broker.evidence.entry import LOG_STOPPED_RULE
from policies.civil_time import midnight

Result: TypeAlias = Literal["released", "answered_without_data", "refused", "error"]
RESULTS: Final[tuple[Result, ...]] = get_args(Result)
LOOKS: Final = ("release", "refusal")
"""Kinds of entries that are somebody's look at the data, or the attempt; the others are notes about them."""
PAGE_SIZE: Final = 20
_EVENTS: Final = {"consent": "event", "administration": "act", "erasure": "result"}
"""Kind of a note → the member that says what happened."""
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CHART_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What is looked for. month: its first day, in Viet Nam's civil time, None for any.

    recipient, result: "" for any. before: reference (UUIDv7 text) of the entry after which the page begins,
    "" for the newest. is_everything: every entry about the person, of whatever kind; else looks alone.
    """

    month: date | None = None
    recipient: str = ""
    result: str = ""
    before: str = ""
    is_everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One entry about a person. at: aware UTC. recipient_names: Vietnamese and English, "" if unknown.

    kind: of the entry. A release or refused attempt has a result; any other has an event instead, a word of
    its kind, and of the rest what its kind knows. released: (field, form); withheld: (field, reason).
    consent: id, "" without. has_acting_person: whether a member of the recipient's staff was named.
    in_emergency: whether it was recorded although the log stood.
    """

    reference: str
    at: datetime
    recipient: str
    recipient_names: tuple[str, str]
    action: str
    purpose: str
    legal_basis: str
    agreement: str
    result: Result | Literal[""]
    reason: str
    released: tuple[tuple[str, str], ...]
    withheld: tuple[tuple[str, str], ...]
    consent: str
    has_acting_person: bool
    kind: str = "release"
    event: str = ""
    in_emergency: bool = False

    @property
    def is_look(self) -> bool:
        """Whether somebody looked, or tried to."""
        return self.kind in LOOKS


@dataclass(frozen=True, slots=True)
class HistoryCount:
    """How often one recipient came in one month. month: its first day; is_released: some data left."""

    month: date
    recipient: str
    recipient_names: tuple[str, str]
    is_released: bool
    count: int


@dataclass(frozen=True, slots=True)
class KeptOpening:
    """An entry (RFC 8785 bytes) with what opens its commitments, for whom it is about.

    ref: keyed hash of that person. The salts have 32 bytes; None where the entry commits to nothing.
    """

    entry: bytes
    ref: bytes
    data_subject_salt: bytes | None
    payload_salt: bytes | None


def history_entry(entry: bytes, recipient_names: tuple[str, str]) -> HistoryEntry:
    """Return an entry of the log about a person (RFC 8785 bytes, of any kind) as a value."""
    held: Mapping[str, Any] = json.loads(entry)
    kind = held["kind"]
    return HistoryEntry(
        reference=held["reference"],
        at=datetime.fromisoformat(held["at"]),
        recipient=held.get("recipient", ""),
        recipient_names=recipient_names,
        action=held.get("action", ""),
        purpose=held.get("purpose", ""),
        legal_basis=held.get("legal_basis", ""),
        agreement=held.get("agreement", ""),
        result=held["result"] if kind in LOOKS else "",
        reason=held.get("reason", ""),
        released=tuple((field, form) for field, form in held.get("released", ())),
        withheld=tuple((field, reason) for field, reason in held.get("withheld", ())),
        consent=held.get("consent") or "",
        has_acting_person=held.get("acting_person") is not None,
        kind=kind,
        event=_event(held, kind),
        in_emergency=LOG_STOPPED_RULE in held.get("determining_rules", ()),
    )


def _event(held: Mapping[str, Any], kind: str) -> str:
    """Return what an entry notes that is no look at data, "" for one that is."""
    if kind in LOOKS:
        return ""
    if kind == "log_read":
        # Who read; and what, where it was not the history.
        return str(held["reader"]) + ("" if held["what"] == "history" else f"_{held['what']}")
    return str(held[_EVENTS[kind]])


def month_bounds(month: date) -> tuple[str, str]:
    """Return the least references (UUIDv7, RFC 9562, 5.7) of a month of Viet Nam and of the next one."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return _least_reference(month), _least_reference(following)


def months_before(day: date, count: int) -> tuple[date, ...]:
    """Return the first days of so many months, the month of a day last."""
    last = day.year * 12 + day.month - 1
    return tuple(date(at // 12, at % 12 + 1, 1) for at in range(last - count + 1, last + 1))


def _least_reference(day: date) -> str:
    return least_reference(midnight(day))


def least_reference(at: datetime) -> str:
    """Return what no reference (UUIDv7, RFC 9562, 5.7) of an aware instant or later lies below."""
    return uuid_text(int(at.astimezone(UTC).timestamp() * 1000) << 80)


def is_reference(text: str) -> bool:
    """Return whether a text can be a reference: a UUID in its one spelling."""
    return _REFERENCE.fullmatch(text) is not None


def uuid_text(number: int) -> str:
    """Return a UUID's number of 128 bits as text (RFC 9562, 4)."""
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
