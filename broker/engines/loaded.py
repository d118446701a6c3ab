"""A release in a database: the names of its tables there, and the mark that says which rows they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, String, Table

from broker.engines.mart import PERSON, RECORD_KEY, dimension_column, measure_column
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.registry import Registry

_PLAIN: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class LoadMark:
    """What a database has of a release. fingerprint: of all its files. shard: from 0, of so many shards."""

    fingerprint: str
    shard: int
    shards: int


def mark_of(manifest: ReleaseManifest, shard: int = 0, shards: int = 1) -> LoadMark:
    """Return the mark of a release's rows: other files have another one."""
    lines = [manifest.release, *sorted(f"{one.path} {one.sha256}" for one in manifest.files)]
    return LoadMark(sha256("\n".join(lines).encode()).hexdigest(), shard, shards)


def rows_name(release: str) -> str:
    """Return the name of the table with a release's rows: plain, and of this release alone."""
    digest = sha256(release.encode()).hexdigest()[:8]
    return f"release_{_PLAIN.sub('_', release.lower()).strip('_')}_{digest}"


def rows_table(registry: Registry) -> Table:
    """Return the table with a release's rows."""
    return Table(
        rows_name(registry.release),
        MetaData(),
        Column(PERSON, BigInteger, nullable=False, autoincrement=False),
        Column(RECORD_KEY, BigInteger, nullable=False),
        *(Column(dimension_column(one.name), SmallInteger, nullable=False) for one in registry.dimensions),
        *(Column(measure_column(name), BigInteger, nullable=False) for name in registry.measures),
    )


def mark_table(release: str) -> Table:
    """Return the table of one row with the mark of what is loaded."""
    return Table(
        f"{rows_name(release)}_mark",
        MetaData(),
        Column("fingerprint", String, nullable=False),
        Column("shard", Integer, nullable=False),
        Column("shards", Integer, nullable=False),
    )
