"""One change of a consent: what storage writes down in one transaction, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, NoReturn, TypeAlias

from broker.consent.record import FINAL, Actor, Consent, ConsentEvent, EventType, State
from broker.consent.standing import Standing, stand
from broker.errors import ConsentTransitionRefused

TransitionReason: TypeAlias = Literal[
    "final_state",
    "not_requested",
    "not_pending_cosign",
    "not_active",
    "not_paused",
    "not_given",
    "not_refresh_due",
    "wrong_actor",
    "already_signed",
    "relation_missing",
    "cosign_needed",
    "sign_in_too_old",
    "level_too_low",
    "notice_missing",
    "nothing_asked",
    "request_too_short",
    "not_narrower",
    "not_longer",
    "required_field_refused",
    "other_matter",
    "not_used_up",
    "not_as_signed",
    "person_unknown",
]
"""Why a transition is refused; a closed list."""
BROKER: Final = Actor(kind="broker")
_TOLD: Final[Mapping[EventType, str]] = {
    "given": "consent_given",
    "partially_given": "consent_given",
    "cosigned": "consent_given",
    "withdrawn": "consent_withdrawn",
    # A recipient must stop and delete; that the citizen did not do it stands in the citizen's own history.
    "invalidated": "consent_withdrawn",
    "expired": "consent_expired",
    "inapplicable": "consent_expired",
    "paused": "consent_paused",
    # Not why: a recipient need not learn of a birthday.
    "refresh_due": "consent_paused",
    "resumed": "consent_resumed",
    "confirmed": "consent_resumed",
    "superseded": "consent_changed",
}
_RECEIPTS: Final[frozenset[EventType]] = frozenset(
    {
        "given",
        "partially_given",
        "cosigned",
        "confirmed",
        "refused",
        "amended",
        "extended",
        "paused",
        "resumed",
        "withdrawn",
        "expired",
        "inapplicable",
        "invalidated",
    }
)
_OPENING: Final[frozenset[EventType]] = frozenset(
    {"given", "partially_given", "cosigned", "confirmed", "resumed"}
)
"""Nobody is told and there is no receipt before all have signed."""
_ENDED_UNGIVEN: Final[frozenset[EventType]] = frozenset({"inapplicable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a transition returns; one Change is one database transaction.

    consent: the new version. ends_grant: all tokens of the grant die in the same transaction. told: kind of
    notice to the recipient, or None. receipt: event type for which the citizen gets a receipt, or None.
    successor: of amend and extend, the new consent; both are written, or neither.
    """

    consent: Consent
    events: tuple[ConsentEvent, ...]
    ends_grant: bool = False
    told: str | None = None
    receipt: str | None = None
    successor: Change | None = None


def refused(reason: TransitionReason) -> NoReturn:
    """Raise ConsentTransitionRefused."""
    raise ConsentTransitionRefused(reason)


def check_state(consent: Consent, allowed: frozenset[State], reason: TransitionReason) -> None:
    """Raise ConsentTransitionRefused unless a consent is in one of the states; final_state goes first."""
    if consent.state in FINAL:
        refused("final_state")
    if consent.state not in allowed:
        refused(reason)


def moved(
    before: Standing,
    state: State,
    at: datetime,
    event_type: EventType,
    actor: Actor,
    *,
    reason: str = "",
    details: tuple[tuple[str, str], ...] = (),
    **members: Any,
) -> Change:
    """Return the change to a state. What time had done before, and does at once after, is told along with it.

    before: the consent as time has made it. members: of the consent that change as well.
    """
    version = before.consent.version + 1
    since_at = before.consent.state_since_at if before.consent.state == state else at
    after = stand(
        replace(
            before.consent,
            state=state,
            state_reason=reason,
            state_since_at=since_at,
            version=version,
            **members,
        ),
        at,
    )
    event = event_of(after.consent.consent_id, version, event_type, actor, at, state, reason, details)
    return change_of(
        before.consent,
        after.consent,
        (*_timed(before, version), event, *_timed(after, version)),
    )


def settled_change(before: Consent, after: Standing) -> Change:
    """Return the change that time alone has made; there is at least one step."""
    version = before.version + 1
    return change_of(before, replace(after.consent, version=version), _timed(after, version))


def change_of(before: Consent, after: Consent, events: tuple[ConsentEvent, ...]) -> Change:
    """Return a change with all that follows from the way it went: notice, receipt, end of the tokens.

    Tokens end where a consent that was given ends for good; while it rests, the recording statement sees it.
    """
    last = events[-1].type
    was_given = before.valid_from_at is not None
    is_told = last in _TOLD and (last not in _OPENING or after.state == "active")
    is_told = is_told and not (last == "refresh_due" and before.state == "paused")
    is_told = is_told and (was_given or last in _OPENING)
    is_receipt = last in _RECEIPTS and (last not in _OPENING or after.state == "active")
    return Change(
        consent=after,
        events=events,
        ends_grant=was_given and after.state in FINAL,
        told=_TOLD[last] if is_told else None,
        receipt=last if is_receipt and (was_given or last not in _ENDED_UNGIVEN) else None,
    )


def event_of(
    consent_id: str,
    version: int,
    event_type: EventType,
    actor: Actor,
    at: datetime,
    state: State,
    reason: str = "",
    details: tuple[tuple[str, str], ...] = (),
) -> ConsentEvent:
    """Return an event that names the state it led to."""
    told = (("state", state), *((("reason", reason),) if reason else ()), *details)
    return ConsentEvent(
        consent_id=consent_id, version=version, type=event_type, actor=actor, at=at, details=told
    )


def _timed(standing: Standing, version: int) -> tuple[ConsentEvent, ...]:
    return tuple(
        event_of(
            standing.consent.consent_id, version, step.event_type, BROKER, step.at, step.state, step.reason
        )
        for step in standing.steps
    )
