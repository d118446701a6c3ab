"""A consent in words: who, what for, which fields, how it stands, and what happened to it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from broker.consent.record import Consent, SignerRole
from broker.consent.standing import roles_at
from broker.consent.writing import ChainedEvent
from consent_ui.asked import RequestedView, content_of, members_of, requested_view
from consent_ui.giving_less import LessOffered, RangeView, Shorter, less_offered
from consent_ui.notices import hash_of_shown
from consent_ui.words import WORDS, Words
from policies.compile import PolicySet

OPENING: Final = frozenset({"give", "resume", "confirm"})
"""What opens something needs a fresh sign-in; refusing, pausing and withdrawing never do."""
ACTIVE: Final = frozenset({"active"})
RESTING: Final = frozenset({"paused", "refresh_due"})
WAITING: Final = frozenset({"requested", "pending_cosign"})


@dataclass(frozen=True, slots=True)
class EventView:
    """One thing that happened."""

    at: str
    what: str


@dataclass(frozen=True, slots=True)
class GoingWith:
    """One consent that is withdrawn with another: since when and until when, and where it stands."""

    address: str
    words: str

    @classmethod
    def of(cls, consent: Consent, address: str, words: Words) -> GoingWith:
        """Return a consent that was given, in words."""
        since, until = (
            "" if one is None else words.moment(one) for one in (consent.valid_from_at, consent.valid_to_at)
        )
        return cls(address, words("withdrawal_other", since=since, until=until))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentView(RequestedView):
    """One consent as it stands now. fingerprint: SHA-256 hex of all that is shown before a choice.

    may_decide: it waits for this person. can: what may be done with it now, words of the buttons. lengths,
    asked_range: what less may be given while nobody has signed; () and None for nothing.
    """

    state: str
    state_words: str
    until: str
    may_decide: bool
    can: tuple[str, ...]
    lengths: tuple[Shorter, ...]
    asked_range: RangeView | None
    fingerprint: str


def consent_view(
    consent: Consent,
    names: tuple[str, str],
    policies: PolicySet,
    words: Words,
    citizen_id: str,
    at: datetime,
    role: SignerRole = "data_subject",
) -> ConsentView:
    """Return a consent in words. consent: as it stands at `at`. names: of the organisation, vi and en.

    citizen_id, role: who looks at it.
    """
    asked = requested_view(consent, names, policies, words)
    end = consent.request_expires_at if consent.state in WAITING else consent.valid_to_at
    signed = any(one.citizen_id == citizen_id for one in consent.signers)
    may_decide = consent.state in WAITING and not signed and "data_subject" in consent.required_roles
    more: dict[str, Any] = {
        "state": consent.state,
        "state_words": words(f"consents_state_{consent.state}"),
        "until": "" if end is None else words.moment(end),
        "may_decide": may_decide,
        "can": _can(consent, role, at),
    }
    less = less_offered(consent, words) if may_decide else LessOffered()
    shown = hash_of_shown("consent", {**content_of(asked), **more, **less.content()}, words)
    return ConsentView(
        **members_of(asked), **more, lengths=less.lengths, asked_range=less.asked_range, fingerprint=shown
    )


def _can(consent: Consent, role: SignerRole, at: datetime) -> tuple[str, ...]:
    """Return what somebody in a role may do; nothing is offered that the life of a consent would refuse."""
    if consent.state == "active":
        return ("withdraw", "pause")
    if consent.state == "paused":
        # Who paused it resumes it, while that role still signs.
        roles = roles_at(consent, at)
        pausing = tuple(one for one in roles if consent.state_reason == f"by_{one}")
        return ("withdraw", "resume") if role in (pausing or roles) else ("withdraw",)
    if consent.state == "refresh_due":
        has_confirmed = any(
            one.role == role and one.signed_at >= consent.state_since_at for one in consent.signers
        )
        return ("withdraw",) if has_confirmed else ("withdraw", "confirm")
    return ()


def event_views(
    events: Sequence[ChainedEvent], words: Words, role: SignerRole = "data_subject"
) -> list[EventView]:
    """Return a consent's history in words, the latest first; by whom, where it was not the person.

    role: of whoever reads it; to a representative it is told what the child did itself.
    """
    views = []
    for event in reversed(events):
        key = f"consents_event_{event.type}"
        actor = json.loads(event.entry)["actor"]["kind"]
        is_own = actor == "data_subject" == role
        by = "" if is_own else " – " + words(f"consents_by_{actor}")
        views.append(EventView(words.moment(event.at), (words(key) if key in WORDS else event.type) + by))
    return views
