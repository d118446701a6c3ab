"""An entry of evidence as a SIEM needs it: who did what, with what result; of staff a keyed hash alone.

Both formats are made from this one value, so neither can tell more than it holds. What could lead to a data
subject stays out: commitments, encounters, ids of consents, request ids, and who acts for a child.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_BY_STAFF: Final = frozenset({"verify_entitlement"})
"""Actions whose acting person is of a recipient's staff; elsewhere it may be a parent, who is a citizen."""
_SCALARS: Final = ("purpose", "legal_basis", "agreement", "agreement_revision", "recipient")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One entry. kind, operation, result, reason: closed words; at: aware UTC.

    client, recipient: "" for nobody. acting_person: keyed hash of a staff member in hex, "" where nobody was
    named. released: field and form; withheld: field and reason.
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


def security_event(entry: Mapping[str, Any]) -> SecurityEvent:
    """Return what may be told of an entry; of a kind that is unknown here no more than that it is."""
    kind = str(entry["kind"])
    common = {name: str(entry.get(name) or "") for name in _SCALARS}
    is_decision = kind in ("release", "refusal")
    if not is_decision and kind != "consent":
        common = dict.fromkeys(_SCALARS, "")
    return SecurityEvent(
        reference=str(entry["reference"]),
        at=datetime.fromisoformat(entry["at"]),
        kind=kind,
        operation=_operation(entry, kind),
        result=str(entry["result"]) if is_decision else "recorded",
        reason=str(entry["reason"]) if is_decision else "",
        client=str(entry["client"]) if is_decision or kind == "consent" else "",
        acting_person=str(entry["acting_person"] or "") if entry.get("action") in _BY_STAFF else "",
        determining_rules=tuple(entry["determining_rules"]) if is_decision else (),
        released=_pairs(entry["released"]) if is_decision else (),
        withheld=_pairs(entry["withheld"]) if is_decision else (),
        **common,
    )


def _operation(entry: Mapping[str, Any], kind: str) -> str:
    if kind == "consent":
        return f"consent_{entry['event']}"
    return str(entry["action"]) if kind in ("release", "refusal") else kind


def _pairs(pairs: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(word)) for name, word in pairs)
