"""`represent`: a parent decides for a child under 18, and ends what was given for it.

The source proves the relation each time anew: for looking as for every single act.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from broker.actions.consent_doors import Accounts
from broker.actions.decide_consent import DecideConsent
from broker.consent.age import required_roles
from broker.consent.record import FINAL, Actor, Consent, DataRange, Notice, Signer
from broker.consent.standing import roles_at
from broker.consent.writing import ChainedEvent
from broker.errors import ConsentNotFound, ConsentTransitionRefused, StoreUnavailable
from connectors.base import Child, Families, SourceAnswerRefused, SourceUnavailable
from policies.civil_time import civil_date

_UNDECIDED: Final = frozenset({"requested", "pending_cosign"})
_LIVING: Final = frozenset({"active", "paused", "refresh_due"})
_ENDED_MAX: Final = 10
"""How many of a child's ended consents are told of."""


@dataclass(frozen=True, slots=True)
class RepresentedChild:
    """A child and its consents in which its representative counts. both_sign: the child signs too (7 to 17).

    relation_hash: keyed hash in hex of what the source said of the relation, now. pending: what waits for a
    decision. living: what is given and has not ended, paused or due for its confirmation included. ended: the
    latest that have. is_complete: False when requests may wait that cannot be opened now.
    """

    citizen_id: str
    personal_id: str = field(repr=False)
    full_name: str = field(repr=False)
    birth_date: date
    birth_precision: str
    relation: str
    both_sign: bool
    relation_hash: str
    pending: tuple[Consent, ...] = ()
    living: tuple[Consent, ...] = ()
    ended: tuple[Consent, ...] = ()
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RepresentativeSignIn:
    """Who decides: account, level and instant of the sign-in."""

    citizen_id: str
    level: int
    authenticated_at: datetime


