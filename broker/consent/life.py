"""The life of a consent: every transition there is, each as a function from a consent to a Change.

Nobody else changes a state. What time alone does is computed (`state_at`) and may be written down
(`settled`). Final states never change, whoever asks for whatever. docs/consent.md shows all as a table.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from broker.consent.amending import amend, extend
from broker.consent.change import (
    BROKER,
    Change,
    TransitionReason,
    check_state,
    event_of,
    moved,
    refused,
    settled_change,
)
from broker.consent.codec import record_hash
from broker.consent.giving import confirm, cosign, decide, refuse
from broker.consent.record import Actor, Consent, Signer, Signing, State, Terms
from broker.consent.signing import SIGN_IN_AGE, actor_of, check_citizen, check_sign_in, check_signer
from broker.consent.standing import roles_at, stand, state_at

__all__ = [
    "GIVEN",
    "SIGN_IN_AGE",
    "Change",
    "TransitionReason",
    "amend",
    "cancel",
    "confirm",
    "cosign",
    "decide",
    "exhaust",
    "extend",
    "invalidate",
    "is_unseen",
    "make_inapplicable",
    "open_request",
    "pause",
    "refuse",
    "resume",
    "roles_at",
    "settled",
    "state_at",
    "view",
    "withdraw",
]

_REQUESTED: Final[frozenset[State]] = frozenset({"requested"})
_ACTIVE: Final[frozenset[State]] = frozenset({"active"})
_LIVING: Final[frozenset[State]] = frozenset({"active", "paused"})
_UNDECIDED: Final[frozenset[State]] = frozenset({"requested", "pending_cosign"})
GIVEN: Final[frozenset[State]] = frozenset({"active", "paused", "refresh_due"})
"""States of a consent that was given and has not ended."""


def open_request(
    *,
    consent_id: str,
    request_id: str,
    client_id: str,
    organisation_id: str,
    citizen_id: str,
    subject: str,
    terms: Terms,
    at: datetime,
    expires_at: datetime,
    signing: Signing | None = None,
) -> Change:
    """Return a consent that is requested: one recipient, one purpose (Law 91/2025 art. 9: no bundling).

    signing: who must sign, as `broker.consent.age` says. A request ends at the latest on the birthday that
    changes who must sign, so nobody signs it in a role that has ended.
    Raises ConsentTransitionRefused (nothing_asked, request_too_short).
    """
    signing = signing or Signing()
    if not terms.fields or not signing.required_roles:
        refused("nothing_asked")
    until = min(expires_at, signing.refresh_due_at or expires_at)
    if until <= at:
        refused("request_too_short")
    consent = Consent(
        consent_id=consent_id,
        request_id=request_id,
        client_id=client_id,
        organisation_id=organisation_id,
        citizen_id=citizen_id,
        subject=subject,
        terms=terms,
        state="requested",
        state_reason="",
        state_since_at=at,
        version=1,
        requested_at=at,
        request_expires_at=until,
        required_roles=signing.required_roles,
        refresh_due_at=signing.refresh_due_at,
        refresh_roles=signing.refresh_roles,
    )
    client = Actor(kind="client", reference=client_id)
    details = (("record_hash", record_hash(consent)),)
    event = event_of(consent_id, 1, "requested", client, at, "requested", details=details)
    return Change(consent=consent, events=(event,))


def view(consent: Consent, actor: Actor, at: datetime) -> Change:
    """Return the change of a request that was looked at; its state stays. Raises ConsentTransitionRefused."""
    now = stand(consent, at)
    check_state(now.consent, _REQUESTED, "not_requested")
    check_citizen(now.consent, actor, at)
    return moved(now, "requested", at, "viewed", actor)


def is_unseen(consent: Consent) -> bool:
    """Return whether a request waits that nobody has looked at: looking is all that leaves it requested."""
    return consent.state == "requested" and consent.version == 1


def cancel(consent: Consent, actor: Actor, at: datetime) -> Change:
    """Return the change of a request that its client takes back. Raises ConsentTransitionRefused."""
    now = stand(consent, at)
    check_state(now.consent, _REQUESTED, "not_requested")
    if actor.kind != "client" or actor.reference != consent.client_id:
        refused("wrong_actor")
    return moved(now, "cancelled", at, "cancelled", actor, reason="by_client")


def pause(consent: Consent, actor: Actor, at: datetime) -> Change:
    """Return the change of a consent that rests until whoever paused it resumes it."""
    now = stand(consent, at)
    check_state(now.consent, _ACTIVE, "not_active")
    check_citizen(now.consent, actor, at)
    return moved(now, "paused", at, "paused", actor, reason=f"by_{actor.kind}")


def resume(consent: Consent, signer: Signer, at: datetime, *, sign_in_age: timedelta = SIGN_IN_AGE) -> Change:
    """Return the change of a paused consent that is read again: by whoever paused it, freshly signed in.

    One of two cannot undo what the other paused, unless the other's role has ended meanwhile. If a birthday
    has passed, the consent does not open but falls due for confirmation. Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, frozenset({"paused"}), "not_paused")
    roles = roles_at(consent, at)
    pausing = tuple(role for role in roles if consent.state_reason == f"by_{role}")
    check_signer(consent, signer, pausing or roles, ())
    check_sign_in(consent, consent.given_names, signer, at, sign_in_age)
    return moved(now, "active", at, "resumed", actor_of(signer), details=(("level", str(signer.level)),))


