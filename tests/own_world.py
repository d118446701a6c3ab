"""A release world with a database and a log of its own: for tests that look at everything there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.cli.prepare import prepare
from broker.settings import read_settings
from tests.contracts.source_fixtures import InsuranceDatabase
from tests.e2e.pages import PagesWorld, pages_world
from tests.release_world import World
from tests.served_log import ServedLog, served_log


@dataclass(frozen=True)
class OwnWorld:
    """The broker's store, the broker with all its routes and the log that it keeps."""

    world: World
    pages: PagesWorld
    log: ServedLog


@contextmanager
def own_world(
    cluster: EmbeddedCluster,
    environ: Mapping[str, str],
    insurance: InsuranceDatabase,
    directory: Path,
    name: str,
    policy_directory: Path | None = None,
) -> Iterator[OwnWorld]:
    """Give a world that begins empty. name: of its database, and in its issuer. directory: of its log.

    policy_directory: the policies, where they are not those of `environ`.
    """
    heads = f"{name}_heads"
    with psycopg.connect(cluster.administrator_url, autocommit=True) as connection:
        for database, owner in ((name, "broker_owner"), (heads, "broker_log_owner")):
            given = (sql.Identifier(database), sql.Identifier(owner))
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(given[0]))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*given))
    administrator = cluster.administrator_url
    here = replace(
        cluster,
        owner_url=url_of(administrator, "broker_owner", name),
        application_url=url_of(administrator, "broker_app", name),
        sequencer_url=url_of(administrator, "broker_sequencer", name),
        head_owner_url=url_of(administrator, "broker_log_owner", heads),
        head_url=url_of(administrator, "broker_sequencer", heads),
    )
    issuer = f"https://{name.replace('_', '-')}.example"
    settings = replace(read_settings(environ), database_url=here.application_url)
    if policy_directory is not None:
        settings = replace(settings, policy_directory=str(policy_directory))
    prepare(here.owner_url, settings)
    with ExitStack() as stack:
        world = World(settings, here.owner_url, insurance)
        stack.callback(world.close)
        log = served_log(here, world, directory, issuer)
        pages = stack.enter_context(pages_world(world, insurance, issuer, str(directory)))
        yield OwnWorld(world, pages, log)
