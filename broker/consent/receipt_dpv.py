"""A consent receipt as ISO/IEC TS 27560:2023 asks for one, in terms of the W3C Data Privacy Vocabulary 2.x.

By the guide "Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV" (its tables of fields).
Expanded JSON-LD: every key and every name is an absolute IRI, so whoever reads it loads no context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from broker.consent.receipt_names import JURISDICTION, Party, ReceiptNames
from broker.consent.receipt_words import (
    ENDED,
    METHODS,
    RIGHTS,
    SERVICE,
    TITLES,
    WITHDRAW,
    deciders,
    statement,
)
from broker.consent.record import AskedField, Consent, DataRange, EventType, SignerRole
from policies.vocabulary import DPV, Label

DCT: Final = "http://purl.org/dc/terms/"
SCHEMA: Final = "https://schema.org/"
RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SKOS: Final = "http://www.w3.org/2004/02/skos/core#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
RECEIPT_PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt"
RECORD_PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#record"

_STATUSES: Final[Mapping[EventType, str]] = {
    "given": "ConsentGiven",
    "partially_given": "ConsentGiven",
    "cosigned": "ConsentGiven",
    "resumed": "ConsentGiven",
    "amended": "ConsentGiven",
    "extended": "RenewedConsentGiven",
    "confirmed": "RenewedConsentGiven",
    "refused": "ConsentRefused",
    "withdrawn": "ConsentWithdrawn",
    "expired": "ConsentExpired",
    # The guide still says ConsentTerminated; the vocabulary 2.3 has ConsentRevoked in its place.
    "inapplicable": "ConsentRevoked",
    "invalidated": "ConsentInvalidated",
    # There is no word for a pause; what matters is that nothing may be processed.
    "paused": "ConsentStatusInvalidForProcessing",
}
_ENTITIES: Final[Mapping[SignerRole, str]] = {
    "data_subject": "DataSubject",
    "representative": "Representative",
}


def dpv_receipt(
    consent: Consent, event_type: EventType, names: ReceiptNames, receipt_id: str, at: datetime
) -> dict[str, Any]:
    """Return the receipt. consent: as it is after the event. at: when the event took place, aware."""
    return {
        "@id": f"urn:uuid:{receipt_id}",
        "@type": [f"{DPV}ConsentReceipt"],
        f"{DCT}conformsTo": {"@id": RECEIPT_PROFILE},
        f"{DPV}hasIdentifier": receipt_id,
        f"{DCT}created": _instant(at),
        f"{DCT}publisher": {"@id": names.issuer},
        f"{DCT}title": _texts(TITLES[event_type]),
        f"{DCT}description": _texts(statement(event_type, names.recipient.name)),
        f"{DPV}hasRecordOfActivity": _record(consent, event_type, names, at),
    }


def _record(consent: Consent, event_type: EventType, names: ReceiptNames, at: datetime) -> dict[str, Any]:
    recipient = _party(names.recipient, "Recipient", "ThirdParty", names)
    record = {
        "@id": f"urn:uuid:{consent.consent_id}",
        "@type": [f"{DPV}ConsentRecord"],
        f"{DCT}conformsTo": {"@id": RECORD_PROFILE},
        f"{DCT}identifier": consent.consent_id,
        f"{DCT}hasVersion": consent.version,
        f"{DPV}hasDataSubject": _data_subject(consent),
        f"{DPV}hasDataController": _party(names.owner, "DataController", "DataSource", names),
        f"{DPV}hasThirdParty": recipient,
        f"{DPV}hasJurisdiction": {"@id": JURISDICTION},
        f"{DPV}hasNotice": _notice(consent, names),
        f"{DPV}hasProcess": _process(consent, event_type, names),
        f"{DPV}hasConsentStatus": _status(consent, event_type, at),
    }
    if consent.supersedes is not None:
        record[f"{DCT}replaces"] = {"@id": f"urn:uuid:{consent.supersedes}"}
    return record


def _process(consent: Consent, event_type: EventType, names: ReceiptNames) -> dict[str, Any]:
    given = [field for field in consent.terms.fields if field.name in consent.given_names]
    refused = [field for field in consent.terms.fields if field.name not in consent.given_names]
    terms = consent.terms
    process: dict[str, Any] = {
        "@type": [f"{DPV}Process"],
        f"{DPV}hasService": {"@type": [f"{DPV}Service"], f"{DCT}title": _texts(SERVICE)},
        f"{DPV}hasPurpose": {
            "@type": [f"{DPV}Purpose"],
            f"{DCT}identifier": terms.purpose,
            f"{DCT}title": _texts(names.purpose),
            f"{SKOS}broader": [{"@id": term} for term in names.purpose_terms],
        },
        f"{DPV}hasLegalBasis": {
            "@type": [names.legal_basis_term, f"{DPV}ExplicitlyExpressedConsent"],
            f"{DCT}title": _texts(names.legal_basis),
        },
        # Of a refusal: what was asked for. The rule below says of which data nothing may be done.
        f"{DPV}hasPersonalData": _personal_data(given or refused, names),
        f"{DPV}hasProcessing": {"@id": f"{DPV}{'Store' if terms.mode == 'store' else 'Consult'}"},
        f"{DPV}hasRecipient": {"@id": _party_iri(names.recipient, names)},
        f"{DPV}hasStorageCondition": _storage(consent, names),
        f"{DPV}hasConsentControl": {
            "@type": [f"{DPV}WithdrawConsent"],
            f"{DPV}isExercisedAt": {"@id": names.consents_address},
            f"{DCT}description": _texts(_filled(WITHDRAW, address=names.consents_address)),
        },
        f"{DPV}hasRight": {
            "@type": [f"{DPV}DataSubjectRight"],
            f"{DPV}isExercisedAt": {"@id": names.notice_address},
            f"{DCT}description": _texts(_filled(RIGHTS, contact=names.owner.contact)),
        },
        f"{DCT}source": {f"{DCT}identifier": terms.agreement_id, f"{DCT}title": _texts(names.agreement)},
    }
    if (days := consent.readable_range) is not None:
        process[f"{DCT}temporal"] = _interval(days)
    if terms.frequency is not None:
        often = f"{terms.frequency.use_count} per {terms.frequency.per}"
        process[f"{DPV}hasFrequency"] = {"@type": [f"{DPV}Frequency"], f"{RDF}value": often}
    barred = [*given, *refused] if event_type in ENDED else refused
    if barred:
        process[f"{DPV}hasRule"] = {
            "@type": [f"{DPV}Prohibition"],
            f"{DPV}hasPersonalData": _personal_data(barred, names),
        }
    if names.risk_assessment:
        process[f"{DPV}hasAssessment"] = {
            "@type": [f"{DPV}ImpactAssessment"],
            f"{DCT}identifier": names.risk_assessment,
        }
    return process


def _personal_data(fields: Sequence[AskedField], names: ReceiptNames) -> list[dict[str, Any]]:
    told = []
    for field in fields:
        kind = "SensitivePersonalData" if field.is_sensitive else "PersonalData"
        called = names.fields[field.name]
        told.append(
            {
                "@type": [f"{DPV}{kind}"],
                f"{SKOS}broader": {"@id": f"{DPV}{kind}"},
                f"{DCT}identifier": field.name,
                f"{DCT}title": _texts(called.label),
                f"{DCT}format": {f"{DCT}identifier": field.form, f"{DCT}title": _texts(called.form)},
                f"{DPV}hasNecessity": {"@id": f"{DPV}{'Required' if field.is_required else 'Optional'}"},
            }
        )
    return told


def _storage(consent: Consent, names: ReceiptNames) -> list[dict[str, Any]]:
    location: dict[str, Any] = {
        "@type": [f"{DPV}StorageLocation"],
        f"{DPV}hasLocation": {"@id": JURISDICTION},
    }
    if names.storage:
        location[f"{DCT}description"] = names.storage
    kept = {"@value": f"P{consent.terms.retention_days}D", "@type": f"{XSD}duration"}
    return [location, {"@type": [f"{DPV}StorageDuration"], f"{DPV}hasDuration": kept}]


def _status(consent: Consent, event_type: EventType, at: datetime) -> dict[str, Any]:
    roles = deciders(consent, event_type)
    method = "" if not roles or consent.notice is None else consent.notice.method
    # What time or a rule does, the data owner does: somebody must answer for it.
    entities = [_ENTITIES[role] for role in roles] or ["DataController"]
    return {
        "@type": [f"{DPV}{_STATUSES[event_type]}", f"{DPV}ExplicitlyExpressedConsent"],
        f"{DCT}type": event_type,
        f"{DPV}isIndicatedAtTime": _instant(at),
        f"{DPV}isIndicatedBy": [{"@id": f"{DPV}{entity}"} for entity in entities],
        f"{DPV}hasIndicationMethod": _texts(METHODS[method]),
        f"{DPV}hasDuration": _duration(consent, event_type),
    }


def _duration(consent: Consent, event_type: EventType) -> dict[str, Any]:
    """Return how long the state lasts: what has ended stays ended, a pause lasts until somebody resumes."""
    if event_type in ENDED:
        return {"@type": [f"{DPV}EndlessDuration"]}
    if event_type == "paused" or consent.valid_to_at is None:
        return {"@type": [f"{DPV}UntilEventDuration"], f"{RDF}value": "resumed, withdrawn or expired"}
    return {"@type": [f"{DPV}UntilTimeDuration"], f"{RDF}value": _instant(consent.valid_to_at)}


def _data_subject(consent: Consent) -> dict[str, Any]:
    return {"@type": [f"{DPV}DataSubject"], f"{DCT}identifier": consent.subject}


def _notice(consent: Consent, names: ReceiptNames) -> dict[str, Any]:
    told = {"@id": names.notice_address, "@type": [f"{DPV}ConsentNotice"], f"{DCT}language": "vi"}
    if consent.notice is None:
        return told
    return {
        **told,
        f"{DCT}language": consent.notice.language,
        f"{DCT}hasVersion": consent.notice.version,
        # SHA-256 of all that the page said, made as docs/consent.md says.
        f"{DCT}identifier": consent.notice.rendered_hash,
        f"{DCT}date": _instant(consent.notice.served_at),
    }


def _party(party: Party, role: str, kind: str, names: ReceiptNames) -> dict[str, Any]:
    contact: dict[str, Any] = {"@type": [f"{SCHEMA}ContactPoint"], f"{SCHEMA}description": party.contact}
    for member, value in (("email", party.email), ("telephone", party.phone)):
        if value:
            contact[f"{SCHEMA}{member}"] = value
    return {
        "@id": _party_iri(party, names),
        "@type": [f"{DPV}{role}", f"{DPV}{kind}"],
        f"{DPV}hasIdentifier": party.party_id,
        f"{DPV}hasName": _texts(party.name),
        # Where no address is told, the party is reached through the data owner, who holds the register.
        f"{DPV}hasAddress": party.address or party.contact,
        f"{DPV}hasContact": contact,
    }


def _party_iri(party: Party, names: ReceiptNames) -> str:
    return f"{names.issuer}/organisations/{party.party_id}"


def _interval(days: DataRange) -> str:
    """Return civil days as ISO 8601-2 writes an interval, ".." for an open end."""
    ends = (".." if day is None else day.isoformat() for day in (days.first_day, days.last_day))
    return "/".join(ends)


def _filled(label: Label, **values: str) -> Label:
    return label[0].format(**values), label[1].format(**values)


def _texts(label: Label) -> list[dict[str, str]]:
    return [
        {"@value": label[0], "@language": "vi"},
        {"@value": label[1], "@language": "en"},
    ]


def _instant(at: datetime) -> dict[str, str]:
    return {"@value": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "@type": f"{XSD}dateTime"}
