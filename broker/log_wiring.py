"""How what is served of the log is put together, from what the sequencer has published: for the roof."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from flask import Blueprint

from broker.actions.published_log import PublishedLog
from broker.api.evidence import PROOF_PATH, EvidenceProofFace
from broker.api.exchange import Handler
from broker.api.judging import AccessJudge
from broker.api.published_log import published_log_blueprint
from broker.clock import Clock
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import year_of
from broker.keys import KeyRing
from broker.oauth.stored_keys import log_public_keys
from broker.settings import Settings
from broker.storage.client_entries import PostgresClientEntries
from broker.storage.log_delay import LogDelay
from broker.storage.log_files import LogFiles, log_host, shard_directory
from broker.storage.log_positions import PostgresLogPositions
from broker.storage.log_standing import LogStanding
from broker.storage.log_timestamps import TimestampFiles
from broker.storage.session import Store


@dataclass(frozen=True, slots=True)
class LogWiring:
    """The parts of what is served of the log."""

    settings: Settings
    store: Store
    key_ring: KeyRing
    clock: Clock

    def published(self) -> PublishedLog:
        """Return the log as this server publishes it; one without a host where none is kept."""
        directory, host = self.settings.log_directory, ""
        if directory:
            # The sequencer refuses a host that cannot be in the name of a log; then there is none to publish.
            with suppress(EvidenceInvalid):
                host = log_host(self.settings.issuer)
        return PublishedLog(
            host=host,
            files=lambda origin: LogFiles(shard_directory(directory, origin)),
            stamps=lambda origin: TimestampFiles(shard_directory(directory, origin)),
            places=self._positions(),
            public_keys=lambda: log_public_keys(self.key_ring.live_keys()),
        )

    def blueprint(self) -> Blueprint:
        """Return the routes of what anybody may read."""
        return published_log_blueprint(self.published())

    def routes(self, judge: AccessJudge) -> Mapping[tuple[str, str], Handler]:
        """Return the resource of those who were answered: (method, rule) → handler."""
        face = EvidenceProofFace(judge, PostgresClientEntries(self.store.engine), self.published())
        return {("GET", f"{PROOF_PATH}/<reference>"): face.show}

    def delay(self) -> LogDelay | None:
        """Return what watches the published log, or None where none is told."""
        if not self.settings.log_directory:
            return None
        return LogDelay(self._positions(), self.settings.log_directory, self.settings.issuer, self.clock)

    def standing(self) -> LogStanding:
        """Return what says whether releases stop because the log does."""
        is_needed = self.settings.log_required == "yes"
        return LogStanding(self.store.prepared, self.settings.clock_skew_seconds, is_needed=is_needed)

    def _positions(self) -> PostgresLogPositions:
        return PostgresLogPositions(self.store.engine, year_of, self.settings.log_epoch)
