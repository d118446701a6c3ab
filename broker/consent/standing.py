"""What time alone does to a consent. Computed whenever one is looked at: nobody relies on a sweeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from broker.consent.record import Consent, EventType, SignerRole, State

REFRESH_TIME: Final = timedelta(days=30)
"""How long a consent waits for its confirmation before it expires (our choice; no law names a length)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that time did. at: the instant at which it fell due, not when somebody noticed."""

    at: datetime
    state: State
    event_type: EventType
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A consent as time has made it, its version number untouched, and the steps that led there."""

    consent: Consent
    steps: tuple[Step, ...]


def stand(consent: Consent, at: datetime) -> Standing:
    """Return a consent as it stands at an instant, however old what is stored of it."""
    steps: list[Step] = []
    while (step := _find_step(consent)) is not None and step.at <= at:
        steps.append(step)
        consent = replace(consent, state=step.state, state_reason=step.reason, state_since_at=step.at)
    return Standing(consent, tuple(steps))


def state_at(consent: Consent, at: datetime) -> State:
    """Return the state in which a consent is at an instant, whether or not that was written down."""
    return stand(consent, at).consent.state


def roles_at(consent: Consent, at: datetime) -> tuple[SignerRole, ...]:
    """Return whose signatures count at an instant: others from the birthday on."""
    due_at = consent.refresh_due_at
    is_due = due_at is not None and due_at <= at and consent.refresh_roles
    return consent.refresh_roles if is_due else consent.required_roles


def _find_step(consent: Consent) -> Step | None:
    """Return what time will do next to a consent, if nobody does anything before."""
    if consent.state == "requested":
        return Step(consent.request_expires_at, "request_expired", "request_expired", "unanswered")
    if consent.state == "pending_cosign":
        return Step(consent.request_expires_at, "refused", "refused", "unsigned")
    if consent.state not in ("active", "paused", "refresh_due"):
        return None
    steps = [] if consent.valid_to_at is None else [_expiry(consent.valid_to_at, "valid_to")]
    if consent.state == "refresh_due":
        steps.append(_expiry(consent.state_since_at + REFRESH_TIME, "unconfirmed"))
    elif consent.state == "active" and consent.refresh_due_at is not None:
        # Resumed after the birthday: due from the resumption on.
        due_at = max(consent.refresh_due_at, consent.state_since_at)
        steps.append(Step(due_at, "refresh_due", "refresh_due", "confirmation_due"))
    # Of two at one instant the end comes first: it stands first in the list.
    return min(steps, key=lambda step: step.at, default=None)


def _expiry(at: datetime, reason: str) -> Step:
    return Step(at, "expired", "expired", reason)
