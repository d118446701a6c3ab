"""Numbers of the synthetic population: identity and SI numbers, unit codes, amounts of money."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from connectors.national_insurance.synthetic_dice import (
    STEPS,
    Cell,
    Dice,
    Flags,
    Ints,
    digits,
    texts,
    weighted,
)
from connectors.national_insurance.synthetic_people import Crowd, identity_digits
from connectors.national_insurance.synthetic_places import OLD_CODE_NUMBERS, old_code

_QUANTILES = 4096
_UNIT_KINDS = texts(["DN", "HC", "TK", "HX", "XK", "NN", "CH"])
_LETTERS = texts([chr(ord("A") + number) for number in range(26)])
_ENTERPRISE, _BUDGET, _OLD_STYLE = 0, 1, 2
_STYLE_TABLE = weighted([88, 8, 4])


def money(median: int, sigma: float, lowest: int, highest: int) -> Ints:
    """Return a log-normal distribution of amounts in VND, in whole thousands, as a table for `Dice.steps`."""
    normal = NormalDist()
    amounts = [
        median * math.exp(sigma * normal.inv_cdf((number + 0.5) / _QUANTILES)) for number in range(_QUANTILES)
    ]
    bounded = [min(highest, max(lowest, 1000 * round(amount / 1000))) for amount in amounts]
    return np.repeat(np.array(bounded, dtype=np.int64), STEPS // _QUANTILES)


def si_numbers(crowd: Crowd) -> Cell:
    """Return the SI numbers: two digits of the province that gave it out, eight of a serial."""
    return [*old_code(crowd.si_place), digits(crowd.si_serial, 8)]


def identity_numbers(crowd: Crowd) -> Cell:
    """Return the personal identity numbers (domain: `AAA B CC DDDDDD`), true to sex and birth."""
    province, century_and_sex, year = identity_digits(crowd)
    return [digits(province, 3), digits(century_and_sex, 1), digits(year, 2), digits(crowd.id_serial, 6)]


def made_up_identities(dice: Dice, place: Ints, woman: Flags, year: Ints) -> Cell:
    """Return well-formed identity numbers of relatives who are not in the population."""
    count = len(place)
    return [
        digits(OLD_CODE_NUMBERS[place], 3),
        digits((year // 100 - 19) * 2 + woman, 1),
        digits(year % 100, 2),
        digits(dice.below(1_000_000, count), 6),
    ]


def enterprise_numbers(employer: Ints) -> Cell:
    """Return the ten-digit enterprise number (and tax code) of each numbered employer."""
    return [digits(100_000_000 + employer * 7919 % 900_000_000, 10)]


def unit_codes(employer: Ints) -> Cell:
    """Return the unit code of each numbered employer, always the same one.

    Most are an enterprise number, two letters and three characters; some start with a budget code of seven
    characters; some have the old style of seven characters in all.
    """
    style = _STYLE_TABLE[employer * 40_503 % STEPS]
    nothing = np.bytes_(b"")
    enterprise, budget, old = (style == kind for kind in (_ENTERPRISE, _BUDGET, _OLD_STYLE))
    serial = employer % 10_000
    return [
        np.where(enterprise, enterprise_numbers(employer)[0], nothing),
        np.where(budget, digits(1_000_000 + employer % 9_000_000, 7), nothing),
        np.where(old, _LETTERS[employer // 10_000 % 26], _UNIT_KINDS[employer % len(_UNIT_KINDS)]),
        np.where(old, _LETTERS[employer // 260_000 % 26], _LETTERS[employer % 26]),
        np.where(old, digits(serial, 4), digits(serial % 100, 2)),
        np.where(old, np.bytes_(b"E"), nothing),
    ]
