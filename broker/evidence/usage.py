"""A person's evidence in the shape of Estonia's Data Tracker (Andmejälgija): findUsage, version 2.0.0.

Source: `dumonitor-openapi-v2.yaml` of github.com/e-gov/AJ (MIT), read in full in a stored copy [S-full]; that
the portal of today asks by it is not verified [U]: a version 3.0.0 stands beside it as a release candidate.
Pure: nothing here reads the log or knows who asks (`broker.actions.find_usage` does both).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any, Final, Literal

from broker.errors import InputFault, RequestMalformed
from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from policies.civil_time import VIET_NAM

LIMIT_MAX: Final = 1_000
OFFSET_MAX: Final = 100_000
OWN_LOOKS: Final = "data_subject"
"""Recipient of a person's looks at the own record: nobody received anything."""
_PARAMETERS: Final = ("userCode", "periodStart", "periodEnd", "offset", "limit")
_USER_CODE: Final = re.compile(r"(?:VN)?([0-9]{12})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """What is asked: whose usage (12 digits), from and until when (aware, both included), which of it.

    is_own: whether the portal says that this very person is signed in there.
    """

    personal_id: str
    period_start: datetime | None = None
    period_end: datetime | None = None
    offset: int = 0
    limit: int = LIMIT_MAX
    is_own: bool = True

    def __repr__(self) -> str:
        """Without the person's number."""
        return f"UsageQuestion(offset={self.offset}, limit={self.limit})"


@dataclass(frozen=True, slots=True)
class UsageWords:
    """Codes of actions and purposes → how people call them, in one language."""

    actions: Mapping[str, str]
    purposes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Usage:
    """One answer that went to a recipient. at: aware UTC; system: the client that asked."""

    reference: str
    at: datetime
    action: str
    receiver_code: str
    receiver_name: str
    receiver_system: str

    def document(self) -> dict[str, Json]:
        """Return the usage as the service tells it."""
        told: dict[str, Json] = {
            "logtime": instant_text(self.at),
            "action": self.action,
            "receiverCode": self.receiver_code,
            "receiverSystem": self.receiver_system,
        }
        return {**told, "receiverName": self.receiver_name} if self.receiver_name else told


def usage_question(parameters: Mapping[str, str], user_id: str) -> UsageQuestion:
    """Return what a query asks. parameters: those of the query, each once; user_id: header X-Road-UserId.

    Whether the person asked about is the one who is signed in at the portal is told, not judged. A time
    without offset is one of Viet Nam.
    Raises RequestMalformed with the place and the remedy, never with a value.
    """
    faults = [
        InputFault(f"/{name}", "There is no such parameter.")
        for name in sorted(parameters.keys() - {*_PARAMETERS})
    ]
    person, caller = (_USER_CODE.fullmatch(code) for code in (parameters.get("userCode", ""), user_id))
    if person is None:
        faults.append(InputFault("/userCode", "A personal id of 12 digits is needed, with or without VN."))
    if caller is None:
        faults.append(InputFault("/X-Road-UserId", "The header must name whoever is signed in, as userCode."))
    start, end = (_instant(parameters, name, faults) for name in ("periodStart", "periodEnd"))
    if start is not None and end is not None and end < start:
        faults.append(InputFault("/periodEnd", "It must not lie before periodStart."))
    offset = _number(parameters, "offset", 0, range(OFFSET_MAX + 1), faults)
    limit = _number(parameters, "limit", LIMIT_MAX, range(1, LIMIT_MAX + 1), faults)
    if faults or person is None or caller is None:
        raise RequestMalformed(tuple(faults))
    return UsageQuestion(person[1], start, end, offset, limit, is_own=caller[1] == person[1])


def usage_of(entry: Mapping[str, Any], receiver_name: str, words: UsageWords) -> Usage | None:
    """Return an entry as a usage; None for what is none: a refusal, an event of a consent, one's own look.

    receiver_name: of the recipient, "" where it is not registered any more. An answer without data is a
    usage: the person's record was looked at. A code without words stands for itself.
    """
    if entry["kind"] != "release" or entry["recipient"] == OWN_LOOKS:
        return None
    action, purpose = str(entry["action"]), str(entry["purpose"])
    told = (words.actions.get(action, action), words.purposes.get(purpose, purpose))
    return Usage(
        reference=str(entry["reference"]),
        at=datetime.fromisoformat(entry["at"]),
        action=": ".join(word for word in told if word),
        receiver_code=str(entry["recipient"]),
        receiver_name=receiver_name,
        receiver_system=str(entry["client"]),
    )


def find_usage(usages: Iterable[Usage], question: UsageQuestion) -> dict[str, Json]:
    """Return the service's answer: how many there are in the period, and the newest of them, as asked.

    usages: of the one person, in any order. Holds no more than offset and limit together. Whom nobody knows
    has no usages, and is answered like somebody who has none.
    """
    total = 0

    def within() -> Iterable[Usage]:
        nonlocal total
        for usage in usages:
            if _is_within(usage.at, question):
                total += 1
                yield usage

    newest = nlargest(question.offset + question.limit, within(), key=lambda one: (one.at, one.reference))
    return {"totalUsages": total, "usages": [one.document() for one in newest[question.offset :]]}


def usage_period(oldest_at: datetime) -> dict[str, Json]:
    """Return the service's answer about since when entries are kept; without an end: until now."""
    return {"periodStart": instant_text(oldest_at)}


def heartbeat(*, is_well: bool) -> dict[str, Json]:
    """Return the service's answer about itself."""
    status: Literal["OK", "FAIL"] = "OK" if is_well else "FAIL"
    message = "evidence can be read" if is_well else "evidence cannot be read now"
    return {"status": status, "message": message}


def _is_within(at: datetime, question: UsageQuestion) -> bool:
    start, end = question.period_start, question.period_end
    return (start is None or start <= at) and (end is None or at <= end)


def _instant(parameters: Mapping[str, str], name: str, faults: list[InputFault]) -> datetime | None:
    text = parameters.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=VIET_NAM)
        # A day at the edge of the calendar has no instant in another zone.
        instant_text(moment)
    except (ValueError, OverflowError):
        faults.append(InputFault(f"/{name}", "A date and time is needed: 2026-11-22T10:20:30+07:00."))
        return None
    return moment


def _number(
    parameters: Mapping[str, str], name: str, default: int, allowed: range, faults: list[InputFault]
) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    number = int(text) if _NUMBER.fullmatch(text) else -1
    if number not in allowed:
        faults.append(
            InputFault(f"/{name}", f"A whole number from {allowed.start} to {allowed.stop - 1} is needed.")
        )
    return number
