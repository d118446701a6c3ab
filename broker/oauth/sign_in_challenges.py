"""What a sign-in elsewhere must bring back: kept on the way out, good once, in one browser, for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeAlias

from broker.oauth.citizens import AttemptCounter

ChallengeKind: TypeAlias = Literal["identity", "passkey_sign_in", "passkey_registration"]

CHALLENGE_LIFETIME: Final = timedelta(minutes=10)
"""How long somebody may take at a provider's pages, or before an authenticator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One sign-in under way. challenge_ref: see challenge_ref_of. expected: JSON members."""

    challenge_ref: bytes
    kind: ChallengeKind
    expected: Mapping[str, Any] = field(repr=False)
    expires_at: datetime


class ChallengeStore(Protocol):
    """Where they are kept for all workers; `broker.storage.sign_in_challenges` implements it.

    Every method raises StoreUnavailable.
    """

    def keep_challenge(self, challenge: Challenge) -> None:
        """Keep one."""
        ...

    def take_challenge(
        self, challenge_ref: bytes, kind: ChallengeKind, at: datetime
    ) -> Mapping[str, Any] | None:
        """Return what was expected and forget it, None if not there or late; of two at once, one gets it."""
        ...


def challenge_ref_of(value: str, bound_to: str) -> bytes:
    """Return the reference of a state or challenge in one browser (SHA-256, 32 bytes).

    bound_to: value of a cookie that only this browser holds. Whoever brings the value elsewhere finds
    nothing, and spoils nothing.
    """
    bound = f"{len(bound_to)}:{bound_to}{value}"
    return hashlib.sha256(bound.encode("utf-8", "surrogatepass")).digest()


def kept_counter(counter: AttemptCounter) -> list[Any]:
    """Return a counter as it is kept with a challenge: a sign-in that comes of it gives the attempt back."""
    return [counter.window_start_seconds, counter.counter_ref.hex(), counter.limit_count]


def counter_of(kept: Sequence[Any]) -> AttemptCounter:
    """Return the counter that kept_counter kept."""
    window, reference, limit = kept
    return AttemptCounter(window, bytes.fromhex(reference), limit)
