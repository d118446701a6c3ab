"""From a signed receipt to what a person reads of it: only the receipt is asked, so it never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.consent.receipt_dpv import DCT, RDF
from consent_ui.words import Words
from policies.civil_time import VIET_NAM
from policies.vocabulary import DPV


class ReceiptUnreadable(ValueError):
    """The content is no receipt of a shape that is known here."""


@dataclass(frozen=True, slots=True)
class ReceiptField:
    """One field in a receipt."""

    label: str
    form: str
    is_sensitive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """A receipt in one language. rows: (name, what is told) in the order of reading.

    fields: what may be read after the event; barred: what may not. difference: lines.
    """

    words: Words
    receipt_id: str
    consent_id: str
    version: int
    evidence_reference: str
    record_hash: str
    issuer: str
    title: str
    statement: str
    issued_at: datetime
    at: str
    recipient: str
    withdraw: str
    rights: str
    rows: tuple[tuple[str, str], ...]
    fields: tuple[ReceiptField, ...]
    barred: tuple[ReceiptField, ...]
    difference: tuple[str, ...]

    @property
    def check_address(self) -> str:
        """URL of the public page where receipts are checked."""
        return f"{self.issuer}/receipts/check"

    @property
    def proofs(self) -> tuple[tuple[str, str], ...]:
        """Return what ties the receipt to the record and to the evidence log, as (name, what is told)."""
        words = self.words
        return (
            (words("receipt_number"), self.receipt_id),
            (words("receipt_consent_id"), f"{self.consent_id}, {self.version}"),
            (words("receipt_evidence"), self.evidence_reference),
            (words("receipt_hash"), self.record_hash),
        )


def read_receipt(payload: Mapping[str, Any], words: Words) -> ReceiptView:
    """Return what a payload says, in the language of the words. Raises ReceiptUnreadable."""
    try:
        return _view(payload, words)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ReceiptUnreadable("this is no receipt that can be shown") from None


def _view(payload: Mapping[str, Any], words: Words) -> ReceiptView:
    receipt = payload["receipt_27560"]
    record = receipt[f"{DPV}hasRecordOfActivity"]
    process = record[f"{DPV}hasProcess"]
    barred = process.get(f"{DPV}hasRule", {}).get(f"{DPV}hasPersonalData", [])
    named = {one[f"{DCT}identifier"] for one in barred}
    readable = [one for one in process[f"{DPV}hasPersonalData"] if one[f"{DCT}identifier"] not in named]
    issued_at = datetime.fromisoformat(payload["issued_at"])
    return ReceiptView(
        words=words,
        receipt_id=payload["receipt_id"],
        consent_id=payload["consent_id"],
        version=payload["version"],
        evidence_reference=payload["evidence_reference"],
        record_hash=payload["record_hash"],
        issuer=payload["issuer"],
        title=_text(receipt[f"{DCT}title"], words),
        statement=_text(receipt[f"{DCT}description"], words),
        issued_at=issued_at,
        at=_civil(issued_at),
        recipient=_text(record[f"{DPV}hasThirdParty"][f"{DPV}hasName"], words),
        withdraw=_text(process[f"{DPV}hasConsentControl"][f"{DCT}description"], words),
        rights=_text(process[f"{DPV}hasRight"][f"{DCT}description"], words),
        rows=_rows(record, process, _civil(issued_at), words),
        fields=tuple(_field(one, words) for one in readable),
        barred=tuple(_field(one, words) for one in barred),
        difference=_difference(payload["difference"], [*readable, *barred], words),
    )


def _rows(
    record: Mapping[str, Any], process: Mapping[str, Any], at: str, words: Words
) -> tuple[tuple[str, str], ...]:
    status = record[f"{DPV}hasConsentStatus"]
    until = status[f"{DPV}hasDuration"].get(f"{RDF}value")
    kept = process[f"{DPV}hasStorageCondition"][1][f"{DPV}hasDuration"]["@value"]
    rows = [
        (words("receipt_recipient"), _text(record[f"{DPV}hasThirdParty"][f"{DPV}hasName"], words)),
        (words("receipt_owner"), _text(record[f"{DPV}hasDataController"][f"{DPV}hasName"], words)),
        (words("receipt_purpose"), _text(process[f"{DPV}hasPurpose"][f"{DCT}title"], words)),
        (words("receipt_basis"), _text(process[f"{DPV}hasLegalBasis"][f"{DCT}title"], words)),
        (words("receipt_agreement"), _text(process[f"{DCT}source"][f"{DCT}title"], words)),
        (words("receipt_when"), at),
        (words("receipt_by"), _deciders(status[f"{DPV}isIndicatedBy"], words)),
    ]
    if isinstance(until, Mapping):
        rows.append((words("receipt_until"), _civil(datetime.fromisoformat(until["@value"]))))
    rows.append((words("receipt_kept"), words.days(int(kept.removeprefix("P").removesuffix("D")))))
    return tuple(rows)


def _difference(difference: Mapping[str, Any], fields: list[Any], words: Words) -> tuple[str, ...]:
    names = {one[f"{DCT}identifier"]: _text(one[f"{DCT}title"], words) for one in fields}

    def listed(key: str) -> str:
        return ", ".join(names.get(name, name) for name in difference.get(key, []))

    def ends(key: str) -> dict[str, str]:
        before, after = difference.get(key, (None, None))
        return {"before": _end(before, words), "after": _end(after, words)}

    told = {
        "fields_added": words("receipt_fields_added", fields=listed("fields_added")),
        "fields_removed": words("receipt_fields_removed", fields=listed("fields_removed")),
        "valid_to": words("receipt_valid_to", **ends("valid_to")),
        "retention_days": words("receipt_retention_days", **ends("retention_days")),
        "data_range": words("receipt_data_range", **ends("data_range")),
    }
    return tuple(line for key, line in told.items() if key in difference)


def _end(value: Any, words: Words) -> str:
    """Return one side of a difference in words: an instant, a number, days from to, or nothing."""
    if value is None:
        return words("receipt_no_bound")
    if isinstance(value, str):
        return _civil(datetime.fromisoformat(value))
    if isinstance(value, Mapping):
        return " – ".join(value[name] or "…" for name in ("first_day", "last_day"))
    return str(value)


def _deciders(entities: list[Any], words: Words) -> str:
    known = {
        f"{DPV}DataSubject": words("receipt_data_subject"),
        f"{DPV}Representative": words("receipt_representative"),
    }
    return ", ".join(known.get(one["@id"], words("receipt_nobody")) for one in entities)


def _field(one: Mapping[str, Any], words: Words) -> ReceiptField:
    return ReceiptField(
        _text(one[f"{DCT}title"], words),
        _text(one[f"{DCT}format"][f"{DCT}title"], words),
        one["@type"] == [f"{DPV}SensitivePersonalData"],
    )


def _text(texts: list[Any], words: Words) -> str:
    [text] = [one["@value"] for one in texts if one["@language"] == words.language]
    return str(text)


def _civil(at: datetime) -> str:
    """Return an instant as the clock in Viet Nam showed it."""
    return at.astimezone(VIET_NAM).strftime("%H:%M:%S %d/%m/%Y (UTC+07:00)")
