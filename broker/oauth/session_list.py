"""A citizen's own sessions: which there are, and how they end."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What a citizen sees of a session. handle: names it in forms. browser: which kind, "" unknown.

    last_seen_at: exact to a minute.
    """

    handle: str
    level: int
    authenticated_at: datetime
    last_seen_at: datetime
    method: str
    browser: str


class SessionStore(Protocol):
    """Where sessions are kept; `broker.storage.citizen_sessions` implements it.

    Every method raises StoreUnavailable.
    """

    def list_sessions(self, citizen_id: str, at: datetime) -> Sequence[SessionSummary]:
        """Return the sessions of a citizen that have not ended, the newest first."""
        ...

    def end_one(self, citizen_id: str, handle: str) -> bool:
        """End one session of this citizen's own; return whether there was one."""
        ...

    def end_all(self, citizen_id: str) -> int:
        """End all sessions of a citizen at one instant; return how many."""
        ...


def session_handle_of(session_ref: bytes) -> str:
    """Return the handle of a session (64 hexadecimal digits): a hash of its reference, no way in."""
    return hashlib.sha256(session_ref).hexdigest()
