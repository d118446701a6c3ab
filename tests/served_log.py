"""The log over the evidence of the world that tests share, ordered by a sequencer and published in files.

The database has one log: whoever makes one here ends the one that an earlier test module made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from broker.cli.embedded import EmbeddedCluster
from broker.cli.log_session import log_session
from broker.cli.sequencer import waiting_in
from broker.clock import system_clock
from broker.evidence.checkpoint import shard_origin
from broker.evidence.signed_note import VerifierKey
from broker.keys import KeyRing
from broker.settings import Settings
from broker.storage.log_files import LogFiles, log_host, shard_directory
from broker.storage.log_heads import create_head_store
from broker.storage.session import open_store
from broker.storage.signing_keys import PostgresSigningKeys
from tests.acting import ACTS
from tests.doors import wait_until
from tests.log_world import ordered
from tests.release_world import World

_YEARS = "SELECT DISTINCT left(convert_from(entry, 'UTF8')::json ->> 'at', 4) FROM evidence_entries"


@dataclass(frozen=True)
class ServedLog:
    """A log that grows when it is told to. directory: BROKER_LOG_DIRECTORY."""

    cluster: EmbeddedCluster
    settings: Settings

    def order(self) -> None:
        """Merge all that is recorded: it is published when this returns."""
        with log_session(self.settings, self.cluster.sequencer_url, self.cluster.head_url) as session:
            for year in self._years():
                session.sequencer.create(year)

            def is_done() -> bool:
                ordered(session)
                return waiting_in(session).count == 0

            wait_until(is_done, "everything is in the log", 60)

    def key(self, year: int) -> VerifierKey:
        """Return the key that signs the log of a year."""
        with log_session(self.settings, self.cluster.sequencer_url, self.cluster.head_url) as session:
            key, _ = session.sequencer.signer(self.origin(year))
        return key

    def withdraw_key(self) -> None:
        """Put another key in the place of the one that signs, as after a leak."""
        store = open_store(self.settings.database_url, deadline_seconds=10.0)
        try:
            key_encryption_key = self.settings.key_encryption_key_file.reveal()
            ring = KeyRing(PostgresSigningKeys(store.engine, ACTS), key_encryption_key, system_clock)
            ring.rotate("log", compromised=True)
        finally:
            store.close()

    def origin(self, year: int) -> str:
        return shard_origin(log_host(self.settings.issuer), year)

    def files(self, year: int) -> LogFiles:
        return LogFiles(shard_directory(self.settings.log_directory, self.origin(year)))

    def _years(self) -> list[int]:
        with psycopg.connect(self.cluster.owner_url.replace("+psycopg", "")) as connection:
            return sorted(int(row[0]) for row in connection.execute(_YEARS).fetchall())


def served_log(cluster: EmbeddedCluster, world: World, directory: Path, issuer: str) -> ServedLog:
    """Begin the log of an issuer anew, without an entry in it."""
    create_head_store(cluster.head_owner_url)
    world.execute("TRUNCATE log_positions, log_horizon, log_published")
    with psycopg.connect(cluster.head_owner_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("TRUNCATE log_heads")
    return ServedLog(cluster, replace(world.settings, issuer=issuer, log_directory=str(directory)))
