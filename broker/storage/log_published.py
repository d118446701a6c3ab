"""How much of the log is published, as the sequencer tells it to the broker's own store after publishing.

A row of a shard is written when its tree has grown, or the instant in it is some seconds old: a log in which
nothing happens costs a commit every so often, not one a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

NOTED_EVERY_SECONDS: Final = 10

# The instant never goes back, so that a transaction that was open for long does not stop releases when it
# commits: it is merged a second later. One in the future (a clock that was put right) is put right too.
_NOTE: Final = text(
    """UPDATE log_published p SET tree_size = given.size,
      complete_at = CASE WHEN p.complete_at > now() THEN :at ELSE greatest(p.complete_at, :at) END
    FROM unnest(CAST(:shards AS smallint[]), CAST(:sizes AS bigint[])) AS given (shard, size)
    WHERE p.shard = given.shard AND (p.tree_size <> given.size OR p.complete_at > now()
      OR p.complete_at < CAST(:at AS timestamptz) - make_interval(secs => :every))"""
)
_BEGIN: Final = text(
    """INSERT INTO log_published (shard, tree_size, complete_at)
    SELECT given.shard, given.size, :at
    FROM unnest(CAST(:shards AS smallint[]), CAST(:sizes AS bigint[])) AS given (shard, size)
    WHERE NOT EXISTS (SELECT FROM log_published p WHERE p.shard = given.shard) ON CONFLICT DO NOTHING"""
)


def note_published(connection: Connection, sizes: Mapping[int, int], complete_at: datetime) -> None:
    """Write how much is published. sizes: of the published trees, by year.

    complete_at: all that was recorded before stands in one of them.
    """
    given = {"shards": list(sizes), "sizes": list(sizes.values()), "at": complete_at}
    connection.execute(_NOTE, {**given, "every": NOTED_EVERY_SECONDS})
    connection.execute(_BEGIN, given)
