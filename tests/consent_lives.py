"""Consents in every state, and who acts on them, for tests of the pure life of a consent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from broker.consent import life
from broker.consent.life import Change
from broker.consent.record import (
    Actor,
    AskedField,
    Consent,
    DataRange,
    Frequency,
    Notice,
    Signer,
    Signing,
    State,
    Terms,
)
from broker.errors import ConsentTransitionRefused

AT: Final = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
TERMS: Final = Terms(
    agreement_id="bank_income_proof",
    revision_hash="a" * 64,
    purpose="prove_income",
    fields=(
        AskedField("salary_base", "amount_band", True, True),
        AskedField("si_status", "value", False, False),
    ),
    valid_days=30,
    retention_days=90,
    frequency=Frequency(2, "consent"),
    data_range=DataRange(date(2025, 1, 1), date(2025, 12, 31)),
)
ALL: Final = TERMS.field_names
PERSON: Final = Actor(kind="data_subject", reference="person")
PARENT: Final = Actor(kind="representative", reference="parent")
BANK: Final = Actor(kind="client", reference="bank-a")
OPERATOR: Final = Actor(kind="operator", reference="operator-1")
BROKER: Final = Actor(kind="broker")
CHILD: Final = Signing(
    required_roles=("data_subject", "representative"),
    refresh_due_at=AT + timedelta(days=20),
    refresh_roles=("data_subject",),
)


def notice(**changed: Any) -> Notice:
    shown = Notice(version="7", language="vi", rendered_hash="b" * 64, served_at=AT)
    return replace(shown, **changed)


def signer(at: datetime = AT, **changed: Any) -> Signer:
    signing = Signer(role="data_subject", citizen_id="person", level=2, authenticated_at=at, signed_at=at)
    return replace(signing, **changed)


def parent(at: datetime = AT, **changed: Any) -> Signer:
    changed = {"role": "representative", "citizen_id": "parent", "relation_hash": "c" * 64, **changed}
    return signer(at, **changed)


def opening(**changed: Any) -> dict[str, Any]:
    """Return the arguments of a request that could be opened."""
    return {
        "consent_id": "consent-1",
        "request_id": "request-1",
        "client_id": "bank-a",
        "organisation_id": "bank-1",
        "citizen_id": "person",
        "subject": "citizen:pairwise",
        "terms": TERMS,
        "at": AT,
        "expires_at": AT + timedelta(days=7),
        **changed,
    }


def requested(terms: Terms = TERMS, signing: Signing | None = None, **changed: Any) -> Consent:
    return life.open_request(**opening(terms=terms, signing=signing, **changed)).consent


def active(signing: Signing | None = None, given: frozenset[str] = ALL) -> Consent:
    consent = life.decide(requested(signing=signing), given, signer(), notice(), AT).consent
    return life.cosign(consent, parent(), notice(), AT).consent if signing is CHILD else consent


def due() -> tuple[Consent, datetime]:
    """Return a consent that waits for its confirmation, and an instant in that time."""
    return active(CHILD), AT + timedelta(days=21)


def reason_of(call: Callable[[], Change]) -> str:
    with pytest.raises(ConsentTransitionRefused) as refused:
        call()
    return refused.value.reason


STATES: Final[dict[State, Consent]] = {
    "requested": requested(),
    "pending_cosign": life.decide(requested(signing=CHILD), ALL, signer(), notice(), AT).consent,
    "active": active(),
    "paused": life.pause(active(), PERSON, AT).consent,
    "refresh_due": replace(active(), state="refresh_due"),
    "refused": life.refuse(requested(), PERSON, AT).consent,
    "cancelled": life.cancel(requested(), BANK, AT).consent,
    "withdrawn": life.withdraw(active(), PERSON, AT).consent,
    "inapplicable": life.make_inapplicable(active(), BROKER, "agreement_ended", AT).consent,
    "invalidated": life.invalidate(active(), OPERATOR, "court_order", AT).consent,
    "superseded": life.amend(active(), "consent-2", ALL, signer(), notice(), AT).consent,
    "expired": life.exhaust(active(), 2, AT).consent,
    "request_expired": replace(requested(), state="request_expired"),
}
