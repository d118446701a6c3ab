"""What the token endpoint answers, taken apart and checked field by field."""

from __future__ import annotations

from typing import Any

from broker.oauth.jose import decode_object, decode_segment


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return decode_object(decode_segment(header.encode())), decode_object(decode_segment(payload.encode()))


def refused(answer: Any, error: str, status: int = 400) -> str:
    """Check an error answer field by field (RFC 6749, 5.2) and return its description."""
    assert answer.status_code == status, answer.data
    assert answer.content_type.startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_json()
    assert set(body) == {"error", "error_description"}, body
    assert body["error"] == error, body
    allowed = set(range(0x20, 0x22)) | set(range(0x23, 0x5C)) | set(range(0x5D, 0x7F))
    assert {ord(character) for character in body["error_description"]} <= allowed
    return str(body["error_description"])
