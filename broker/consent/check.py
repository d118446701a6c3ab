"""Whether a consent carries one release: the checks at fetch, in their order, the first failing one told.

They may run early, to refuse fast; the recording statement has the last word. What carries no consent for
one field drops that field and refuses nothing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.consent.ranges import is_range_within, period_end
from broker.consent.record import Consent, DataRange, State
from broker.consent.standing import state_at

__all__ = ["DENIALS", "FetchFacts", "find_denial", "period_end", "released_fields"]

DENIALS: Final = (
    "token_invalid",
    "recipient_mismatch",
    "subject_mismatch",
    "service_mismatch",
    "not_active",
    "record_hash_mismatch",
    "purpose_mismatch",
    "outside_range",
    "frequency_exceeded",
    "quota_exceeded",
    "policy_denied",
)
"""In the order in which they are looked for; not_active is told with the state: not_active_paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFacts:
    """What is known of one fetch under a consent before anything is read.

    agreed_hash: of the consent as it is kept (`broker.consent.codec.record_hash`). token_valid: the token is
    alive and bound to its sender. client_id, organisation_id: who fetches. subject: pairwise, agreement_id,
    record_hash (hex), purpose: as the token says. asked_range: the time
    asked about now, None for all that was given. used_count: releases in the present period
    (`period_end`), this one left out. quota_exceeded: a limit of the agreement is full. policy_permits:
    what the policies decided, consent left aside. `share_record` fills in the count alone: it reads all that
    was given, the recording statement judges the agreement's limits, and policies, asked after these checks,
    refuse by reasons of their own.
    """

    consent: Consent
    agreed_hash: str
    token_valid: bool
    client_id: str
    organisation_id: str
    subject: str
    agreement_id: str
    record_hash: str
    purpose: str
    asked_range: DataRange | None = None
    used_count: int = 0
    quota_exceeded: bool = False
    policy_permits: bool = True


def find_denial(facts: FetchFacts, at: datetime) -> str | None:
    """Return the first reason why nothing may leave under a consent, in the order of DENIALS, or None."""
    return _find_mismatch(facts) or _find_inactive(facts.consent, at) or _find_excess(facts)


def find_state_denial(state: State) -> str | None:
    """Return why a consent in a state carries no release: not_active_ and the state; None for active."""
    return None if state == "active" else f"not_active_{state}"


def released_fields(consent: Consent, asked: frozenset[str] | None = None) -> tuple[str, ...]:
    """Return the fields that may leave: given, and asked for now (None: all), in the order of the terms.

    What was asked and not given is dropped without an error.
    """
    names = consent.given_names if asked is None else consent.given_names & asked
    return tuple(field.name for field in consent.terms.fields if field.name in names)


def _find_mismatch(facts: FetchFacts) -> str | None:
    consent = facts.consent
    if not facts.token_valid:
        return "token_invalid"
    if (facts.client_id, facts.organisation_id) != (consent.client_id, consent.organisation_id):
        return "recipient_mismatch"
    if facts.subject != consent.subject:
        return "subject_mismatch"
    return None if facts.agreement_id == consent.terms.agreement_id else "service_mismatch"


def _find_inactive(consent: Consent, at: datetime) -> str | None:
    denial = find_state_denial(state_at(consent, at))
    if denial is not None:
        return denial
    # Only a consent that somebody wrote by hand is active without a beginning or an end.
    is_complete = consent.valid_from_at is not None and consent.valid_to_at is not None
    return None if is_complete else "not_active_incomplete"


def _find_excess(facts: FetchFacts) -> str | None:
    consent, frequency = facts.consent, facts.consent.terms.frequency
    if not hmac.compare_digest(facts.record_hash.encode(), facts.agreed_hash.encode()):
        return "record_hash_mismatch"
    if facts.purpose != consent.terms.purpose:
        return "purpose_mismatch"
    if facts.asked_range is not None and not is_range_within(facts.asked_range, consent.readable_range):
        return "outside_range"
    if frequency is not None and facts.used_count >= frequency.use_count:
        return "frequency_exceeded"
    if facts.quota_exceeded:
        return "quota_exceeded"
    return None if facts.policy_permits else "policy_denied"
