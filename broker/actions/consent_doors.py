"""The doors of the consent verbs: Protocols beside their consumer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from broker.consent.record import Consent, EventType, Signing
from broker.consent.writing import (
    ChainedEvent,
    ConsentWriting,
    HeldConsent,
    IssuedReceipt,
    KeptRequest,
    RequestStep,
)
from broker.evidence.recording import EvidenceRow


class ConsentStore(Protocol):
    """Keeps consents; `broker.storage.consents.PostgresConsents` is one. All raise StoreUnavailable."""

    def find_one(self, consent_id: str) -> HeldConsent | None:
        """Return a consent with the end of its chain, or None."""
        ...

    def find_of_request(self, request_id: str) -> Sequence[HeldConsent]:
        """Return the consents that one request asks for."""
        ...

    def find_of_citizen(self, citizen_id: str, *, before: str = "") -> Sequence[Consent]:
        """Return a person's consents: what has not ended first, the latest change first; 201 at most.

        before: id of an ended consent; then only what comes after it.
        """
        ...

    def find_active_ids(self, citizen_id: str) -> Sequence[str]:
        """Return all consents of a person that are kept as active, however many others there are."""
        ...

    def find_living(self, citizen_id: str, organisation_id: str, purpose: str) -> Sequence[HeldConsent]:
        """Return what a person has given to a recipient for a purpose and is kept as not having ended."""
        ...

    def find_due(self, at: datetime, limit: int) -> Sequence[HeldConsent]:
        """Return consents that time alone has changed and nobody has written down yet."""
        ...

    def find_events(self, consent_id: str) -> Sequence[ChainedEvent]:
        """Return all events of a consent, oldest first."""
        ...

    def write(
        self,
        writings: Sequence[ConsentWriting],
        evidence: Sequence[EvidenceRow],
        *,
        cancelled: tuple[str, datetime] | None = None,
        opened: tuple[str, datetime] | None = None,
        viewed: tuple[str, datetime] | None = None,
        step: RequestStep | None = None,
        grant: Mapping[str, Any] | None = None,
    ) -> None:
        """Write all of one action, or nothing. Raises ConsentMoved when something is no longer as read."""
        ...


class WaitingRequests(Protocol):
    """Keeps requests; `broker.storage.consent_requests` has one. All raise StoreUnavailable."""

    def find_request(self, request_id: str) -> KeptRequest | None:
        """Return a request by its id, or None."""
        ...

    def find_unopened(self, citizen_id: str, at: datetime, limit: int) -> Sequence[KeptRequest]:
        """Return the requests that no page of an account's holder has opened yet, the oldest first."""
        ...


class Receipts(Protocol):
    """Issues receipts; `broker.consent.receipts.ReceiptIssuer` is one."""

    def issue(
        self, consent: Consent, event_type: EventType, at: datetime, evidence_reference: str
    ) -> IssuedReceipt:
        """Return a signed receipt of what became of a consent."""
        ...


class People(Protocol):
    """What the source says of a person who decides: only what deciding needs."""

    def signing(self, citizen_id: str, at: datetime) -> Signing:
        """Return who must sign for this person now.

        Raises ConsentTransitionRefused (person_unknown), StoreUnavailable where the source cannot be asked.
        """
        ...


class Pseudonyms(Protocol):
    """Keyed names; `broker.evidence.pseudonyms.KeyedPseudonyms` is one."""

    def data_subject_ref(self, data_subject: str) -> bytes:
        """Return the reference under which a person's evidence is found."""
        ...

    def staff_ref(self, organisation_id: str, personal_id: str) -> bytes:
        """Return the reference of a member of an organisation's staff, or of an operator."""
        ...

    def pairwise_subject(self, organisation_id: str, citizen_id: str) -> str:
        """Return the name under which one organisation knows a person."""
        ...


class Accounts(Protocol):
    """The accounts of citizens."""

    def account_of(self, personal_id: str) -> str | None:
        """Return the account of a person, opened without a way to sign in where there is none.

        None for one that is closed. Raises StoreUnavailable.
        """
        ...
