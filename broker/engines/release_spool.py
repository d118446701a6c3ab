"""Rows of a release on their way to disk: parts of so many persons, each with its hash, to go on with.

    .<release>.spool/head.json         what the parts are of: another source state begins anew
    .<release>.spool/part-000001.json  which persons a part has, and its hash; written after the part itself
    .<release>.spool/part-000001.parquet

Nothing here is forced to disk: what a power cut leaves of a part does not have its hash, and is read again.
A part's row groups are of one month and province each, so that sorting a month reads only its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from broker.engines.durable_files import hash_of_file, private_directory, put, settle
from broker.engines.mart import PERSON, dimension_column
from broker.engines.release_rows import COLUMNS, Columns

_HEAD: Final = "head.json"
_PERIOD, _PROVINCE, _SECTOR = map(dimension_column, ("period", "province", "sector"))
SCHEMA: Final = pa.schema([(name, pa.int16() if name.startswith("d_") else pa.int64()) for name in COLUMNS])
"""Columns of all files of a release: keys and amounts of eight bytes, categories of two."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is whole. after, last: person_key before its first person, and of its last.

    persons, rows: how many. sha256: of its file.
    """

    number: int
    after: int
    last: int
    persons: int
    rows: int
    sha256: str


class Spool:
    """The parts of one release, in a directory of their own that nobody else reads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def resume(self, head: dict[str, Any]) -> Sequence[Part]:
        """Return the parts that are there and whole; where they are of another head they are deleted.

        head: what parts are of: quarter, state of the source, columns. Raises OSError.
        """
        if _read_json(self.directory / _HEAD) != head:
            shutil.rmtree(self.directory, ignore_errors=True)
        private_directory(self.directory)
        if not (self.directory / _HEAD).exists():
            put(self.directory / _HEAD, json.dumps(head, sort_keys=True).encode())
        parts: list[Part] = []
        while (part := self._whole_part(len(parts) + 1)) is not None and (
            not parts or part.after == parts[-1].last
        ):
            parts.append(part)
        self._drop_beyond(len(parts))
        return parts

    def add(self, number: int, after: int, last: int, persons: int, columns: Columns) -> Part:
        """Write one part and return it; it is there from when its own small file is. Raises OSError."""
        path = self._path(number, "parquet")
        new = path.with_name(f".{path.name}.new")
        _write(new, columns)
        sha256 = hash_of_file(new)
        settle(new, path)
        part = Part(number, after, last, persons, len(columns[PERSON]), sha256)
        put(self._path(number, "json"), json.dumps(asdict(part), sort_keys=True).encode())
        return part

    def paths(self, parts: Sequence[Part]) -> list[str]:
        """Return the files of parts."""
        return [str(self._path(part.number, "parquet")) for part in parts]

    def remove(self) -> None:
        """Delete all parts."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, number: int, suffix: str) -> Path:
        return self.directory / f"part-{number:06d}.{suffix}"

    def _whole_part(self, number: int) -> Part | None:
        told = _read_json(self._path(number, "json"))
        path = self._path(number, "parquet")
        if told is None or told.get("number") != number or not path.exists():
            return None
        part = Part(**told)
        return part if hash_of_file(path) == part.sha256 else None

    def _drop_beyond(self, kept: int) -> None:
        for path in self.directory.glob("part-*"):
            if int(path.name[5:11]) > kept:
                path.unlink()


def joined(batches: Sequence[Columns]) -> Columns:
    """Return the rows of several batches as one."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in COLUMNS}


def _write(path: Path, columns: Columns) -> None:
    """Write rows by month, province, person and sector: a row group for each month and province."""
    order = np.lexsort((columns[_SECTOR], columns[PERSON], columns[_PROVINCE], columns[_PERIOD]))
    table = pa.table({name: columns[name][order] for name in COLUMNS}, schema=SCHEMA)
    place = columns[_PERIOD][order].astype(np.int64) * 1_000_000 + columns[_PROVINCE][order]
    bounds = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(place)]
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for first, end in pairwise(bounds):
            if end > first:
                writer.write_table(table.slice(first, end - first), row_group_size=max(end - first, 1))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
