"""From a change of a consent to all that one transaction writes: events, evidence, receipt, notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from broker.actions.consent_doors import Pseudonyms, Receipts
from broker.actions.consent_facts import carried_counts
from broker.actions.doors import Salts
from broker.consent.chain import chained
from broker.consent.change import Change
from broker.consent.codec import record_hash
from broker.consent.record import Consent, EventType
from broker.consent.security_events import NoticeKind, queued_notice
from broker.consent.writing import ConsentWriting, HeldConsent, QueuedNotice
from broker.evidence.canonical import commitment
from broker.evidence.consent_entry import ConsentCircumstances, consent_entry_bytes
from broker.evidence.person_keys import key_year
from broker.evidence.pseudonyms import CITIZEN_PREFIX
from broker.evidence.recording import EvidenceRow

__all__ = ["CITIZEN_PREFIX", "ConsentWriter"]


@dataclass(frozen=True, slots=True)
class ConsentWriter:
    """Puts together what is written. new_reference gives a fresh UUIDv7 as text."""

    pseudonyms: Pseudonyms
    salts: Salts
    receipts: Receipts
    new_reference: Callable[[], str]

    def compose(
        self, change: Change, held: HeldConsent | None, at: datetime
    ) -> tuple[list[ConsentWriting], list[EvidenceRow]]:
        """Return the writings of a change, its successor's included, and their evidence.

        held: the consent before it, None for one that begins. A successor takes over the grant, so that the
        recipient's next token is for the new terms, and what was used up of the frequency stays used up.
        """
        successor = change.successor
        if successor is None:
            writing, evidence = self._one(change, held, at, ends_grant=change.ends_grant)
            return [writing], [evidence]
        heir = replace(successor, consent=replace(successor.consent, grant_id=change.consent.grant_id))
        old, old_evidence = self._one(change, held, at, ends_grant=False)
        new, new_evidence = self._one(heir, None, at, ends_grant=False)
        counts = carried_counts(change.consent, heir.consent, heir.receipt == "extended", at)
        return [old, replace(new, counts=counts)], [old_evidence, new_evidence]

    def _one(
        self, change: Change, held: HeldConsent | None, at: datetime, *, ends_grant: bool
    ) -> tuple[ConsentWriting, EvidenceRow]:
        consent, reference = change.consent, self.new_reference()
        receipt = None
        if change.receipt is not None:
            event_type = cast(EventType, change.receipt)
            receipt = self.receipts.issue(consent, event_type, at, reference)
        notices: tuple[QueuedNotice, ...] = ()
        if change.told is not None:
            kind = cast(NoticeKind, change.told)
            notices = (queued_notice(consent, kind, message_id=self.new_reference(), at=at),)
        writing = ConsentWriting(
            consent=consent,
            expected_version=0 if held is None else held.consent.version,
            events=chained(
                change.events,
                0 if held is None else held.event_count,
                b"" if held is None else held.last_hash,
            ),
            grant_ended_by=change.events[-1].actor.kind if ends_grant else None,
            receipt=receipt,
            notices=notices,
        )
        return writing, self._evidence(change, consent, reference, at)

    def _evidence(self, change: Change, consent: Consent, reference: str, at: datetime) -> EvidenceRow:
        event, salt = change.events[-1], self.salts()
        person = CITIZEN_PREFIX + consent.citizen_id
        entry = consent_entry_bytes(
            ConsentCircumstances(
                reference=reference,
                at=at,
                event=event.type,
                actor=event.actor.kind,
                consent=consent.consent_id,
                consent_version=consent.version,
                state=consent.state,
                client=consent.client_id,
                recipient=consent.organisation_id,
                purpose=consent.terms.purpose,
                agreement=consent.terms.agreement_id,
                agreement_revision=consent.terms.revision_hash,
                fields=tuple((one.name, one.form) for one in consent.decisions if one.is_given),
                record_hash=record_hash(consent),
                notice_hash="" if consent.notice is None else consent.notice.rendered_hash,
                data_subject_commit=commitment(salt, person.encode()),
            )
        )
        return EvidenceRow(
            reference=reference,
            kind="consent",
            entry=entry,
            year=key_year(at),
            data_subject_ref=self.pseudonyms.data_subject_ref(person),
            data_subject_salt=salt,
            payload_salt=None,
        )
