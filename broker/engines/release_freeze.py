"""Freezes a release: from a source's persons to files that nobody changes any more, in one directory.

    read      persons → parts of the spool; a run that was stopped goes on behind the last whole part
    sort      parts → a file for each month and province, sorted by person
    describe  manifest.json with the hash of every file, and the tables of noise
    close     read-only, forced to disk, and moved to its name in one step

Nothing is at its name before it is whole. What a run that was killed left behind, the next one uses or
deletes. Memory does not grow with the number of persons.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from broker.engines.durable_files import (
    CLOSED_DIRECTORY,
    PRIVATE_DIRECTORY,
    force,
    force_all,
    private_directory,
    put,
)
from broker.engines.frozen_files import count_persons, open_duckdb, write_files
from broker.engines.release_rows import COLUMNS, Columns, RowCoder
from broker.engines.release_spool import Part, Spool, joined
from broker.statistics.dimensions import MEASURES, words_of
from broker.statistics.disclosure import DisclosureParameters
from broker.statistics.manifest import ReleaseFile, ReleaseManifest
from broker.statistics.manifest_json import manifest_bytes, manifest_hash
from broker.statistics.manifest_read import read_manifest
from broker.statistics.methods import hashes_of
from broker.statistics.periods import Quarter
from broker.statistics.registry import Registry
from broker.statistics.release_layout import MANIFEST, perturbation_path
from connectors.national_insurance.statistics_rows import PersonFacts

PART_PERSONS: Final = 100_000
MEMORY_MB: Final = 512
_BEFORE_ALL: Final = -1
Step: TypeAlias = Literal["read", "sort"]


def untold(_step: Step, _done: int) -> None:
    """Tell nobody how far a step is."""


class ReleaseUnmade(Exception):
    """A release cannot be frozen as things are: the text says why, without any value of a person."""


class Persons(Protocol):
    """A run over a source, on one snapshot; `connectors.national_insurance.statistics_rows` has one."""

    def as_of(self) -> datetime:
        """Return until when the data are true."""
        ...

    def batches(
        self, first_day: date, last_day: date, after: int | None = None
    ) -> Iterator[Sequence[PersonFacts]]:
        """Yield persons in the order of their keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezing:
    """What a release is to be. supersedes: "" for none. perturbation: table name → CSV.

    on_step: told how far a step is: persons read, months and provinces sorted.
    """

    directory: Path
    quarter: Quarter
    registry: Registry
    revision: int
    supersedes: str
    secret_persons: bytes
    parameters: DisclosureParameters
    perturbation: Mapping[str, str]
    on_step: Callable[[Step, int], None] = untold
    part_persons: int = PART_PERSONS
    memory_mb: int = MEMORY_MB

    @property
    def home(self) -> Path:
        """Where the release lies once it is frozen."""
        return self.directory / self.registry.release

    @property
    def partial(self) -> Path:
        """Where it is put together."""
        return self.directory / f".{self.registry.release}.partial"

    @property
    def spool(self) -> Path:
        """Where its parts lie."""
        return self.directory / f".{self.registry.release}.spool"

    def __repr__(self) -> str:
        return f"Freezing({self.registry.release})"


def find_made(freezing: Freezing) -> ReleaseManifest | None:
    """Return the manifest of a release that lies at its name already, made by a run that was then stopped."""
    path = freezing.home / MANIFEST
    return read_manifest(path.read_bytes()) if path.exists() else None


def assemble(freezing: Freezing, persons: Persons, frozen_at: datetime) -> ReleaseManifest:
    """Put a release together, whole but not yet at its name, and return its manifest.

    Raises ReleaseUnmade: the quarter is not over at the source, the source changed meanwhile, nobody is in
    it, or two persons have one number;
    SourceUnavailable, SourceAnswerRefused, OSError.
    """
    as_of = persons.as_of()
    if as_of.date() <= freezing.quarter.last_day:
        raise ReleaseUnmade(
            f"the source is true as of {as_of:%Y-%m-%d}, and {freezing.quarter.code} ends on "
            f"{freezing.quarter.last_day:%Y-%m-%d}"
        )
    private_directory(freezing.directory)
    spool = Spool(freezing.spool)
    parts = _read(freezing, persons, spool, as_of)
    if persons.as_of() != as_of:
        raise ReleaseUnmade("the source was synchronised meanwhile: begin again when it stands still")
    if not any(part.persons for part in parts):
        raise ReleaseUnmade("nobody is in the source")
    shutil.rmtree(freezing.partial, ignore_errors=True)
    private_directory(freezing.partial)
    scratch = freezing.spool / "scratch"
    files = write_files(
        freezing.partial,
        spool.paths(parts),
        freezing.registry,
        scratch,
        freezing.memory_mb,
        lambda done: freezing.on_step("sort", done),
    )
    _check_whole(freezing, parts, files, scratch)
    manifest = _manifest(freezing, parts, files, as_of, frozen_at)
    private_directory(freezing.partial / "perturbation")
    for name, one in manifest.perturbation.items():
        put(freezing.partial / perturbation_path(one), freezing.perturbation[name].encode())
    put(freezing.partial / MANIFEST, manifest_bytes(manifest))
    return manifest


