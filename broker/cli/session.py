"""What a command works with: settings and the broker's own store, found in the same way by all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import Engine, create_engine

from broker.cli.embedded import EmbeddedCluster, embedded_cluster, secret_files
from broker.cli.operator import operator_acting
from broker.cli.prepare import prepare
from broker.errors import MigrationRefused, SettingsInvalid
from broker.settings import Settings, companion, read_settings
from broker.storage.acts import Acts, acts_of
from broker.storage.agreements import RevisionNotNewer
from broker.storage.log_heads import create_head_store
from broker.storage.session import Store, open_store

COMMAND_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Session:
    """Settings, and the store opened with the application role. owner_url: of the owner role."""

    settings: Settings
    store: Store
    owner_url: str | None = None

    @property
    def engine(self) -> Engine:
        """The engine of the broker's own database, as the application role."""
        return self.store.engine

    @property
    def acts(self) -> Acts:
        """What writes the entries of whoever runs this command, each in the transaction of its act."""
        return acts_of(self.store, self.settings, operator_acting(self.settings))

    @contextmanager
    def open_owner(self) -> Iterator[Engine]:
        """Yield an engine of the owner role, for what the application role may not do."""
        if self.owner_url is None:
            raise click.ClickException("BROKER_OWNER_DATABASE_URL is missing: the owner role's URL")
        engine = create_engine(self.owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
        try:
            yield engine
        finally:
            engine.dispose()


def state_directory() -> Path:
    """Return the directory of the embedded databases and their secrets (BROKER_STATE_DIRECTORY, or .demo)."""
    return Path(companion("BROKER_STATE_DIRECTORY") or ".demo")


@contextmanager
def deployment() -> Iterator[tuple[Mapping[str, str], EmbeddedCluster | None]]:
    """Yield the environment that the server and the commands need, and the embedded cluster if one is used.

    With BROKER_DATABASE_URL the environment is taken as it is. Without it, PostgreSQL is started under the
    state directory, migrated, given fresh secrets where there are none, and stopped at the end.
    """
    if "BROKER_DATABASE_URL" in os.environ:
        yield dict(os.environ), None
        return
    directory = state_directory()
    with embedded_cluster(directory) as cluster:
        environ = embedded_environment(cluster, directory, os.environ)
        settings = settings_of(environ)
        try:
            prepare(cluster.owner_url, settings)
            create_head_store(cluster.head_owner_url)
        except (RevisionNotNewer, MigrationRefused) as fault:
            raise click.ClickException(str(fault)) from None
        yield environ, cluster


def embedded_environment(
    cluster: EmbeddedCluster, directory: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return environ completed with what points to the embedded cluster; what is given stays."""
    return {
        "BROKER_ISSUER": "http://127.0.0.1:8000",
        "BROKER_SOURCE_URL": cluster.source_reader_url,
        "BROKER_LOG_DIRECTORY": str(directory / "log"),
        # First steps and tests run without a sequencer.
        "BROKER_LOG_REQUIRED": "no",
        **secret_files(directory / "secrets"),
        **environ,
        "BROKER_DATABASE_URL": cluster.application_url,
        "BROKER_SEQUENCER_DATABASE_URL": cluster.sequencer_url,
        "BROKER_LOG_HEAD_URL": cluster.head_url,
    }


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Return the settings in an environment; unusable ones end the command with a plain message."""
    try:
        return read_settings(environ)
    except SettingsInvalid as fault:
        raise click.ClickException(fault.detail.replace("; ", "\n")) from None


@contextmanager
def open_session() -> Iterator[Session]:
    """Yield settings and store for one command; unusable settings end it with a plain message."""
    with deployment() as (environ, cluster):
        settings = settings_of(environ)
        store = open_store(settings.database_url, deadline_seconds=COMMAND_SECONDS)
        try:
            owner_url = companion("BROKER_OWNER_DATABASE_URL") if cluster is None else cluster.owner_url
            yield Session(settings, store, owner_url)
        finally:
            store.close()
