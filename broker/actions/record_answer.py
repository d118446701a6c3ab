"""The words of an answer with fields of a record: every value with its form, its source and its instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from broker.actions.matter import Matter
from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from policies.model import Decision, Released, Value


def told_fields(decision: Decision, released: Released, source: str, as_of: datetime) -> dict[str, Json]:
    """Return the members fields and groups: each value with its form, its source and when it was true."""
    instant = instant_text(as_of)
    ends: dict[str, dict[str, Json]] = {
        one.field: {"form": one.form.name, "source": source, "as_of": instant} for one in decision.released
    }
    return {
        "fields": _told(released.fields, ends),
        "groups": {group: [_told(row, ends) for row in rows] for group, rows in released.groups.items()},
    }


def shared_content(
    matter: Matter, told: Mapping[str, Json], as_of: datetime, retention_days: int, reference: str
) -> dict[str, Json]:
    """Return the answer of a consented release: these members and no others.

    told: fields and groups. retention_days: of the consent; the agreement's if that is shorter.
    """
    decision, consent = matter.decision, matter.consent
    days = min(retention_days, decision.retention_days)
    return {
        **told,
        "as_of": instant_text(as_of),
        "consent_id": None if consent is None else consent.consent_id,
        "evidence_reference": reference,
        "legal_basis": decision.legal_basis,
        "purpose": decision.purpose,
        "retention": {"days": days, "until": (matter.on_date + timedelta(days=days)).isoformat()},
        "withheld": [{"field": one.field, "reason": one.reason} for one in decision.withheld],
    }


def json_value(value: Value) -> Json:
    """Return a value as JSON: days as ISO 8601, instants as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else value


def _told(values: Mapping[str, Value], ends: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    return {name: {"value": json_value(value), **ends[name]} for name, value in values.items()}
