"""Who the synthetic persons are: payer group, age, province, numbers, and the one nasty case of each.

A case is drawn first and shapes the person; the first persons of a population go through all cases, so that
even a small one holds each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.national_insurance.synthetic_dice import Dice, Flags, Ints, weighted, years_of
from connectors.national_insurance.synthetic_names import APOSTROPHE, KINH, MINORITIES
from connectors.national_insurance.synthetic_places import OLD_CODE_NUMBERS, OLD_COUNT, draw_provinces
from connectors.national_insurance.synthetic_subjects import SUBJECT, SUBJECTS

CASES: dict[str, float] = {
    "ordinary": 0.0,
    "expired": 0.02,
    "pair_003": 0.005,
    "pair_004": 0.006,
    "two_valid_cards": 0.001,
    "revoked": 0.002,
    "decreased": 0.001,
    "decreased_moved_province": 0.001,
    "decreased_moved_within": 0.001,
    "decreased_reincreased": 0.001,
    "decreased_stopped": 0.002,
    "child_without_card": 0.001,
    "defence": 0.003,
    "public_security": 0.002,
    "year_only_birth": 0.0,
    "month_only_birth": 0.0005,
    "fabricated_birth_1752": 0.0002,
    "fabricated_birth_2020": 0.0002,
    "swapped_sex": 0.001,
    "duplicate_si_number": 0.0005,
    "name_nfd": 0.003,
    "name_with_apostrophe": 0.001,
}
"""Case → share of all persons; year_only_birth is about 5 % of those aged 60 or more besides."""

CASE = {name: number for number, name in enumerate(CASES)}
_CASE_TABLE = weighted([1 - sum(CASES.values()), *list(CASES.values())[1:]])
YEAR_ONLY_SHARE = 0.05


_SUBJECT_TABLE = weighted([subject.share for subject in SUBJECTS])
_YOUNGEST: Ints = np.array([subject.youngest for subject in SUBJECTS])
_OLDEST: Ints = np.array([subject.oldest for subject in SUBJECTS])
_MINORITY = np.array([subject.minority for subject in SUBJECTS])
_SUBJECTS_OF_CASE = {
    "child_without_card": ("TE",),
    "defence": ("QN", "QN", "TQ", "CY", "TY"),
    "public_security": ("CA", "TA"),
    "year_only_birth": ("HT", "BT", "CK"),
    "month_only_birth": ("HT", "BT", "CK"),
    "fabricated_birth_1752": ("GD", "DN"),
    "fabricated_birth_2020": ("DN", "CH"),
}
FIRST_PERSON_KEY = 1_000_000_001


@dataclass(frozen=True, slots=True)
class Crowd:
    """A part of the population, one row per person. Days are counted as in `synthetic_dice`.

    case, subject, place, people: positions in CASES, SUBJECTS, OLD_PROVINCES, ETHNICITY. si_serial: the last
    eight digits of the SI number, si_place the province of its first two. id_serial: the last six of the
    personal identity number.
    """

    first: int
    case: Ints
    subject: Ints
    born: Ints
    woman: Flags
    place: Ints
    people: Ints
    age: Ints
    id_serial: Ints
    si_serial: Ints
    si_place: Ints

    def __len__(self) -> int:
        return len(self.case)

    @property
    def keys(self) -> Ints:
        """person_key of each."""
        return np.arange(self.first, self.first + len(self.case), dtype=np.int64) + FIRST_PERSON_KEY

    def is_case(self, *names: str) -> Flags:
        """Return which persons are one of the named cases."""
        return np.isin(self.case, [CASE[name] for name in names])


class Registry:
    """Counts identity numbers given out per province, sex and year of birth, so that none is given twice."""

    def __init__(self) -> None:
        self._given = np.zeros(OLD_COUNT * 2 * 400, dtype=np.int64)

    def serials(self, place: Ints, woman: Flags, year: Ints) -> Ints:
        """Return six-digit serials, different for all persons of a province, sex and year."""
        cell = (place * 2 + woman) * 400 + (year - 1750)
        order = np.argsort(cell, kind="stable")
        ordered = cell[order]
        starts = np.searchsorted(ordered, ordered, side="left")
        rank = np.empty(len(cell), dtype=np.int64)
        rank[order] = np.arange(len(cell)) - starts
        number = self._given[cell] + rank
        np.add.at(self._given, cell, 1)
        return np.asarray((number * 7919 + cell * 104_729) % 1_000_000)


def draw_crowd(dice: Dice, registry: Registry, first: int, count: int, today: int, seed: int) -> Crowd:
    """Draw the persons numbered first, first + 1 ... of the population as they are on the day `today`."""
    case = dice.pick(_CASE_TABLE, count)
    opening = max(0, min(count, 2 * len(CASES) - first))
    case[:opening] = (np.arange(opening) + first) % len(CASES)
    subject = dice.pick(_SUBJECT_TABLE, count)
    for name, codes in _SUBJECTS_OF_CASE.items():
        chosen = np.flatnonzero(case == CASE[name])
        options = np.array([SUBJECT[code] for code in codes])
        subject[chosen] = options[(chosen + first) % len(codes)]
    days_old = _days_old(dice, subject)
    born = today - days_old
    age = days_old * 4 // 1461
    elderly = (case == CASE["ordinary"]) & (age >= 60) & dice.chance(YEAR_ONLY_SHARE, count)
    case[elderly] = CASE["year_only_birth"]
    woman = dice.chance(0.5, count)
    woman |= case == CASE["name_with_apostrophe"]
    place = draw_provinces(dice, count)
    minority = dice.steps(count) < (_MINORITY[subject] * 65536).astype(np.int64)
    people = np.where(minority, dice.pick(MINORITIES, count), KINH)
    people[case == CASE["name_nfd"]] = KINH
    people[case == CASE["name_with_apostrophe"]] = APOSTROPHE
    si_serial = ((np.arange(count) + first) * 48_271 + seed * 7919 + 12_345) % 100_000_000
    si_place = place.copy()
    twins = np.flatnonzero(case == CASE["duplicate_si_number"])
    twins = twins[twins > 0]
    si_serial[twins], si_place[twins] = si_serial[twins - 1], si_place[twins - 1]
    id_serial = registry.serials(place, woman, years_of(born))
    return Crowd(first, case, subject, born, woman, place, people, age, id_serial, si_serial, si_place)


def _days_old(dice: Dice, subject: Ints) -> Ints:
    """Draw ages in days, the younger half of each range being more frequent."""
    count = len(subject)
    youngest = _YOUNGEST[subject] * 1461 // 4
    span = (_OLDEST[subject] + 1) * 1461 // 4 - 1 - youngest
    one, other = dice.steps(count).astype(np.int64), dice.steps(count).astype(np.int64)
    share = np.where(dice.chance(0.4, count), np.minimum(one, other), one)
    return np.asarray(youngest + (span * share >> 16))


def identity_digits(crowd: Crowd) -> tuple[Ints, Ints, Ints]:
    """Return province, century with sex, and year of the personal identity number (Decree 137/2015)."""
    year = years_of(crowd.born)
    return OLD_CODE_NUMBERS[crowd.place], (year // 100 - 19) * 2 + crowd.woman, year % 100
