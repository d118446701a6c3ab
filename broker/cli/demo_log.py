"""The demo's log: a sequencer and an authority beside the story, and the proof of its last entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Final

from sqlalchemy import func, select

from broker.actions.sequence_log import Sequencer
from broker.cli.demo_authority import ROOT_FILE, authority_served, demo_authority, find_openssl
from broker.cli.embedded import EmbeddedCluster
from broker.cli.log_session import LogSession, log_session
from broker.cli.log_timestamps import AuthorityGiven, stamping
from broker.cli.sequencer import Standing, waiting_in
from broker.clock import system_clock
from broker.errors import BrokerError, LogStopped
from broker.evidence.checkpoint import open_checkpoint, shard_origin
from broker.evidence.evidence_file import EvidenceFile
from broker.evidence.proof_file import ProofFile
from broker.evidence.signed_note import VerifierKey
from broker.evidence.tiles import ENTRIES, TILE_WIDTH, Tile, find_entries, width_at
from broker.evidence.timestamps import Stamped
from broker.evidence.tree import LogTiles
from broker.evidence.verifier import Trust, verified
from broker.settings import Settings
from broker.storage.log_files import LogFiles, shard_directory
from broker.storage.log_heads import create_head_store
from broker.storage.log_timestamps import TimestampFiles
from broker.storage.session import Store
from broker.storage.tables import evidence_entries
from broker.timestamp_tokens import StampTrust, opened_token

PROOF_SECONDS: Final = 30.0
STAMP_SECONDS: Final = 60.0
_ASKING_SECONDS: Final = 30.0
"""A machine may start openssl slowly while everything else begins; nothing waits for that."""
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry in the log, proven. directory: of its shard. hash_count: hashes of its proof.

    stamped: by the demo's authority, over the checkpoint of the proof; None where that gave nothing.
    """

    evidence: EvidenceFile
    key: VerifierKey
    directory: Path
    tree_size: int
    leaf_index: int
    hash_count: int
    stamped: Stamped | None = None


@dataclass(frozen=True, slots=True)
class DemoAuthority:
    """The authority of the demo. root_file: its certificate, for whoever checks."""

    given: AuthorityGiven
    root_file: Path


@dataclass(frozen=True, slots=True)
class DemoLog:
    """The log of the demo while it is being ordered. authority: None where there is no openssl."""

    session: LogSession
    authority: DemoAuthority | None = None

    def prove(self, reference: str) -> Shown | None:
        """Return the proof of an entry, verified as anybody else would; None if it does not come in time.

        Under a stamped checkpoint where an authority stamps one in time.
        """
        plain = self._found(PROOF_SECONDS, lambda: self._look(reference))
        if plain is None or self.authority is None:
            return plain
        return self._found(STAMP_SECONDS, lambda: self._look(reference, self.authority)) or plain

    def _found(self, seconds: float, look: Callable[[], Shown | None]) -> Shown | None:
        until = monotonic() + seconds
        while monotonic() < until:
            try:
                if (shown := look()) is not None:
                    return shown
            except BrokerError:
                pass  # a store that is slow for a moment
            sleep(_LOOK_SECONDS)
        return None

    def _look(self, reference: str, authority: DemoAuthority | None = None) -> Shown | None:
        """Return the proof under the newest checkpoint; with an authority under the newest stamped one."""
        place = self.session.positions.find(reference)
        if place is None:
            return None
        year, index = place
        origin = shard_origin(self.session.sequencer.host, year)
        files = LogFiles(shard_directory(self.session.settings.log_directory, origin))
        key, _ = self.session.sequencer.signer(origin)
        stamps = TimestampFiles(files.directory)
        note = (files.checkpoint() if authority is None else stamps.newest()) or b""
        size = open_checkpoint(note, [key]).checkpoint.tree_size if note else 0
        if size <= index:
            return None
        path = LogTiles(files.read, size).inclusion_proof(index)
        bundle = index // TILE_WIDTH
        entries = find_entries(files.read, Tile(ENTRIES, bundle, width_at(ENTRIES, bundle, size)))
        if entries is None:
            return None
        entry, proof = entries[index % TILE_WIDTH], ProofFile(index, path, note).content
        if not verified(entry, proof, Trust([key])).holds:
            return None
        token = b"" if authority is None else stamps.token(size) or b""
        stamped = None if authority is None else opened_token(token, note, authority.given.trust)
        evidence = EvidenceFile(entry, proof, log_keys=[key])
        return Shown(evidence, key, files.directory, size, index, len(path), stamped)


@contextmanager
def ordered_log(
    cluster: EmbeddedCluster, settings: Settings, store: Store, directory: Path
) -> Iterator[DemoLog]:
    """Make the logs of all years of which there are entries; order, and stamp, them until the end.

    directory: below it the authority keeps its certificates, the same for every run.
    Raises LogStopped where an earlier run left what does not fit together, StoreUnavailable.
    """
    create_head_store(cluster.head_owner_url)
    with (
        log_session(settings, cluster.sequencer_url, cluster.head_url) as session,
        authority_in(directory) as authority,
        _stamped(session, authority) as sequencer,
    ):
        for year in _years(store):
            session.sequencer.create(year)
        standing = Standing(sequencer.run, lambda: waiting_in(session), lambda _: None)
        # What an earlier run left waiting would stop the first release of this one.
        standing.run_once()
        thread = Thread(target=_run, args=[standing], name="sequencer")
        thread.start()
        try:
            yield DemoLog(session, authority)
        finally:
            standing.stop.set()
            thread.join()


@contextmanager
def authority_in(directory: Path) -> Iterator[DemoAuthority | None]:
    """Give an authority of this machine, or None without openssl."""
    openssl = find_openssl()
    if openssl is None:
        yield None
        return
    place = directory / "authority"
    root_file = place / ROOT_FILE
    with authority_served(demo_authority(openssl, place, system_clock())) as url:
        trust = StampTrust.of(root_file.read_text(encoding="ascii"))
        given = AuthorityGiven(url, trust, every_seconds=1.0, asking_seconds=_ASKING_SECONDS)
        yield DemoAuthority(given, root_file)


@contextmanager
def _stamped(session: LogSession, authority: DemoAuthority | None) -> Iterator[Sequencer]:
    if authority is None:
        yield session.sequencer
        return
    with stamping(session, authority.given, lambda _: None) as follower:
        yield replace(session.sequencer, followers=(follower,))


def _run(standing: Standing) -> None:
    try:
        standing.run()
    except LogStopped:
        return  # the proof does not come, and that is told


def _years(store: Store) -> range:
    """Return the years (UTC) from the first entry that there is to now."""
    now = system_clock()
    with store.engine.connect() as connection:
        first = connection.execute(select(func.min(evidence_entries.c.recorded_at))).scalar_one() or now
    return range(first.astimezone(UTC).year, now.year + 1)
