"""An entry of evidence as a SIEM needs it: who did what, with what result; of staff a keyed hash alone.

Both formats are made from this one value, so neither can tell more than it holds. What could lead to a data
subject stays out: commitments, encounters, ids of consents, complaints and notices, request ids, and who acts
for a child.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_BY_STAFF: Final = frozenset({"verify_entitlement", "export_statistics"})
"""Actions whose acting person is of a recipient's staff; elsewhere it may be a parent, who is a citizen."""
_EVENTS: Final = {
    "consent": "event",
    "policy_change": "event",
    "key_event": "event",
    "administration": "act",
    "export": "step",
    "log_read": "what",
    "erasure": "result",
}
"""Kind that is no decision → the member that says what was done."""
_BY_OFFICE: Final = frozenset(
    {"policy_change", "key_event", "administration", "export", "log_read", "erasure"}
)
"""Kinds whose acting person, if one is named, is an operator, an auditor, or of a recipient's staff."""
_BY_CLIENTS: Final = frozenset({"consent", "administration", "export", "log_read"})
"""Kinds beside decisions that name the client through which something came, if it was one."""
_TARGETS: Final = frozenset({"organisation", "client", "staff", "log"})
"""Kinds of targets that are nobody's among the citizens."""
_SCALARS: Final = ("purpose", "legal_basis", "agreement", "agreement_revision", "recipient")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One entry. kind, operation, result, reason: closed words; at: aware UTC.

    client, recipient: "" for nobody. acting_person: keyed hash of a staff member or operator in hex, "" where
    nobody was named. released: field and form; withheld: field and reason. target: what an act was done to,
    its kind first, "" for nothing that may be told; given: what it has from now on.
    """

    reference: str
    at: datetime
    kind: str
    operation: str
    result: str
    reason: str
    client: str
    recipient: str
    acting_person: str
    purpose: str
    legal_basis: str
    agreement: str
    agreement_revision: str
    determining_rules: tuple[str, ...]
    released: tuple[tuple[str, str], ...]
    withheld: tuple[tuple[str, str], ...]
    target: str = ""
    given: tuple[tuple[str, str], ...] = ()


def security_event(entry: Mapping[str, Any]) -> SecurityEvent:
    """Return what may be told of an entry; of a kind that is unknown here no more than that it is."""
    kind = str(entry["kind"])
    is_decision = kind in ("release", "refusal")
    return SecurityEvent(
        reference=str(entry["reference"]),
        at=datetime.fromisoformat(entry["at"]),
        kind=kind,
        operation=_operation(entry, kind),
        result=_result(entry, kind),
        reason=str(entry.get("reason") or ""),
        client=str(entry["client"]) if is_decision or kind in _BY_CLIENTS else "",
        acting_person=_acting_person(entry, kind),
        determining_rules=tuple(entry["determining_rules"]) if is_decision else (),
        released=_pairs(entry["released"]) if is_decision else (),
        withheld=_pairs(entry["withheld"]) if is_decision else (),
        target=_target(entry, kind),
        given=_pairs(entry["given"]) if kind == "administration" else (),
        **_scalars(entry, kind),
    )


def _scalars(entry: Mapping[str, Any], kind: str) -> dict[str, str]:
    if kind in ("release", "refusal", "consent", "export", "log_read"):
        return {name: str(entry.get(name) or "") for name in _SCALARS}
    told = dict.fromkeys(_SCALARS, "")
    if kind == "policy_change":
        return {
            **told,
            "agreement": str(entry["agreement"]),
            "agreement_revision": str(entry["new_revision"]),
        }
    return told


def _result(entry: Mapping[str, Any], kind: str) -> str:
    if kind in ("release", "refusal"):
        return str(entry["result"])
    return "refused" if kind == "export" and entry["step"] == "refused" else "recorded"


def _operation(entry: Mapping[str, Any], kind: str) -> str:
    if kind in ("release", "refusal"):
        return str(entry["action"])
    if kind == "administration":
        return str(entry["act"])
    return f"{kind}_{entry[_EVENTS[kind]]}" if kind in _EVENTS else kind


def _acting_person(entry: Mapping[str, Any], kind: str) -> str:
    is_told = kind in _BY_OFFICE or entry.get("action") in _BY_STAFF
    return str(entry["acting_person"] or "") if is_told else ""


def _target(entry: Mapping[str, Any], kind: str) -> str:
    if kind == "key_event":
        return f"{entry['purpose']}:{entry['kid']}"
    if kind == "export":
        return f"statistics:{entry['release'] or ''}"
    is_told = kind == "administration" and entry["target_kind"] in _TARGETS
    return f"{entry['target_kind']}:{entry['target']}" if is_told else ""


def _pairs(pairs: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(word)) for name, word in pairs)
