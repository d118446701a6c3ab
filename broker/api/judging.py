"""Access to resources that release no record: the token is judged in the database, its proof burned there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from broker.api.calls import Call, Caller
from broker.errors import ProofInvalid, ReleaseRefused, ScopeInsufficient, TokenInvalid
from broker.oauth.protector import VerifiedToken


class AccessStore(Protocol):
    """Knows which tokens are alive; `broker.storage.access.PostgresAccess` is one."""

    def judge(self, token: VerifiedToken, source_address: str) -> str:
        """Return alive, not_alive, source_address_refused or proof_replayed. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class AccessJudge:
    """Lets a call in, or not. Nothing is released behind it, and what it turns away is not recorded."""

    caller: Caller
    store: AccessStore

    def judge(self, call: Call, scope: str | None = None) -> VerifiedToken:
        """Return the token of a call, alive and with its proof burned.

        scope: that the token must carry, None for any token. Raises TokenInvalid, ProofInvalid,
        ScopeInsufficient, ReleaseRefused (source address), StoreUnavailable.
        """
        token = self.caller.verify(call, self.caller.clock())
        verdict = self.store.judge(token, call.caller.source_address)
        if verdict == "source_address_refused":
            raise ReleaseRefused("source_address_refused", reference="")
        if verdict == "proof_replayed":
            raise ProofInvalid("jti of the proof was used before")
        if verdict != "alive":
            raise TokenInvalid("the access token was revoked, or its client is not active")
        if scope is not None and scope not in token.scopes:
            raise ScopeInsufficient(scope)
        return token
