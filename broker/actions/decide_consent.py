"""`decide_consent`: what a citizen does with requests and consents. One action is one transaction.

Whoever is not the data subject (or shown to represent it) finds nothing here: every verb takes the person's
own account and answers None, or raises ConsentNotFound, for anybody else's consent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from broker.actions.going_with import going_with
from broker.actions.owned_consents import UNDECIDED, OwnedConsents
from broker.actions.trying import tried_again
from broker.consent import life
from broker.consent.change import Change
from broker.consent.record import Actor, Consent, DataRange, Notice, Signer
from broker.consent.standing import stand, state_at
from broker.consent.writing import HeldConsent, KeptRequest, RequestStep
from broker.errors import ConsentMoved, ConsentTransitionRefused

ACTION: Final = "decide_consent"


@dataclass(frozen=True, slots=True)
class DecideConsent(OwnedConsents):
    """The verbs with their doors. grant_of: a grant that begins with a consent."""

    grant_of: Callable[[KeptRequest, Consent, Signer, datetime], Mapping[str, Any]]

    def view(self, actor: Actor, consent_id: str, at: datetime, relation_hash: str = "") -> Consent:
        """Write down that a request was looked at for the first time, and return it; nobody is told.

        Nothing is written at any later look, nor of what waits no more. relation_hash: as for withdraw.
        Raises ConsentNotFound, ConsentTransitionRefused, ConsentMoved, StoreUnavailable.
        """
        held = self._actable(actor, consent_id, relation_hash)
        now = stand(held.consent, at).consent
        if not life.is_unseen(now):
            return now
        writings, evidence = self.writer.compose(life.view(held.consent, actor, at), held, at)
        self.store.write(writings, evidence, viewed=(held.consent.request_id, at))
        return writings[-1].consent

    def decide(
        self,
        signer: Signer,
        consent_id: str,
        given: frozenset[str],
        notice: Notice,
        at: datetime,
        *,
        valid_days: int | None = None,
        data_range: DataRange | None = None,
    ) -> Consent:
        """Decide on a request: give the named fields, or refuse it by giving none.

        signer: whose session it is; a representative's carries the hash of the relation. valid_days,
        data_range: less than was asked for; None for as asked, and where another has signed before. With the
        first consent that is given on a request its grant begins, and the others come under it. The
        recipient may fetch its token once all is decided, or time has ended the rest.
        Raises ConsentNotFound, ConsentTransitionRefused, ConsentMoved, StoreUnavailable.
        """
        held = self._signable(signer, consent_id)
        if not given:
            actor = Actor(kind=signer.role, reference=signer.citizen_id)
            change = life.refuse(held.consent, actor, at, notice)
        elif held.consent.state == "pending_cosign":
            change = life.cosign(held.consent, signer, notice, at, given=given)
        else:
            change = life.decide(
                held.consent, given, signer, notice, at, valid_days=valid_days, data_range=data_range
            )
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

    def amend(
        self,
        signer: Signer,
        consent_id: str,
        given: frozenset[str],
        notice: Notice,
        at: datetime,
        *,
        valid_days: int | None = None,
        data_range: DataRange | None = None,
    ) -> Consent:
        """Change what is given: a new consent of the same terms takes the place of the old one.

        valid_days: from now; None keeps the end. data_range: None keeps it. Its grant goes over, so that the
        next token is for what is given now, and the tokens made before open nothing.
        Raises ConsentNotFound, ConsentTransitionRefused, ConsentMoved, StoreUnavailable.
        """
        held = self._signable(signer, consent_id)
        change = life.amend(
            held.consent,
            self.new_id(),
            given,
            signer,
            notice,
            at,
            valid_days=valid_days,
            data_range=data_range,
        )
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
        if change.consent.state in UNDECIDED:
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
            is_last=all(one.state not in UNDECIDED for one in others),
            grant_before=kept.grant_id,
            grant_id=grant_id,
        )
        writings, evidence = self.writer.compose(change, held, at)
        self.store.write(writings, evidence, step=step, grant=grant)
        return change.consent
