"""Provinces of the synthetic population: 63 until 30 June 2025, 34 since (Decision 19/2025/QD-TTg).

Cards, personal identity numbers, SI numbers, facilities and SI offices keep the old codes; residence has the
new ones. Commune codes, streets and hamlets are made up; only their shape is real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.national_insurance.synthetic_dice import Cell, Dice, Ints, constant, digits, texts, weighted
from policies.provinces import MERGED, OLD_PROVINCES


@dataclass(frozen=True, slots=True)
class Province:
    """One of the 34 provinces: registered population at the merger in millions, and what it was made of."""

    name: str
    millions: float
    made_of: tuple[str, ...]


_MILLIONS: dict[str, float] = {
    "01": 8.59, "04": 0.55, "08": 1.87, "11": 0.65, "12": 0.49, "14": 1.31, "15": 1.78, "19": 1.80,
    "20": 0.81, "22": 1.38, "24": 3.62, "25": 4.02, "31": 4.66, "33": 3.57, "37": 4.41, "38": 3.74,
    "40": 3.44, "42": 1.32, "44": 1.87, "46": 1.17, "48": 3.07, "51": 2.16, "52": 3.58, "56": 2.24,
    "66": 3.35, "68": 3.87, "75": 4.49, "79": 14.00, "80": 3.25, "82": 4.37, "86": 4.26, "91": 4.95,
    "92": 4.20, "96": 2.61,
}  # fmt: skip
"""Registered population of a province of today at the merger."""

NEW_PROVINCES: dict[str, Province] = {
    code: Province(name, _MILLIONS[code], made_of) for code, (name, made_of) in MERGED.items()
}
_OLD_CODES = tuple(OLD_PROVINCES)
_NEW_CODES = tuple(NEW_PROVINCES)
_NEW_OF_OLD: Ints = np.array(
    [next(i for i, new in enumerate(_NEW_CODES) if old in NEW_PROVINCES[new].made_of) for old in _OLD_CODES]
)
OLD_CODE_NUMBERS: Ints = np.array([int(code) for code in _OLD_CODES])
OLD_COUNT = len(_OLD_CODES)
URBAN = np.array([_NEW_CODES[i] in {"01", "31", "46", "48", "79", "92"} for i in _NEW_OF_OLD])

_BY_POPULATION = weighted(
    [NEW_PROVINCES[_NEW_CODES[i]].millions / len(NEW_PROVINCES[_NEW_CODES[i]].made_of) for i in _NEW_OF_OLD]
)
_OLD_TEXT = texts(_OLD_CODES)
_NEW_TEXT = texts(_NEW_CODES)
_NEW_NAMES = texts([NEW_PROVINCES[code].name for code in _NEW_CODES])
_HOUSES = texts([str(number) for number in range(1, 999)])
_STREETS = texts(
    [
        "thôn Đông", "thôn Đoài", "thôn Trung", "ấp 1", "ấp 2", "ấp Hòa Bình", "bản Mới", "buôn Hạ",
        "tổ dân phố 3", "tổ dân phố 7", "đường Hoa Sữa", "đường Bằng Lăng", "đường Phượng Vĩ", "ngõ Trúc",
        "khu phố 5", "xóm Chùa",
    ]
)  # fmt: skip


def draw_provinces(dice: Dice, count: int) -> Ints:
    """Draw old provinces, as positions in OLD_PROVINCES, by population."""
    return dice.pick(_BY_POPULATION, count)


def old_code(places: Ints) -> Cell:
    """Return the two-digit code that cards and facilities keep."""
    return [_OLD_TEXT[places]]


def new_code(places: Ints) -> Cell:
    """Return the two-digit code of the province since 1 July 2025."""
    return [_NEW_TEXT[_NEW_OF_OLD[places]]]


def commune_code(dice: Dice, places: Ints) -> Cell:
    """Return made-up commune codes of five digits, about 100 to a province."""
    return [digits(_NEW_OF_OLD[places] * 900 + 3 * dice.below(100, len(places)) + 1, 5)]


def address(dice: Dice, places: Ints) -> Cell:
    """Return made-up addresses in a province of today."""
    count = len(places)
    return [
        constant("Số ", count),
        _HOUSES[dice.below(len(_HOUSES), count)],
        constant(", ", count),
        _STREETS[dice.below(len(_STREETS), count)],
        constant(", ", count),
        _NEW_NAMES[_NEW_OF_OLD[places]],
    ]