def withdraw(consent: Consent, actor: Actor, at: datetime) -> Change:
    """Return the change of a withdrawal (Law 91/2025 art. 10): always possible while a consent is given.

    It asks for no fresh sign-in, no level and no reason. Before it is given one refuses. Raises
    ConsentTransitionRefused (final_state, not_given, wrong_actor).
    """
    now = stand(consent, at)
    check_state(now.consent, GIVEN, "not_given")
    check_citizen(now.consent, actor, at)
    return moved(now, "withdrawn", at, "withdrawn", actor, reason=f"by_{actor.kind}")


def exhaust(consent: Consent, used_count: int, at: datetime) -> Change:
    """Return the change of a consent all of whose uses are used up.

    used_count: releases so far, by the recording statement. Raises ConsentTransitionRefused (not_used_up).
    """
    now = stand(consent, at)
    check_state(now.consent, _LIVING, "not_given")
    frequency = consent.terms.frequency
    if frequency is None or frequency.per != "consent" or used_count < frequency.use_count:
        refused("not_used_up")
    return moved(now, "expired", at, "expired", BROKER, reason="used_up")


def invalidate(consent: Consent, actor: Actor, reason: str, at: datetime) -> Change:
    """Return the change of a consent that an authority's order or fraud ends. reason: a closed word."""
    now = stand(consent, at)
    check_state(now.consent, GIVEN, "not_given")
    if actor.kind != "operator" or not actor.reference:
        refused("wrong_actor")
    return moved(now, "invalidated", at, "invalidated", actor, reason=reason)


def make_inapplicable(consent: Consent, actor: Actor, reason: str, at: datetime) -> Change:
    """Return the change of a consent that nothing can come of any more.

    Its agreement has ended, or its recipient has given up what it was given. actor: an operator, the broker
    itself, or the recipient's client, which gives up only what was given. reason: a closed word.
    Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, GIVEN | _UNDECIDED, "not_given")
    is_own = actor.kind == "client" and actor.reference == consent.client_id and now.consent.state in GIVEN
    if actor.kind not in ("operator", "broker") and not is_own:
        refused("wrong_actor")
    return moved(now, "inapplicable", at, "inapplicable", actor, reason=reason)


def settled(consent: Consent, at: datetime) -> Change | None:
    """Return what time alone has done and nobody has written down yet; None if nothing.

    Every event carries the instant at which it fell due.
    """
    now = stand(consent, at)
    return settled_change(consent, now) if now.steps else None
