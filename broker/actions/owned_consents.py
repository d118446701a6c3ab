"""Whose consents are whose: found for those who may look at them, opened, and written down.

Whoever is not the data subject (or shown to represent it) finds nothing here: what is another's is None, or
ConsentNotFound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.actions.consent_doors import ConsentStore, People, WaitingRequests
from broker.actions.consent_writer import ConsentWriter
from broker.consent import life
from broker.consent.change import Change
from broker.consent.record import Actor, Consent, Signer, Signing
from broker.consent.standing import stand
from broker.consent.writing import ChainedEvent, HeldConsent, KeptRequest
from broker.errors import ConsentMoved, ConsentNotFound

OPENED_MAX: Final = 50
"""How many requests one page opens; the next one opens what is left."""
UNDECIDED: Final = frozenset({"requested", "pending_cosign"})


@dataclass(frozen=True, slots=True)
class OwnedConsents:
    """What every verb upon consents needs, with its doors. new_id: fresh UUIDv7."""

    store: ConsentStore
    requests: WaitingRequests
    people: People
    writer: ConsentWriter
    new_id: Callable[[], str]
    subject_of: Callable[[str, str], str]
    organisation_of: Callable[[str], str]

    def find_pending(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return what waits for this person's decision; requests that were kept before are opened now.

        Raises as find_all does.
        """
        return [one for one in self.find_all(citizen_id, at) if one.state in UNDECIDED]

    def find_all(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return what find_mine does; requests that were kept before are opened first, at most 50 at once.

        Raises StoreUnavailable, also where the source cannot say who must sign, and
        ConsentTransitionRefused (person_unknown).
        """
        unopened = self.requests.find_unopened(citizen_id, at, OPENED_MAX)
        # The source is asked once who must sign, and not at all where there is nothing new.
        signing = self.people.signing(citizen_id, at) if unopened else Signing()
        for kept in unopened:
            self._open(kept, citizen_id, signing, at)
        return self.find_mine(citizen_id, at)

    def find_mine(self, citizen_id: str, at: datetime, before: str = "") -> Sequence[Consent]:
        """Return a person's consents as they stand now, 201 at most, the latest change first.

        before: id of an ended one; then only what ended before it.
        """
        return [stand(one, at).consent for one in self.store.find_of_citizen(citizen_id, before=before)]

    def find_one(self, citizen_id: str, consent_id: str, at: datetime) -> Consent | None:
        """Return one of the person's own consents as it stands now; None also for anybody else's."""
        held = self._held(consent_id)
        if held is None or held.consent.citizen_id != citizen_id:
            return None
        return stand(held.consent, at).consent

    def history(self, citizen_id: str, consent_id: str) -> Sequence[ChainedEvent]:
        """Return the events of one of the person's own consents; empty for anybody else's."""
        held = self._held(consent_id)
        if held is None or held.consent.citizen_id != citizen_id:
            return ()
        return self.store.find_events(consent_id)

    def _open(self, kept: KeptRequest, citizen_id: str, signing: Signing, at: datetime) -> None:
        opening = kept.opening
        organisation_id = self.organisation_of(opening.client_id)
        writings, evidence = [], []
        for terms in opening.items:
            change = life.open_request(
                consent_id=self.new_id(),
                request_id=opening.request_id,
                client_id=opening.client_id,
                organisation_id=organisation_id,
                citizen_id=citizen_id,
                subject=self.subject_of(organisation_id, citizen_id),
                terms=terms,
                at=at,
                expires_at=opening.expires_at,
                signing=signing,
            )
            written, recorded = self.writer.compose(change, None, at)
            writings += written
            evidence += recorded
        # Of two pages that open it at one moment, one does; both show what that one opened.
        try:
            self.store.write(writings, evidence, opened=(opening.request_id, at))
        except ConsentMoved:
            return

    def _write(self, held: HeldConsent, change: Change, at: datetime) -> Consent:
        writings, evidence = self.writer.compose(change, held, at)
        self.store.write(writings, evidence)
        return writings[-1].consent

    def _held(self, consent_id: str) -> HeldConsent | None:
        return self.store.find_one(consent_id)

    def _own(self, citizen_id: str, consent_id: str) -> HeldConsent:
        held = self._held(consent_id)
        if held is None or held.consent.citizen_id != citizen_id:
            raise ConsentNotFound
        return held

    def _signable(self, signer: Signer, consent_id: str) -> HeldConsent:
        """The consent, if it is the signer's own or the signer has shown to represent the person."""
        held = self._held(consent_id)
        if held is None or (held.consent.citizen_id != signer.citizen_id and not signer.relation_hash):
            raise ConsentNotFound
        return held

    def _actable(self, actor: Actor, consent_id: str, relation_hash: str) -> HeldConsent:
        """The consent, if it is the actor's own or the actor has shown to represent the person."""
        held = self._held(consent_id)
        is_own = held is not None and held.consent.citizen_id == actor.reference
        is_shown = actor.kind == "representative" and bool(relation_hash)
        if held is None or not (is_own or is_shown):
            raise ConsentNotFound
        return held
