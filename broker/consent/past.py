"""In which state a consent was at one of its former versions, as the chain of its events tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from broker.consent.chain import verify_chain
from broker.consent.writing import ChainedEvent

_BY_TIME: Final = frozenset({"unanswered", "unsigned", "confirmation_due", "valid_to", "unconfirmed"})
"""Reasons of what time alone does: it is written down with the next change, under the instant it fell due."""


def state_then(events: Sequence[ChainedEvent], version: int, at: datetime) -> str:
    """Return the state in which a consent was at a former version, at an instant.

    events: all of them, in order. What time had done by then belongs to it, although it was written down
    under the next version. Raises ConsentChainBroken where the events are not as they were written.
    """
    verify_chain(events)
    state = ""
    for event in events:
        told: dict[str, Any] = orjson.loads(event.entry)
        details = told["details"]
        was_due = told["version"] == version + 1 and details.get("reason") in _BY_TIME
        if told["version"] <= version or (was_due and datetime.fromisoformat(told["at"]) <= at):
            state = details.get("state", state)
    return state
