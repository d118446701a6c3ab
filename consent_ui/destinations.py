"""Where a sign-in leads: to a request that waits for a decision, or to a page of the citizen's own.

`next` in forms and addresses names it: a handle, or one of the words below. Nothing that comes from outside
is ever an address to go to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.oauth.authorization_request import AuthorizationRequest
from consent_ui.addresses import (
    COMPLAINTS_RULE,
    CONSENTS_RULE,
    HISTORY_RULE,
    HOME_RULE,
    PASSKEYS_RULE,
    RECEIPTS_RULE,
    RECORD_RULE,
    REPRESENTATION_RULE,
    SESSIONS_RULE,
)

OWN_PAGES: Final[Mapping[str, str]] = {
    "home": HOME_RULE,
    "sessions": SESSIONS_RULE,
    "passkeys": PASSKEYS_RULE,
    "receipts": RECEIPTS_RULE,
    "who_saw": HISTORY_RULE,
    "record": RECORD_RULE,
    "complaints": COMPLAINTS_RULE,
    "representation": REPRESENTATION_RULE,
    "consents": CONSENTS_RULE,
}
"""Name in `next` → path of a page that whoever is signed in may open."""
HOME: Final = "home"
"""Where a sign-in leads that was asked for nothing else."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One of them. name: as in `next`. asked_for: the request that waits, None for an own page."""

    name: str
    asked_for: AuthorizationRequest | None

    @property
    def level(self) -> int:
        """Return the level that is needed there to give consent."""
        return 1 if self.asked_for is None else self.asked_for.level
