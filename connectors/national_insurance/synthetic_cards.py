"""Health-insurance cards of the synthetic population: number, rights, validity, and their troubles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from connectors.national_insurance.synthetic_dice import (
    Cell,
    Dice,
    Flags,
    Ints,
    day_of,
    days,
    digits,
    texts,
    unless,
    weighted,
)
from connectors.national_insurance.synthetic_numbers import identity_numbers, money, si_numbers
from connectors.national_insurance.synthetic_people import CASE, Crowd
from connectors.national_insurance.synthetic_places import old_code
from connectors.national_insurance.synthetic_subjects import SUBJECT, SUBJECTS, benefit_digit

LONG, TEN, TWELVE = 0, 1, 2
"""The number as printed: 15 characters, the SI number, the personal identity number."""
TEN_DIGITS_SINCE = day_of(date(2021, 4, 1))
TWELVE_DIGITS_SINCE = day_of(date(2025, 8, 1))
NEVER = day_of(date(2099, 12, 31))

_CODES = texts([subject.code for subject in SUBJECTS])
_PAYERS = texts([subject.payer_group for subject in SUBJECTS])
_MANAGERS = texts(["insurance_agency", "defence", "public_security"])
_MANAGER_OF_SUBJECT: Ints = np.array(
    [1 if s.code in {"QN", "TQ", "CY", "TY"} else 2 if s.code in {"CA", "TA"} else 0 for s in SUBJECTS]
)
_STATUSES = (
    "active",
    "revoked",
    "decreased",
    "decreased_moved_province",
    "decreased_moved_within",
    "decreased_reincreased",
    "decreased_stopped",
    "child_without_card",
)
_STATUS_TEXT = texts(_STATUSES)
_AREAS = texts(["K1", "K2", "K3"])
_AREA_TABLE = weighted([40, 35, 25])
_HARD_PLACES = np.array([SUBJECT[code] for code in ("HN", "DT", "DK", "XD")])
_LASTING = np.array([SUBJECT[code] for code in ("HT", "CC", "CK", "CB", "KC", "BT", "CT")])
_COPAYS = money(median=260_000, sigma=1.2, lowest=1_000, highest=30_000_000)


@dataclass(frozen=True, slots=True)
class _Cards:
    """Cards by row: the person's position in the crowd, and what differs from one card to another."""

    holder: Ints
    line: Ints
    subject: Ints
    valid_from: Ints
    valid_to: Ints
    issued: Ints
    form: Ints
    previous: Flags


def draw_cards(dice: Dice, crowd: Crowd, today: int, as_of: date) -> list[Cell]:
    """Return the columns of `health_insurance_card`, one or two rows per person, second cards last."""
    first = _first_cards(dice, crowd, today)
    second = _second_cards(dice, crowd, first, today)
    cards = _Cards(
        *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in _Cards.__slots__)
    )
    return _columns(dice, crowd, cards, as_of)


