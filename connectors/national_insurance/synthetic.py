"""A synthetic population for the insurance database: the same seed gives the same rows, and nobody is real.

The population is made in parts of `PART_PERSONS`, each from its own stream of chance and in a fixed order,
so memory does not grow with it. It is true for one day, `as_of`; today's date plays no part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import numpy as np

from connectors.national_insurance import synthetic_work as work
from connectors.national_insurance.schema import SOURCE_NAME
from connectors.national_insurance.synthetic_cards import draw_cards
from connectors.national_insurance.synthetic_dice import Cell, Dice, day_of, month_of, rows_text, texts
from connectors.national_insurance.synthetic_people import CASES, Crowd, Registry, draw_crowd
from connectors.national_insurance.synthetic_records import (
    FULL_NAME,
    contact_cells,
    family_cells,
    household_cells,
    person_cells,
)

PART_PERSONS = 10_000
MOST_PERSONS = 100_000_000
"""Beyond this SI numbers would repeat."""
DEFAULT_AS_OF = date(2026, 11, 1)
"""The day for which the population is true when none is given: fixed, so that results can be compared."""
GENERATION = 2
"""Changes whenever the same seed gives other rows than before."""
_EMPLOYERS, _PERSONS = 0, 1


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table, in the text format of COPY, and how many there are."""

    table: str
    text: bytes
    rows: int


@dataclass(slots=True)
class Manifest:
    """What was generated: rows per table, persons per case, and one hash over all rows in their order."""

    persons: int
    seed: int
    as_of: date
    tables: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    sha256: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as what the manifest file holds."""
        return {
            "generation": GENERATION,
            "persons": self.persons,
            "seed": self.seed,
            "as_of": self.as_of.isoformat(),
            "tables": dict(sorted(self.tables.items())),
            "cases": {name: self.cases[name] for name in CASES},
            "sha256": self.sha256,
        }


def generate(manifest: Manifest) -> Iterator[Part]:
    """Yield the rows of the population that a manifest names, and complete the manifest while doing so.

    The order is fixed: employers, persons part by part, and last the state of the source. Raises ValueError
    for a number of persons outside 1 .. MOST_PERSONS, a negative seed, or a day before 2010 or after 2090.
    """
    if not 1 <= manifest.persons <= MOST_PERSONS:
        raise ValueError(f"between 1 and {MOST_PERSONS} persons can be made")
    if manifest.seed < 0 or not 2010 <= manifest.as_of.year <= 2090:
        raise ValueError("the seed is not negative, and the day lies in the years 2010 to 2090")
    digest = sha256()
    for part in _parts(manifest):
        digest.update(part.table.encode() + b"\n" + part.text)
        manifest.tables[part.table] += part.rows
        yield part
    manifest.sha256 = digest.hexdigest()


def synchronised_at(as_of: date) -> datetime:
    """Return when the synthetic source was last synchronised: six in the morning of its day, in Viet Nam."""
    return datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) - timedelta(hours=1)


def _parts(manifest: Manifest) -> Iterator[Part]:
    employers = max(20, manifest.persons // work.PERSONS_PER_EMPLOYER)
    for number, first in enumerate(range(0, employers, PART_PERSONS)):
        dice = Dice(manifest.seed, _EMPLOYERS, number)
        yield _part("employer", work.employer_cells(dice, first, min(PART_PERSONS, employers - first)))
    registry = Registry()
    for number, first in enumerate(range(0, manifest.persons, PART_PERSONS)):
        dice = Dice(manifest.seed, _PERSONS, number)
        count = min(PART_PERSONS, manifest.persons - first)
        crowd = draw_crowd(dice, registry, first, count, day_of(manifest.as_of), manifest.seed)
        for name, occurrences in zip(CASES, np.bincount(crowd.case, minlength=len(CASES)), strict=True):
            manifest.cases[name] += int(occurrences)
        yield from _person_parts(dice, crowd, manifest.as_of, employers)
    state: list[Cell] = [[texts([SOURCE_NAME])], [texts([synchronised_at(manifest.as_of).isoformat()])]]
    yield _part("source_state", state)


def _person_parts(dice: Dice, crowd: Crowd, as_of: date, employers: int) -> Iterator[Part]:
    """Yield the rows of all tables that speak of persons, for one part of the population."""
    today, this_month = day_of(as_of), month_of(as_of)
    workers = work.draw_workers(dice, crowd, this_month, employers)
    working = np.zeros(len(crowd), dtype=np.bool_)
    working[workers.holder] = True
    persons = person_cells(dice, crowd, working)
    yield _part("person", persons)
    yield _part("contact", contact_cells(dice, crowd))
    yield _part("household_member", household_cells(crowd))
    yield _part("family_member", family_cells(dice, crowd, persons[FULL_NAME]))
    yield _part("health_insurance_card", draw_cards(dice, crowd, today, as_of))
    yield _part("social_insurance", work.social_insurance_cells(crowd, workers, this_month))
    yield _part("contribution", work.contribution_cells(dice, crowd, workers))
    yield _part("unemployment_period", work.unemployment_cells(dice, crowd, workers))
    yield _part("benefit", work.benefit_cells(dice, crowd, workers, today))
    yield _part("bank_account", work.bank_cells(dice, crowd, workers))


def _part(table: str, cells: list[Cell]) -> Part:
    return Part(table, rows_text(cells), len(cells[0][0]))
