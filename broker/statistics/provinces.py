"""Provinces and regions: 34 since 1 July 2025, what each was made of, and in which region it lies.

Codes and mergers are those of `policies.provinces`. The six regions are our own reading, unverified: a
release keeps the ones with which it was made in its manifest. Residence has the new codes; cards and
facilities keep the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.statistics.manifest import Label
from policies.provinces import MERGED


@dataclass(frozen=True, slots=True)
class Province:
    """A province of today. made_of: the codes, until 30 June 2025, of what was merged into it."""

    name: str
    made_of: tuple[str, ...]
    region: str


REGIONS: Final[dict[str, Label]] = {
    "R1": Label("Trung du và miền núi phía Bắc", "Northern midlands and mountains"),
    "R2": Label("Đồng bằng sông Hồng", "Red River Delta"),
    "R3": Label("Bắc Trung Bộ", "North Central Coast"),
    "R4": Label("Duyên hải Nam Trung Bộ và Tây Nguyên", "South Central Coast and Central Highlands"),
    "R5": Label("Đông Nam Bộ", "Southeast"),
    "R6": Label("Đồng bằng sông Cửu Long", "Mekong River Delta"),
}

_IN_REGION: Final[dict[str, tuple[str, ...]]] = {
    "R1": ("04", "08", "11", "12", "14", "15", "19", "20", "25"),
    "R2": ("01", "22", "24", "31", "33", "37"),
    "R3": ("38", "40", "42", "44", "46"),
    "R4": ("48", "51", "52", "56", "66", "68"),
    "R5": ("75", "79", "80"),
    "R6": ("82", "86", "91", "92", "96"),
}

PROVINCES: Final[dict[str, Province]] = {
    code: Province(name, made_of, next(region for region, codes in _IN_REGION.items() if code in codes))
    for code, (name, made_of) in MERGED.items()
}
"""Code → province, since 1 July 2025."""

PROVINCE_OF_OLD: Final[dict[str, str]] = {
    old: code for code, province in PROVINCES.items() for old in province.made_of
}
"""Old code → code of the province that it lies in today."""
