"""Partial aggregates as bytes and back, for whoever keeps them sealed: the same cells, the same bytes."""

from __future__ import annotations

import json
from typing import Final

import numpy as np

from broker.statistics.cells import CellTable
from broker.statistics.grouped import TOP, Integers
from broker.statistics.reasons import StatisticsRefused

_VERSION: Final = 1
_HEAD_MAX: Final = 4096


def cells_to_bytes(cells: CellTable) -> bytes:
    """Return one line of JSON (version, dimensions, measures, how many cells), then int64, little-endian.

    In order: codes, persons, key sums, sums, largest. True numbers: they are kept encrypted or not at all.
    """
    head = {
        "cells": len(cells.persons),
        "dimensions": cells.dimensions,
        "measures": cells.measures,
        "version": _VERSION,
    }
    arrays = (cells.codes, cells.persons, cells.key_sums, cells.sums, cells.largest)
    line = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return b"".join([line, b"\n", *(array.astype("<i8").tobytes() for array in arrays)])


def cells_from_bytes(content: bytes) -> CellTable:
    """Return the cells in what `cells_to_bytes` gave, checked anew.

    Raises StatisticsRefused("cells_malformed").
    """
    line, found, _body = content[:_HEAD_MAX].partition(b"\n")
    try:
        head = json.loads(line)
        count, dimensions, measures = int(head["cells"]), tuple(head["dimensions"]), tuple(head["measures"])
        is_known = head["version"] == _VERSION
    except (ValueError, TypeError, KeyError):
        raise _malformed() from None
    shapes = (
        (count, len(dimensions)),
        (count,),
        (count,),
        (count, len(measures)),
        (count, len(measures), TOP),
    )
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    at = len(line) + len(found)
    if not is_known or count < 0 or len(content) - at != 8 * sum(sizes):
        raise _malformed()
    arrays: list[Integers] = []
    for shape, size in zip(shapes, sizes, strict=True):
        values = np.frombuffer(content, dtype="<i8", count=size, offset=at)
        arrays.append(values.astype(np.int64).reshape(shape))
        at += 8 * size
    return CellTable(dimensions, measures, *arrays)


def _malformed() -> StatisticsRefused:
    return StatisticsRefused("cells_malformed", "kept aggregates are not of their form")
