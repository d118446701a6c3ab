"""Alembic's entry: runs on the connection that `broker.storage.migrate` hands over, as the owner role."""

from __future__ import annotations

from alembic import context

from broker.storage.tables import metadata


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


run()
