"""Evidence entries: one closed schema per kind, no free text, never a field's value.

`Release` says what left, `Refusal` what did not and why. Both name who asked, under which agreement and
legal basis, and commit to the data subject and to the payload without telling either (commitments are
salted; the salts lie beside the log).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from broker.evidence.canonical import ENTRY_BYTES_MAX, INTEGER_MAX, Json, trusted_bytes
from broker.evidence.shapes import is_instant

SCHEMA_VERSION: Final = 1
LOG_STOPPED_RULE: Final = "emergency:log_stopped"
"""Among the determining rules of a release: it was recorded while the log stood still, which ends what is
ordinary. No agreement can have a rule of this form."""

Kind: TypeAlias = Literal["release", "refusal"]
Result: TypeAlias = Literal["released", "answered_without_data", "refused", "error"]

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:>=<\-]{0,79}")
# What clients and organisations may be called has a tilde beside (`broker.oauth.client_authentication`).
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~>=<\-]{0,79}")
_CODE_OR_NONE: Final = re.compile(rf"({_CODE.pattern})?")
_REFERENCE: Final = re.compile(r"[0-9a-f]{32,64}")
_RULE: Final = re.compile(r"[A-Za-z0-9_.:/>=<\-]{1,160}")
_FORMS: Final = {
    **dict.fromkeys(("client", "recipient"), _NAME),
    **dict.fromkeys(("action", "reference", "request_id"), _CODE),
    **dict.fromkeys(("purpose", "legal_basis", "agreement", "reason"), _CODE_OR_NONE),
    "agreement_revision": re.compile(r"([0-9a-f]{64})?"),
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who asked for what, when, under which rules: what releases and refusals share.

    at: aware UTC instant. acting_person, encounter: keyed hashes in hex, or None. agreement_revision: the
    revision's SHA-256. All identifiers are the broker's own codes.
    """

    reference: str
    request_id: str
    at: datetime
    client: str
    recipient: str
    acting_person: str | None
    encounter: str | None
    action: str
    purpose: str
    legal_basis: str
    agreement: str
    agreement_revision: str
    consent: str | None = None
    consent_version: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    released: (field, form) pairs that left; withheld: (field, reason) pairs that were asked for and stayed.
    reason: stable code; empty for a plain release. Commitments: hex, or None where there is nothing to
    commit to.
    """

    kind: Kind
    result: Result
    reason: str
    released: tuple[tuple[str, str], ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()
    determining_rules: tuple[str, ...] = ()
    data_subject_commit: str | None = None
    payload_commit: str | None = None


def entry_object(circumstances: Circumstances, outcome: Outcome) -> dict[str, Json]:
    """Return the entry's closed set of members, each always present."""
    return {
        "acting_person": circumstances.acting_person,
        "action": circumstances.action,
        "agreement": circumstances.agreement,
        "agreement_revision": circumstances.agreement_revision,
        "at": instant_text(circumstances.at),
        "client": circumstances.client,
        "consent": circumstances.consent,
        "consent_version": circumstances.consent_version,
        "data_subject_commit": outcome.data_subject_commit,
        "determining_rules": outcome.determining_rules,
        "encounter": circumstances.encounter,
        "kind": outcome.kind,
        "legal_basis": circumstances.legal_basis,
        "payload_commit": outcome.payload_commit,
        "purpose": circumstances.purpose,
        "reason": outcome.reason,
        "recipient": circumstances.recipient,
        "reference": circumstances.reference,
        "released": outcome.released,
        "request_id": circumstances.request_id,
        "result": outcome.result,
        "schema": SCHEMA_VERSION,
        "withheld": outcome.withheld,
    }


def entry_bytes(circumstances: Circumstances, outcome: Outcome) -> bytes:
    """Return the RFC 8785 bytes of an entry, at most 65,535.

    Raises ValueError when the entry would be longer: it could not be logged, so nothing may leave.
    """
    content = trusted_bytes(entry_object(circumstances, outcome))
    if len(content) > ENTRY_BYTES_MAX:
        raise ValueError("the entry is too long for the log")
    return content


def in_emergency(content: bytes) -> bytes:
    """Return a release's entry with LOG_STOPPED_RULE, behind the rules that it has.

    Raises ValueError when it would be too long for the log.
    """
    entry = json.loads(content)
    entry["determining_rules"].append(LOG_STOPPED_RULE)
    marked = trusted_bytes(entry)
    if len(marked) > ENTRY_BYTES_MAX:
        raise ValueError("the entry is too long for the log")
    return marked


def without_emergency(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a decoded entry as it would be had the log been at work."""
    rules = [one for one in entry["determining_rules"] if one != LOG_STOPPED_RULE]
    return {**entry, "determining_rules": rules}


def instant_text(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC with milliseconds: 2026-11-22T00:15:04.123Z."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds")[:-6] + "Z"


def check_entry(entry: Mapping[str, object]) -> None:
    """Raise ValueError unless a decoded entry has exactly the members and shapes of this schema."""
    if entry.keys() != _MEMBERS:
        raise ValueError("members differ: " + ", ".join(sorted(entry.keys() ^ _MEMBERS)))
    # Each member has a form of its own below, so nothing needs `check_closed`: a whole log is read this way.
    _check_words(entry)
    for name in ("data_subject_commit", "payload_commit"):
        value = entry[name]
        if value is not None and (not isinstance(value, str) or not _HASH.fullmatch(value)):
            raise ValueError(f"{name} is a SHA-256 in hex, or null")
    # By its type too: to Python `true` is 1.
    if type(entry["schema"]) is not int or entry["schema"] != SCHEMA_VERSION:
        raise ValueError("schema is not known")
    if not is_instant(entry["at"]):
        raise ValueError("at is no instant that exists")
    _check_consent(entry["consent"], entry["consent_version"])


def _check_consent(consent: object, version: object) -> None:
    if consent is not None and (not isinstance(consent, str) or not _CODE.fullmatch(consent)):
        raise ValueError("consent is an id, or null")
    if version is not None and (type(version) is not int or not 0 <= version <= INTEGER_MAX):
        raise ValueError("consent_version is a number, or null")


def _check_words(entry: Mapping[str, object]) -> None:
    if entry["kind"] not in ("release", "refusal"):
        raise ValueError("kind is not known")
    if entry["result"] not in ("released", "answered_without_data", "refused", "error"):
        raise ValueError("result is not known")
    for name in ("released", "withheld"):
        pairs = entry[name]
        if not isinstance(pairs, list | tuple) or not all(_is_pair(pair) for pair in pairs):
            raise ValueError(f"{name} is a list of pairs of codes")
    for name, form in _FORMS.items():
        value = entry[name]
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"{name} is not of its form")
    for name in ("acting_person", "encounter"):
        value = entry[name]
        if value is not None and (not isinstance(value, str) or not _REFERENCE.fullmatch(value)):
            raise ValueError(f"{name} is a keyed hash in hex, or null")
    rules = entry["determining_rules"]
    if not isinstance(rules, list | tuple) or not all(
        isinstance(r, str) and _RULE.fullmatch(r) for r in rules
    ):
        raise ValueError("determining_rules is a list of rule ids")


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(word, str) and _CODE.fullmatch(word) for word in pair)
    )


_SHAPE: Final = Circumstances(
    "r", "r", datetime(2026, 1, 1, tzinfo=UTC), "c", "r", None, None, "", "", "", "", ""
)
_MEMBERS: Final = frozenset(entry_object(_SHAPE, Outcome("refusal", "refused", "")))
