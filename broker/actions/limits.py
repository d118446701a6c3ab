"""Which counters one release raises, and in which order, so that no two releases wait in a circle."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from broker.evidence.recording import CounterStep
from policies.civil_time import day_start_seconds
from policies.model import Limit

HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400


class LimitNotCountable(Exception):
    """The agreement limits something that this request does not name; nothing may leave uncounted."""


def counter_steps(
    limits: Iterable[Limit],
    *,
    now_seconds: int,
    agreement_id: str,
    client_id: str,
    staff_ref: bytes | None,
    data_subject_refs: Iterable[bytes | None],
) -> tuple[CounterStep, ...]:
    """Return the counters that one request raises: client, then acting person, then data subjects by key.

    data_subject_refs: one per item asked; None where nobody was found, which counts for client and acting
    person only. Raises LimitNotCountable when a limit per acting person stands but nobody is named.
    """
    subjects = list(data_subject_refs)
    agreement = agreement_id.encode()
    day, hour = day_start_seconds(now_seconds), now_seconds - now_seconds % HOUR_SECONDS
    bounds = {limit.scope: limit.count for limit in limits}
    steps: list[CounterStep] = []
    if (bound := bounds.get("client_day")) is not None:
        key = _client_ref(agreement, client_id)
        steps.append(CounterStep(key, day, DAY_SECONDS, len(subjects), bound, "client_day"))
    if (bound := bounds.get("acting_person_hour")) is not None:
        if staff_ref is None:
            raise LimitNotCountable("acting_person_hour")
        key = counter_ref(b"acting_person_hour", agreement, staff_ref)
        steps.append(CounterStep(key, hour, HOUR_SECONDS, len(subjects), bound, "acting_person_hour"))
    if (bound := bounds.get("data_subject_day")) is not None:
        found = [subject for subject in subjects if subject is not None]
        asked = Counter(found) if len(found) > 1 else dict.fromkeys(found, 1)
        keyed = sorted([(_subject_ref(agreement, client_id, who), count) for who, count in asked.items()])
        steps += [
            CounterStep(key, day, DAY_SECONDS, count, bound, "data_subject_day") for key, count in keyed
        ]
    return tuple(steps)


@lru_cache(maxsize=4096)
def _client_ref(agreement: bytes, client_id: str) -> bytes:
    return counter_ref(b"client_day", agreement, client_id.encode())


def _subject_ref(agreement: bytes, client_id: str, data_subject_ref: bytes) -> bytes:
    """Per client: what one hospital asks about a person must not keep the person out of another."""
    return counter_ref(b"data_subject_day", agreement, b"%b\x1f%b" % (client_id.encode(), data_subject_ref))


def counter_ref(scope: bytes, agreement: bytes, who: bytes) -> bytes:
    """Key of one counter (16 bytes). Persons come in as keyed references, so the hash needs no key."""
    return hashlib.sha256(b"%b\x1f%b\x1f%b" % (scope, agreement, who)).digest()[:16]


def retry_after_seconds(limit_names: Iterable[str], now_seconds: int) -> int:
    """Return after how many seconds all the named limits have begun a new window (at least 1)."""
    waits = [
        (HOUR_SECONDS - now_seconds % HOUR_SECONDS)
        if name == "acting_person_hour"
        else day_start_seconds(now_seconds) + DAY_SECONDS - now_seconds
        for name in limit_names
    ]
    return max(waits, default=1)
