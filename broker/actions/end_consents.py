"""`end_consents`: what ends a given consent besides its citizen and its time, each in one transaction.

Uses that are used up, an agreement whose last day is past, an authority's order. A suspended client or
agreement ends nothing: it may be resumed, and until then nothing can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

from broker.actions.consent_doors import ConsentStore
from broker.actions.consent_facts import frequency_steps
from broker.actions.consent_writer import ConsentWriter
from broker.actions.trying import tried_again
from broker.consent import life
from broker.consent.change import BROKER, Change
from broker.consent.record import Actor, Consent
from broker.consent.writing import HeldConsent
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused
from broker.evidence.acting import OPERATORS, Acting, Drafts
from broker.evidence.recording import EvidenceRow
from policies.civil_time import civil_date

INVALID_REASONS: Final = ("authority_order", "court_order", "fraud", "mistaken_identity")
"""Why an operator may declare a consent void; the person's history keeps the word."""


class EndedConsents(Protocol):
    """Finds what has ended; `broker.storage.due_consents.PostgresDueConsents` is one."""

    def find_of_ended_agreements(self, on_date: date, limit: int) -> Sequence[str]:
        """Return ids of consents and requests under agreements whose last day is past."""
        ...

    def find_full(self, at: datetime, limit: int) -> Sequence[tuple[str, bytes, int]]:
        """Return consents that may have used up all their uses: id, key of a counter, its count."""
        ...


@dataclass(frozen=True, slots=True)
class EndConsents:
    """The verbs with their doors."""

    store: ConsentStore
    ended: EndedConsents
    writer: ConsentWriter

    def run(self, at: datetime, limit: int = 500) -> Mapping[str, int]:
        """Write down the ends that have come; return how many of each kind. Raises StoreUnavailable.

        Each by itself: another worker, or the citizen, may be there first.
        """
        return {"used_up": self._used_up(at, limit), "inapplicable": self._inapplicable(at, limit)}

    def invalidate(self, consent_id: str, operator: str, reason: str, at: datetime) -> Consent:
        """Declare a given consent void, on an authority's order or for fraud. reason: of INVALID_REASONS.

        Beside the consent's own entry stands one of the act, with a keyed hash of the operator.
        Raises ConsentNotFound, ConsentTransitionRefused, ConsentMoved, StoreUnavailable.
        """
        actor = Actor(kind="operator", reference=operator)

        def act() -> Consent:
            held = self.store.find_one(consent_id)
            if held is None:
                raise ConsentNotFound
            writings, evidence = self.writer.compose(
                life.invalidate(held.consent, actor, reason, at), held, at
            )
            self.store.write(writings, [*evidence, self._act(held.consent, operator, at)])
            return writings[0].consent

        return tried_again(act)

    def _act(self, consent: Consent, operator: str, at: datetime) -> EvidenceRow:
        """Return the entry of the act of invalidating, beside that of what becomes of the consent."""
        writer = self.writer
        who = writer.pseudonyms.staff_ref(OPERATORS, operator).hex()
        drafts = Drafts(
            acting=Acting(actor="operator", acting_person=who),
            clock=lambda: at,
            new_reference=writer.new_reference,
            salts=writer.salts,
            data_subject_ref=writer.pseudonyms.data_subject_ref,
        )
        return drafts.administration("consent_invalidated", consent.consent_id, (), consent.citizen_id)

    def _used_up(self, at: datetime, limit: int) -> int:
        count = 0
        for consent_id, counter_ref, used_count in self.ended.find_full(at, limit):
            held = self.store.find_one(consent_id)
            if held is None or all(
                step.counter_ref != counter_ref for step in frequency_steps(held.consent, at)
            ):
                continue
            try:
                self._write(held, life.exhaust(held.consent, used_count, at), at)
            except (ConsentMoved, ConsentTransitionRefused):
                # Counted by day, week or month it opens again; or it has ended meanwhile.
                continue
            count += 1
        return count

    def _inapplicable(self, at: datetime, limit: int) -> int:
        count = 0
        for consent_id in self.ended.find_of_ended_agreements(civil_date(at), limit):
            held = self.store.find_one(consent_id)
            if held is None:
                continue
            try:
                change = life.make_inapplicable(held.consent, BROKER, "agreement_ended", at)
                self._write(held, change, at)
            except (ConsentMoved, ConsentTransitionRefused):
                continue
            count += 1
        return count

    def _write(self, held: HeldConsent, change: Change, at: datetime) -> Consent:
        writings, evidence = self.writer.compose(change, held, at)
        self.store.write(writings, evidence)
        return change.consent