@dataclass(frozen=True, slots=True)
class Represent:
    """The verb with its doors, over the verbs of whoever decides for oneself.

    personal_id_of: account → personal id, "" for none. keyed_hash: 32 bytes of a text. deadline_seconds: for
    the look-up in the source.
    """

    families: Families
    accounts: Accounts
    decisions: DecideConsent
    personal_id_of: Callable[[str], str]
    keyed_hash: Callable[[str], bytes]
    deadline_seconds: float

    def children(self, citizen_id: str, at: datetime) -> Sequence[RepresentedChild]:
        """Return the children under 18 of an account's holder, with what waits and what is given for them.

        Raises StoreUnavailable, also where the source cannot be asked: what cannot be proven is not assumed.
        """
        try:
            found = self.families.find_children(self.personal_id_of(citizen_id), self.deadline_seconds)
        except (SourceUnavailable, SourceAnswerRefused):
            raise StoreUnavailable("the source cannot say whose parent somebody is") from None
        represented = []
        for child in found:
            roles = required_roles(child.birth_date, child.birth_precision, civil_date(at))
            account = self.accounts.account_of(child.personal_id) if "representative" in roles else None
            if account is not None:
                represented.append(self._represented(child, account, "data_subject" in roles, at))
        return represented

    def find_request(
        self, citizen_id: str, consent_id: str, at: datetime
    ) -> tuple[RepresentedChild, Consent] | None:
        """Return a request that waits for the representative's decision; None for anything else."""
        return next(
            (
                (child, consent)
                for child in self.children(citizen_id, at)
                for consent in child.pending
                if consent.consent_id == consent_id
            ),
            None,
        )

    def find_consent(
        self, citizen_id: str, consent_id: str, at: datetime
    ) -> tuple[RepresentedChild, Consent] | None:
        """Return what was given for a child and has not ended; None for anything else."""
        return next(
            (
                (child, consent)
                for child in self.children(citizen_id, at)
                for consent in child.living
                if consent.consent_id == consent_id
            ),
            None,
        )

    def history(self, child: RepresentedChild, consent_id: str) -> Sequence[ChainedEvent]:
        """Return the events of one of a child's consents. child: as proven now."""
        return self.decisions.history(child.citizen_id, consent_id)

    def view(self, citizen_id: str, child: RepresentedChild, consent_id: str, at: datetime) -> Consent:
        """Write down a first look at a child's request. child: as proven now. Raises as decide does."""
        if all(one.consent_id != consent_id for one in child.pending):
            raise ConsentNotFound
        return self.decisions.view(_actor(citizen_id), consent_id, at, child.relation_hash)

    def decide(
        self,
        who: RepresentativeSignIn,
        consent_id: str,
        given: frozenset[str],
        notice: Notice,
        at: datetime,
        *,
        valid_days: int | None = None,
        data_range: DataRange | None = None,
    ) -> Consent:
        """Decide as representative; the relation is proven again for this very decision.

        valid_days, data_range: less than was asked for, None for as asked.
        Raises ConsentNotFound (not one's child, or nothing waits), ConsentTransitionRefused, ConsentMoved,
        StoreUnavailable.
        """
        found = self.find_request(who.citizen_id, consent_id, at)
        if found is None:
            raise ConsentNotFound
        signer = _signer(who, found[0], at)
        return self.decisions.decide(
            signer, consent_id, given, notice, at, valid_days=valid_days, data_range=data_range
        )

    def withdraw(self, citizen_id: str, consent_id: str, at: datetime) -> Consent:
        """Withdraw for a child: like one's own, without a fresh sign-in. Raises as decide does."""
        child = self._living(citizen_id, consent_id, at)
        return self.decisions.withdraw(_actor(citizen_id), consent_id, at, child.relation_hash)

    def withdrawn_with(self, citizen_id: str, consent: Consent, at: datetime) -> Sequence[Consent]:
        """Return what goes with a child's consent when it is withdrawn. consent: one that was found."""
        return self.decisions.withdrawn_with(_actor(citizen_id), consent, at)

    def pause(self, citizen_id: str, consent_id: str, at: datetime) -> Consent:
        """Pause for a child. Raises as decide does."""
        child = self._living(citizen_id, consent_id, at)
        return self.decisions.pause(_actor(citizen_id), consent_id, at, child.relation_hash)

    def resume(self, who: RepresentativeSignIn, consent_id: str, at: datetime) -> Consent:
        """Resume what a representative has paused. Raises as decide does."""
        child = self._living(who.citizen_id, consent_id, at)
        return self.decisions.resume(_signer(who, child, at), consent_id, at)

    def confirm(self, who: RepresentativeSignIn, consent_id: str, notice: Notice, at: datetime) -> Consent:
        """Confirm what fell due on the 7th birthday; the child must as well. Raises as decide does."""
        child = self._living(who.citizen_id, consent_id, at)
        return self.decisions.confirm(_signer(who, child, at), consent_id, notice, at)

    def extend(
        self, who: RepresentativeSignIn, consent_id: str, notice: Notice, at: datetime, *, valid_days: int
    ) -> Consent:
        """Extend for a child for whom the representative alone signs; return the new consent.

        Raises as decide does; ConsentTransitionRefused (cosign_needed) where the child must sign as well.
        """
        child = self._living(who.citizen_id, consent_id, at)
        signer = _signer(who, child, at)
        return self.decisions.extend(signer, consent_id, notice, at, valid_days=valid_days)

    def _living(self, citizen_id: str, consent_id: str, at: datetime) -> RepresentedChild:
        found = self.find_consent(citizen_id, consent_id, at)
        if found is None:
            raise ConsentNotFound
        return found[0]

    def _represented(self, child: Child, account: str, both_sign: bool, at: datetime) -> RepresentedChild:
        said = "\x1f".join((child.parent_key, child.relation, child.child_key, child.household_code))
        found, is_complete = self._consents(account, at)
        pending = tuple(
            one for one in found if one.state in _UNDECIDED and "representative" in one.required_roles
        )
        living = tuple(one for one in found if one.state in _LIVING and "representative" in roles_at(one, at))
        ended = [one for one in found if one.state in FINAL and "representative" in one.required_roles]
        return RepresentedChild(
            citizen_id=account,
            personal_id=child.personal_id,
            full_name=child.full_name,
            birth_date=child.birth_date,
            birth_precision=child.birth_precision,
            relation=child.relation,
            both_sign=both_sign,
            relation_hash=self.keyed_hash(f"relation\x1f{said}").hex(),
            pending=pending,
            living=living,
            ended=tuple(ended[:_ENDED_MAX]),
            is_complete=is_complete,
        )

    def _consents(self, account: str, at: datetime) -> tuple[Sequence[Consent], bool]:
        """Return a child's consents, and whether new requests are among them.

        Who must sign may not be known of one child now: that hides no sibling, and keeps nobody from ending
        what was given.
        """
        try:
            return self.decisions.find_all(account, at), True
        except (ConsentTransitionRefused, StoreUnavailable):
            return self.decisions.find_mine(account, at), False


def _actor(citizen_id: str) -> Actor:
    return Actor(kind="representative", reference=citizen_id)


def _signer(who: RepresentativeSignIn, child: RepresentedChild, at: datetime) -> Signer:
    return Signer(
        role="representative",
        citizen_id=who.citizen_id,
        level=who.level,
        authenticated_at=who.authenticated_at,
        signed_at=at,
        relation_hash=child.relation_hash,
    )
