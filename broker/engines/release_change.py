"""What differs between two releases of a quarter: rows without their keys, month by month and place by place.

Nobody is the same number in both. But a row's categories and amounts tell nearly as much, so rows are held
against each other as a bag: how many of the former the new one has not, and the other way round.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from broker.engines.frozen_files import open_duckdb
from broker.engines.mart import PERSON, RECORD_KEY
from broker.engines.release_rows import COLUMNS
from broker.statistics.manifest import ReleaseManifest
from broker.statistics.reasons import StatisticsRefused
from broker.statistics.revision import Change

_KEPT: Final = ", ".join(name for name in COLUMNS if name not in (PERSON, RECORD_KEY))
_DIFFERING: Final = f"""
SELECT coalesce(sum(greatest(-more, 0)), 0), coalesce(sum(greatest(more, 0)), 0) FROM (
  SELECT sum(side) AS more FROM (
    SELECT {_KEPT}, -1 AS side FROM {{former}} UNION ALL SELECT {_KEPT}, 1 AS side FROM {{newer}}
  ) GROUP BY {_KEPT}
)
"""  # noqa: S608 - our own names
_EMPTY: Final = "(SELECT * FROM {other} LIMIT 0)"


def change_between(
    former: tuple[Path, ReleaseManifest], newer: tuple[Path, ReleaseManifest], scratch: Path, memory_mb: int
) -> Change:
    """Return what differs. Each release is given with its directory.

    Raises StatisticsRefused("revision_unlikely") where they have other dimensions or measures: their rows
    cannot be held against each other.
    """
    before, now = former[1], newer[1]
    if before.registry.dimensions != now.registry.dimensions or before.measures != now.measures:
        raise StatisticsRefused(
            "revision_unlikely", f"{now.release} has other dimensions or measures than {before.release}"
        )
    places = [{(one.period, one.province): one.path for one in manifest.files} for manifest in (before, now)]
    gone = come = 0
    with closing(open_duckdb(scratch, memory_mb)) as database:
        for place in sorted(set(places[0]) | set(places[1])):
            paths = [
                str(home / of[place]) if place in of else None
                for home, of in zip((former[0], newer[0]), places, strict=True)
            ]
            sides = [_read(path) for path in paths]
            statement = _DIFFERING.format(
                former=sides[0] or _EMPTY.format(other=sides[1]),
                newer=sides[1] or _EMPTY.format(other=sides[0]),
            )
            less, more = database.execute(statement).fetchone()
            gone, come = gone + int(less), come + int(more)
    return Change(before.rows_count, now.rows_count, gone, come)


def _read(path: str | None) -> str:
    """Return a file as a table of SQL, "" for none."""
    if path is None:
        return ""
    quoted = path.replace("'", "''")
    return f"read_parquet('{quoted}', hive_partitioning = false)"
