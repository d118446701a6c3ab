"""An entry of evidence as one line of the Common Event Format, version 0 (ArcSight; keys of its dictionary).

In the header a backslash and a pipe are escaped; in a value of the extension a backslash, an equals sign and
a line's end, written as a backslash with n or r. The header has no line's end. Other control characters and
the separators U+0085, U+2028 and U+2029, at which some readers end a line, become spaces everywhere.
"""

from __future__ import annotations

import re
from typing import Final

from broker.evidence.security_event import SecurityEvent

_SEVERITIES: Final = {"released": 3, "answered_without_data": 2, "refused": 5, "error": 7}
_NAMES: Final = {
    "release": "Data released or answered",
    "refusal": "Release refused",
    "consent": "Consent changed",
    "policy_change": "Sharing agreement changed",
    "key_event": "Key changed",
    "administration": "Act of administration",
    "export": "Statistics asked for or taken",
    "log_read": "Evidence looked at",
    "erasure": "Erasure asked for",
}
_CONTROLS: Final = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_CUSTOM_CHARACTERS_MAX: Final = 4_000
"""Length of a device custom string in the dictionary."""


def cef_line(event: SecurityEvent, *, vendor: str, product: str, version: str) -> str:
    """Return the event on one line, without the line's end."""
    head = (
        "CEF:0",
        header_value(vendor),
        header_value(product),
        header_value(version),
        header_value(f"{event.kind}.{event.result}"),
        header_value(_NAMES.get(event.kind, "Evidence recorded")),
        str(_SEVERITIES.get(event.result, 1)),
    )
    pairs = " ".join(f"{key}={extension_value(value)}" for key, value in _extension(event) if value)
    return "|".join((*head, pairs))


def header_value(text: str) -> str:
    """Return a text as it stands between two pipes of the header."""
    flat = _CONTROLS.sub(" ", text).replace("\r", " ").replace("\n", " ")
    return flat.replace("\\", "\\\\").replace("|", "\\|")


def extension_value(text: str) -> str:
    """Return a text as it stands behind the equals sign of a key."""
    flat = _CONTROLS.sub(" ", text).replace("\\", "\\\\").replace("=", "\\=")
    return flat.replace("\r", "\\r").replace("\n", "\\n")


def _extension(event: SecurityEvent) -> list[tuple[str, str]]:
    agreement = f"{event.agreement}@{event.agreement_revision}" if event.agreement else ""
    custom = (
        ("recipient", event.recipient),
        ("purpose", event.purpose),
        ("legalBasis", event.legal_basis),
        ("agreement", agreement),
        ("released", _told(event.released)),
        ("withheld", _told(event.withheld)),
    )
    told = [
        ("rt", str(int(event.at.timestamp() * 1000))),
        ("externalId", event.reference),
        ("cat", event.kind),
        ("act", event.operation),
        ("outcome", event.result),
        ("reason", event.reason),
        ("sourceServiceName", event.client),
        ("suid", event.acting_person),
    ]
    for number, (label, value) in enumerate(custom, start=1):
        told += [(f"cs{number}Label", label if value else ""), (f"cs{number}", value)]
    for number, (label, value) in enumerate(
        (("target", event.target), ("given", _told(event.given))), start=1
    ):
        told += [(f"flexString{number}Label", label if value else ""), (f"flexString{number}", value)]
    return told


def _told(pairs: tuple[tuple[str, str], ...]) -> str:
    """Return pairs as one text, as many as fit: the rest is counted, never cut off in silence."""
    words: list[str] = []
    length = 0
    for at, (name, word) in enumerate(pairs):
        told = f"{name}:{word}"
        length += len(told) + 1
        if length > _CUSTOM_CHARACTERS_MAX - len(",and 99999 more"):
            return ",".join((*words, f"and {len(pairs) - at} more"))
        words.append(told)
    return ",".join(words)
