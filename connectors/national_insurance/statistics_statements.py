"""Which SELECTs read many persons for statistics: by ranges of person_key, a fixed number for each batch.

Nothing that names anybody is read: no name, no number, no address. Of cards, contributions and benefits only
those rows that the period touches.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, func, or_, select

from connectors.national_insurance.schema import (
    benefit,
    contact,
    contribution,
    employer,
    health_insurance_card,
    person,
)

Statement: TypeAlias = Select[*tuple[Any, ...]]

VALID_STATUSES: Final = ("active", "child_without_card")
"""Of cards that insure their holder: all others were revoked, or their holder was taken off."""


def count_persons() -> Statement:
    """Return how many persons there are, for a progress bar."""
    return select(func.count()).select_from(person)


def persons_after() -> Statement:
    """Return the next persons. Parameters: after (person_key), most (rows)."""
    return (
        select(person.c.person_key, person.c.birth_date, person.c.sex, contact.c.province)
        .select_from(person.outerjoin(contact, contact.c.person_key == person.c.person_key))
        .where(person.c.person_key > bindparam("after"))
        .order_by(person.c.person_key)
        .limit(bindparam("most"))
    )


def cards_between() -> Statement:
    """Return the cards of a range of persons that were valid on a day, of each the newest first.

    Parameters: after, last (person_key), on_day.
    """
    card = health_insurance_card.c
    return (
        select(card.person_key, card.payer_group, card.benefit_level, card.primary_facility)
        .where(
            _between(health_insurance_card),
            card.valid_from <= bindparam("on_day"),
            or_(card.valid_to >= bindparam("on_day"), card.valid_to.is_(None)),
            card.card_status.in_(VALID_STATUSES),
        )
        .order_by(card.person_key, card.valid_from.desc(), card.line_number.desc())
    )


def contributions_between() -> Statement:
    """Return the contributions of a range of persons that touch a period, with the unit's industry.

    Parameters: after, last (person_key), first_day, last_day.
    """
    line = contribution.c
    return (
        select(
            line.person_key,
            line.contribution_from,
            line.contribution_to,
            line.contribution_unit_code,
            employer.c.employer_industry,
            line.salary_base,
            line.contribution_amount,
        )
        .select_from(contribution.outerjoin(employer, employer.c.unit_code == line.contribution_unit_code))
        .where(
            _between(contribution),
            line.contribution_from <= bindparam("last_day"),
            or_(line.contribution_to >= bindparam("first_day"), line.contribution_to.is_(None)),
        )
        .order_by(line.person_key, line.line_number)
    )


def benefits_between() -> Statement:
    """Return the benefits of a range of persons that touch a period. Parameters: as of contributions."""
    line = benefit.c
    return (
        select(line.person_key, line.benefit_kind, line.benefit_from, line.benefit_to, line.benefit_amount)
        .where(
            _between(benefit),
            line.benefit_from <= bindparam("last_day"),
            or_(line.benefit_to >= bindparam("first_day"), line.benefit_to.is_(None)),
        )
        .order_by(line.person_key, line.line_number)
    )


def _between(table: Table) -> ColumnElement[bool]:
    return and_(table.c.person_key > bindparam("after"), table.c.person_key <= bindparam("last"))
