"""Whether the log stands still: an entry waits for too long for a published tree, or no log was ever made.

The recording statement asks the cheap half of it: is it long ago that all was published (`release_sql`)?
Where it is, this asks the other half: a log in which nothing waits is idle, and does not stand. The store
alone is asked, which the sequencer tells after each publication, so a server needs none of the log's files.
"""

from __future__ import annotations

from typing import Final

from broker.evidence.sequencing import STOP_SECONDS
from connectors.postgres import DatabaseError, PreparedConnections, PreparedStatement

MARGIN_SECONDS: Final = 5.0
"""How long before it is recorded an entry may get its reference, clocks aside: a request takes no longer."""

# A reference begins with the milliseconds at which it was made (UUIDv7), so the primary key leads to what was
# recorded in a stretch of time. What was recorded after the log was complete waits: one such entry is enough,
# however many there are. Of about that instant each is looked up, since clocks differ.
_AT: Final = """(lpad(to_hex((extract(epoch FROM {instant}) * 1000)::bigint), 12, '0')
      || '00000000000000000000')::uuid"""
_COMPLETE: Final = "(SELECT max(complete_at) {sign} $2::interval FROM log_published)"
# An instant in the future (the store's clock was put back) tells nothing: the sequencer puts it right.
_STANDS_SQL: Final = """
SELECT NOT coalesce((SELECT max(complete_at) <= now() + interval '1 min' FROM log_published), false) OR (
  SELECT e.reference FROM evidence_entries e
  WHERE e.reference >= {after} AND e.reference < {end}
  ORDER BY e.reference LIMIT 1
) IS NOT NULL OR (
  SELECT e.reference FROM evidence_entries e
  WHERE e.reference >= {before} AND e.reference < least({after}, {end})
    AND (SELECT p.shard FROM log_positions p JOIN log_published s USING (shard)
         WHERE p.reference = e.reference AND p.leaf_index < s.tree_size) IS NULL
  ORDER BY e.reference LIMIT 1
) IS NOT NULL
"""
_STANDS: Final = PreparedStatement(
    "log_stands",
    _STANDS_SQL.format(
        before=_AT.format(instant=_COMPLETE.format(sign="-")),
        after=_AT.format(instant=_COMPLETE.format(sign="+")),
        end=_AT.format(instant="now() - $1::interval"),
    ),
    repeatable=True,
)
STOP: Final = b"%d s" % STOP_SECONDS
"""As the statements take it."""


class LogStanding:
    """Says whether the log stands. clock_skew_seconds: between the servers' clocks and the store's, at most.

    is_needed: whether releases need a log at all; where they do not, nothing is asked.
    """

    def __init__(
        self, connections: PreparedConnections, clock_skew_seconds: float, *, is_needed: bool
    ) -> None:
        self.is_needed = is_needed
        self._connections = connections
        self._margin = f"{clock_skew_seconds + MARGIN_SECONDS} s".encode()

    def stands(self, seconds: float) -> bool:
        """Return whether the log stands, asked within so many seconds.

        Raises DatabaseError; whoever asks for a release lets nothing leave then.
        """
        return self._connections.execute(_STANDS, [STOP, self._margin], seconds)[0][0] != b"f"

    def fault(self) -> str | None:
        """Return what is told of releases: log_stopped | log_not_required | unreachable, or None."""
        if not self.is_needed:
            return "log_not_required"
        try:
            return "log_stopped" if self.stands(2.0) else None
        except DatabaseError:
            return "unreachable"
