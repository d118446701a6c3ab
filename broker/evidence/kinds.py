"""Every kind of entry that the log knows, and the one check of bytes that claim to be an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from broker.evidence.administration_entry import check_administration_entry
from broker.evidence.canonical import ENTRY_BYTES_MAX, trusted_bytes
from broker.evidence.consent_entry import check_consent_entry
from broker.evidence.entry import check_entry
from broker.evidence.erasure_entry import check_erasure_entry
from broker.evidence.export_entry import check_export_entry
from broker.evidence.key_entry import check_key_entry
from broker.evidence.log_read_entry import check_log_read_entry
from broker.evidence.policy_entry import check_policy_entry
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.spelling import spelt_instant

CHECKS: Final[Mapping[str, Callable[[Mapping[str, object]], None]]] = {
    "release": check_entry,
    "refusal": check_entry,
    "consent": check_consent_entry,
    "policy_change": check_policy_entry,
    "key_event": check_key_entry,
    "administration": check_administration_entry,
    "export": check_export_entry,
    "log_read": check_log_read_entry,
    "erasure": check_erasure_entry,
}
"""The check of each kind: raises ValueError unless the members and their shapes are exactly the kind's."""


def check_any(entry: Mapping[str, object]) -> None:
    """Raise EvidenceInvalid unless a decoded entry is one of a known kind, and closed.

    Reasons: entry_kind_unknown, entry_schema.
    """
    kind = entry.get("kind")
    check = CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise EvidenceInvalid("entry_kind_unknown")
    try:
        check(entry)
    except ValueError as broken:
        raise EvidenceInvalid("entry_schema", str(broken)) from None


def parse_entry(content: bytes) -> Mapping[str, Any]:
    """Return the entry in bytes of the log, checked: length, RFC 8785, kind, members, shapes.

    Raises EvidenceInvalid: entry_too_long, entry_not_canonical, entry_kind_unknown, entry_schema.
    """
    if len(content) > ENTRY_BYTES_MAX:
        raise EvidenceInvalid("entry_too_long")
    try:
        entry = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise EvidenceInvalid("entry_not_canonical", "this is no JSON") from None
    if not isinstance(entry, dict):
        raise EvidenceInvalid("entry_not_canonical", "an entry is an object")
    check_any(entry)
    # Written again it must be the same: no white space, no member twice, no other order or spelling. Every
    # schema is closed, so nothing in it could be written in another way by the RFC than by this encoder.
    if trusted_bytes(entry) != content:
        raise EvidenceInvalid("entry_not_canonical", "the RFC spells it in another way")
    return entry


def checked_instant(content: bytes) -> str:
    """Return when an entry in bytes of the log says that it was, checked exactly as `parse_entry` does it.

    For those who look at every entry of a log: releases and refusals are recognised without being decoded.
    Raises EvidenceInvalid like `parse_entry`.
    """
    at = spelt_instant(content)
    if at is None:
        at = str(parse_entry(content)["at"])
    return at
