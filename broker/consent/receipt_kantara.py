"""The same receipt by Kantara's Consent Receipt Specification 1.1.0 (its tables of fields).

It knows no events: that a consent was refused or has ended stands in its purpose, termination and disclosure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from broker.consent.receipt_names import ReceiptNames
from broker.consent.receipt_words import ENDED, METHODS, SERVICE, TITLES, termination
from broker.consent.record import Consent, EventType

VERSION: Final = "KI-CR-v1.1.0"


def kantara_receipt(
    consent: Consent, event_type: EventType, names: ReceiptNames, receipt_id: str, at: datetime
) -> dict[str, Any]:
    """Return the receipt, in the language in which the citizen was asked. at: of the event, aware."""
    language = "vi" if consent.notice is None else consent.notice.language
    index = ("vi", "en").index(language)
    method = "" if consent.notice is None else consent.notice.method
    given = [field for field in consent.terms.fields if field.name in consent.given_names]
    told = given or list(consent.terms.fields)
    owner = names.owner
    address = {"addressCountry": "VN", **({"streetAddress": owner.address} if owner.address else {})}
    return {
        "version": VERSION,
        "jurisdiction": "VN",
        "consentTimestamp": int(at.timestamp()),
        "collectionMethod": METHODS[method][index],
        "consentReceiptID": receipt_id,
        "language": language,
        "piiPrincipalId": consent.subject,
        "piiControllers": [
            {
                "piiController": owner.name[index],
                "onBehalf": False,
                "contact": owner.contact,
                "address": address,
                "email": owner.email,
                "phone": owner.phone,
            }
        ],
        "policyUrl": names.notice_address,
        "services": [
            {
                "service": SERVICE[index],
                "purposes": [
                    {
                        "purpose": f"{names.purpose[index]} ({TITLES[event_type][index]})",
                        "purposeCategory": list(names.purpose_terms),
                        "consentType": "N/A" if event_type == "refused" else "EXPLICIT",
                        "piiCategory": [
                            f"{names.fields[field.name].label[index]}: {names.fields[field.name].form[index]}"
                            for field in told
                        ],
                        "primaryPurpose": True,
                        "termination": termination(consent, event_type)[index],
                        "thirdPartyDisclosure": event_type not in ENDED and event_type != "paused",
                        "thirdPartyName": names.recipient.name[index],
                    }
                ],
            }
        ],
        "sensitive": any(field.is_sensitive for field in told),
        "spiCat": [names.fields[field.name].label[index] for field in told if field.is_sensitive],
    }
