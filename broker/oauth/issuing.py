"""The writes of the token endpoint: what they are given and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeValues:
    """What a request must prove to be fresh: burned by the statement that serves it, None where not sent.

    assertion_hash: SHA-256 of client_id, 0x1F and jti. proof_hash: SHA-256 of jkt and jti. Both 32 bytes.
    Instants are aware; proof_issued_at_seconds is Unix time.
    """

    assertion_hash: bytes | None
    assertion_expires_at: datetime | None
    proof_issued_at_seconds: int | None
    proof_hash: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssue:
    """An access token about to be handed out, and the one-time values that bought it.

    token_hash: SHA-256 of the token. grant_id: None for a client that acts for itself. Instants are aware.
    """

    token_hash: bytes
    client_id: str
    grant_id: str | None
    scope: str
    issued_at: datetime
    expires_at: datetime
    once: OneTimeValues


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshIssue:
    """A refresh token about to be handed out: SHA-256 of it, and until when it works at most."""

    token_hash: bytes
    expires_at: datetime


IssueVerdict: TypeAlias = Literal[
    "issued", "client_not_active", "assertion_replayed", "proof_replayed", "credential_not_alive"
]
"""What the statement says: issued means committed; otherwise the first thing that was not so.

credential_not_alive: the code or the auth_req_id was used, or code, refresh token or grant has expired or was
revoked.
"""

BurnVerdict: TypeAlias = Literal["burned", "client_not_active", "assertion_replayed", "proof_replayed"]


class TokenStore(Protocol):
    """Where issued tokens and used one-time values are kept; `broker.storage.tokens` implements it."""

    def issue_token(self, issue: TokenIssue) -> IssueVerdict:
        """Burn the one-time values and store the token's hash, all or nothing, in one statement.

        Of any number of requests with the same assertion or the same proof, at most one is told "issued".
        Raises StoreUnavailable.
        """
        ...

    def redeem_code(self, issue: TokenIssue, code_hash: bytes, refresh: RefreshIssue | None) -> IssueVerdict:
        """Likewise, and use up an authorization code: of any number of requests one at most is "issued"."""
        ...

    def issue_refreshed(self, issue: TokenIssue, refresh_hash: bytes) -> IssueVerdict:
        """Likewise, if the refresh token of this hash and its grant are alive; it stays as it is."""
        ...

    def redeem_request(
        self, issue: TokenIssue, auth_request_hash: bytes, refresh: RefreshIssue | None
    ) -> IssueVerdict:
        """Likewise, and use up a backchannel request that was given: one at most is "issued"."""
        ...

    def burn(self, client_id: str, once: OneTimeValues, at: datetime) -> BurnVerdict:
        """Burn the one-time values of a request that buys no token, if the client is active."""
        ...
