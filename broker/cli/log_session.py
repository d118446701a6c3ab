"""What the commands of the log work with: its own role, the head store, the files, the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from broker.actions.sequence_log import Sequencer
from broker.cli.output import CommandRefused
from broker.cli.session import deployment, settings_of
from broker.clock import Clock, system_clock
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import year_of
from broker.evidence.signed_note import LOG_SIGNATURE, Sign, VerifierKey
from broker.keys import KeyRing
from broker.oauth.stored_keys import log_public_keys
from broker.setting_readers import read_postgresql_url
from broker.settings import Settings, companion
from broker.storage.log_files import LogFiles, log_host, shard_directory
from broker.storage.log_heads import PostgresLease, PostgresLogHeads
from broker.storage.log_positions import PostgresLogPositions
from broker.storage.session import open_store
from broker.storage.signing_keys import PostgresSigningKeys

STATEMENT_SECONDS = 300.0
"""Long enough to look once for every entry without a position, after a database was moved."""
IDLE_SECONDS = 15.0
"""For so long a sequencer that stands still amid a transaction may keep the next one from its work."""


@dataclass(frozen=True, slots=True)
class LogSession:
    """A sequencer, ready to run, and the lease that it asks for."""

    settings: Settings
    sequencer: Sequencer
    positions: PostgresLogPositions
    heads: PostgresLogHeads
    lease: PostgresLease


class RingSigner:
    """Implements `broker.actions.log_doors.Signer` with the broker's keys."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def __call__(self, origin: str) -> tuple[VerifierKey, Sign]:
        """Return the key under the name of an origin, and what signs with it."""
        signer = self._ring.log_signer()
        return VerifierKey(origin, LOG_SIGNATURE, signer.public_key), signer.sign

    def keys(self, origin: str) -> Sequence[VerifierKey]:
        """Return the keys under the name of an origin whose checkpoints count."""
        return [VerifierKey(origin, LOG_SIGNATURE, key) for key in log_public_keys(self._ring.live_keys())]


@contextmanager
def open_log_session() -> Iterator[LogSession]:
    """Yield what one command needs; unusable settings end it with a plain message."""
    with deployment() as (environ, _):
        settings = settings_of(environ)
        database_url, head_url = _urls(environ)
        if not settings.log_directory:
            raise CommandRefused("BROKER_LOG_DIRECTORY is missing: where the log's files are published", 2)
        with log_session(settings, database_url, head_url) as session:
            yield session


@contextmanager
def log_session(
    settings: Settings, database_url: str, head_url: str, clock: Clock = system_clock
) -> Iterator[LogSession]:
    """Yield a sequencer on these stores, and close their connections.

    database_url: the broker's database as the role broker_sequencer; head_url: the head store.
    Raises CommandRefused where the issuer's host cannot be in the name of a log.
    """
    host = _host(settings.issuer)
    store = open_store(database_url, deadline_seconds=STATEMENT_SECONDS, idle_seconds=IDLE_SECONDS)
    head_store = open_store(head_url, deadline_seconds=10.0, idle_seconds=IDLE_SECONDS)
    lease = PostgresLease(head_url, host)
    try:
        positions = PostgresLogPositions(store.engine, year_of, settings.log_epoch)
        heads = PostgresLogHeads(head_store.engine)
        sequencer = Sequencer(
            host=host,
            lease=lease,
            positions=positions,
            heads=heads,
            files=lambda origin: LogFiles(shard_directory(settings.log_directory, origin)),
            signer=RingSigner(_ring(settings, store.engine, clock)),
            clock=clock,
        )
        yield LogSession(settings, sequencer, positions, heads, lease)
    finally:
        lease.give_up()
        head_store.close()
        store.close()


def _host(issuer: str) -> str:
    try:
        return log_host(issuer)
    except EvidenceInvalid:
        raise CommandRefused("the host of BROKER_ISSUER cannot stand in the name of a log") from None


def _ring(settings: Settings, engine: Engine, clock: Clock) -> KeyRing:
    return KeyRing(PostgresSigningKeys(engine), settings.key_encryption_key_file.reveal(), clock)


def _urls(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the URLs of the database, as the sequencer, and of the head store. Raises CommandRefused."""
    found = []
    for name in ("BROKER_SEQUENCER_DATABASE_URL", "BROKER_LOG_HEAD_URL"):
        given = companion(name, environ)
        if given is None:
            raise CommandRefused(f"{name} is missing: see docs/operators.md, The log", 2)
        try:
            found.append(read_postgresql_url(given))
        except ValueError as fault:
            raise CommandRefused(f"{name} cannot be used: it must be {fault}", 2) from None
    return found[0], found[1]
