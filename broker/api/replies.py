"""Answers of resources that are no problem: JSON that nobody keeps, nothing at all, and instants in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from broker.api.problems import Reply

NO_STORE: Final = (("Cache-Control", "no-store"),)
JSON_HEADERS: Final = (("Content-Type", "application/json"), *NO_STORE)
JWT_HEADERS: Final = (("Content-Type", "application/jwt"), *NO_STORE)
EMPTY: Final = Reply(204, NO_STORE, b"")


def json_reply(document: Mapping[str, Any], status: int = 200) -> Reply:
    """Return a JSON document as an answer, letters beyond ASCII as they are."""
    return Reply(status, JSON_HEADERS, json.dumps(document, ensure_ascii=False).encode())


def instant_text(at: datetime) -> str:
    """Return an aware instant as RFC 3339 writes it, in UTC and whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
