"""A log on a real PostgreSQL, a head store beside it and a directory: sequencers, and what they published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine, text

from broker.cli.embedded import EmbeddedCluster, url_of
from broker.cli.log_session import LogSession, log_session
from broker.cli.sequencer import waiting_in
from broker.clock import system_clock
from broker.evidence.checkpoint import Checkpoint, open_checkpoint
from broker.evidence.log_replay import Finding, replayed
from broker.evidence.signed_note import LOG_SIGNATURE, VerifierKey
from broker.evidence.tiles import ENTRIES, Tile, find_entries, tiles_of
from broker.keys import KeyRing
from broker.settings import Secret, Settings
from broker.storage.log_files import CHECKPOINT, LogFiles, shard_directory
from broker.storage.log_heads import create_head_store
from broker.storage.migrate import migrate
from broker.storage.session import open_store
from broker.storage.signing_keys import PostgresSigningKeys
from tests.acting import ACTS
from tests.doors import wait_until
from tests.evidence_entries import decoded, release
from tests.oauth_world import KEY_ENCRYPTION_KEY, PSEUDONYM_KEY
from tests.reference.merkle import mth

DATABASE, HEADS = "broker_log", "broker_log_heads"
HOST = "broker.example.vn"
YEAR = 2026


@dataclass(frozen=True)
class LogDatabases:
    """Two databases of their own on the cluster: of the broker, and of the heads."""

    owner: Engine
    head_owner: Engine
    application_url: str
    sequencer_url: str
    head_url: str

    def empty(self) -> None:
        """Leave nothing of earlier tests."""
        with self.owner.begin() as connection:
            beside = "evidence_openings, log_positions, log_horizon, log_published, signing_keys"
            connection.execute(text(f"TRUNCATE evidence_entries, {beside}"))
        with self.head_owner.begin() as connection:
            connection.execute(text("TRUNCATE log_heads"))


@contextmanager
def log_databases(cluster: EmbeddedCluster) -> Iterator[LogDatabases]:
    """Give the two databases, migrated."""
    url = cluster.administrator_url
    with psycopg.connect(url, autocommit=True) as connection:
        for name, owner in ((DATABASE, "broker_owner"), (HEADS, "broker_log_owner")):
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                made = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(made.format(sql.Identifier(name), sql.Identifier(owner)))
    migrate(url_of(url, "broker_owner", DATABASE))
    create_head_store(url_of(url, "broker_log_owner", HEADS))
    database_owner = create_engine(url_of(url, "broker_owner", DATABASE))
    head_owner = create_engine(url_of(url, "broker_log_owner", HEADS))
    try:
        yield LogDatabases(
            owner=database_owner,
            head_owner=head_owner,
            application_url=url_of(url, "broker_app", DATABASE),
            sequencer_url=url_of(url, "broker_sequencer", DATABASE),
            head_url=url_of(url, "broker_sequencer", HEADS),
        )
    finally:
        database_owner.dispose()
        head_owner.dispose()


class LogWorld:
    """One log of a test. It begins empty, with a key."""

    def __init__(self, databases: LogDatabases, directory: Path) -> None:
        self.databases = databases
        self.directory = directory
        databases.empty()
        self.settings = Settings(
            issuer=f"https://{HOST}",
            database_url=databases.application_url,
            source_url=databases.application_url,
            key_encryption_key_file=Secret(KEY_ENCRYPTION_KEY),
            pseudonym_key_file=Secret(PSEUDONYM_KEY),
            log_directory=str(directory),
        )
        self.store = open_store(databases.application_url, deadline_seconds=10.0)
        self.ring = KeyRing(PostgresSigningKeys(self.store.engine, ACTS), KEY_ENCRYPTION_KEY, system_clock)
        self.ring.rotate("log")
        # The stage leaves no entries: what a test counts is what it recorded itself.
        with databases.owner.begin() as connection:
            connection.execute(text("TRUNCATE evidence_entries, evidence_openings"))

    def close(self) -> None:
        self.store.close()

    @contextmanager
    def session(self) -> Iterator[LogSession]:
        """Give a sequencer, as a process of its own would have it."""
        with log_session(self.settings, self.databases.sequencer_url, self.databases.head_url) as session:
            yield session

    def created(self, year: int = YEAR) -> None:
        with self.session() as session:
            assert session.sequencer.create(year) is not None

    def record(self, numbers: Iterable[int], *, year: int = YEAR) -> list[str]:
        """Record releases as the application does; return their references."""
        references = []
        with self.store.engine.begin() as connection:
            for number in numbers:
                content = of_year(release(number), year)
                references.append(enter(connection, content))
        return references

    def order(self) -> int:
        """Run a sequencer of its own until nothing waits; return how many entries it merged.

        A transaction of the server itself (an analysis of tables) may keep entries waiting for a moment.
        """
        merged = 0

        def is_done() -> bool:
            nonlocal merged
            merged += ordered(session)
            return waiting_in(session).count == 0

        with self.session() as session:
            wait_until(is_done, "everything is in the log", 60)
        return merged

    def order_what_may_be(self) -> int:
        """Run a sequencer of its own while others have transactions open; return how many were merged."""
        with self.session() as session:
            return ordered(session)

    def origin(self, year: int = YEAR) -> str:
        return f"audit.{HOST}/{year}"

    def files(self, year: int = YEAR) -> LogFiles:
        return LogFiles(shard_directory(str(self.directory), self.origin(year)))

    def key(self, year: int = YEAR) -> VerifierKey:
        return VerifierKey(self.origin(year), LOG_SIGNATURE, self.ring.log_signer().public_key)

    def published(self, year: int = YEAR) -> Checkpoint:
        """Return the published checkpoint, its signature verified."""
        content = self.files(year).checkpoint()
        assert content is not None
        return open_checkpoint(content, [self.key(year)]).checkpoint

    def findings(self, year: int = YEAR) -> list[Finding]:
        """Read the whole published log again."""
        steps = list(replayed(self.files(year).read, self.published(year)))
        return [finding for step in steps for finding in step.findings]

    def entries(self, year: int = YEAR) -> list[bytes]:
        """Return the published entries, in log order."""
        bundles = tiles_of(self.published(year).tree_size, ENTRIES)
        return [entry for one in bundles for entry in self._bundle(one, year)]

    def _bundle(self, bundle: Tile, year: int) -> tuple[bytes, ...]:
        found = find_entries(self.files(year).read, bundle)
        assert found is not None, bundle
        return found

    def published_references(self, year: int = YEAR) -> list[str]:
        return [decoded(entry)["reference"] for entry in self.entries(year)]

    def check(self, year: int = YEAR) -> None:
        """Say that what is published is one faultless tree, by the definition of RFC 6962 too.

        Positions and head tell of the very same one.
        """
        assert self.findings(year) == []
        published, entries = self.published(year), self.entries(year)
        assert mth(entries) == published.root_hash
        references = self.published_references(year)
        assert len(set(references)) == len(references)
        with self.databases.owner.connect() as connection:
            positions = connection.execute(
                text("SELECT leaf_index, reference FROM log_positions WHERE shard = :year ORDER BY 1"),
                {"year": year},
            ).all()
        assert [tuple(row) for row in positions] == [
            (index, UUID(reference)) for index, reference in enumerate(references)
        ]
        with self.databases.head_owner.connect() as connection:
            head = connection.execute(
                text("SELECT tree_size, root_hash FROM log_heads WHERE origin = :origin"),
                {"origin": self.origin(year)},
            ).one()
        assert (head.tree_size, bytes(head.root_hash)) == (published.tree_size, published.root_hash)

    def has_positions(self, count: int) -> bool:
        """Return whether so many entries have positions."""
        with self.databases.owner.connect() as connection:
            found: int = connection.execute(text("SELECT count(*) FROM log_positions")).scalar_one()
            return found == count

    def recorded(self) -> set[str]:
        """Return the references of all entries that were ever committed."""
        with self.databases.owner.connect() as connection:
            rows = connection.execute(text("SELECT reference::text FROM evidence_entries")).scalars()
            return set(rows)


def ordered(session: LogSession) -> int:
    """Do rounds until none has more; return how many entries they merged.

    The lease of a process that was killed is free a moment later only.
    """
    merged = 0
    wait_until(session.lease.hold, "the lease is free", 30)
    while True:
        done = session.sequencer.run()
        assert done.has_lease
        merged += done.entries
        if not done.has_more:
            return merged


def put_checkpoint(files: LogFiles, content: bytes) -> None:
    """Put a checkpoint in the place of another, whatever it tells: as a disk or a hand would, not we."""
    place = files.directory / CHECKPOINT
    place.unlink(missing_ok=True)
    place.write_bytes(content)


def of_year(content: bytes, year: int) -> bytes:
    """Return an entry as it would be of another year."""
    return content.replace(b'"at":"2026-', b'"at":"%d-' % year)


def enter(connection: Any, content: bytes) -> str:
    """Enter an entry as the application does, without saying the number of the transaction."""
    entry = decoded(content)
    connection.execute(
        text("INSERT INTO evidence_entries (reference, kind, entry) VALUES (:reference, :kind, :entry)"),
        {"reference": UUID(entry["reference"]), "kind": entry["kind"], "entry": content},
    )
    reference: str = entry["reference"]
    return reference
