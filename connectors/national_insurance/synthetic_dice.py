"""Reproducible chance, and columns of text, for the synthetic population.

Only the raw output of the bit generator is used, which NumPy promises never to change; every distribution is
a table of 65,536 entries. So a seed gives the same rows on every machine and with every NumPy release.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Fragments: TypeAlias = NDArray[np.bytes_]
"""One piece of text per row, UTF-8, padded with NUL; a cell is a sequence of pieces, written side by side."""
Cell: TypeAlias = Sequence[Fragments]

STEPS = 65536
FIRST_DAY = date(1750, 1, 1)
_DAY_TEXT: Fragments = np.arange("1750-01-01", "2120-01-01", dtype="datetime64[D]").astype("S10")
_MONTH_STARTS = np.arange("1750-01", "2120-01", dtype="datetime64[M]").astype("datetime64[D]")
_MONTH_DAY: Ints = (_MONTH_STARTS - np.datetime64("1750-01-01")).astype(np.int64)
_FOUR_DIGITS: Fragments = np.array([b"%04d" % number for number in range(10_000)])


class Dice:
    """A stream of chance that belongs to one seed and one part of the population."""

    def __init__(self, seed: int, *part: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, *part]))

    def steps(self, count: int) -> NDArray[np.uint16]:
        """Return whole numbers below 65,536."""
        raw: NDArray[np.uint64] = self._bits.random_raw((count + 3) // 4).astype("<u8", copy=False)
        return raw.view("<u2")[:count]

    def below(self, bound: int, count: int) -> Ints:
        """Return whole numbers from 0 up to but not including bound (at most 2**31)."""
        raw: NDArray[np.uint64] = self._bits.random_raw((count + 1) // 2).astype("<u8", copy=False)
        halves: NDArray[np.uint32] = raw.view("<u4")[:count]
        return ((halves.astype(np.uint64) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def chance(self, probability: float, count: int) -> Flags:
        """Return for each row whether a thing of this probability happens."""
        threshold = int(probability * 2**31)
        return np.asarray(self.below(2**31, count) < threshold)

    def pick(self, table: Ints, count: int) -> Ints:
        """Draw from a distribution made by `weighted`."""
        return np.asarray(table[self.steps(count)])


def weighted(weights: Sequence[float]) -> Ints:
    """Return a table of 65,536 entries in which position i stands as often as its weight says."""
    edges = np.rint(np.cumsum(np.array(weights, dtype=np.float64)) / sum(weights) * STEPS).astype(np.int64)
    return np.repeat(np.arange(len(weights)), np.diff(edges, prepend=0))


def texts(values: Sequence[str]) -> Fragments:
    """Return texts as fragments in UTF-8."""
    return np.array([value.encode() for value in values], dtype="S")


def constant(value: str, count: int) -> Fragments:
    """Return one text for every row."""
    return np.full(count, value.encode())


def digits(values: Ints, width: int) -> Fragments:
    """Return whole numbers in decimal, padded with zeros to a width of at most 16; higher digits are cut."""
    groups = -(-width // 4)
    matrix = np.empty((len(values), groups), dtype="S4")
    rest = values
    for position in range(groups - 1, -1, -1):
        matrix[:, position] = _FOUR_DIGITS[rest % 10_000]
        rest = rest // 10_000
    letters = matrix.view(np.uint8).reshape(len(values), groups * 4)[:, groups * 4 - width :]
    return np.ascontiguousarray(letters).view(f"S{width}").ravel()


def day_of(value: date) -> int:
    """Return a day as its number, counted from 1750-01-01."""
    return (value - FIRST_DAY).days


def month_of(value: date) -> int:
    """Return a month as its number, counted from January 1750."""
    return (value.year - FIRST_DAY.year) * 12 + value.month - 1


def days(numbers: Ints) -> Fragments:
    """Return numbered days as ISO 8601 dates."""
    return np.asarray(_DAY_TEXT[numbers])


def month_start(months: Ints) -> Ints:
    """Return the first day of each numbered month."""
    return np.asarray(_MONTH_DAY[months])


def years_of(numbers: Ints) -> Ints:
    """Return the calendar year of each numbered day."""
    return (np.searchsorted(_MONTH_DAY, numbers, side="right") - 1) // 12 + FIRST_DAY.year


def unless(missing: Flags, cell: Cell) -> Cell:
    """Return the cell, NULL where missing."""
    kept = [np.where(missing, np.bytes_(b""), fragment) for fragment in cell]
    return [np.where(missing, np.bytes_(b"\\N"), np.bytes_(b"")), *kept]


def rows_text(cells: Sequence[Cell]) -> bytes:
    """Write rows in the text format of PostgreSQL's COPY: tab between cells, newline after the last.

    The cells hold no tab, newline or backslash other than NULL's. Pieces are laid side by side in a matrix
    of fixed width and the padding is squeezed out, so no row passes through the interpreter.
    """
    count = len(cells[0][0])
    width = sum(fragment.itemsize for cell in cells for fragment in cell) + len(cells)
    matrix = np.zeros((count, width), dtype=np.uint8)
    at = 0
    for number, cell in enumerate(cells, start=1):
        for fragment in cell:
            size = fragment.itemsize
            matrix[:, at : at + size] = np.ascontiguousarray(fragment).view(np.uint8).reshape(count, size)
            at += size
        matrix[:, at] = 10 if number == len(cells) else 9
        at += 1
    flat = matrix.ravel()
    return bytes(flat[flat != 0].tobytes())
