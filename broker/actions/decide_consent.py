"""`decide_consent`: what a citizen does with requests and consents. One action is one transaction.

Whoever is not the data subject (or shown to represent it) finds nothing here: every verb takes the person's
own account and answers None, or raises ConsentNotFound, for anybody else's consent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from broker.actions.consent_doors import ConsentStore, People, WaitingRequests
from broker.actions.consent_writer import ConsentWriter
from broker.actions.going_with import going_with
from broker.actions.trying import tried_again
from broker.consent import life
from broker.consent.change import Change
from broker.consent.record import Actor, Consent, Notice, Signer, Signing
from broker.consent.standing import stand, state_at
from broker.consent.writing import ChainedEvent, HeldConsent, KeptRequest, RequestStep
from broker.errors import ConsentMoved, ConsentNotFound, ConsentTransitionRefused

ACTION: Final = "decide_consent"
OPENED_MAX: Final = 50
"""How many requests one page opens; the next one opens what is left."""
_UNDECIDED: Final = frozenset({"requested", "pending_cosign"})


@dataclass(frozen=True, slots=True)
class DecideConsent:
    """The verbs with their doors. new_id: fresh UUIDv7. grant_of: a grant that begins with a consent."""

    store: ConsentStore
    requests: WaitingRequests
    people: People
    writer: ConsentWriter
    new_id: Callable[[], str]
    subject_of: Callable[[str, str], str]
    organisation_of: Callable[[str], str]
    grant_of: Callable[[KeptRequest, Consent, Signer, datetime], Mapping[str, Any]]

    def find_pending(self, citizen_id: str, at: datetime) -> Sequence[Consent]:
        """Return what waits for this person's decision; requests that were kept before are opened now.

        Raises as find_all does.
        """
        return [one for one in self.find_all(citizen_id, at) if one.state in _UNDECIDED]

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

    def view(self, citizen_id: str, consent_id: str, at: datetime) -> None:
        """Remember that the person looked at a request. Nothing is told to anybody."""
        held = self._own(citizen_id, consent_id)
        self.requests.note_viewed(held.consent.request_id, at)

    def decide(
        self, signer: Signer, consent_id: str, given: frozenset[str], notice: Notice, at: datetime
    ) -> Consent:
        """Decide on a request: give the named fields, or refuse it by giving none.

        signer: whose session it is; a representative's carries the hash of the relation. With the first
        consent that is given on a request its grant begins, and the others come under it. The recipient may
        fetch its token once all is decided, or time has ended the rest.
        Raises ConsentNotFound, ConsentTransitionRefused, ConsentMoved, StoreUnavailable.
        """
        held = self._signable(signer, consent_id)
        if not given:
            actor = Actor(kind=signer.role, reference=signer.citizen_id)
            change = life.refuse(held.consent, actor, at, notice)
        elif held.consent.state == "pending_cosign":
            change = life.cosign(held.consent, signer, notice, at, given=given)
        else:
            change = life.decide(held.consent, given, signer, notice, at)
        return self._write_decision(held, change, signer, at)

    def withdraw(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Withdraw: no release commits after this has returned (Law 91/2025 art. 10).

        With it goes, in the same transaction, whatever else the same recipient may read for the same
        purpose: one may have given twice, and who takes back means all of it. relation_hash: of what the
        source said of a representative's relation, "" for the data subject. Raises ConsentNotFound,
        ConsentTransitionRefused, ConsentMoved (others change them all the time), StoreUnavailable.
        """
        return tried_again(lambda: self._withdraw(actor, consent_id, at, relation_hash))

    def withdrawn_with(self, actor: Actor, consent: Consent, at: datetime) -> Sequence[Consent]:
        """Return what goes with a consent when it is withdrawn, as it stands now. Raises StoreUnavailable."""
        return [stand(held.consent, at).consent for held, _ in going_with(self.store, actor, consent, at)]

    def _withdraw(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str) -> Consent:
        held = self._actable(actor, consent_id, relation_hash)
        asked = life.withdraw(held.consent, actor, at)
        going = [(held, asked), *going_with(self.store, actor, held.consent, at)]
        composed = [self.writer.compose(change, one, at) for one, change in going]
        writings = [writing for written, _ in composed for writing in written]
        self.store.write(writings, [row for _, evidence in composed for row in evidence])
        return writings[0].consent

    def pause(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Pause: nothing is released until it is resumed."""
        held = self._actable(actor, consent_id, relation_hash)
        return self._write(held, life.pause(held.consent, actor, at), at)

    def pause_all(self, actor: Actor, at: datetime) -> Sequence[Consent]:
        """Pause everything of the actor's that is active; return what is active all the same.

        Each by itself and tried twice: one that cannot be paused stops no other. Raises StoreUnavailable;
        what was paused before it stays so.
        """
        found = (self._paused(actor, one, at) for one in self.store.find_active_ids(actor.reference))
        return [one for one in found if one.state == "active"]

    def _paused(self, actor: Actor, consent_id: str, at: datetime) -> Consent:
        """Pause one consent if it is active, and return it as it stands then."""
        held = self._own(actor.reference, consent_id)
        for _ in range(2):
            if state_at(held.consent, at) != "active":
                break
            try:
                return self._write(held, life.pause(held.consent, actor, at), at)
            except (ConsentMoved, ConsentTransitionRefused):
                # Somebody else changed it just now: what it has become decides.
                held = self._own(actor.reference, consent_id)
        return stand(held.consent, at).consent

    def resume(self, signer: Signer, consent_id: str, at: datetime) -> Consent:
        """Resume a paused consent."""
        held = self._signable(signer, consent_id)
        return self._write(held, life.resume(held.consent, signer, at), at)

    def extend(
        self, signer: Signer, consent_id: str, notice: Notice, at: datetime, *, valid_days: int | None = None
    ) -> Consent:
        """Extend: a new consent of the same words takes the place of the old one."""
        held = self._signable(signer, consent_id)
        change = life.extend(held.consent, self.new_id(), signer, notice, at, valid_days=valid_days)
        return self._write(held, change, at)

    def confirm(self, signer: Signer, consent_id: str, notice: Notice, at: datetime) -> Consent:
        """Confirm a consent that fell due on a birthday."""
        held = self._signable(signer, consent_id)
        signing = self.people.signing(held.consent.citizen_id, at)
        return self._write(held, life.confirm(held.consent, signer, notice, at, signing=signing), at)

    def settle_due(self, at: datetime, limit: int = 500) -> int:
        """Write down what time alone has done; return how many consents that were.

        Each by itself: another worker may be there first, and none keeps those behind it waiting.
        """
        count = 0
        for held in self.store.find_due(at, limit):
            change = life.settled(held.consent, at)
            if change is None:
                continue
            try:
                self._write(held, change, at)
            except ConsentMoved:
                continue
            count += 1
        return count

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

    def _write_decision(self, held: HeldConsent, change: Change, signer: Signer, at: datetime) -> Consent:
        """Write a decision with what it does to its request, and the grant that begins or grows with it."""
        request_id = held.consent.request_id
        others = [
            stand(one.consent, at).consent
            for one in self.store.find_of_request(request_id)
            if one.consent.consent_id != held.consent.consent_id
        ]
        kept = self.requests.find_request(request_id)
        if kept is None or kept.status(at) != "pending":
            raise ConsentMoved("the request was decided, cancelled or has expired")
        if change.consent.state in _UNDECIDED:
            return self._write(held, change, at)
        grant, grant_id = None, kept.grant_id
        if change.consent.state == "active":
            # A grant lives as long as a consent under it, also one that rests; else another one begins.
            if not any(one.grant_id == grant_id is not None and one.state in life.GIVEN for one in others):
                grant = self.grant_of(kept, change.consent, signer, at)
                grant_id = str(grant["grant_id"])
            change = replace(change, consent=replace(change.consent, grant_id=grant_id))
        step = RequestStep(
            request_id=request_id,
            consent_id=change.consent.consent_id,
            at=at,
            is_last=all(one.state not in _UNDECIDED for one in others),
            grant_before=kept.grant_id,
            grant_id=grant_id,
        )
        writings, evidence = self.writer.compose(change, held, at)
        self.store.write(writings, evidence, step=step, grant=grant)
        return change.consent

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
