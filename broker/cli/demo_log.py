"""The demo's log: a sequencer beside the story, and the proof that its last entry stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Final

from sqlalchemy import func, select

from broker.cli.embedded import EmbeddedCluster
from broker.cli.log_session import LogSession, log_session
from broker.cli.sequencer import Standing, waiting_in
from broker.clock import system_clock
from broker.errors import BrokerError, LogStopped
from broker.evidence.checkpoint import open_checkpoint, shard_origin
from broker.evidence.evidence_file import EvidenceFile
from broker.evidence.proof_file import ProofFile
from broker.evidence.signed_note import VerifierKey
from broker.evidence.tiles import ENTRIES, TILE_WIDTH, Tile, find_entries, width_at
from broker.evidence.tree import LogTiles
from broker.evidence.verifier import Trust, verified
from broker.settings import Settings
from broker.storage.log_files import LogFiles, shard_directory
from broker.storage.log_heads import create_head_store
from broker.storage.session import Store
from broker.storage.tables import evidence_entries

PROOF_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry in the log, proven. directory: of its shard. hash_count: hashes of its proof."""

    evidence: EvidenceFile
    key: VerifierKey
    directory: Path
    tree_size: int
    leaf_index: int
    hash_count: int


@dataclass(frozen=True, slots=True)
class DemoLog:
    """The log of the demo while it is being ordered."""

    session: LogSession

    def prove(self, reference: str) -> Shown | None:
        """Return the proof of an entry, verified as anybody else would; None if it does not come in time."""
        until = monotonic() + PROOF_SECONDS
        while monotonic() < until:
            try:
                if (shown := self._look(reference)) is not None:
                    return shown
            except BrokerError:
                pass  # a store that is slow for a moment
            sleep(_LOOK_SECONDS)
        return None

    def _look(self, reference: str) -> Shown | None:
        place = self.session.positions.find(reference)
        if place is None:
            return None
        year, index = place
        origin = shard_origin(self.session.sequencer.host, year)
        files = LogFiles(shard_directory(self.session.settings.log_directory, origin))
        key, _ = self.session.sequencer.signer(origin)
        note = files.checkpoint() or b""
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
        evidence = EvidenceFile(entry, proof, log_keys=[key])
        return Shown(evidence, key, files.directory, size, index, len(path))


@contextmanager
def ordered_log(cluster: EmbeddedCluster, settings: Settings, store: Store) -> Iterator[DemoLog]:
    """Make the logs of all years of which there are entries, and order them until the end.

    Raises LogStopped where an earlier run left what does not fit together, StoreUnavailable.
    """
    create_head_store(cluster.head_owner_url)
    with log_session(settings, cluster.sequencer_url, cluster.head_url) as session:
        for year in _years(store):
            session.sequencer.create(year)
        standing = Standing(session.sequencer.run, lambda: waiting_in(session), lambda _: None)
        # What an earlier run left waiting would stop the first release of this one.
        standing.run_once()
        thread = Thread(target=_run, args=[standing], name="sequencer")
        thread.start()
        try:
            yield DemoLog(session)
        finally:
            standing.stop.set()
            thread.join()


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
