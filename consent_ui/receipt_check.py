"""Whether a receipt that somebody shows is genuine, and what became of the consent. Nothing else is answered.

The signature is looked at first: to whoever holds no genuine receipt, the store is never asked anything.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, Protocol, TypeAlias

from broker.consent.record import State
from broker.consent.standing import state_at
from broker.consent.writing import HeldConsent, IssuedReceipt
from broker.keys import CONSENT_RECEIPT_TYPE
from broker.oauth.jose import JoseRefused, decode_object, decode_segment
from broker.oauth.jose_keys import VerifyingKey

CurrentState: TypeAlias = State | Literal["unknown"]

# Begins where a word begins, so that no text makes it look at the same characters again and again.
_COMPACT: Final = re.compile(r"(?<![\w-])eyJ[\w-]{1,1000}\.[\w-]{1,100000}\.[\w-]{1,700}(?![\w-])", re.ASCII)
_CANDIDATES_MAX: Final = 3


class ReceiptKeys(Protocol):
    """Published keys; `broker.keys.KeyRing` has them."""

    def find_consent_receipt_key(self, kid: str) -> VerifyingKey | None:
        """Return a key that signs, or signed, citizens' receipts. Raises StoreUnavailable."""
        ...


class KeptReceipts(Protocol):
    """What is kept of receipts and consents; `broker.storage.consents.PostgresConsents` has it."""

    def find_receipt(self, receipt_id: str) -> IssuedReceipt | None:
        """Return one receipt, or None. Raises StoreUnavailable."""
        ...

    def find_one(self, consent_id: str) -> HeldConsent | None:
        """Return a consent, or None. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class GenuineReceipt:
    """A receipt that is genuine. state: of its consent now, unknown where that is no longer kept."""

    payload: dict[str, Any]
    state: CurrentState


@dataclass(frozen=True, slots=True)
class ReceiptCheck:
    """Checks receipts of one issuer."""

    issuer: str
    keys: ReceiptKeys
    kept: KeptReceipts

    def check(self, content: str, at: datetime) -> GenuineReceipt | None:
        """Return the genuine receipt that stands in a text, or None. Raises StoreUnavailable.

        content: a compact JWS, or the bytes of a file that has one in it (ISO 8859-1), such as our PDF.
        """
        for found in islice(_COMPACT.finditer(content), _CANDIDATES_MAX):
            receipt = found.group()
            payload = self._find_payload(receipt)
            if payload is not None and self._is_as_kept(receipt, payload):
                held = self.kept.find_one(payload["consent_id"])
                return GenuineReceipt(payload, "unknown" if held is None else state_at(held.consent, at))
        return None

    def _find_payload(self, receipt: str) -> dict[str, Any] | None:
        """Return what is signed, or None if it is not signed by one of our keys for receipts."""
        signed, _, signature = receipt.encode("ascii").rpartition(b".")
        try:
            first, second = signed.split(b".")
            header, payload = decode_object(decode_segment(first)), decode_object(decode_segment(second))
            raw = decode_segment(signature)
        except JoseRefused:
            return None
        kid = header.get("kid")
        key = self.keys.find_consent_receipt_key(kid) if isinstance(kid, str) else None
        if key is None or header != {"alg": key.algorithm, "typ": CONSENT_RECEIPT_TYPE, "kid": kid}:
            return None
        return payload if key.is_signature(signed, raw) and payload.get("issuer") == self.issuer else None

    def _is_as_kept(self, receipt: str, payload: dict[str, Any]) -> bool:
        """Whether it is, letter by letter, the one that was issued, where that is still kept.

        An ECDSA signature can be written in a second way that is as good; only the one issued is ours.
        """
        kept = self.kept.find_receipt(payload["receipt_id"])
        return kept is None or hmac.compare_digest(kept.receipt, receipt)


def payload_of(receipt: IssuedReceipt) -> dict[str, Any]:
    """Return what is signed in a receipt of ours, as it is kept."""
    return decode_object(decode_segment(receipt.receipt.split(".")[1].encode("ascii")))
