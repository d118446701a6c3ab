"""The words of an entitlement answer: these members and no others, whatever is stored."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

from broker.actions.entitlement_outcome import EntitlementOutcome
from broker.actions.matter import Matter
from broker.evidence.canonical import Json
from broker.evidence.entry import instant_text
from policies.civil_time import VIET_NAM
from policies.model import Record, Released, Value

CARD_GROUP: Final = "hi_cards"


def answer_content(
    matter: Matter,
    outcome: EntitlementOutcome,
    record: Record | None,
    released: Released,
    reference: str,
) -> dict[str, Json]:
    """Return the answer: these members and no others, whatever is stored."""
    content: dict[str, Json] = {
        "as_of": instant_text(matter.context.at) if record is None else _as_of(record.as_of),
        "evidence_reference": reference,
        "gateway_code": outcome.gateway_code,
        "outcome": outcome.name,
        "valid_until": _end_of_day(matter.on_date),
    }
    rows = released.groups.get(CARD_GROUP, ())
    for name, row in zip(("card", "new_card"), rows, strict=False):
        content[name] = {field: _json(value) for field, value in row.items()}
    return content


@lru_cache(maxsize=8)
def _end_of_day(day: date) -> str:
    """An answer may be relied on until the civil day of the check ends; then the hospital asks again."""
    return instant_text(datetime.combine(day + timedelta(days=1), time(), VIET_NAM))


@lru_cache(maxsize=8)
def _as_of(instant: datetime) -> str:
    """The source's last synchronisation, mostly that of the answer before."""
    return instant_text(instant)


def _json(value: Value) -> Json:
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else value
