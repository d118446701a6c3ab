"""The one write of the token endpoint: what it is given and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class TokenIssue:
    """An access token about to be handed out, and the two one-time values that bought it.

    token_hash: SHA-256 of the token. assertion_hash: SHA-256 of client_id, 0x1F and jti. proof_hash: SHA-256
    of jkt and jti. All 32 bytes. Instants are aware; proof_issued_at_seconds is Unix time.
    """

    token_hash: bytes
    client_id: str
    scope: str
    issued_at: datetime
    expires_at: datetime
    assertion_hash: bytes
    assertion_expires_at: datetime
    proof_issued_at_seconds: int
    proof_hash: bytes


IssueVerdict: TypeAlias = Literal["issued", "client_not_active", "assertion_replayed", "proof_replayed"]
"""What the statement says: issued means committed; otherwise the first thing that was not so."""


class TokenStore(Protocol):
    """Where issued tokens and used one-time values are kept; `broker.storage.tokens` implements it."""

    def issue_token(self, issue: TokenIssue) -> IssueVerdict:
        """Burn the assertion and the proof and store the token's hash, all or nothing, in one statement.

        Of any number of requests with the same assertion or the same proof, at most one is told "issued".
        Raises StoreUnavailable.
        """
        ...
