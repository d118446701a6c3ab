"""Bring the broker's own database to the newest revision, as the owner role."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from broker.storage.privileges import APPLICATION_GRANTS, SEQUENCER_GRANTS

APPLICATION_ROLE = "broker_app"
SEQUENCER_ROLE = "broker_sequencer"
# Any constant will do; all migrators of one database must use the same.
_MIGRATION_LOCK = 7_304_611_902
_STAGES = ("0008",)
"""Revisions that are committed on the way: at each something may have to be done before one can go on."""
_ROLE = text("SELECT FROM pg_roles WHERE rolname = :role")


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the migrations shipped with the broker."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def migrate(owner_url: str, *, application_role: str = APPLICATION_ROLE) -> str:
    """Migrate to the newest revision and renew the grants of both roles; return the revision.

    owner_url: SQLAlchemy URL of the owner role. A database server that has no role `broker_sequencer` yet is
    left without its grants. Two migrators at once wait for one another. Raises MigrationRefused where
    something has to be done before; the database is then at the revision at which it can be done.
    """
    engine = create_engine(owner_url)
    try:
        for revision in (*_STAGES, "head"):
            with engine.connect() as connection, connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                command.upgrade(alembic_config(connection), revision)
                _grant(connection, application_role, APPLICATION_GRANTS)
                if connection.execute(_ROLE, {"role": SEQUENCER_ROLE}).first() is not None:
                    _grant(connection, SEQUENCER_ROLE, SEQUENCER_GRANTS)
        return newest_revision()
    finally:
        engine.dispose()


@cache
def newest_revision() -> str:
    """Return the one head among the shipped migrations."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise LookupError("no migration is shipped")
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the revision that a database is at, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def _grant(connection: Connection, role: str, grants: Mapping[str, str]) -> None:
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}"))
    connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    # At a stage on the way not all tables are there yet.
    present = set(inspect(connection).get_table_names())
    for table, privileges in ((one, grants[one]) for one in grants if one in present):
        connection.execute(text(f"GRANT {privileges} ON {table} TO {quoted}"))
