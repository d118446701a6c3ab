"""A consent in words: who, what for, which fields, how it stands, and what happened to it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.consent.record import Consent, SignerRole
from broker.consent.standing import roles_at
from broker.consent.writing import ChainedEvent
from consent_ui.representation import AskedView, fields_of
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
class ConsentView:
    """One consent as it stands now. fingerprint: SHA-256 hex of all that is shown before a choice.

    may_decide: it waits for this person. can: what may be done with it now, words of the buttons.
    """

    consent_id: str
    organisation: str
    purpose: str
    legal_basis: str
    message: str
    state: str
    state_words: str
    until: str
    valid: str
    kept: str
    frequency: str
    fields: tuple[AskedView, ...]
    may_decide: bool
    can: tuple[str, ...]
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
    terms = consent.terms
    purpose = policies.registers.purposes.get(terms.purpose)
    basis = policies.registers.legal_bases["CONSENT"]
    fields = fields_of(consent, policies, words)
    end = consent.request_expires_at if consent.state in WAITING else consent.valid_to_at
    frequency = terms.frequency
    shown = {
        "organisation": names[words.index] or names[1 - words.index] or consent.organisation_id,
        "purpose": terms.purpose if purpose is None else (purpose.label_vi, purpose.label_en)[words.index],
        "legal_basis": (basis.label_vi, basis.label_en)[words.index],
        "message": dict(terms.message).get(words.language, ""),
        "until": "" if end is None else words.moment(end),
        "valid": words.days(consent.readable_days),
        "kept": words.days(terms.retention_days),
        "frequency": (
            words("consents_any_time")
            if frequency is None
            else words(f"consents_per_{frequency.per}", count=frequency.use_count)
        ),
    }
    told = [consent.consent_id, consent.version, *sorted(shown.items())]
    told += [(one.name, one.label, one.form, one.is_required, one.is_sensitive) for one in fields]
    signed = any(one.citizen_id == citizen_id for one in consent.signers)
    may_decide = consent.state in WAITING and not signed and "data_subject" in consent.required_roles
    return ConsentView(
        consent_id=consent.consent_id,
        state=consent.state,
        state_words=words(f"consents_state_{consent.state}"),
        fields=fields,
        may_decide=may_decide,
        can=_can(consent, role, at),
        fingerprint=hashlib.sha256(repr((words.language, told)).encode()).hexdigest(),
        **shown,
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