def close(freezing: Freezing) -> str:
    """Move a whole release to its name, where nobody writes any more; return the hash of its manifest."""
    force_all(freezing.partial)
    for path in freezing.partial.rglob("*"):
        if path.is_dir():
            path.chmod(CLOSED_DIRECTORY)
    freezing.partial.rename(freezing.home)
    freezing.home.chmod(CLOSED_DIRECTORY)
    force(freezing.directory)
    return manifest_hash((freezing.home / MANIFEST).read_bytes())


def discard(freezing: Freezing) -> None:
    """Delete what was put together and the parts: of a release that was refused, or is at its name."""
    for directory in (freezing.partial, freezing.spool):
        if directory.exists():
            for path in directory.rglob("*"):
                if path.is_dir():
                    path.chmod(PRIVATE_DIRECTORY)
            shutil.rmtree(directory)


def _read(freezing: Freezing, persons: Persons, spool: Spool, as_of: datetime) -> Sequence[Part]:
    """Bring all persons into parts, behind those that are there."""
    quarter = freezing.quarter
    parts = list(
        spool.resume(
            {"release": freezing.registry.release, "as_of": as_of.isoformat(), "columns": list(COLUMNS)}
        )
    )
    coder = RowCoder(quarter, freezing.registry, freezing.secret_persons)
    after = parts[-1].last if parts else _BEFORE_ALL
    done = sum(part.persons for part in parts)
    freezing.on_step("read", done)
    waiting: list[Columns] = []
    counted, last = 0, after
    for batch in persons.batches(quarter.first_day, quarter.last_day, after if parts else None):
        columns, of_period = coder.coded(batch)
        waiting.append(columns)
        counted, last = counted + of_period, batch[-1].person_key
        freezing.on_step("read", done + counted)
        if counted >= freezing.part_persons:
            parts.append(spool.add(len(parts) + 1, after, last, counted, joined(waiting)))
            done, after, counted, waiting = done + counted, last, 0, []
    if waiting:
        parts.append(spool.add(len(parts) + 1, after, last, counted, joined(waiting)))
    return parts


def _check_whole(
    freezing: Freezing, parts: Sequence[Part], files: Sequence[ReleaseFile], scratch: Path
) -> None:
    """Refuse what would be another release than the parts say, or would count two persons as one."""
    persons = sum(part.persons for part in parts)
    if sum(one.rows_count for one in files) != sum(part.rows for part in parts):
        raise ReleaseUnmade("rows were lost between the parts and the files")
    with closing(open_duckdb(scratch, freezing.memory_mb)) as database:
        first = files[0].period
        paths = [str(freezing.partial / one.path) for one in files if one.period == first]
        if count_persons(database, paths) != persons:
            raise ReleaseUnmade("two persons have one number, or one has rows twice: nothing can be counted")


def _manifest(
    freezing: Freezing,
    parts: Sequence[Part],
    files: tuple[ReleaseFile, ...],
    as_of: datetime,
    frozen_at: datetime,
) -> ReleaseManifest:
    return ReleaseManifest(
        release=freezing.registry.release,
        period=freezing.quarter.code,
        revision=freezing.revision,
        supersedes=freezing.supersedes,
        frozen_at=frozen_at,
        as_of=as_of,
        registry=freezing.registry,
        dimensions=words_of(freezing.quarter),
        measures=MEASURES,
        parameters=freezing.parameters,
        perturbation=hashes_of(freezing.perturbation),
        files=files,
        persons_count=sum(part.persons for part in parts),
        rows_count=sum(one.rows_count for one in files),
    )
