"""What leaves: a table of perturbed numbers in which a hidden cell is hidden, and does not say why.

Why is in `notes`, for the internal audit alone: "fewer than ten" and "one person dominates" are themselves
what an attacker wants to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.statistics.grouped import Integers

HIDDEN: Final = -1
TOTAL_CODE: Final = "_T"
"""SDMX's code of a total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow:
    """One cell as it is told. codes: of each dimension, `_T` for its total. None: hidden."""

    codes: tuple[str, ...]
    persons: int | None
    sums: tuple[int | None, ...]
    means: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OutputTable:
    """A protected table. question: the plan's hash. dimensions: names with their categories, in order.

    persons: perturbed counts on the grid (place 0 is the total), `HIDDEN` where hidden. sums: the same of
    each measure, (measures, *grid). Nothing else: no key, no true number, no reason.
    """

    question: str
    dimensions: tuple[tuple[str, tuple[str, ...]], ...]
    measures: tuple[str, ...]
    persons: Integers
    sums: Integers

    def __post_init__(self) -> None:
        for array in (self.persons, self.sums):
            array.setflags(write=False)

    def rows(self) -> Iterator[OutputRow]:
        """Yield every cell of the grid in order, totals first."""
        codes = product(*((TOTAL_CODE, *categories) for _, categories in self.dimensions))
        persons = self.persons.reshape(-1).tolist()
        sums = self.sums.reshape(len(self.measures), self.cells).T.tolist()
        for names, count, totals in zip(codes, persons, sums, strict=True):
            yield OutputRow(
                codes=names,
                persons=_told(count),
                sums=tuple(_told(total) for total in totals),
                means=tuple(_mean(total, count) for total in totals),
            )

    def content(self) -> bytes:
        """Return bytes that are equal exactly when the tables are."""
        head = repr((self.question, self.dimensions, self.measures)).encode()
        return head + self.persons.astype("<i8").tobytes() + self.sums.astype("<i8").tobytes()

    def hash(self) -> str:
        """Return the SHA-256 of the content in hex."""
        return sha256(self.content()).hexdigest()

    @property
    def cells(self) -> int:
        """How many cells the table has, hidden ones too."""
        return int(self.persons.size)

    @property
    def hidden_permille(self) -> int:
        """How many of a thousand counts are hidden, rounded up."""
        return -(-1000 * int(np.count_nonzero(self.persons == HIDDEN)) // max(self.cells, 1))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Notes:
    """Why cells are hidden: for the internal audit, never beside the table. Codes of SDMX's CONF_STATUS.

    persons: on the grid; sums: (measures, *grid). F shown, A too few persons, O one or two persons dominate,
    M all shown persons of a group share a sensitive value, D hidden lest another cell could be told.
    """

    persons: NDArray[np.str_]
    sums: NDArray[np.str_]

    def counted(self) -> dict[str, int]:
        """Return how many counts and sums there are of each code: what a log may tell."""
        codes, counts = np.unique(
            np.concatenate([self.persons.reshape(-1), self.sums.reshape(-1)]), return_counts=True
        )
        return {str(code): int(count) for code, count in zip(codes, counts, strict=True)}


def _told(number: int) -> int | None:
    return None if number == HIDDEN else number


def _mean(total: int, count: int) -> float | None:
    """Return S'/n', of what is told alone."""
    return None if total == HIDDEN or count == HIDDEN else total / count
