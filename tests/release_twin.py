"""What a release has to hold, found by the slow and obvious way: all tables in memory, person by person."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any, Final

from sqlalchemy import Engine, Table, select

from broker.statistics.collapsed import collapsed
from broker.statistics.dimensions import band_of
from broker.statistics.provinces import PROVINCES
from broker.statistics.sectors import section_of
from connectors.national_insurance import schema
from policies.provinces import OLD_PROVINCES

MONTHS: Final = (date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1))
LAST: Final = date(2026, 9, 30)
FAR: Final = date(9999, 1, 1)
Rows = set[tuple[int | str, ...]]


def rows_of(engine: Engine, secret: bytes) -> Rows:
    """Return person, record key, codes of the dimensions, and measures, for the third quarter of 2026."""
    contacts, cards = _by_person(engine, schema.contact), _by_person(engine, schema.health_insurance_card)
    lines, benefits = _by_person(engine, schema.contribution), _by_person(engine, schema.benefit)
    with engine.connect() as connection:
        industry = {
            row.unit_code: row.employer_industry for row in connection.execute(select(schema.employer))
        }
    found: Rows = set()
    for key, [person] in _by_person(engine, schema.person).items():
        born = person.birth_date
        if born is not None and born > LAST:
            continue
        age = -1
        while born is not None and date(born.year + age + 1, born.month, min(born.day, 28)) <= LAST:
            age += 1
        [contact] = contacts.get(key, [None])
        home = contact.province if contact and contact.province in PROVINCES else "_U"
        of_card = _card(cards.get(key, []))
        band = band_of(age) if born is not None and age <= 120 else "_U"
        sex = {"female": "F", "male": "M"}.get(person.sex, "_U")
        for month in MONTHS:
            sectors: dict[str, list[int]] = {}
            for line in lines.get(key, []):
                if line.contribution_from <= month <= (line.contribution_to or FAR):
                    unit = line.contribution_unit_code
                    sector = "_Z" if not unit else section_of(industry.get(unit)) or "_U"
                    had = sectors.get(sector, [0, 0])
                    sectors[sector] = [
                        had[0] + (line.contribution_amount or 0), had[1] + (line.salary_base or 0)
                    ]  # fmt: skip
            paid = sum(one.benefit_amount or 0 for one in benefits.get(key, []) if _is_paid(one, month))
            best = sorted(sectors, key=lambda name: (-sectors[name][1], _place(name)))[:1]
            for sector in sectors or ["_Z"]:
                amount, salary = sectors.get(sector, [0, 0])
                is_best = [sector] == best or not sectors
                found.add(
                    (
                        *collapsed(secret, str(key)),
                        f"{month:%Y-%m}",
                        home,
                        sex,
                        band,
                        sector,
                        *of_card,
                        amount,
                        salary,
                        paid if is_best else 0,
                        int(bool(sectors)),
                    )
                )
    return found


def _card(cards: list[Any]) -> tuple[str, str, str]:
    valid = [
        one
        for one in cards
        if one.valid_from <= LAST
        and (one.valid_to is None or one.valid_to >= LAST)
        and one.card_status in ("active", "child_without_card")
    ]
    if not valid:
        return "_Z", "_Z", "_Z"
    newest = max(valid, key=lambda one: (one.valid_from, one.line_number))
    facility = newest.primary_facility or ""
    is_known = len(facility) == 5 and facility[:2] in OLD_PROVINCES
    return newest.payer_group or "_U", newest.benefit_level or "_U", facility[:2] if is_known else "_U"


def _is_paid(one: Any, month: date) -> bool:
    begins = one.benefit_from.replace(day=1)
    if one.benefit_kind == "pension":
        return bool(begins <= month and (one.benefit_to is None or one.benefit_to >= month))
    return bool(begins == month)


def _place(sector: str) -> int:
    return [*"ABCDEFGHIJKLMNOPQRSTU", "_Z", "_U"].index(sector)


def _by_person(engine: Engine, table: Table) -> dict[int, list[Any]]:
    found = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(select(table)):
            found[row.person_key].append(row)
    return dict(found)
