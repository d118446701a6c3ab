"""What a citizen gets in hand after each decision: one signed receipt in two standard forms. Pure.

A receipt never changes. What becomes of the consent later is told by later receipts, and by the check page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from broker.consent.codec import range_document, record_hash
from broker.consent.receipt_dpv import dpv_receipt
from broker.consent.receipt_kantara import kantara_receipt
from broker.consent.receipt_names import ReceiptNames, ReceiptNaming
from broker.consent.receipt_words import TITLES
from broker.consent.record import Consent, EventType
from broker.consent.writing import IssuedReceipt

Sign: TypeAlias = Callable[[Mapping[str, Any]], str]
"""Payload → compact JWS over its RFC 8785 bytes; `broker.keys.KeyRing.sign_consent_receipt` is one."""

SUCCESSIONS: Final[frozenset[EventType]] = frozenset({"amended", "extended"})
"""Events with which another consent takes the place of one; their receipts tell the difference."""


@dataclass(frozen=True, slots=True)
class ReceiptIssuer:
    """Makes receipts.

    new_id: gives a fresh UUID as text. find_consent: consent id → the consent as it is kept; asked for the
    one that a changed consent takes the place of.
    """

    sign: Sign
    names: ReceiptNaming
    new_id: Callable[[], str]
    find_consent: Callable[[str], Consent | None]

    def issue(
        self, consent: Consent, event_type: EventType, at: datetime, evidence_reference: str
    ) -> IssuedReceipt:
        """Return the signed receipt of one event; storing it is the caller's transaction.

        consent: as it is after the event. at: of the event, aware. evidence_reference: of the entry in the
        evidence log. Raises ValueError (no receipt for such an event, or what was before it is not kept),
        SigningKeyUnavailable, StoreUnavailable.
        """
        names, receipt_id = self.names.names_of(consent), self.new_id()
        before = None
        if event_type in SUCCESSIONS and consent.supersedes is not None:
            before = self.find_consent(consent.supersedes)
        payload = receipt_payload(consent, event_type, names, receipt_id, at, evidence_reference, before)
        return IssuedReceipt(
            receipt_id=receipt_id,
            consent_id=consent.consent_id,
            citizen_id=consent.citizen_id,
            event_type=event_type,
            receipt=self.sign(payload),
            issued_at=at,
        )


def receipt_payload(
    consent: Consent,
    event_type: EventType,
    names: ReceiptNames,
    receipt_id: str,
    at: datetime,
    evidence_reference: str,
    before: Consent | None = None,
) -> dict[str, Any]:
    """Return what is signed: both forms, and what ties them to the record and to the evidence log.

    before: the consent that this one takes the place of; `difference` tells what is new, {} for others. Never
    a value of a record, never who the data subject is beyond the name that this recipient has for the person.
    Raises ValueError.
    """
    if event_type not in TITLES:
        raise ValueError("there is no receipt for such an event")
    if (event_type in SUCCESSIONS) is not (before is not None):
        raise ValueError("a changed consent has one that it takes the place of, and no other has")
    return {
        "consent_id": consent.consent_id,
        "difference": {} if before is None else difference(before, consent),
        "event": event_type,
        "evidence_reference": evidence_reference,
        "issued_at": _instant(at),
        "issuer": names.issuer,
        "receipt_27560": dpv_receipt(consent, event_type, names, receipt_id, at),
        "receipt_id": receipt_id,
        "receipt_kantara": kantara_receipt(consent, event_type, names, receipt_id, at),
        "record_hash": record_hash(consent),
        "version": consent.version,
    }


def difference(before: Consent, after: Consent) -> dict[str, Any]:
    """Return what is otherwise in a consent that took the place of another; what stayed is left out.

    fields_added, fields_removed: names of fields given now, and no longer; the rest as [before, after].
    """
    added = sorted(after.given_names - before.given_names)
    removed = sorted(before.given_names - after.given_names)
    told: dict[str, Any] = {}
    if added:
        told["fields_added"] = added
    if removed:
        told["fields_removed"] = removed
    pairs = {
        "data_range": (range_document(before.readable_range), range_document(after.readable_range)),
        "retention_days": (before.terms.retention_days, after.terms.retention_days),
        "valid_to": (_until(before), _until(after)),
    }
    return {**told, **{name: list(pair) for name, pair in pairs.items() if pair[0] != pair[1]}}


def _until(consent: Consent) -> str | None:
    return None if consent.valid_to_at is None else _instant(consent.valid_to_at)


def _instant(at: datetime) -> str:
    """Return an instant as RFC 3339 writes it, in UTC and whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
