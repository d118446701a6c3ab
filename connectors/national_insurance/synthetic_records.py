"""The groups held once per person, and the family, of the synthetic population."""

from __future__ import annotations

from datetime import date

import numpy as np

from connectors.national_insurance.synthetic_dice import (
    Cell,
    Dice,
    Flags,
    Ints,
    constant,
    day_of,
    days,
    digits,
    month_start,
    texts,
    unless,
    years_of,
)
from connectors.national_insurance.synthetic_names import (
    DECOMPOSED,
    ETHNICITY,
    TITLE,
    UPPER,
    names,
)
from connectors.national_insurance.synthetic_numbers import (
    identity_numbers,
    made_up_identities,
    si_numbers,
)
from connectors.national_insurance.synthetic_people import CASE, Crowd
from connectors.national_insurance.synthetic_places import (
    address,
    commune_code,
    draw_provinces,
    new_code,
    old_code,
)

FULL_NAME = 4
"""Position of the name among the columns of `person`."""
_SEXES = texts(["male", "female"])
_PRECISIONS = texts(["day", "month", "year"])
_ROLES = texts(["head", "member"])
_RELATIONS = texts(["mother", "father", "spouse"])
_PHONE_PREFIXES = texts(["032", "035", "070", "077", "081", "086", "090", "091", "096", "098"])
_HOUSEHOLD_SIZE = 4
_PARENTS_OLDER = (18, 45)
_FABRICATED = {
    "fabricated_birth_1752": day_of(date(1752, 1, 1)),
    "fabricated_birth_2020": day_of(date(2020, 1, 1)),
}


def person_cells(dice: Dice, crowd: Crowd, working: Flags) -> list[Cell]:
    """Return the columns of `person`; working: who has a tax code."""
    count = len(crowd)
    born, precision = _written_birth(crowd)
    adult = crowd.age >= 16
    woman = crowd.woman ^ (crowd.case == CASE["swapped_sex"])
    writing = np.where(dice.chance(0.15, count), UPPER, TITLE)
    writing[crowd.case == CASE["name_with_apostrophe"]] = TITLE
    writing[crowd.case == CASE["name_nfd"]] = DECOMPOSED
    has_old_id = adult & (dice.chance(0.7, count) | crowd.is_case(*_FABRICATED))
    born_in = np.where(dice.chance(0.12, count), draw_provinces(dice, count), crowd.place)
    return [
        [digits(crowd.keys, 10)],
        identity_numbers(crowd),
        unless(~has_old_id, [digits(dice.below(10**9, count), 9)]),
        si_numbers(crowd),
        names(dice, crowd.people, crowd.woman, writing),
        [days(born)],
        [_PRECISIONS[precision]],
        [_SEXES[woman.astype(np.int64)]],
        [ETHNICITY[crowd.people]],
        [np.where(dice.chance(0.002, count), np.bytes_(b"LA"), np.bytes_(b"VN"))],
        old_code(crowd.place),
        old_code(born_in),
        unless(~working, [digits(8_000_000_000 + dice.below(10**9, count), 10)]),
    ]


