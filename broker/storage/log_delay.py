"""Says how far the published log is behind the evidence, from what the server itself may see."""

from __future__ import annotations

from broker.clock import Clock
from broker.errors import LogStopped, StoreUnavailable
from broker.evidence.reasons import EvidenceInvalid
from broker.evidence.sequencing import MERGE_DELAY_SECONDS
from broker.storage.log_files import log_host, published_sizes
from broker.storage.log_positions import PostgresLogPositions


class LogDelay:
    """The merge delay, as an operator watches it. directory: BROKER_LOG_DIRECTORY."""

    def __init__(self, positions: PostgresLogPositions, directory: str, issuer: str, clock: Clock) -> None:
        self._positions = positions
        self._directory = directory
        self._issuer = issuer
        self._clock = clock

    def seconds(self) -> float | None:
        """Return for how long the oldest entry waits that no published tree holds; None where no log is.

        Raises StoreUnavailable, EvidenceInvalid for a published checkpoint that is none.
        """
        sizes = published_sizes(self._directory, log_host(self._issuer))
        try:
            return self._positions.waiting(sizes).age_seconds(self._clock()) if sizes else None
        except LogStopped as fault:
            # A privilege or a table that is not there: operators' pages must not fail for it.
            raise StoreUnavailable(fault.detail) from None

    def fault(self) -> str | None:
        """Return what is wrong: none (no log was made) | late | unreachable | unreadable, or None."""
        try:
            seconds = self.seconds()
        except StoreUnavailable:
            return "unreachable"
        except EvidenceInvalid:
            return "unreadable"
        if seconds is None:
            return "none"
        return "late" if seconds > MERGE_DELAY_SECONDS else None