def _first_cards(dice: Dice, crowd: Crowd, today: int) -> _Cards:
    count = len(crowd)
    lasting = np.isin(crowd.subject, _LASTING) | dice.chance(0.05, count)
    valid_from = today - 20 - dice.below(600, count) - np.where(lasting, 700 + dice.below(1800, count), 0)
    valid_to = today + 45 + dice.below(320, count) + np.where(lasting, 1100, 0)
    valid_to[np.isin(crowd.subject, _LASTING) & dice.chance(0.5, count)] = NEVER
    child = crowd.subject == SUBJECT["TE"]
    valid_from = np.where(child, crowd.born, valid_from)
    valid_to = np.where(child, crowd.born + 6 * 1461 // 4 + 30, valid_to)
    expired = crowd.is_case("expired", "pair_003")
    valid_to = np.where(expired, today - 1 - dice.below(300, count), valid_to)
    valid_from = np.where(expired, valid_to - 364, valid_from)
    soon = crowd.is_case("pair_004")
    valid_to = np.where(soon, today + 5 + dice.below(40, count), valid_to)
    valid_from = np.where(soon, valid_to - 364, valid_from)
    issued = np.minimum(valid_from, today) - dice.below(15, count)
    issued = np.where(child, np.minimum(crowd.born + 10, today), issued)
    form = np.where(issued < TEN_DIGITS_SINCE, LONG, TEN)
    form[(issued >= TWELVE_DIGITS_SINCE) & dice.chance(0.6, count)] = TWELVE
    form[crowd.is_case("pair_003", "pair_004", "child_without_card")] = LONG
    everyone = np.arange(count)
    return _Cards(
        everyone,
        np.ones_like(everyone),
        crowd.subject.copy(),
        valid_from,
        valid_to,
        issued,
        form,
        everyone < 0,
    )


def _second_cards(dice: Dice, crowd: Crowd, first: _Cards, today: int) -> _Cards:
    """Return the new card of each pair, and the other card of those who have two valid ones."""
    holder = np.flatnonzero(crowd.is_case("pair_003", "pair_004", "two_valid_cards"))
    count = len(holder)
    case = crowd.case[holder]
    old_end = first.valid_to[holder]
    starts = np.where(case == CASE["pair_004"], old_end + 1, np.minimum(old_end + 1, today))
    starts = np.where(case == CASE["two_valid_cards"], today - 10 - dice.below(50, count), starts)
    issued = np.minimum(starts, today) - dice.below(5, count)
    subject = first.subject[holder]
    other = np.where(subject == SUBJECT["GD"], SUBJECT["DN"], SUBJECT["GD"])
    return replace(
        first,
        holder=holder,
        line=np.full(count, 2),
        subject=np.where(case == CASE["two_valid_cards"], other, subject),
        valid_from=starts,
        valid_to=np.maximum(starts, today) + 364,
        issued=issued,
        form=np.where(case == CASE["pair_003"], TEN, TWELVE),
        previous=case != CASE["two_valid_cards"],
    )


def _columns(dice: Dice, crowd: Crowd, cards: _Cards, as_of: date) -> list[Cell]:
    count = len(cards.holder)
    levels = np.array([benefit_digit(subject.code, as_of) for subject in SUBJECTS])
    si_number = [fragment[cards.holder] for fragment in si_numbers(crowd)]
    identity = [fragment[cards.holder] for fragment in identity_numbers(crowd)]
    issued_in = old_code(crowd.si_place[cards.holder])
    level = digits(levels[cards.subject], 1)
    long_number: Cell = [_CODES[cards.subject], level, *issued_in, *si_number]
    hard = np.isin(cards.subject, _HARD_PLACES)
    facility_in = old_code(crowd.place[cards.holder])
    is_child = crowd.case[cards.holder] == CASE["child_without_card"]
    facility = np.where(is_child, 0, 1 + (dice.below(180, count) * dice.below(180, count) // 180))
    five_years = (
        np.maximum(crowd.born[cards.holder], cards.valid_from - dice.below(2600, count)) + 5 * 1461 // 4
    )
    copay = np.where(dice.chance(0.12, count), _COPAYS[dice.steps(count)], 0)
    return [
        [digits(crowd.keys[cards.holder], 10)],
        [digits(cards.line, 1)],
        _printed(cards.form, long_number, si_number, identity),
        long_number,
        [_CODES[cards.subject]],
        [level],
        unless(~hard, [_AREAS[dice.pick(_AREA_TABLE, count)]]),
        [*facility_in, digits(facility, 3)],
        [np.where(facility % 40 == 7, np.bytes_(b"t"), np.bytes_(b"f"))],
        [days(cards.valid_from)],
        [days(cards.valid_to)],
        [days(five_years)],
        [_STATUS_TEXT[_statuses(crowd)[cards.holder]]],
        [_MANAGERS[_MANAGER_OF_SUBJECT[cards.subject]]],
        issued_in,
        [_PAYERS[cards.subject]],
        unless(~cards.previous, long_number),
        [days(cards.issued)],
        [digits(copay, 8)],
    ]


def _printed(form: Ints, long_number: Cell, si_number: Cell, identity: Cell) -> Cell:
    """Return the number as it is printed on each card: of the three ways, one remains in each row."""
    nothing = np.bytes_(b"")
    ways = ((LONG, long_number), (TEN, si_number), (TWELVE, identity))
    return [np.where(form == way, fragment, nothing) for way, cell in ways for fragment in cell]


def _statuses(crowd: Crowd) -> Ints:
    status = np.zeros(len(crowd), dtype=np.int64)
    for number, name in enumerate(_STATUSES[1:], start=1):
        status[crowd.case == CASE[name]] = number
    return status
