"""Provinces of the synthetic population: 63 until 30 June 2025, 34 since (Decision 19/2025/QD-TTg).

Cards, personal identity numbers, SI numbers, facilities and SI offices keep the old codes; residence has the
new ones. Commune codes, streets and hamlets are made up; only their shape is real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.national_insurance.synthetic_dice import Cell, Dice, Ints, constant, digits, texts, weighted

OLD_PROVINCES: dict[str, str] = {
    "01": "Hà Nội", "02": "Hà Giang", "04": "Cao Bằng", "06": "Bắc Kạn", "08": "Tuyên Quang",
    "10": "Lào Cai", "11": "Điện Biên", "12": "Lai Châu", "14": "Sơn La", "15": "Yên Bái",
    "17": "Hòa Bình", "19": "Thái Nguyên", "20": "Lạng Sơn", "22": "Quảng Ninh", "24": "Bắc Giang",
    "25": "Phú Thọ", "26": "Vĩnh Phúc", "27": "Bắc Ninh", "30": "Hải Dương", "31": "Hải Phòng",
    "33": "Hưng Yên", "34": "Thái Bình", "35": "Hà Nam", "36": "Nam Định", "37": "Ninh Bình",
    "38": "Thanh Hóa", "40": "Nghệ An", "42": "Hà Tĩnh", "44": "Quảng Bình", "45": "Quảng Trị",
    "46": "Thừa Thiên Huế", "48": "Đà Nẵng", "49": "Quảng Nam", "51": "Quảng Ngãi", "52": "Bình Định",
    "54": "Phú Yên", "56": "Khánh Hòa", "58": "Ninh Thuận", "60": "Bình Thuận", "62": "Kon Tum",
    "64": "Gia Lai", "66": "Đắk Lắk", "67": "Đắk Nông", "68": "Lâm Đồng", "70": "Bình Phước",
    "72": "Tây Ninh", "74": "Bình Dương", "75": "Đồng Nai", "77": "Bà Rịa - Vũng Tàu",
    "79": "Thành phố Hồ Chí Minh", "80": "Long An", "82": "Tiền Giang", "83": "Bến Tre", "84": "Trà Vinh",
    "86": "Vĩnh Long", "87": "Đồng Tháp", "89": "An Giang", "91": "Kiên Giang", "92": "Cần Thơ",
    "93": "Hậu Giang", "94": "Sóc Trăng", "95": "Bạc Liêu", "96": "Cà Mau",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Province:
    """One of the 34 provinces: registered population at the merger in millions, and what it was made of."""

    name: str
    millions: float
    made_of: tuple[str, ...]


NEW_PROVINCES: dict[str, Province] = {
    "01": Province("Hà Nội", 8.59, ("01",)),
    "04": Province("Cao Bằng", 0.55, ("04",)),
    "08": Province("Tuyên Quang", 1.87, ("02", "08")),
    "11": Province("Điện Biên", 0.65, ("11",)),
    "12": Province("Lai Châu", 0.49, ("12",)),
    "14": Province("Sơn La", 1.31, ("14",)),
    "15": Province("Lào Cai", 1.78, ("10", "15")),
    "19": Province("Thái Nguyên", 1.80, ("06", "19")),
    "20": Province("Lạng Sơn", 0.81, ("20",)),
    "22": Province("Quảng Ninh", 1.38, ("22",)),
    "24": Province("Bắc Ninh", 3.62, ("24", "27")),
    "25": Province("Phú Thọ", 4.02, ("17", "25", "26")),
    "31": Province("Hải Phòng", 4.66, ("30", "31")),
    "33": Province("Hưng Yên", 3.57, ("33", "34")),
    "37": Province("Ninh Bình", 4.41, ("35", "36", "37")),
    "38": Province("Thanh Hóa", 3.74, ("38",)),
    "40": Province("Nghệ An", 3.44, ("40",)),
    "42": Province("Hà Tĩnh", 1.32, ("42",)),
    "44": Province("Quảng Trị", 1.87, ("44", "45")),
    "46": Province("Huế", 1.17, ("46",)),
    "48": Province("Đà Nẵng", 3.07, ("48", "49")),
    "51": Province("Quảng Ngãi", 2.16, ("51", "62")),
    "52": Province("Gia Lai", 3.58, ("52", "64")),
    "56": Province("Khánh Hòa", 2.24, ("56", "58")),
    "66": Province("Đắk Lắk", 3.35, ("54", "66")),
    "68": Province("Lâm Đồng", 3.87, ("60", "67", "68")),
    "75": Province("Đồng Nai", 4.49, ("70", "75")),
    "79": Province("Thành phố Hồ Chí Minh", 14.00, ("74", "77", "79")),
    "80": Province("Tây Ninh", 3.25, ("72", "80")),
    "82": Province("Đồng Tháp", 4.37, ("82", "87")),
    "86": Province("Vĩnh Long", 4.26, ("83", "84", "86")),
    "91": Province("An Giang", 4.95, ("89", "91")),
    "92": Province("Cần Thơ", 4.20, ("92", "93", "94")),
    "96": Province("Cà Mau", 2.61, ("95", "96")),
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
