"""For how much longer a consent may be given: lengths to choose from, none beyond what was agreed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from broker.consent.record import Consent, SignerRole
from broker.consent.terms import is_within_agreement
from consent_ui.words import Words
from policies.civil_time import civil_date
from policies.compile import PolicySet

_USUAL: Final = (7, 30, 90, 180, 365)


@dataclass(frozen=True, slots=True)
class Length:
    """One of them. until: when it would end, if it were chosen now."""

    days: int
    label: str
    until: str


def needs_both(consent: Consent) -> bool:
    """Return whether a consent would be extended, but only child and representative together could sign."""
    return consent.state == "active" and len(consent.required_roles) > 1


def lengths_of(
    consent: Consent,
    policies: PolicySet,
    at: datetime,
    words: Words,
    role: SignerRole = "data_subject",
) -> tuple[Length, ...]:
    """Return the lengths from now by which somebody in a role may extend a consent, the shortest first.

    At most what was asked for, within the agreement as it stands now, and longer than it lasts anyway. None
    for a consent that is not active or that others must sign as well: that is asked for anew
    (docs/consent.md).
    """
    table, today = policies.tables.get(consent.terms.agreement_id), civil_date(at)
    if consent.state != "active" or consent.valid_to_at is None or table is None:
        return ()
    if consent.required_roles != (role,):
        return ()
    # A range that was within the agreement when it was asked for may begin too early by now: rows are cut
    # by the agreement anyway, and an extension makes the range no wider.
    asked = replace(consent.terms, data_range=None)
    most = min(consent.terms.valid_days, (table.last_day - today).days)
    days = sorted({one for one in (*_USUAL, most) if 1 <= one <= most})
    return tuple(
        Length(one, words.days(one), words.moment(at + timedelta(days=one)))
        for one in days
        if at + timedelta(days=one) > consent.valid_to_at
        and is_within_agreement(replace(asked, valid_days=one), table, today)
    )
