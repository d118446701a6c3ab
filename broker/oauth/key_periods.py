"""How long keys sign and stay published, and why (NIST SP 800-57 part 1, 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from broker.oauth.stored_keys import Purpose

PUBLISHED_FOR: Final[Mapping[Purpose, timedelta]] = {
    # The longest access token lives 300 s; a minute more for clocks.
    "access_token": timedelta(seconds=360),
    # A receipt is shown when a claim is disputed, years later.
    "receipt": timedelta(days=3650),
    # Read on arrival, and good for 300 s.
    "id_token": timedelta(days=1),
    "introspection": timedelta(days=1),
    # What a recipient was told, and when, may be disputed well after the time that it had to obey.
    "security_event": timedelta(days=365),
    # Citizens keep it, and show it when it is disputed what they agreed to.
    "consent_receipt": timedelta(days=3650),
    # Never in the key set, but kept: proofs under its checkpoints are shown years later.
    "log": timedelta(days=3650),
}
"""How long a public key stays published after its key has signed for the last time."""

REFRESH_SECONDS: Final = 30
LEAD_REFRESHES: Final = 3
"""How many refreshes a successor is published before it signs.

One until every worker has loaded it; one for clients, which may have fetched the keys just before from such a
worker and keep them for max-age; one for a slow store and for clocks.
"""
