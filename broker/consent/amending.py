"""Other terms are another consent: the new one becomes active and the old one superseded, or neither."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from broker.consent.change import Change, check_state, event_of, moved, refused
from broker.consent.giving import check_given, decisions_of, proof_of
from broker.consent.ranges import is_range_within
from broker.consent.record import Consent, DataRange, EventType, Notice, Signer, State, Terms
from broker.consent.signing import SIGN_IN_AGE, actor_of, check_notice, check_sign_in, check_signer
from broker.consent.standing import Standing, stand

_ACTIVE: Final[frozenset[State]] = frozenset({"active"})


def amend(
    consent: Consent,
    consent_id: str,
    given: frozenset[str],
    signer: Signer,
    notice: Notice,
    at: datetime,
    *,
    terms: Terms | None = None,
    valid_days: int | None = None,
    data_range: DataRange | None = None,
    sign_in_age: timedelta = SIGN_IN_AGE,
) -> Change:
    """Return the change to another consent of the same matter, with other fields, days or range.

    consent_id: of the new one. terms: of the same agreement and purpose, as `terms_of` made them; None for
    the present ones. valid_days count from now; None keeps the present end, unless there are new terms. To
    give less one signature is enough, and it needs no fresh sign-in; to give more every role must sign, so a
    consent of two roles is asked for anew (cosign_needed). Nothing given is a withdrawal: ask for that.
    Raises ConsentTransitionRefused.
    """
    now = stand(consent, at)
    check_state(now.consent, _ACTIVE, "not_active")
    after = _successor(consent, consent_id, terms or consent.terms, given, at)
    if terms is None and valid_days is None:
        after = replace(after, valid_to_at=consent.valid_to_at, given_days=consent.given_days)
    else:
        days = terms.valid_days if terms is not None and valid_days is None else valid_days
        after = replace(after, valid_to_at=_end(at, days), given_days=valid_days)
    after = replace(after, given_range=data_range if terms is not None else data_range or consent.given_range)
    return _superseded(now, after, given, "amended", signer, notice, at, sign_in_age)


def extend(
    consent: Consent,
    consent_id: str,
    signer: Signer,
    notice: Notice,
    at: datetime,
    *,
    valid_days: int | None = None,
    sign_in_age: timedelta = SIGN_IN_AGE,
) -> Change:
    """Return the change to a consent that is the same but lasts longer: from now, at most as long as asked.

    consent_id: of the new one. valid_days: fewer than asked; None for all of them.
    Raises ConsentTransitionRefused (not_longer and those of amend).
    """
    now = stand(consent, at)
    check_state(now.consent, _ACTIVE, "not_active")
    after = _successor(consent, consent_id, consent.terms, consent.given_names, at)
    after = replace(
        after,
        valid_to_at=_end(at, consent.terms.valid_days if valid_days is None else valid_days),
        given_days=valid_days,
        given_range=consent.given_range,
    )
    if consent.valid_to_at is None or after.valid_to_at is None or after.valid_to_at <= consent.valid_to_at:
        refused("not_longer")
    return _superseded(now, after, consent.given_names, "extended", signer, notice, at, sign_in_age)


def _end(at: datetime, days: int | None) -> datetime | None:
    return None if days is None else at + timedelta(days=days)


def _successor(
    consent: Consent, consent_id: str, terms: Terms, given: frozenset[str], at: datetime
) -> Consent:
    """Return the new consent before anybody has signed it; it begins without a grant."""
    if not given:
        refused("nothing_asked")
    return replace(
        consent,
        consent_id=consent_id,
        terms=terms,
        state="active",
        state_reason="",
        state_since_at=at,
        version=1,
        requested_at=at,
        request_expires_at=at,
        decisions=decisions_of(terms, given),
        grant_id=None,
        valid_from_at=at,
        supersedes=consent.consent_id,
    )


def _superseded(
    now: Standing,
    after: Consent,
    given: frozenset[str],
    event_type: EventType,
    signer: Signer,
    notice: Notice,
    at: datetime,
    sign_in_age: timedelta,
) -> Change:
    consent = now.consent
    if _matter(after.terms) != _matter(consent.terms) or after.consent_id == consent.consent_id:
        refused("other_matter")
    check_signer(consent, signer, consent.required_roles, ())
    check_given(after.terms, given, after.given_days, after.given_range)
    check_notice(notice, at)
    others = tuple(one for one in consent.signers if one.role != signer.role)
    if not _is_narrower(after, consent):
        check_sign_in(after, after.given_names, signer, at, sign_in_age)
        if set(consent.required_roles) != {signer.role}:
            refused("cosign_needed")
    after = replace(after, signers=(*others, replace(signer, signed_at=at)), notice=notice)
    details = (("supersedes", consent.consent_id), *proof_of(after, signer, notice))
    event = event_of(after.consent_id, 1, event_type, actor_of(signer), at, "active", details=details)
    return replace(
        moved(
            now,
            "superseded",
            at,
            "superseded",
            actor_of(signer),
            reason=event_type,
            details=(("superseded_by", after.consent_id),),
            superseded_by=after.consent_id,
        ),
        successor=Change(consent=after, events=(event,), receipt=event_type),
    )


def _is_narrower(after: Consent, before: Consent) -> bool:
    """Whether the new consent gives nothing that the old one did not."""
    if after.valid_to_at is None or before.valid_to_at is None or after.valid_to_at > before.valid_to_at:
        return False
    given = {(one.name, one.form) for one in after.decisions if one.is_given}
    return (
        given <= {(one.name, one.form) for one in before.decisions if one.is_given}
        and is_range_within(after.readable_range, before.readable_range)
        and after.terms.retention_days <= before.terms.retention_days
        and after.terms.frequency == before.terms.frequency
        and after.terms.mode == before.terms.mode
    )


def _matter(terms: Terms) -> tuple[str, str]:
    return terms.agreement_id, terms.purpose
