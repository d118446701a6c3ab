"""An entry of evidence as one line of OCSF: class API Activity (6003) of version 1.3.0.

The class because every entry is an operation at an interface, asked for by a client (`actor.app_uid`) and
answered or refused; Datastore Activity would need a database or table, which is the source's matter. What the
class has no attribute for stands in `unmapped`, under the entry's own names.
"""

from __future__ import annotations

import json
from typing import Any, Final

from broker.evidence.security_event import SecurityEvent

SCHEMA_VERSION: Final = "1.3.0"
CLASS_UID: Final = 6003
CATEGORY_UID: Final = 6
_CREATE: Final = (1, "Create")
_READ: Final = (2, "Read")
_UPDATE: Final = (3, "Update")
_DELETE: Final = (4, "Delete")
_OTHER: Final = (99, "Other")
_ENDINGS: Final = (
    ("_registered", _CREATE),
    ("_created", _CREATE),
    ("_destroyed", _DELETE),
    ("_erased", _DELETE),
)
_READS: Final = frozenset({"complaint_read"})
_SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium"}
_BROKER: Final = "broker"


def ocsf_line(event: SecurityEvent, *, vendor: str, product: str, version: str) -> str:
    """Return the event as JSON on one line, ASCII only, without the line's end."""
    return json.dumps(ocsf_event(event, vendor=vendor, product=product, version=version), ensure_ascii=True)


def ocsf_event(event: SecurityEvent, *, vendor: str, product: str, version: str) -> dict[str, Any]:
    """Return the event as an OCSF object. vendor, product, version: of the program that tells it."""
    activity_id, activity = _activity(event)
    severity = _severity(event)
    is_failure = event.result in ("refused", "error")
    told: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity,
        "actor": _actor(event),
        "api": {"operation": event.operation, "service": {"name": _BROKER}},
        "category_name": "Application Activity",
        "category_uid": CATEGORY_UID,
        "class_name": "API Activity",
        "class_uid": CLASS_UID,
        "message": f"{event.operation}: {event.result}" + (f" ({event.reason})" if event.reason else ""),
        "metadata": {
            "event_code": event.kind,
            "log_name": "evidence",
            "original_time": event.at.isoformat(),
            "product": {"name": product, "vendor_name": vendor, "version": version},
            "uid": event.reference,
            "version": SCHEMA_VERSION,
        },
        "severity": _SEVERITIES[severity],
        "severity_id": severity,
        "src_endpoint": {"uid": event.client or _BROKER},
        "status": "Failure" if is_failure else "Success",
        "status_code": event.result,
        "status_id": 2 if is_failure else 1,
        "time": int(event.at.timestamp() * 1000),
        "type_name": f"API Activity: {activity}",
        "type_uid": CLASS_UID * 100 + activity_id,
        "unmapped": _unmapped(event),
    }
    if event.reason:
        told["status_detail"] = event.reason
    return told


def _activity(event: SecurityEvent) -> tuple[int, str]:
    if event.kind in ("release", "refusal"):
        return _READ
    if event.kind == "consent":
        return _CREATE if event.operation == "consent_requested" else _UPDATE
    if event.kind in ("export", "log_read") or event.operation in _READS:
        return _READ
    if event.kind not in ("administration", "policy_change", "key_event", "erasure"):
        return _OTHER
    return next((activity for end, activity in _ENDINGS if event.operation.endswith(end)), _UPDATE)


def _severity(event: SecurityEvent) -> int:
    """A refusal is worth a look, an outage more; what went as it should is information."""
    return {"refused": 2, "error": 3}.get(event.result, 1)


def _actor(event: SecurityEvent) -> dict[str, Any]:
    actor: dict[str, Any] = {"app_uid": event.client or _BROKER}
    if event.acting_person:
        actor["user"] = {"uid": event.acting_person}
    if event.agreement:
        policy = {"uid": event.agreement, "version": event.agreement_revision}
        decision = "denied" if event.result == "refused" else "allowed"
        actor["authorizations"] = [{"decision": decision, "policy": policy}]
    return actor


def _unmapped(event: SecurityEvent) -> dict[str, Any]:
    return {
        "determining_rules": list(event.determining_rules),
        "given": [{"what": what, "which": which} for what, which in event.given],
        "legal_basis": event.legal_basis,
        "purpose": event.purpose,
        "recipient": event.recipient,
        "released": [{"field": name, "form": form} for name, form in event.released],
        "target": event.target,
        "withheld": [{"field": name, "reason": reason} for name, reason in event.withheld],
    }
