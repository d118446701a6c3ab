"""Finds synthetic persons for each interesting case, for the demo, the tests and the bench.

Cases are recognised by what the tables say, not by how the population was made, so they hold after any
change to it. Works on every dialect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from connectors.national_insurance.decoding import instant
from connectors.national_insurance.schema import health_insurance_card, person
from connectors.national_insurance.statements import synchronised_at
from policies.civil_time import civil_date

_OLD = health_insurance_card.alias("old_card")
_NEW = health_insurance_card.alias("new_card")
_TWIN = person.alias("twin")
_COMBINING = ("\u0300", "\u0301", "\u0302", "\u0303", "\u0306", "\u0309", "\u031b", "\u0323")
_STATUSES = (
    "revoked",
    "decreased",
    "decreased_moved_province",
    "decreased_moved_within",
    "decreased_reincreased",
    "decreased_stopped",
    "child_without_card",
)


@dataclass(frozen=True, slots=True)
class SyntheticCard:
    """One card of a synthetic person. hi_card: as printed. hi_card_15: in the form of 15 characters."""

    hi_card: str
    hi_card_15: str
    card_status: str
    managed_by: str
    valid_from: date
    valid_to: date
    primary_facility: str


@dataclass(frozen=True, slots=True)
class SyntheticPerson:
    """A synthetic person with what a hospital would send, and the cards in the order of the source."""

    person_key: int
    personal_id: str
    si_number: str
    full_name: str
    birth_date: date
    birth_precision: Literal["day", "month", "year"]
    sex: Literal["male", "female"]
    cards: tuple[SyntheticCard, ...]


def find_cases(
    connection: Connection, per_case: int, on_date: date | None = None
) -> dict[str, list[SyntheticPerson]]:
    """Return up to per_case persons of each case, by case name, lowest person_key first.

    on_date: the day on which cards count as valid or expired; None takes the day of the last
    synchronisation. `valid` persons have one card in force and nothing odd about them. A case that the
    population does not hold has an empty list.
    """
    today = on_date or civil_date(instant(connection.execute(synchronised_at()).scalar()))
    keys = {name: _keys(connection, condition, per_case) for name, condition in _conditions(today).items()}
    persons = _persons(connection, sorted({key for found in keys.values() for key in found}))
    return {name: [persons[key] for key in found] for name, found in keys.items()}


def _in_force(card: Any, today: date) -> ColumnElement[bool]:
    return and_(card.c.card_status == "active", card.c.valid_from <= today, card.c.valid_to >= today)


def _conditions(today: date) -> Mapping[str, ColumnElement[bool]]:
    """Return what makes each case, over a person, the first card, and the second card where there is one."""
    decomposed = or_(*(person.c.full_name.contains(mark) for mark in _COMBINING))
    apostrophe = person.c.full_name.contains("'")
    has_twin = exists().where(
        _TWIN.c.si_number == person.c.si_number, _TWIN.c.person_key != person.c.person_key
    )
    even = func.substr(person.c.personal_id, 4, 1).in_(("0", "2", "4"))
    swapped = or_(and_(even, person.c.sex == "female"), and_(~even, person.c.sex == "male"))
    fabricated = or_(
        person.c.birth_date < date(1900, 1, 1),
        and_(person.c.birth_date == date(2020, 1, 1), person.c.old_id.is_not(None)),
    )
    single, paired = _NEW.c.person_key.is_(None), _NEW.c.previous_card.is_not(None)
    agency = _OLD.c.managed_by == "insurance_agency"
    odd = or_(decomposed, apostrophe, has_twin, swapped, fabricated, person.c.birth_precision != "day")
    valid = and_(_in_force(_OLD, today), single, agency, ~odd)
    return {
        "valid": valid,
        "valid_card_10": and_(valid, func.length(_OLD.c.hi_card) == 10),
        "valid_card_12": and_(valid, func.length(_OLD.c.hi_card) == 12),
        "valid_card_15": and_(valid, func.length(_OLD.c.hi_card) == 15),
        "expired": and_(_OLD.c.card_status == "active", _OLD.c.valid_to < today, single, agency),
        "pair_003": and_(paired, _OLD.c.valid_to < today, _in_force(_NEW, today)),
        "pair_004": and_(paired, _in_force(_OLD, today), _NEW.c.valid_from > today),
        "two_valid_cards": and_(
            _NEW.c.previous_card.is_(None), _in_force(_OLD, today), _in_force(_NEW, today)
        ),
        "name_with_diacritics": and_(valid, person.c.full_name.startswith("Nguyễn")),
        "name_nfd": decomposed,
        "name_with_apostrophe": apostrophe,
        "year_only_birth": person.c.birth_precision == "year",
        "month_only_birth": person.c.birth_precision == "month",
        "fabricated_birth": fabricated,
        "swapped_sex": swapped,
        "duplicate_si_number": has_twin,
        "defence": _OLD.c.managed_by == "defence",
        "public_security": _OLD.c.managed_by == "public_security",
        **{status: _OLD.c.card_status == status for status in _STATUSES},
    }


def _keys(connection: Connection, condition: ColumnElement[bool], limit: int) -> Sequence[int]:
    statement = (
        select(person.c.person_key)
        .join(_OLD, and_(_OLD.c.person_key == person.c.person_key, _OLD.c.line_number == 1))
        .outerjoin(_NEW, and_(_NEW.c.person_key == person.c.person_key, _NEW.c.line_number == 2))
        .where(condition)
        .order_by(person.c.person_key)
        .limit(limit)
    )
    return connection.execute(statement).scalars().all()


def _persons(connection: Connection, keys: Sequence[int]) -> dict[int, SyntheticPerson]:
    cards: dict[int, list[SyntheticCard]] = defaultdict(list)
    card = health_insurance_card.c
    statement = (
        select(
            card.person_key,
            card.hi_card,
            card.hi_card_15,
            card.card_status,
            card.managed_by,
            card.valid_from,
            card.valid_to,
            card.primary_facility,
        )
        .where(card.person_key.in_(keys))
        .order_by(card.person_key, card.line_number)
    )
    for key, *values in connection.execute(statement):
        cards[key].append(SyntheticCard(*values))
    who = person.c
    people = select(
        who.person_key,
        who.personal_id,
        who.si_number,
        who.full_name,
        who.birth_date,
        who.birth_precision,
        who.sex,
    ).where(who.person_key.in_(keys))
    return {row[0]: SyntheticPerson(*row, cards=tuple(cards[row[0]])) for row in connection.execute(people)}
