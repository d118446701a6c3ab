"""Where a sign-in leads: to a request that waits for a decision, or to a page of the citizen's own.

`next` in forms and addresses names it: a handle, or one of the words below. Nothing that comes from outside
is ever an address to go to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from broker.oauth.authorization_request import AuthorizationRequest
from consent_ui.addresses import (
    CHANGE_RULE,
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

CONSENTS: Final = "consents"
OWN_PAGES: Final[Mapping[str, str]] = {
    "home": HOME_RULE,
    "sessions": SESSIONS_RULE,
    "passkeys": PASSKEYS_RULE,
    "receipts": RECEIPTS_RULE,
    "who_saw": HISTORY_RULE,
    "record": RECORD_RULE,
    "complaints": COMPLAINTS_RULE,
    "representation": REPRESENTATION_RULE,
    CONSENTS: CONSENTS_RULE,
}
"""Name in `next` → path of a page that whoever is signed in may open."""
PAGES_OF_CONSENTS: Final[Mapping[str, str]] = {"change": CHANGE_RULE}
"""Word before the id of a consent in `next` → path of a page of that consent."""
HOME: Final = "home"
"""Where a sign-in leads that was asked for nothing else."""


def page_of_consent(word: str, consent_id: str) -> str:
    """Return what `next` says for a page of a consent. word: of PAGES_OF_CONSENTS.

    consent_id: as it came; for what is no id at all, the list.
    """
    try:
        return f"{word}.{UUID(consent_id)}"
    except ValueError:
        return CONSENTS


def own_path(name: str) -> str | None:
    """Return the path of an own page that `next` names, None for any other name.

    A page of a consent is ours whoever's the consent is: it says of another's what it says of nobody's.
    """
    word, _, consent_id = name.partition(".")
    rule = PAGES_OF_CONSENTS.get(word)
    if rule is None or page_of_consent(word, consent_id) != name:
        return OWN_PAGES.get(name)
    return rule.replace("<consent_id>", consent_id)


@dataclass(frozen=True, slots=True)
class Destination:
    """One of them. name: as in `next`. asked_for: the request that waits, None for an own page."""

    name: str
    asked_for: AuthorizationRequest | None

    @property
    def level(self) -> int:
        """Return the level that is needed there to give consent."""
        return 1 if self.asked_for is None else self.asked_for.level
