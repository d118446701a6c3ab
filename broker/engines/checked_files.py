"""The files of a release that a plan reads: those that the manifest names, byte for byte, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from broker.engines.logical import LogicalPlan
from broker.engines.mart import PARTITIONS, PERSON, RECORD_KEY, dimension_column, measure_column
from broker.statistics.frozen import FrozenRelease
from broker.statistics.keys import KEY_MODULUS
from broker.statistics.manifest import ReleaseFile
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.registry import Registry
from connectors.base import SourceUnavailable

BATCH_ROWS: Final = 500_000
"""So many rows, or one province if that is more, are collapsed to persons at a time."""

Bounds = tuple[str, int, int]
"""A column's type, its least and its largest value."""


def files_of(registry: Registry, plan: LogicalPlan, files: Sequence[ReleaseFile]) -> list[ReleaseFile]:
    """Return the files that may have rows of a plan: those of other periods and provinces are not opened."""
    left = list(files)
    for kept in plan.kept:
        if kept.name in PARTITIONS:
            leaves = registry.dimension(kept.name).leaves
            chosen = {leaves[number] for number in kept.leaves}
            left = [one for one in left if getattr(one, kept.name) in chosen]
    return left


def batches_of(files: Sequence[ReleaseFile]) -> list[list[ReleaseFile]]:
    """Return files in batches without a person in common: whole provinces, up to `BATCH_ROWS` together."""
    by_province: dict[str, list[ReleaseFile]] = {}
    for one in files:
        by_province.setdefault(one.province, []).append(one)
    batches: list[list[ReleaseFile]] = []
    rows = BATCH_ROWS
    for province in by_province.values():
        count = sum(one.rows_count for one in province)
        if rows + count > BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1] += province
        rows += count
    return batches


class CheckedFiles:
    """Remembers, in this process, which files it has found to be those of their manifests."""

    def __init__(self) -> None:
        self._found: set[tuple[object, ...]] = set()

    def check(
        self, release: FrozenRelease, files: Sequence[ReleaseFile], on_share: Callable[[float], None]
    ) -> dict[str, str]:
        """Return where files lie, by their paths in the manifest. on_share: told from 0 to 1, by bytes.

        Raises SourceUnavailable where a file cannot be read, StatisticsRefused("cells_malformed") where it is
        not the one of the manifest, or not of the layout that all engines read.
        """
        bounds = expected_bounds(release.manifest.registry)
        total, done = sum(one.bytes_count for one in files) or 1, 0
        paths = {}
        for one in files:
            found = self._checked(Path(release.directory), one, bounds, release.manifest.registry)
            paths[one.path] = str(found)
            done += one.bytes_count
            on_share(done / total)
        return paths

    def _checked(
        self, directory: Path, one: ReleaseFile, bounds: Mapping[str, Bounds], registry: Registry
    ) -> Path:
        try:
            root, path = directory.resolve(strict=True), (directory / one.path).resolve(strict=True)
            if not path.is_relative_to(root):
                raise _not_the_file("lies outside of the release")
            status = path.stat()
            mark = (path, one, status.st_size, status.st_mtime_ns, status.st_ino)
            if mark in self._found:
                return path
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError:
            raise SourceUnavailable("a file of the release cannot be read") from None
        if digest != one.sha256 or status.st_size != one.bytes_count:
            raise _not_the_file("is not the one of its manifest")
        _check_layout(path, one, bounds, registry)
        self._found.add(mark)
        return path


def expected_bounds(registry: Registry) -> dict[str, Bounds]:
    """Return what the columns of a release's files hold."""
    return {
        PERSON: ("int64", 0, 2**63 - 1),
        RECORD_KEY: ("int64", 0, KEY_MODULUS - 1),
        **{dimension_column(one.name): ("int16", 0, len(one.leaves) - 1) for one in registry.dimensions},
        **{measure_column(name): ("int64", 0, 2**63 - 1) for name in registry.measures},
    }


def _check_layout(path: Path, one: ReleaseFile, bounds: Mapping[str, Bounds], registry: Registry) -> None:
    """Refuse a file with other columns than the release's, or values beyond them, by its own statistics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError):
        raise _not_the_file("cannot be read as Parquet") from None
    if {field.name: str(field.type) for field in schema} != {
        name: kind for name, (kind, _, _) in bounds.items()
    }:
        raise _not_the_file("has other columns than the release")
    if metadata.num_rows != one.rows_count:
        raise _not_the_file("has more or fewer rows than its manifest says")
    expected = {name: (least, most) for name, (_, least, most) in bounds.items()}
    expected.update(_places_of(one, registry))
    for name, least, most in _extremes(metadata):
        if not expected[name][0] <= least <= most <= expected[name][1]:
            raise _not_the_file(f"has values in {name} that nothing has")


def _places_of(one: ReleaseFile, registry: Registry) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the columns that have one value in a whole file, with it."""
    for dimension in registry.dimensions:
        if dimension.name in PARTITIONS:
            code = getattr(one, dimension.name)
            if code not in dimension.leaves:
                raise _not_the_file(f"is of no registered {dimension.name}")
            number = dimension.leaves.index(code)
            yield dimension_column(dimension.name), (number, number)


def _extremes(metadata: Any) -> Iterator[tuple[str, int, int]]:
    for at in range(metadata.num_row_groups):
        group = metadata.row_group(at)
        if group.num_rows:
            yield from (_extreme(group.column(number)) for number in range(group.num_columns))


def _extreme(column: Any) -> tuple[str, int, int]:
    told = column.statistics
    if told is None or not told.has_min_max or not told.has_null_count or told.null_count:
        raise _not_the_file(f"does not say what {column.path_in_schema} has, or lacks values there")
    return column.path_in_schema, int(told.min), int(told.max)


def _not_the_file(detail: str) -> StatisticsRefused:
    return StatisticsRefused("cells_malformed", f"a file of the release {detail}")
