"""Station request: bytes → typed values. Strict JSON, closed schemas, faults by pointer, never by value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from marshmallow import Schema, ValidationError

from broker.errors import InputFault, RequestMalformed


class BodyUnreadable(Exception):
    """The body is not one JSON object in UTF-8, or names a member twice."""


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises BodyUnreadable for anything else: other JSON values, repeated names (RFC 8259, section 4), NaN,
    nesting without end, bytes that are not UTF-8, escapes for what is no character of a text (half a
    surrogate pair; NUL, at which a database would cut the text off).
    """
    try:
        value = _decode(body.decode("utf-8"))
        if b"\\u" in body:
            _check_text(value)
    except (ValueError, RecursionError):
        raise BodyUnreadable("the body is one JSON object in UTF-8, each name once") from None
    if not isinstance(value, dict):
        raise BodyUnreadable("the body is a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if b"\0" in value.encode("utf-8"):
            raise ValueError("a text holds NUL")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check_text(member)
    elif isinstance(value, list):
        for member in value:
            _check_text(member)


def _no_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


_decode: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).decode


def load(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema makes of an object. Raises RequestMalformed naming every fault by pointer."""
    try:
        return dict(schema.load(value))
    except ValidationError as invalid:
        raise RequestMalformed(tuple(_faults(invalid.messages, ""))) from None


def _faults(messages: Any, pointer: str) -> list[InputFault]:
    if isinstance(messages, Mapping):
        found: list[InputFault] = []
        for name, inner in messages.items():
            step = "" if name == "_schema" else f"/{_token(name)}"
            found += _faults(inner, pointer + step)
        return found
    texts = messages if isinstance(messages, list) else [messages]
    return [InputFault(pointer or "/", str(text)) for text in texts]


def _token(name: object) -> str:
    """One reference token of a JSON pointer; an unknown name is repeated only when it is a plain word."""
    text = str(name)
    return (
        text if len(text) <= 64 and text.replace("_", "").isalnum() and text.isascii() else "(unknown name)"
    )
