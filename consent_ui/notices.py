"""What was shown before a choice, as evidence: its version, and a hash that anybody can make again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from broker.consent.record import Notice
from broker.evidence.canonical import Json, canonical_bytes
from consent_ui.words import Words

NOTICE_VERSION: Final = "3"
"""Of the pages' wording; raised when what they say changes its meaning."""


def hash_of_shown(page: str, content: Mapping[str, Json], words: Words) -> str:
    """Return the SHA-256 (hex) of all that a page says of a request: RFC 8785 bytes of one object.

    page: "decision", "consent", "child", "extension" or "change". content: every member of the page's view,
    without the boxes that are ticked, and never a value of a record: of so few possible values a hash would
    give them away.
    """
    shown: dict[str, Json] = {
        "page": page,
        "version": NOTICE_VERSION,
        "language": words.language,
        "content": content,
    }
    return hashlib.sha256(canonical_bytes(shown)).hexdigest()


def notice_of(rendered_hash: str, words: Words, served_at: datetime) -> Notice:
    """Return the notice of a page. served_at: when it was shown, not when it was answered."""
    return Notice(
        version=NOTICE_VERSION,
        language=words.language,
        rendered_hash=rendered_hash,
        served_at=served_at,
    )
