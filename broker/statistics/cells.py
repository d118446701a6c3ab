"""Partial aggregates: all that an engine may tell of a cell, and their exact merge over shards.

The unit is the person. Of each cell: n distinct persons, the sum of their record keys, and of each measure
the sum and the three largest totals of one person. These merge exactly over shards as long as one person is
in one shard; noise comes afterwards. None of it leaves the process (P9): it does not even stand in a `repr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broker.statistics.grouped import TOP, TOTAL, Integers, distinct, group_largest, group_sums
from broker.statistics.keys import KEY_MODULUS
from broker.statistics.reasons import StatisticsRefused

_SUM_MAX = 2.0**62


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CellTable:
    """Cells of one question with somebody in them, those of margins too, in the order of their codes.

    codes: (cells, dimensions), a category's number or `TOTAL`. persons, key_sums: (cells,), the second one
    modulo 2^32. sums: (cells, measures). largest: (cells, measures, 3), falling. All of int64; measures are
    whole numbers, never negative. Raises StatisticsRefused("cells_malformed").
    """

    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    codes: Integers
    persons: Integers
    key_sums: Integers
    sums: Integers
    largest: Integers

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_order(self.codes)
        _check_totals(self)
        for array in (self.codes, self.persons, self.key_sums, self.sums, self.largest):
            array.setflags(write=False)

    def __repr__(self) -> str:
        return f"CellTable({len(self.persons)} cells)"

    def content(self) -> bytes:
        """Return bytes that are equal exactly when the aggregates are."""
        arrays = (self.codes, self.persons, self.key_sums, self.sums, self.largest)
        head = repr((self.dimensions, self.measures, [array.shape for array in arrays])).encode()
        return head + b"".join(array.astype("<i8").tobytes() for array in arrays)


def cell_table(
    dimensions: Sequence[str],
    measures: Sequence[str],
    codes: NDArray[np.integer],
    persons: NDArray[np.integer],
    key_sums: NDArray[np.integer],
    sums: NDArray[np.integer],
    largest: NDArray[np.integer],
) -> CellTable:
    """Return cells in their order, from an engine's answer in any order; key sums may be beyond 2^32."""
    counted, keys = persons.astype(np.int64), key_sums.astype(np.int64)
    _check_keys(keys, counted)
    order = np.lexsort(codes.T[::-1]) if codes.size else np.arange(len(codes))
    return CellTable(
        tuple(dimensions),
        tuple(measures),
        codes.astype(np.int64)[order],
        counted[order],
        keys[order] % KEY_MODULUS,
        sums.astype(np.int64)[order],
        largest.astype(np.int64)[order],
    )


def merged(shards: Sequence[CellTable]) -> CellTable:
    """Return the aggregates of disjoint sets of persons taken together: the same bytes for every sharding.

    Raises StatisticsRefused: cells_differ where they are of different questions, cells_malformed.
    """
    if not shards or len({(shard.dimensions, shard.measures) for shard in shards}) != 1:
        raise StatisticsRefused("cells_differ", "shards are merged that answer one question")
    first = shards[0]
    return gathered_table(
        first.dimensions,
        first.measures,
        np.concatenate([shard.codes for shard in shards]),
        np.concatenate([shard.persons for shard in shards]),
        np.concatenate([shard.key_sums for shard in shards]),
        np.concatenate([shard.sums for shard in shards]),
        np.concatenate([shard.largest for shard in shards]),
    )


