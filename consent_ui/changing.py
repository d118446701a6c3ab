"""What of an active consent its citizen may change, and what a form changed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.consent.record import Consent, DataRange
from broker.consent.terms import is_within_agreement
from consent_ui.giving_less import (
    AS_ASKED,
    USUAL,
    RangeView,
    Shorter,
    days_chosen,
    range_chosen,
)
from consent_ui.words import Words
from policies.civil_time import civil_date
from policies.compile import PolicySet


@dataclass(frozen=True, slots=True)
class ChangeOffered:
    """What may be changed. may_add: what was kept back may be given now; else only less may be given.

    lengths: from now, each ending before the consent does. widest_range: that may be chosen, None where no
    range was asked for; present_range: as it was given.
    """

    may_add: bool
    lengths: tuple[Shorter, ...]
    widest_range: RangeView | None
    present_range: RangeView | None

    def content(self) -> dict[str, Any]:
        """Return it as members of what a page shows, which can be hashed."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form wants. valid_days: from now; None, as for data_range, for what it is already."""

    given: frozenset[str]
    valid_days: int | None
    data_range: DataRange | None

    def is_change_of(self, consent: Consent) -> bool:
        """Whether anything would be otherwise than it is."""
        return self != Wanted(consent.given_names, None, None)


def change_offered(consent: Consent, policies: PolicySet, at: datetime, words: Words) -> ChangeOffered | None:
    """Return what the data subject may change; None where nothing: it is not active, or another signs alone.

    More is given only where nobody else signs, and the agreement still lets out what was asked for.
    """
    if consent.state != "active" or consent.valid_to_at is None:
        return None
    if "data_subject" not in consent.required_roles:
        return None
    # A range that was within the agreement when it was asked for may begin too early by now: rows are cut
    # by the agreement anyway. How long it lasts is not at stake: nothing here makes it longer.
    table = policies.tables.get(consent.terms.agreement_id)
    asked = replace(consent.terms, valid_days=1, data_range=None)
    is_covered = table is not None and is_within_agreement(asked, table, civil_date(at))
    may_add = consent.required_roles == ("data_subject",) and is_covered
    return ChangeOffered(
        may_add=may_add,
        lengths=tuple(
            Shorter(days, words("change_days_until", days=words.days(days), at=_until(days, at, words)))
            for days in reversed(USUAL)
            if at + timedelta(days=days) < consent.valid_to_at
        ),
        widest_range=RangeView.of(consent.terms.data_range if may_add else consent.readable_range),
        present_range=RangeView.of(consent.readable_range),
    )


def wanted_of(
    consent: Consent, offered: ChangeOffered, fields: Collection[str], form: Mapping[str, str]
) -> Wanted:
    """Return what a form wants of a consent. fields: the names that are ticked. Raises NotOffered."""
    widest = None if offered.widest_range is None else offered.widest_range.range()
    allowed = consent.terms.field_names if offered.may_add else consent.given_names
    return Wanted(
        given=frozenset(fields) & allowed,
        valid_days=days_chosen(form.get("valid_days", AS_ASKED), offered.lengths),
        data_range=range_chosen(form, widest, consent.readable_range),
    )


def _until(days: int, at: datetime, words: Words) -> str:
    return words.day(civil_date(at + timedelta(days=days)))