def _written_birth(crowd: Crowd) -> tuple[Ints, Ints]:
    """Return the birth date as the database has it, and its precision (0 day, 1 month, 2 year).

    A date of lower precision is held as its first day. Fabricated dates contradict the identity number.
    """
    born = crowd.born.copy()
    precision = np.zeros(len(crowd), dtype=np.int64)
    year_only = crowd.case == CASE["year_only_birth"]
    month_only = crowd.case == CASE["month_only_birth"]
    year = years_of(born)
    january = (year - 1750) * 12
    born[year_only] = month_start(january[year_only])
    month = january + np.minimum(11, (crowd.born - month_start(january)) // 31)
    born[month_only] = month_start(month[month_only])
    precision[year_only], precision[month_only] = 2, 1
    for name, day in _FABRICATED.items():
        born[crowd.case == CASE[name]] = day
    return born, precision


def contact_cells(dice: Dice, crowd: Crowd) -> list[Cell]:
    """Return the columns of `contact`: province and commune by the division since 1 July 2025."""
    count = len(crowd)
    child = crowd.age < 14
    phone: Cell = [
        _PHONE_PREFIXES[dice.below(len(_PHONE_PREFIXES), count)],
        digits(dice.below(10**7, count), 7),
    ]
    email: Cell = [constant("nguoi", count), digits(crowd.keys, 10), constant("@example.com", count)]
    return [
        [digits(crowd.keys, 10)],
        address(dice, crowd.place),
        new_code(crowd.place),
        commune_code(dice, crowd.place),
        unless(child, phone),
        unless(child | ~dice.chance(0.2, count), email),
    ]


def household_cells(crowd: Crowd) -> list[Cell]:
    """Return the columns of `household_member`: four neighbours in the population share a household."""
    number = np.arange(len(crowd), dtype=np.int64) + crowd.first
    code: Cell = [digits(number // _HOUSEHOLD_SIZE + 1_000_000_000, 10)]
    role = _ROLES[(number % _HOUSEHOLD_SIZE != 0).astype(np.int64)]
    return [[digits(crowd.keys, 10)], code, [role]]


def family_cells(dice: Dice, crowd: Crowd, written: Cell) -> list[Cell]:
    """Return the columns of `family_member`: both parents of the young, a spouse of four adults in ten.

    written: the names as `person` has them. A parent is a grown-up of the household where one fits, and is
    then named as in that person's own row; else somebody who is not in the population.
    """
    young = np.flatnonzero(crowd.age < 18)
    married = np.flatnonzero((crowd.age >= 22) & dice.chance(0.4, len(crowd)))
    holder = np.concatenate([young, young, married])
    relation = np.repeat([0, 1, 2], [len(young), len(young), len(married)])
    line = np.where(relation == 1, 2, 1)
    count = len(holder)
    woman = np.where(relation == 2, ~crowd.woman[holder], relation == 0)
    older = np.where(relation == 2, dice.below(7, count) - 3, 20 + dice.below(18, count))
    year = np.maximum(1900, years_of(crowd.born[holder]) - older)
    found = np.where(relation == 2, -1, _parents(crowd, holder, woman))
    made_up = names(dice, crowd.people[holder], woman, np.zeros(count, dtype=np.int64))
    numbers = made_up_identities(dice, crowd.place[holder], woman, year)
    return [
        [digits(crowd.keys[holder], 10)],
        [digits(line, 1)],
        [_RELATIONS[relation]],
        _those_of(found, written, made_up),
        _those_of(found, identity_numbers(crowd), numbers),
    ]


def _parents(crowd: Crowd, child: Ints, woman: Flags) -> Ints:
    """Return for each child who of its household can be its parent, as a position; -1 for nobody."""
    found = np.full(len(child), -1, dtype=np.int64)
    home = (child + crowd.first) // _HOUSEHOLD_SIZE * _HOUSEHOLD_SIZE - crowd.first
    for seat in range(_HOUSEHOLD_SIZE):
        other = np.clip(home + seat, 0, len(crowd) - 1)
        older = crowd.age[other] - crowd.age[child]
        fits = (found < 0) & (other == home + seat) & (crowd.woman[other] == woman)
        fits &= (older >= _PARENTS_OLDER[0]) & (older <= _PARENTS_OLDER[1])
        fits &= crowd.case[other] == CASE["ordinary"]
        found[fits] = other[fits]
    return found


def _those_of(found: Ints, theirs: Cell, made_up: Cell) -> Cell:
    """Return the pieces of the persons found, and those made up where nobody was."""
    pieces = zip(theirs, made_up, strict=True)
    return [np.where(found >= 0, own[np.maximum(found, 0)], other) for own, other in pieces]
