"""Consents brought to every event that gives a receipt, and receipts of them under a key of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast
from uuid import uuid4

from broker.consent import life
from broker.consent.change import Change
from broker.consent.receipt_names import PolicyNames, ReceiptNames
from broker.consent.receipts import receipt_payload
from broker.consent.record import (
    Actor,
    AskedField,
    Consent,
    DataRange,
    EventType,
    Frequency,
    Notice,
    Signer,
    Signing,
    Terms,
)
from tests.citizen_world import shipped_policies

AT: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ISSUER: Final = "https://broker.example"
BANK_VI, BANK_EN = "Ngân hàng Thử Nghiệm", "Trial Bank"
NOTICE: Final = Notice(version="3", language="vi", rendered_hash="a" * 64, served_at=AT)
OPERATOR: Final = Actor(kind="operator", reference="operator-1")


def terms(**changes: Any) -> Terms:
    """Return what a bank asks for: four fields, one of them required."""
    asked = {
        "agreement_id": "bank_income_proof",
        "revision_hash": "b" * 64,
        "purpose": "prove_income",
        "fields": (
            AskedField("salary_base", "amount_band", is_required=True, is_sensitive=False),
            AskedField("contribution_from", "year_month", is_required=False, is_sensitive=False),
            AskedField("contribution_to", "year_month", is_required=False, is_sensitive=False),
            AskedField("si_status", "value", is_required=False, is_sensitive=True),
        ),
        "valid_days": 90,
        "retention_days": 180,
        "message": (("vi", "Lời nhắn của ngân hàng"),),
    }
    return Terms(**{**asked, **changes})


def requested(asked: Terms | None = None, *, citizen_id: str = "", signing: Signing | None = None) -> Consent:
    """Return a request for consent at AT."""
    return life.open_request(
        consent_id=str(uuid4()),
        request_id=str(uuid4()),
        client_id="bank-app",
        organisation_id="bank-1",
        citizen_id=citizen_id or str(uuid4()),
        subject="pairwise-subject-of-the-bank",
        terms=asked or terms(),
        at=AT,
        expires_at=AT + timedelta(days=14),
        signing=signing,
    ).consent


def signer(consent: Consent, at: datetime) -> Signer:
    """Return the data subject, freshly signed in with two factors."""
    return Signer(
        role="data_subject", citizen_id=consent.citizen_id, level=2, authenticated_at=at, signed_at=at
    )


def representative(at: datetime) -> Signer:
    """Return somebody who was shown to represent the data subject."""
    return Signer(
        role="representative",
        citizen_id=str(uuid4()),
        level=2,
        authenticated_at=at,
        signed_at=at,
        relation_hash="c" * 64,
    )


def given(asked: Terms | None = None, *names: str, citizen_id: str = "") -> Change:
    """Return the change by which a request is given: whole, or the named fields of it."""
    consent = requested(asked, citizen_id=citizen_id)
    chosen = frozenset(names) or consent.terms.field_names
    return life.decide(consent, chosen, signer(consent, AT), NOTICE, AT)


def every_event() -> Iterator[tuple[EventType, Consent, Consent | None, datetime]]:
    """Yield each event that gives a receipt: (event, consent after it, what it takes the place of, when)."""
    later, active = AT + timedelta(days=1), given().consent
    myself = Actor(kind="data_subject", reference=active.citizen_id)
    in_part = given(None, "salary_base", "si_status")
    child = requested(signing=Signing(required_roles=("data_subject", "representative")))
    half = life.decide(child, child.terms.field_names, signer(child, AT), NOTICE, AT).consent
    birthday = Signing(refresh_due_at=AT + timedelta(days=20), refresh_roles=("data_subject",))
    grown = requested(signing=birthday)
    grown = life.decide(grown, grown.terms.field_names, signer(grown, AT), NOTICE, AT).consent
    after_birthday = AT + timedelta(days=21)
    paused = life.pause(active, myself, later)
    changes: list[tuple[Change, datetime]] = [
        (given(), AT),
        (in_part, AT),
        (life.cosign(half, representative(AT), NOTICE, AT), AT),
        (
            life.confirm(grown, signer(grown, after_birthday), NOTICE, after_birthday, signing=Signing()),
            after_birthday,
        ),
        (_refusal(), AT),
        (paused, later),
        (life.resume(paused.consent, signer(active, later), later), later),
        (life.withdraw(active, myself, later), later),
        (life.invalidate(active, OPERATOR, "order", later), later),
        (life.make_inapplicable(active, OPERATOR, "agreement_ended", later), later),
    ]
    expiry = active.valid_to_at
    assert expiry is not None
    ended = life.settled(active, expiry)
    assert ended is not None
    changes.append((ended, expiry))
    for change, at in changes:
        assert change.receipt is not None
        yield cast(EventType, change.receipt), change.consent, None, at
    for change in (
        life.amend(active, str(uuid4()), frozenset({"salary_base"}), signer(active, later), NOTICE, later),
        life.extend(active, str(uuid4()), signer(active, later), NOTICE, later),
    ):
        assert change.successor is not None
        yield cast(EventType, change.successor.receipt), change.successor.consent, active, later


def _refusal() -> Change:
    consent = requested()
    return life.refuse(consent, Actor(kind="data_subject", reference=consent.citizen_id), AT, NOTICE)


def naming(**changes: Any) -> PolicyNames:
    """Return the names of the shipped policies and of the bank."""
    parts: Mapping[str, Any] = {
        "policies": shipped_policies(),
        "issuer": ISSUER,
        "find_recipient": lambda _: (BANK_VI, BANK_EN),
        "owner_id": "vss",
    }
    return PolicyNames(**{**parts, **changes})


def names_of(consent: Consent) -> ReceiptNames:
    """Return the names for a consent."""
    return naming().names_of(consent)


def payload(
    event: EventType, consent: Consent, before: Consent | None, at: datetime, receipt_id: str = ""
) -> dict[str, Any]:
    """Return what would be signed."""
    return receipt_payload(
        consent, event, names_of(consent), receipt_id or str(uuid4()), at, str(uuid4()), before
    )


WITH_LIMITS: Final = {
    "data_range": DataRange(date(2025, 1, 1), None),
    "frequency": Frequency(3, "month"),
    "mode": "store",
}
"""Terms that bound the time spoken of and how often it is read."""
