"""Names of the synthetic population: frequent Vietnamese names, and names of five other peoples.

The names of minorities are here for what software gets wrong about them: apostrophes, names of two letters,
names of one word. No list of real persons is used; parts are combined by chance.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.national_insurance.synthetic_dice import Cell, Dice, Flags, Ints, texts, weighted

TITLE, UPPER, DECOMPOSED = 0, 1, 2
"""How a name is written: title case, upper case, title case in Unicode NFD."""

_Parts = Mapping[str, float]


def _even(names: str) -> _Parts:
    return dict.fromkeys(names.split(), 1.0)


_KINH_SURNAMES: _Parts = {
    "Nguyễn": 38, "Trần": 11, "Lê": 9.5, "Phạm": 7.1, "Hoàng": 2.6, "Huỳnh": 2.5, "Phan": 4.5, "Vũ": 2,
    "Võ": 1.9, "Đặng": 2.1, "Bùi": 2, "Đỗ": 1.6, "Hồ": 1.4, "Ngô": 1.3, "Dương": 1.1, "Lý": 0.8,
    "Đinh": 0.8, "Đoàn": 0.7, "Trịnh": 0.6, "Mai": 0.6, "Lâm": 0.6, "Cao": 0.6, "Trương": 1.0, "Tạ": 0.4,
    "Hà": 0.5, "Lương": 0.6, "Châu": 0.3, "Tô": 0.3, "Thái": 0.4, "Quách": 0.2, "Từ": 0.1, "Ông": 0.05,
}  # fmt: skip
_MEN_MIDDLE: _Parts = {
    "Văn": 30, "Hữu": 8, "Đức": 8, "Minh": 8, "Quang": 5, "Xuân": 4, "Đình": 4, "Công": 3, "Thanh": 5,
    "Ngọc": 4, "Quốc": 4, "Anh": 3, "Bảo": 3, "Gia": 3, "": 4,
}  # fmt: skip
_WOMEN_MIDDLE: _Parts = {
    "Thị": 42, "Thị Thu": 4, "Thị Ngọc": 4, "Thị Minh": 3, "Ngọc": 8, "Thu": 5, "Minh": 4, "Thùy": 3,
    "Phương": 4, "Bảo": 3, "Khánh": 3, "Thanh": 5, "Kim": 3, "": 4,
}  # fmt: skip
_MEN: _Parts = _even(
    "Hùng Dũng Tuấn Nam Long Sơn Hải Minh Đức Thắng Hoà Hòa Phúc Khoa Khôi Kiên Lâm Quân Quý Thuỷ Tâm Tài "
    "Toàn Trung Việt Vinh Bình Cường Duy Đạt Huy Hưng Khánh Lộc Nghĩa Phong Thành Thiện Tiến Trí Tú"
)
_WOMEN: _Parts = _even(
    "Lan Hoa Huệ Hồng Mai Hương Hạnh Hằng Hiền Nga Ngân Nhung Oanh Phượng Quỳnh Thảo Thúy Thuý Thủy Trang "
    "Trinh Tuyết Vân Vy Xuân Yến Anh Châu Chi Dung Giang Hà Huyền Linh Loan Ly Nguyệt Nhi Thư Uyên"
)


@dataclass(frozen=True, slots=True)
class _People:
    """Names of one people: code of ethnicity, weight among minorities, three parts for men and for women."""

    code: str
    weight: float
    men: tuple[_Parts, _Parts, _Parts]
    women: tuple[_Parts, _Parts, _Parts]


_NOTHING: _Parts = {"": 1.0}
_THAI = _even("Lò Lường Quàng Cà Tòng Vì Hà Bạc")
_HMONG = _even("Vàng Giàng Sùng Thào Lý Mùa Hờ Cứ")
_KHMER = _even("Thạch Sơn Kim Danh Châu Lâm")
_EDE_CLANS = _even("Niê Êban Mlô Knul Byă Kđăm")
_PEOPLES: tuple[_People, ...] = (
    _People("01", 0, (_KINH_SURNAMES, _MEN_MIDDLE, _MEN), (_KINH_SURNAMES, _WOMEN_MIDDLE, _WOMEN)),
    _People(
        "03",
        38,
        (_THAI, {"Văn": 9, "": 1}, _even("Ú Pâng Thoan Ún Inh Biên Hặc Dọn")),
        (_THAI, {"Thị": 9, "": 1}, _even("Ú Ín Pành Hoan Diên Xuân Lả Ơn")),
    ),
    _People(
        "08",
        22,
        (_HMONG, {"A": 8, "": 2}, _even("Páo Chu Dế Lử Sử Tủa Vư Ư")),
        (_HMONG, {"Thị": 8, "": 2}, _even("Mỷ Dở Súa Sáy Mò Chở Dợ Ư")),
    ),
    _People(
        "05",
        22,
        (_KHMER, {"": 8, "Sa": 2}, _even("Rinh Sóc Phai Kha Ouôl Thanh")),
        (_KHMER, {"Thị": 6, "": 4}, _even("Sô Phia Sà Ry Na Thu Srây")),
    ),
    _People(
        "12",
        10,
        (_even("Y"), _even("Moan Thịnh Bhiông Sơn Wô Khiêm"), _EDE_CLANS),
        (_even("H'Hen H'Loan H'Bia H'Yar H'Ren H'Nul"), _NOTHING, _EDE_CLANS),
    ),
    _People(
        "16",
        8,
        (_even("K'Brể K'Tem K'Lơi K'Đỉu"), _NOTHING, _NOTHING),
        (_even("Ka"), _even("Hem Duyên Thoa Ẻn"), _NOTHING),
    ),
)
KINH = 0
APOSTROPHE = 4
"""Position of a people whose names have an apostrophe (women of the Ê Đê)."""
ETHNICITY = texts([people.code for people in _PEOPLES])
MINORITIES = weighted([people.weight for people in _PEOPLES])


def _part(position: int) -> tuple[NDArray[np.bytes_], Ints]:
    """Return all fragments of one part of a name in three ways of writing, and a table per people and sex."""
    words: dict[str, int] = {}
    tables: list[Ints] = []
    for people in _PEOPLES:
        for parts in (people.men, people.women):
            here = np.array([words.setdefault(word, len(words)) for word in parts[position]])
            tables.append(here[weighted(list(parts[position].values()))])
    spaced = [f" {word}" if word and position else word for word in words]
    decomposed = [unicodedata.normalize("NFD", word) for word in spaced]
    fragments = texts([*spaced, *[word.upper() for word in spaced], *decomposed])
    return fragments.reshape(3, len(words)), np.stack(tables)


_PARTS = tuple(_part(position) for position in range(3))


def names(dice: Dice, people: Ints, women: Flags, writing: Ints) -> Cell:
    """Return full names: people is a position in ETHNICITY, writing one of TITLE, UPPER, DECOMPOSED."""
    rows = people * 2 + women
    return [fragments[writing, tables[rows, dice.steps(len(rows))]] for fragments, tables in _PARTS]
