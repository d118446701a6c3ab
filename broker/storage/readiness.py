"""Tells whether a release could be recorded right now."""

from __future__ import annotations

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from broker.storage.migrate import current_revision, newest_revision

_WRITABLE = text(
    """SELECT NOT pg_is_in_recovery()
         AND current_setting('transaction_read_only') = 'off'
         AND has_column_privilege('evidence_entries', 'entry', 'INSERT')
         AND has_table_privilege('evidence_openings', 'INSERT')
         AND current_setting('synchronous_commit') <> 'off'
         AND current_setting('fsync') = 'on'"""
)


def find_fault(engine: Engine) -> str | None:
    """Return what keeps the ledger from recording a release, or None: unreachable | read_only | revision."""
    try:
        with engine.connect() as connection:
            if current_revision(connection) != newest_revision():
                return "revision"
            return None if connection.execute(_WRITABLE).scalar_one() else "read_only"
    except SQLAlchemyError:
        return "unreachable"