def gathered_table(
    dimensions: Sequence[str],
    measures: Sequence[str],
    codes: NDArray[np.integer],
    persons: NDArray[np.integer],
    key_sums: NDArray[np.integer],
    sums: NDArray[np.integer],
    largest: NDArray[np.integer],
) -> CellTable:
    """Return cells of rows of which several may be of one cell, each of other persons; in any order.

    The arrays are those of `cell_table`. Raises StatisticsRefused("cells_malformed").
    """
    counted, totals, keys = persons.astype(np.int64), sums.astype(np.int64), key_sums.astype(np.int64)
    _check_keys(keys, counted)
    if np.any(totals.sum(axis=0, dtype=np.float64) >= _SUM_MAX):
        raise StatisticsRefused("cells_malformed", "a sum is too large to be exact")
    if np.any(counted < 1) or np.any(totals < 0):
        raise StatisticsRefused("cells_malformed", "a cell without anybody, or below nothing, is not told")
    cells, groups = distinct(codes.astype(np.int64))
    tops = np.zeros((len(cells), len(measures), TOP), dtype=np.int64)
    for at in range(len(measures)):
        told = largest[:, at, :].astype(np.int64).reshape(-1)
        tops[:, at, :] = group_largest(np.repeat(groups, TOP), told, len(cells))
    return CellTable(
        tuple(dimensions),
        tuple(measures),
        cells,
        group_sums(groups, counted, len(cells)),
        group_sums(groups, keys % KEY_MODULUS, len(cells)) % KEY_MODULUS,
        group_sums(groups, totals, len(cells)),
        tops,
    )


def _check_keys(keys: Integers, persons: Integers) -> None:
    if np.any(keys < 0) or np.any(keys > persons.astype(np.float64) * (KEY_MODULUS - 1)):
        raise StatisticsRefused("cells_malformed", "sums of record keys are not those of so many persons")


def _check_shapes(table: CellTable) -> None:
    cells, measures = len(table.persons), len(table.measures)
    wanted = {
        "codes": (cells, len(table.dimensions)),
        "persons": (cells,),
        "key_sums": (cells,),
        "sums": (cells, measures),
        "largest": (cells, measures, TOP),
    }
    for name, shape in wanted.items():
        array: Integers = getattr(table, name)
        if array.shape != shape or array.dtype != np.int64:
            raise StatisticsRefused("cells_malformed", f"{name} is not an array of int64 of its shape")


def _check_order(codes: Integers) -> None:
    if np.any(codes < TOTAL):
        raise StatisticsRefused("cells_malformed", "a code is neither a category nor the total")
    if len(codes) > 1:
        steps = np.diff(codes, axis=0)
        first = np.argmax(steps != 0, axis=1)
        if not np.all(np.take_along_axis(steps, first[:, None], axis=1) > 0):
            raise StatisticsRefused("cells_malformed", "a cell stands twice, or out of its order")


def _check_totals(table: CellTable) -> None:
    """Refuse aggregates that no set of persons has: an engine that is wrong is found here, not by readers."""
    persons, largest, sums = table.persons, table.largest, table.sums
    if np.any(persons < 1):
        raise StatisticsRefused("cells_malformed", "a cell without anybody is not told")
    if np.any(table.key_sums < 0) or np.any(table.key_sums >= KEY_MODULUS):
        raise StatisticsRefused("cells_malformed", "a cell key lies outside of 32 bits")
    if np.any(largest < 0) or np.any(np.diff(largest, axis=2) > 0):
        raise StatisticsRefused("cells_malformed", "the largest totals do not fall, or are negative")
    ranks = np.arange(TOP)[None, None, :]
    if np.any(largest[np.broadcast_to(ranks >= persons[:, None, None], largest.shape)] != 0):
        raise StatisticsRefused("cells_malformed", "there are more largest totals than persons")
    if np.any(sums >= _SUM_MAX) or np.any(largest[:, :, 0] > sums):
        raise StatisticsRefused("cells_malformed", "a sum is too large, or smaller than one of its parts")
    tops = largest.sum(axis=2)
    others = np.maximum(persons - TOP, 0)[:, None]
    most = tops.astype(np.float64) + others * largest[:, :, -1].astype(np.float64)
    # In floats, against an overflow; a few digits are too many to matter for what is refused here.
    if np.any(sums < tops) or np.any(sums > most * (1 + 1e-9)) or np.any((others == 0) & (sums != tops)):
        raise StatisticsRefused("cells_malformed", "a sum is not one of so many persons with such totals")
