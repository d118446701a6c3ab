"""Cells of persons and their protection, one cell at a time, from the rows themselves: slow and plain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import floor, log10

from broker.statistics.perturbation_table import PerturbationTable
from tests.reference import cell_keys

TOTAL = -1


@dataclass
class Cell:
    totals: dict[int, list[int]] = field(default_factory=dict)

    def largest(self, measure: int) -> list[int]:
        found = sorted((totals[measure] for totals in self.totals.values()), reverse=True)[:3]
        return found + [0] * (3 - len(found))

    def sum(self, measure: int) -> int:
        return sum(totals[measure] for totals in self.totals.values())

    def key(self, keys: Sequence[int]) -> int:
        return cell_keys.cell_key([keys[person] for person in self.totals])


def cells_of(rows: Sequence[tuple[tuple[int, ...], int, tuple[int, ...]]]) -> dict[tuple[int, ...], Cell]:
    """Return cells and margins of rows (codes, person, values)."""
    cells: dict[tuple[int, ...], Cell] = defaultdict(Cell)
    for codes, person, values in rows:
        for shown in product((True, False), repeat=len(codes)):
            at = tuple(code if keep else TOTAL for code, keep in zip(codes, shown, strict=True))
            had = cells[at].totals.setdefault(person, [0] * len(values))
            for measure, value in enumerate(values):
                had[measure] += value
    return dict(cells)


def shown_count(table: PerturbationTable, n: int, draw: Fraction, threshold: int) -> int | None:
    count = n + cell_keys.count_noise(table, n, draw)
    return None if count < threshold else count


def shown_sum(
    cell: Cell,
    measure: int,
    table: PerturbationTable,
    draw: Callable[[int], Fraction],
    flex: Mapping[str, float],
    *,
    percent: int,
    digits: int,
) -> int | None:
    """Return a sum as it is told, where the count of the cell is told; draw: of a contributor's rank."""
    x1, x2, x3 = cell.largest(measure)
    total = cell.sum(measure)
    if x1 == 0 or Fraction(total - x1 - x2) < Fraction(percent * x1, 100):
        return None
    added = cell_keys.sum_noise(
        table,
        total,
        [x1, x2, x3],
        [draw(rank) for rank in (1, 2, 3)],
        flex,
        epsilon=(1, 0.5, 0.2),
        mu=0,
    )
    moved = max(total + added, 0)
    unit = 10 ** max(floor(log10(max(moved, 1))) + 1 - digits, 0)
    return int(round(moved / unit) * unit)
