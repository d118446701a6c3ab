"""Provinces and regions: 34 since 1 July 2025, what each was made of, and in which region it lies.

The codes and mergers are those of Decision 19/2025/QD-TTg as secondary sources print it (docs/statistics.md
has the marks of certainty). The six regions are our own reading, unverified: a release keeps the ones with
which it was made in its manifest. Residence has the new codes; cards and facilities keep the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.statistics.manifest import Label


@dataclass(frozen=True, slots=True)
class Province:
    """A province of today. made_of: the codes, until 30 June 2025, of what was merged into it."""

    name: str
    made_of: tuple[str, ...]
    region: str


OLD_PROVINCES: Final[dict[str, str]] = {
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
"""Code → name, as until 30 June 2025."""

REGIONS: Final[dict[str, Label]] = {
    "R1": Label("Trung du và miền núi phía Bắc", "Northern midlands and mountains"),
    "R2": Label("Đồng bằng sông Hồng", "Red River Delta"),
    "R3": Label("Bắc Trung Bộ", "North Central Coast"),
    "R4": Label("Duyên hải Nam Trung Bộ và Tây Nguyên", "South Central Coast and Central Highlands"),
    "R5": Label("Đông Nam Bộ", "Southeast"),
    "R6": Label("Đồng bằng sông Cửu Long", "Mekong River Delta"),
}

PROVINCES: Final[dict[str, Province]] = {
    "01": Province("Hà Nội", ("01",), "R2"),
    "04": Province("Cao Bằng", ("04",), "R1"),
    "08": Province("Tuyên Quang", ("02", "08"), "R1"),
    "11": Province("Điện Biên", ("11",), "R1"),
    "12": Province("Lai Châu", ("12",), "R1"),
    "14": Province("Sơn La", ("14",), "R1"),
    "15": Province("Lào Cai", ("10", "15"), "R1"),
    "19": Province("Thái Nguyên", ("06", "19"), "R1"),
    "20": Province("Lạng Sơn", ("20",), "R1"),
    "22": Province("Quảng Ninh", ("22",), "R2"),
    "24": Province("Bắc Ninh", ("24", "27"), "R2"),
    "25": Province("Phú Thọ", ("17", "25", "26"), "R1"),
    "31": Province("Hải Phòng", ("30", "31"), "R2"),
    "33": Province("Hưng Yên", ("33", "34"), "R2"),
    "37": Province("Ninh Bình", ("35", "36", "37"), "R2"),
    "38": Province("Thanh Hóa", ("38",), "R3"),
    "40": Province("Nghệ An", ("40",), "R3"),
    "42": Province("Hà Tĩnh", ("42",), "R3"),
    "44": Province("Quảng Trị", ("44", "45"), "R3"),
    "46": Province("Huế", ("46",), "R3"),
    "48": Province("Đà Nẵng", ("48", "49"), "R4"),
    "51": Province("Quảng Ngãi", ("51", "62"), "R4"),
    "52": Province("Gia Lai", ("52", "64"), "R4"),
    "56": Province("Khánh Hòa", ("56", "58"), "R4"),
    "66": Province("Đắk Lắk", ("54", "66"), "R4"),
    "68": Province("Lâm Đồng", ("60", "67", "68"), "R4"),
    "75": Province("Đồng Nai", ("70", "75"), "R5"),
    "79": Province("Thành phố Hồ Chí Minh", ("74", "77", "79"), "R5"),
    "80": Province("Tây Ninh", ("72", "80"), "R5"),
    "82": Province("Đồng Tháp", ("82", "87"), "R6"),
    "86": Province("Vĩnh Long", ("83", "84", "86"), "R6"),
    "91": Province("An Giang", ("89", "91"), "R6"),
    "92": Province("Cần Thơ", ("92", "93", "94"), "R6"),
    "96": Province("Cà Mau", ("95", "96"), "R6"),
}
"""Code → province, since 1 July 2025."""

PROVINCE_OF_OLD: Final[dict[str, str]] = {
    old: code for code, province in PROVINCES.items() for old in province.made_of
}
"""Old code → code of the province that it lies in today."""
