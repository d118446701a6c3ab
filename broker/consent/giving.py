"""How a consent comes to be given: decided, signed by all who must sign, confirmed. Silence never gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.consent.change import Change, check_state, moved, refused
from broker.consent.codec import record_hash
from broker.consent.ranges import is_range_within
from broker.consent.record import (
    Actor,
    Consent,
    DataRange,
    EventType,
    FieldDecision,
    Notice,
    Signer,
    SignerRole,
    Signing,
    State,
    Terms,
)
from broker.consent.signing import (
    SIGN_IN_AGE,
    actor_of,
    check_citizen,
    check_notice,
    check_sign_in,
    check_signer,
)
from broker.consent.standing import Standing, stand

_REQUESTED: Final[frozenset[State]] = frozenset({"requested"})
_UNDECIDED: Final[frozenset[State]] = frozenset({"requested", "pending_cosign"})


def decide(
    consent: Consent,
    given: frozenset[str],
    signer: Signer,
    notice: Notice,
    at: datetime,
    *,
    sign_in_age: timedelta = SIGN_IN_AGE,
    valid_days: int | None = None,
    data_range: DataRange | None = None,
) -> Change:
    """Return the change that a first decision makes: active, pending_cosign, or refused if nothing is given.

    given: names of the fields left ticked. notice: what was shown. valid_days, data_range: less than was
    asked for (Law 91/2025 art. 9: in part, on conditions); None for as asked. A required field left out is
    no refusal of the rest: the person must be asked again, so it raises.
    Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, _REQUESTED, "not_requested")
    if not given:
        return refuse(consent, actor_of(signer), at, notice)
    check_signer(now.consent, signer, consent.required_roles, ())
    check_given(consent.terms, given, valid_days, data_range)
    check_notice(notice, at)
    check_sign_in(consent, given, signer, at, sign_in_age)
    decisions = decisions_of(consent.terms, given)
    is_whole = given == consent.terms.field_names and valid_days is None and data_range is None
    return _signed(
        now,
        signer,
        at,
        ("given" if is_whole else "partially_given",) * 2,
        notice,
        waiting="pending_cosign",
        roles=consent.required_roles,
        decisions=decisions,
        notice=notice,
        given_days=valid_days,
        given_range=data_range,
    )


def cosign(
    consent: Consent,
    signer: Signer,
    notice: Notice,
    at: datetime,
    *,
    given: frozenset[str] | None = None,
    sign_in_age: timedelta = SIGN_IN_AGE,
) -> Change:
    """Return the change that the signature of the other one makes: the last one makes the consent active.

    given: what this one left ticked, None where nothing could be chosen. It must be what the first one gave:
    less would be taken for more, so it is not taken at all. Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, frozenset({"pending_cosign"}), "not_pending_cosign")
    check_signer(consent, signer, consent.required_roles, consent.signers)
    if given is not None and given != consent.given_names:
        refused("not_as_signed")
    check_notice(notice, at)
    check_sign_in(consent, consent.given_names, signer, at, sign_in_age)
    return _signed(
        now,
        signer,
        at,
        ("cosigned", "cosigned"),
        notice,
        waiting="pending_cosign",
        roles=consent.required_roles,
        signed=consent.signers,
    )


def refuse(consent: Consent, actor: Actor, at: datetime, notice: Notice | None = None) -> Change:
    """Return the change of a refusal, by the data subject or the representative, while it is undecided.

    It needs no fresh sign-in. Declining everything is recorded field by field. Raises
    ConsentTransitionRefused (final_state, not_requested, wrong_actor).
    """
    now = stand(consent, at)
    check_state(now.consent, _UNDECIDED, "not_requested")
    check_citizen(now.consent, actor, at)
    declined = decisions_of(consent.terms, frozenset())
    shown = consent.notice if notice is None else notice
    reason = f"by_{actor.kind}"
    return moved(
        now,
        "refused",
        at,
        "refused",
        actor,
        reason=reason,
        details=_shown(notice),
        decisions=declined,
        notice=shown,
    )


def confirm(
    consent: Consent,
    signer: Signer,
    notice: Notice,
    at: datetime,
    *,
    signing: Signing,
    sign_in_age: timedelta = SIGN_IN_AGE,
) -> Change:
    """Return the change of a confirmation after a birthday; the end stays where it was.

    signing: who must sign now, and until when that holds; what was signed before the consent fell due does
    not count. Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, frozenset({"refresh_due"}), "not_refresh_due")
    signed = tuple(one for one in consent.signers if one.signed_at >= now.consent.state_since_at)
    check_signer(consent, signer, signing.required_roles, signed)
    check_notice(notice, at)
    check_sign_in(consent, consent.given_names, signer, at, sign_in_age)
    kept = {} if _missing((*signed, signer), signing.required_roles) else {
        "refresh_due_at": signing.refresh_due_at, "refresh_roles": signing.refresh_roles
    }  # fmt: skip
    return _signed(
        now,
        signer,
        at,
        ("cosigned", "confirmed"),
        notice,
        waiting="refresh_due",
        roles=signing.required_roles,
        signed=signed,
        required_roles=signing.required_roles,
        notice=notice,
        **kept,
    )


def check_given(
    terms: Terms, given: frozenset[str], valid_days: int | None, data_range: DataRange | None
) -> None:
    """Raise ConsentTransitionRefused (not_narrower, required_field_refused) unless given is within terms."""
    if not given <= terms.field_names:
        refused("not_narrower")
    if valid_days is not None and not 1 <= valid_days <= terms.valid_days:
        refused("not_narrower")
    if data_range is not None and not is_range_within(data_range, terms.data_range):
        refused("not_narrower")
    if not terms.required_names <= given:
        refused("required_field_refused")


def decisions_of(terms: Terms, given: frozenset[str]) -> tuple[FieldDecision, ...]:
    """Return the decision on every field asked for, in the order in which they were asked."""
    return tuple(
        FieldDecision(field.name, field.form, field.name in given, field.is_required)
        for field in terms.fields
    )


def proof_of(consent: Consent, signer: Signer, notice: Notice) -> tuple[tuple[str, str], ...]:
    """Return what an event of giving tells besides: how it was signed, what was shown, what was agreed."""
    return (
        ("level", str(signer.level)),
        ("method", notice.method),
        *_shown(notice),
        ("record_hash", record_hash(consent)),
    )


def _signed(
    now: Standing,
    signer: Signer,
    at: datetime,
    event_types: tuple[EventType, EventType],
    shown: Notice,
    *,
    waiting: State,
    roles: tuple[SignerRole, ...],
    signed: tuple[Signer, ...] = (),
    **members: Any,
) -> Change:
    """Return the change of one signature: the state waits for the others, or becomes active.

    event_types: while others are missing, and with the last one.
    """
    signers = (*signed, replace(signer, signed_at=at))
    state: State = waiting if _missing(signers, roles) else "active"
    members["signers"] = signers
    if state == "active" and now.consent.valid_from_at is None:
        days = members.get("given_days", now.consent.given_days) or now.consent.terms.valid_days
        members |= {"valid_from_at": at, "valid_to_at": at + timedelta(days=days)}
    return moved(
        now,
        state,
        at,
        event_types[state == "active"],
        actor_of(signer),
        details=proof_of(replace(now.consent, **members), signer, shown),
        **members,
    )


def _missing(signers: tuple[Signer, ...], roles: tuple[SignerRole, ...]) -> set[SignerRole]:
    return set(roles) - {signer.role for signer in signers}


def _shown(notice: Notice | None) -> tuple[tuple[str, str], ...]:
    return () if notice is None else (("notice_hash", notice.rendered_hash),)
