"""What is asked at the desk, and whether it fits the person whom the source holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from broker.actions.card_numbers import CardNumber
from broker.actions.entitlement_outcome import BIRTH_DATE_WRONG, NAME_NEAR, NAME_WRONG, EntitlementOutcome
from broker.actions.person_match import BirthDate, NameMatch, Precision, match_birth_dates, match_names
from policies.model import Record

COMPARABLE: Final = frozenset({"full_name", "birth_date"})
"""Fields that this verb can compare; an agreement that wants another one matched is refused."""
_PRECISIONS: Final[dict[str, Precision]] = {"day": "day", "month": "month", "year": "year"}


@dataclass(frozen=True, slots=True)
class EntitlementQuestion:
    """One card to check, as presented at the desk on service_date."""

    number: CardNumber
    full_name: str
    birth_date: BirthDate
    service_date: date
    encounter_reference: str


def match_person(
    question: EntitlementQuestion, record: Record, must_match: Sequence[str]
) -> EntitlementOutcome | None:
    """Return the first mismatch, or None when what must match fits what the source holds."""
    if "full_name" in must_match:
        name = record.fields.get("full_name")
        match = match_names(question.full_name, name) if isinstance(name, str) else NameMatch.DIFFERENT
        if match is not NameMatch.EQUAL:
            return NAME_NEAR if match is NameMatch.INITIALS else NAME_WRONG
    return _match_birth_date(question, record) if "birth_date" in must_match else None


def _match_birth_date(question: EntitlementQuestion, record: Record) -> EntitlementOutcome | None:
    birth_date = record.fields.get("birth_date")
    precision = _PRECISIONS.get(str(record.fields.get("birth_precision")))
    if not isinstance(birth_date, date) or precision is None:
        return BIRTH_DATE_WRONG
    fits = match_birth_dates(question.birth_date, BirthDate(birth_date, precision))
    return None if fits else BIRTH_DATE_WRONG
