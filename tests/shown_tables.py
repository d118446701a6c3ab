"""Made-up tables as people are shown them."""

from __future__ import annotations

from itertools import product
from typing import Final

from broker.cli.statistics_shown import TOTAL, ShownAxis, ShownMeasure, ShownTable

PROVINCE: Final = ShownAxis(
    "province", "Tỉnh, thành phố", (("01", "Hà Nội"), ("79", "Thành phố Hồ Chí Minh"), ("48", "Đà Nẵng"))
)
SEX: Final = ShownAxis("sex", "Giới tính", (("F", "Nữ"), ("M", "Nam")))
AGE: Final = ShownAxis("age", "Nhóm tuổi", tuple((f"{n}-{n + 9}", f"{n}–{n + 9}") for n in range(0, 60, 10)))
PERSONS: Final = ShownMeasure("persons", "Số người", "người", lambda _value, _persons: 3.4)
CONTRIBUTIONS: Final = ShownMeasure("contributions", "Tiền đóng", "đồng", lambda value, _persons: value / 10)


def shown(*axes: ShownAxis, hidden: tuple[tuple[str, ...], ...] = ()) -> ShownTable:
    """Return a table whose counts rise from cell to cell; sums are a million for each person."""
    cells: dict[tuple[str, ...], tuple[int | None, ...]] = {}
    codes = product(*((TOTAL, *(code for code, _ in axis.categories)) for axis in axes))
    for number, place in enumerate(codes, start=1):
        count = None if place in hidden else 1000 * number
        cells[place] = (count, None if count is None else count * 1_000_000)
    return ShownTable(release="2026-q3.1", axes=axes, measures=(PERSONS, CONTRIBUTIONS), cells=cells)
